package bfd

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/pkg/packet/bfd"
)

// Limits of what a session may ask for.
const (
	MinInterval = 10 * time.Millisecond // a process that shares its machine keeps no shorter one
	MaxInterval = time.Minute
	MaxHops     = 255
)

// Session is one session that is wanted.
type Session struct {
	// Peer is the other end; a link-local address has its zone. There is one session per peer.
	Peer netip.Addr
	// Local is the address to send from and to be spoken to at. Invalid: the kernel chooses, once, and
	// again when that address is gone.
	Local netip.Addr
	// Hops is how far the peer may be: 1 is RFC 5881, with a TTL of 255; more is RFC 5883, with at least 256 - Hops.
	// A peer that does not send with 255, as BIRD over several hops, needs 255 hops, which accept any.
	Hops int
	// Interval is the shortest time between packets, both ways; the peer may ask for a longer one.
	Interval time.Duration
	// Multiplier is how many packets in a row the peer must miss to take us for gone. How many we must miss is the peer's
	// choice.
	Multiplier int
	// AdminDown holds the session, and tells the peer so. Taking it back lets the session come up.
	AdminDown bool
}

// check says what is wrong with a session.
func (s Session) check() error {
	link := s.Peer.Is6() && s.Peer.IsLinkLocalUnicast()
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(!s.Peer.IsValid() || s.Peer.IsUnspecified() || s.Peer.IsMulticast() || s.Peer.Is4In6(), "not a peer's address")
	refuse(link && s.Peer.Zone() == "", "a link-local address needs a zone, as in fe80::1%%eth0")
	refuse(!link && s.Peer.Zone() != "", "only a link-local address has a zone")
	refuse(s.Local.IsValid() && s.Local.Is4() != s.Peer.Is4(), "local address %s is of another family", s.Local)
	refuse(s.Hops < 1 || s.Hops > MaxHops, "hops must be 1..%d, not %d", MaxHops, s.Hops)
	refuse(link && s.Hops > 1, "a link-local address is one hop away, not %d", s.Hops)
	refuse(s.Interval < MinInterval || s.Interval > MaxInterval, "interval must be %s..%s, not %s", MinInterval, MaxInterval, s.Interval)
	refuse(s.Multiplier < 1 || s.Multiplier > 255, "multiplier must be 1..255, not %d", s.Multiplier)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("BFD session with %s: %w", s.Peer, err)
	}
	return nil
}

func (s Session) multihop() bool { return s.Hops > 1 }

// leastTTL is what a packet must still have when it gets here.
func (s Session) leastTTL() int { return 256 - s.Hops }

func (s Session) pace() pace { return pace{interval: s.Interval, multiplier: uint8(s.Multiplier)} }

// Status is the state of a session, at either end, by its number in RFC 5880, section 4.1.
type Status uint8

// The states.
const (
	AdminDown Status = iota
	Down
	Init
	Up
)

// String is the state as the RFC spells it.
func (s Status) String() string {
	switch s {
	case AdminDown:
		return "AdminDown"
	case Down:
		return "Down"
	case Init:
		return "Init"
	case Up:
		return "Up"
	}
	return "unknown"
}

// Diag is why a session changed its state, by its number in RFC 5880, section 4.1.
type Diag uint8

// The reasons that this package gives; peers may give others.
const (
	NoDiagnostic         = Diag(bfd.DiagnosticNoDiagnostic)
	DetectionTimeExpired = Diag(bfd.DiagnosticControlDetectionTimeExpired)
	NeighborSignaledDown = Diag(bfd.DiagnosticNeighborSignaledSessionDown)
	AdministrativelyDown = Diag(bfd.DiagnosticAdministrativelyDown)
)

// String is the reason in words.
func (d Diag) String() string {
	if d >= Diag(bfd.DiagnosticReservedStart) && d <= Diag(bfd.DiagnosticReservedEnd) {
		return fmt.Sprintf("reserved (%d)", uint8(d))
	}
	return bfd.DiagnosticType(d).String()
}

// State is what is known of a session.
type State struct {
	Peer  netip.Addr
	Local netip.Addr // as wanted; invalid when the kernel chooses
	Hops  int

	Status Status
	Since  time.Time // when Status became what it is
	Diag   Diag      // why we left Up or Init; NoDiagnostic while up
	// Problem says why nothing can be sent or received, in a few words; empty when all is well. It is tried again, and
	// goes when it worked.
	Problem string

	// What the peer said last; Down as long as it has not said anything.
	RemoteStatus Status
	RemoteDiag   Diag
	// RemoteIndependent: its BFD outlives its control plane, so that a loss means that packets are lost, too. Without it, a
	// loss may be no more than a restart (RFC 5882, section 4.3).
	RemoteIndependent bool

	TxInterval    time.Duration // agreed, before jitter; 0: the peer wants none
	DetectionTime time.Duration // agreed: after so much silence the peer is lost; 0 before it was heard
	Losses        uint64        // how often Lost told of it
	Sent          uint64        // packets
	Received      uint64        // packets, without those that were refused
}

// Loss is a session that was up and is lost, or was for a moment.
type Loss struct {
	Peer              netip.Addr
	At                time.Time     // of the last one
	Silence           time.Duration // how long nothing had been heard, when the detection time expired; 0 when the peer said it
	Diag              Diag          // DetectionTimeExpired or NeighborSignaledDown
	RemoteDiag        Diag          // why the peer left Up, if it said so
	RemoteIndependent bool          // see State
	Times             int           // since Lost told of this peer before
}

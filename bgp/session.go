package bgp

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// quiet is how long a peer that sends no End-of-RIB must have sent nothing to be called complete.
const quiet = 3 * time.Second

// Session is the state of the session with one configured peer.
type Session struct {
	// Peer is its name in the configuration.
	Peer    string
	Address netip.Addr
	ASN     uint32
	// State is the state of RFC 4271, section 8.2.2, in lower case: idle, connect, active, opensent,
	// openconfirm, established.
	State string
	// Established is State == "established".
	Established bool
	// Since is when the session came up or went down last; when it was configured if it never did.
	Since time.Time
	// LastError is why it went down last; empty if it never did.
	LastError string
	// Ending is the same for programs.
	Ending Ending
	// RouterID is the peer's BGP Identifier while established.
	RouterID netip.Addr
	// LocalAddress is our end of the session while established.
	LocalAddress netip.Addr
	// IPv4 and IPv6 say which unicast families were negotiated.
	IPv4, IPv6 bool
	// ExtendedNextHop says that the peer takes IPv4 prefixes with IPv6 next hops (RFC 8950).
	ExtendedNextHop bool
	// GracefulRestart says that both sides announced the capability (RFC 4724).
	GracefulRestart bool
	// Negotiated is what else was agreed; zero unless established.
	Negotiated Negotiated
	// LocalPort and PeerPort are those of the connection; 0 unless established.
	LocalPort, PeerPort uint16
	// Complete says that its initial routes have all arrived: End-of-RIB in each negotiated family,
	// or a quiet time from a peer that does not send it.
	Complete bool
	// Flaps counts how often an established session was lost.
	Flaps int
	// ParkedUntil is when a peer that sent too many prefixes is let in again; zero for one that is not parked.
	ParkedUntil time.Time
	// Contest tells of a peer that closes our connections again and again, and with which no session lasts.
	Contest Contest
	// Troubles are what somebody should look at though the session may be established, in words.
	Troubles []string
}

// session is the table's record of one peer.
type session struct {
	Session
	endOfRIB map[gobgp.Family]bool
	up       time.Time // when it was established last
	lastPath time.Time // when its last best path changed
	paths    int       // of it among the best
	spares   int       // of it among the next best
	coming   bool      // it is established, and its initial routes are still arriving
	falling  bool      // it ended, and its paths are being withdrawn
	holding  time.Time // since when such withdrawals are held back
	gone     bool      // it ended and has not come up again
	fell     time.Time // when
	cause    Cause     // why
	grace    time.Duration
	meant    notified // what a Hard Reset of the peer stood for
	words    string   // of the peer, about the end of the session

	entered     time.Time     // when State became what it is
	retains     bool          // its side keeps our routes even after a NOTIFICATION
	restartTime time.Duration // for how long the peer asked to keep its routes, in its last OPEN

	adds   int        // additions that came one close after the other
	added  time.Time  // the last of them
	adding time.Time  // the first of them
	held   []*learned // changes of its that are held back, see table.note

	ports    [2]uint16 // ours and the peer's, while it is established
	plain    bool      // in its last session the peer did not announce that it takes IPv6 next hops for IPv4 prefixes
	hold     time.Duration
	limit    int    // prefixes it may send; 0 for any number
	key      Secret // that its connection must have
	refused  string // why it is not in GoBGP
	troubles [troubleKinds]string
}

// complete says whether all initial routes of the session have arrived.
func (s *session) complete(now time.Time) bool {
	if !s.Established {
		return false
	}
	got4, got6 := !s.IPv4 || s.endOfRIB[familyIPv4], !s.IPv6 || s.endOfRIB[familyIPv6]
	if got4 && got6 {
		return true
	}
	// A peer without graceful restart need not send End-of-RIB; one with it must (RFC 4724, section 4).
	return !s.GracefulRestart && now.Sub(s.up) >= quiet && now.Sub(s.lastPath) >= quiet
}

// peerEvent applies one state change of a session.
func (t *table) peerEvent(event *apiutil.WatchEventMessage_PeerEvent, at time.Time) {
	if at.IsZero() {
		at = time.Now()
	}
	state := event.Peer.State
	t.counts.events.Add(1)
	t.mu.Lock()
	s := t.sessions[state.NeighborAddress]
	if s != nil {
		was := s.plain
		s.apply(event.Peer, at)
		if s.plain != was {
			t.turned = append(t.turned, s.Address)
		}
		t.wake()
		if !s.Established {
			t.landed(s) // GoBGP tells of the state after the withdrawals
		}
	}
	t.mu.Unlock()
	if s != nil {
		t.poke()
	}
}

func (s *session) apply(peer apiutil.Peer, at time.Time) {
	was := s.Established
	if state := strings.ToLower(strings.TrimPrefix(peer.State.SessionState.String(), "BGP_FSM_")); state != s.State {
		s.State, s.entered = state, at
	}
	s.Established = peer.State.SessionState == gobgp.BGP_FSM_ESTABLISHED
	switch {
	case s.Established && !was:
		s.Since, s.up, s.coming, s.gone, s.meant, s.words = at, at, true, false, notified{}, ""
		s.RouterID = peer.State.RouterID
		s.LocalAddress = peer.Transport.LocalAddress
		s.ports = [2]uint16{uint16(peer.Transport.LocalPort), uint16(peer.Transport.RemotePort)}
		s.LocalPort, s.PeerPort = s.ports[0], s.ports[1]
		clear(s.endOfRIB)
		s.negotiate(peer.State)
	case !s.Established && was:
		s.Since = at
		s.Flaps++
		s.RouterID, s.LocalAddress = netip.Addr{}, netip.Addr{}
		s.IPv4, s.IPv6, s.GracefulRestart, s.ExtendedNextHop = false, false, false, false
		s.Negotiated, s.LocalPort, s.PeerPort = Negotiated{}, 0, 0
	}
	if !s.Established {
		s.troubles = [troubleKinds]string{}
		if end, ended := ending(peer.State, s.words); ended {
			if peer.State.DisconnectReason == api.PeerState_DISCONNECT_REASON_HARD_RESET && s.meant.code != 0 {
				end.Code, end.Subcode = s.meant.code, s.meant.subcode
				end.Words = strings.Replace(end.Words, hardResetWords, gobgp.NewNotificationErrorCode(end.Code, end.Subcode).String(), 1)
			}
			s.Ending, s.LastError = end, end.Words
		}
	}
}

// negotiate derives the session's properties from the capabilities of both sides (RFC 5492).
func (s *session) negotiate(state apiutil.PeerState) {
	local, offered := families(state.LocalCap)
	remote, graceful := families(state.RemoteCap)
	if offered == nil {
		graceful = nil // what we do not offer is not agreed
	}
	s.Negotiated = newNegotiated(state.LocalCap, state.RemoteCap, graceful)
	s.IPv4 = local[familyIPv4] && remote[familyIPv4]
	s.IPv6 = local[familyIPv6] && remote[familyIPv6]
	s.ExtendedNextHop = s.IPv4 && takesExtended(state.RemoteCap)
	s.plain = s.IPv4 && !s.ExtendedNextHop
	s.GracefulRestart, s.restartTime = graceful != nil, 0
	s.retains = graceful != nil && graceful.Flags&notificationBit != 0
	if s.preserves(graceful) {
		s.restartTime = time.Duration(graceful.Time) * time.Second
	}
}

// families returns the address families of a set of capabilities. A speaker that lists none speaks
// IPv4 unicast (RFC 4760, section 8). With them comes the graceful restart capability, nil if there is none.
func families(capabilities []gobgp.ParameterCapabilityInterface) (map[gobgp.Family]bool, *gobgp.CapGracefulRestart) {
	var graceful *gobgp.CapGracefulRestart
	set := map[gobgp.Family]bool{}
	for _, c := range capabilities {
		switch c := c.(type) {
		case *gobgp.CapMultiProtocol:
			set[c.CapValue] = true
		case *gobgp.CapGracefulRestart:
			graceful = c
		}
	}
	if len(set) == 0 {
		set[familyIPv4] = true
	}
	return set, graceful
}

// Sessions returns the state of every configured peer, sorted by name.
func (s *Speaker) Sessions() []Session {
	now := time.Now()
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	sessions := make([]Session, 0, len(s.table.sessions))
	for _, session := range s.table.sessions {
		copied := session.Session
		copied.Complete = session.complete(now)
		copied.Troubles = session.told()
		if session.refused != "" {
			copied.LastError = session.refused
		}
		sessions = append(sessions, copied)
	}
	slices.SortFunc(sessions, func(a, b Session) int { return cmp.Compare(a.Peer, b.Peer) })
	return sessions
}

// Counters are a session's prefix counts as GoBGP (and so the gobgp command) reports them.
type Counters struct {
	// Received counts the prefixes in Adj-RIB-In, refused ones included.
	Received int
	// Advertised counts the prefixes in Adj-RIB-Out; 0 unless asked for.
	Advertised int
	// Rejected counts those of them that GoBGP leaves out before it asks the policy.
	Rejected int
	// Known counts those received ones that are among the best paths, or among the spare ones as far as known. The
	// rest is refused, or worse.
	Known int
}

// Unseen counts the changes that did not show in the best paths: of refused paths, and of those that are not the best.
// It costs nothing to ask, and as long as it does not grow nothing of the kind happened.
func (s *Speaker) Unseen() uint64 {
	unseen, _ := s.table.unseenChanges()
	return unseen
}

// Counters asks GoBGP for the prefix counts of every established session. Advertised prefixes are counted only on
// request: GoBGP walks its whole table for them, which is for a person's question and not for a loop.
func (s *Speaker) Counters(ctx context.Context, advertised bool) (map[netip.Addr]Counters, error) {
	details, err := s.Details(ctx, advertised)
	if err != nil {
		return nil, err
	}
	counters := make(map[netip.Addr]Counters, len(details))
	for address, d := range details {
		counters[address] = d.Counters
	}
	return counters, nil
}

func (t *table) removeSession(address netip.Addr) {
	t.mu.Lock()
	if s := t.sessions[address]; s != nil {
		t.landed(s)
	}
	delete(t.sessions, address)
	t.mu.Unlock()
	t.poke()
}

package bgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/api"
)

// Peer is a configured neighbour.
type Peer struct {
	// Transport is all that decides how the session is built: if it changes, the session is reset.
	Transport
	// Import is what may be learned from this peer; nothing else is. A change re-evaluates what the
	// peer has sent already and leaves the session alone.
	Import []Range
	// Marked is what of that is learned only with the mark of our own cluster's gateways (GatewayMark), of whatever AS.
	Marked []Range
	// Detour is what of that counts less than what any other peer says, and nothing while it is about to go (RFC 8326).
	Detour []Range
	// LocalPref is what its paths count (RFC 4271, section 5.1.5), 2 or more; 0 leaves it at what they bring along, 100 from
	// another AS.
	LocalPref uint32
	// Require and Refuse are communities as text, 65000:100 or 65000:1:2. Paths that carry none of Require are kept out, if
	// there are any, and those that carry one of Refuse.
	Require, Refuse []string
	// Restricted has only those own prefixes be sent that lie in Advertise; else all are.
	Restricted bool
	Advertise  []Range
	// Withhold are own prefixes that are not sent, whatever else is said.
	Withhold []Range
	// Communities are added to all that is sent, as text.
	Communities []string
	// PassOn is what was learned from others and is sent to this peer too; nothing else is. With PassNextHop it says which
	// next hop goes with that. A change of either leaves the session alone.
	PassOn      []Passage
	PassNextHop NextHopMode
	// For are the ids of the clusters that the peer stands for: what is passed on and says whom it is for (ASN:2:id) goes to
	// this peer only if it names one of them. Empty: all of it does. A change leaves the session alone.
	For []uint32
	// NextHop4 and NextHop6 are our addresses towards this peer. The one of the session's own family
	// is not needed: GoBGP knows its end. The other one is what the peer gets as next hop for prefixes
	// of the other family; without it these are not advertised to it.
	NextHop4, NextHop6 netip.Addr
	// ExtendedNextHop says that a session over IPv6 is to carry IPv4 prefixes with IPv6 next hops (RFC 8950): our end of
	// it is what the peer gets as next hop. A peer that has not announced the capability gets NextHop4, or none of them.
	ExtendedNextHop bool
	// ConnectRetry is the pause between attempts to connect.
	ConnectRetry time.Duration
	// Deferral is the Selection_Deferral_Timer: how long a restarted speaker waits for the peers'
	// End-of-RIB before it advertises (RFC 4724, section 4.1). It counts when the peer is added.
	Deferral time.Duration
	// Refused says why this peer must not run now, such as that its password can't be read. It is not in GoBGP then,
	// and Sessions shows it with that as the error. Empty for one that may.
	Refused string
	// MaxPrefixes is how many prefixes of one family it may have sent, refused ones included, before the session is
	// ended and parked for a time; 0 for any number.
	MaxPrefixes int
}

// Transport is the part of a Peer that OPEN and TCP depend on.
type Transport struct {
	Name    string
	Address netip.Addr
	ASN     uint32
	// Port is the peer's TCP port.
	Port int
	// LocalAddress is our end; invalid lets the kernel choose.
	LocalAddress netip.Addr
	// Passive waits for the peer to connect.
	Passive bool
	// Hops > 0 turns GTSM on (RFC 5082): packets that came further are dropped; 1 is a direct neighbour.
	Hops int
	// Multihop > 0 is the TTL of an external session without GTSM.
	Multihop int
	// HoldTime is what we propose; keepalives go out every third of it (RFC 4271, section 4.4).
	HoldTime time.Duration
	// GracefulRestart is what we offer (RFC 4724).
	GracefulRestart GracefulRestart
	// IPv4 and IPv6 are the unicast families offered.
	IPv4, IPv6 bool
	// Client has the peer, an internal one, be our route reflector client (RFC 4456), and Reflector is the CLUSTER_ID that
	// what we reflect to it carries, an IPv4 address. All clients have the same. Of other peers it is invalid.
	Client    bool
	Reflector netip.Addr
	// ASOverride replaces the AS number of the peer by ours in paths that are passed on to it.
	ASOverride bool
	// RemovePrivateAS is what becomes of private AS numbers (RFC 6996) in paths that are passed on to it.
	RemovePrivateAS PrivateAS
	// AddPaths takes several paths for a prefix, if the peer sends them (RFC 7911); we never do.
	AddPaths bool
	// Password is the key of the connection's MD5 signatures (RFC 2385); zero for none. A peer is refused whose
	// password the kernel does not take.
	Password Secret
}

// PrivateAS is what becomes of private AS numbers.
type PrivateAS uint8

// The fates of private AS numbers.
const (
	KeepPrivateAS PrivateAS = iota
	RemovePrivateAS
	ReplacePrivateAS // by ours
)

// GracefulRestart is our side of RFC 4724.
type GracefulRestart struct {
	Enabled bool
	// RestartTime is how long the peer keeps our routes after the session is lost, up to 4095 s.
	RestartTime time.Duration
}

// Range matches the prefixes inside Prefix whose length is within Min and Max.
type Range struct {
	Prefix   netip.Prefix
	Min, Max int
}

// SetPeers makes the configured peers exactly these. Sessions whose Transport did not change are not
// touched. Policies, the filter of the listeners and the password are in place before a peer is added; the first time
// nobody is heard before all of them are in. Failures of single peers are joined and do not stop the others; calling
// again with the same set repairs them.
func (s *Speaker) SetPeers(ctx context.Context, peers []Peer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := make(map[netip.Addr]Peer, len(peers))
	for _, p := range peers {
		want[p.Address] = p
	}
	s.wanted = want
	s.table.setReflector(reflectorOf(peers))
	s.table.setRelaying(slices.ContainsFunc(peers, func(p Peer) bool { return len(p.PassOn) > 0 }))
	s.notePreferred(peers)
	err := s.applyPolicies(ctx, peers)
	if s.started {
		err = errors.Join(err, s.guardListeners(peers, time.Now()))
	}
	if err != nil {
		return err
	}
	var errs []error
	departing := s.departing(want)
	s.farewell(ctx, departing)
	for _, l := range departing {
		errs = append(errs, s.deletePeer(ctx, l))
	}
	errs = append(errs, s.clearKeys(want))
	s.limits.keep(want)
	s.table.keepSessions(want, s.peers)
	for _, p := range peers {
		old, exists := s.peers[p.Address]
		switch {
		case p.Refused != "" && !exists:
			s.table.addSession(p)
			s.table.fault(p.Address, p.Refused)
		case p.Refused != "": // its deletion failed and was reported
		case !exists && s.limits.parked(p):
			s.table.parkSession(p.Address, s.limits.penalties[p.Address])
		case !exists:
			errs = append(errs, s.addPeer(ctx, p))
		case old.Transport == p.Transport: // else its deletion failed and was reported
			errs = append(errs, s.refreshPeer(ctx, old, p))
		}
	}
	if !s.started {
		errs = append(errs, s.guardListeners(peers, time.Now()))
	}
	s.started = true
	return errors.Join(errs...)
}

func (s *Speaker) addPeer(ctx context.Context, p Peer) error {
	s.table.addSession(p)
	if err := s.setKey(p); err != nil {
		s.table.fault(p.Address, err.Error())
		return fmt.Errorf("peer %s (%s) is refused: %w", p.Name, p.Address, err)
	}
	return s.insertPeer(ctx, p)
}

// insertPeer gives a peer that has a record to GoBGP. If that fails, the record says so.
func (s *Speaker) insertPeer(ctx context.Context, p Peer) error {
	err := s.call(ctx, "add peer", func(ctx context.Context) error {
		return s.server.AddPeer(ctx, &api.AddPeerRequest{Peer: s.apiPeer(p)})
	})
	if err != nil {
		s.table.fault(p.Address, err.Error())
		return fmt.Errorf("add peer %s (%s): %w", p.Name, p.Address, err)
	}
	s.peers[p.Address] = p
	return nil
}

// deletePeer deletes a peer; the record of its session stays if it is added again.
func (s *Speaker) deletePeer(ctx context.Context, l leaver) error {
	p := l.peer
	err := s.call(ctx, "delete peer", func(ctx context.Context) error {
		return s.server.DeletePeer(ctx, &api.DeletePeerRequest{Address: p.Address.String()})
	})
	if err != nil {
		return fmt.Errorf("delete peer %s (%s): %w", p.Name, p.Address, err)
	}
	delete(s.peers, p.Address)
	if !l.stays {
		s.table.removeSession(p.Address)
	}
	return nil
}

// refreshPeer re-evaluates what was received or sent under an older policy.
func (s *Speaker) refreshPeer(ctx context.Context, old, p Peer) error {
	var errs []error
	if !sameImport(old, p) {
		errs = append(errs, s.softReset(ctx, p, api.ResetPeerRequest_DIRECTION_IN))
	}
	if !sameExport(old, p) {
		errs = append(errs, s.softReset(ctx, p, api.ResetPeerRequest_DIRECTION_OUT))
	}
	p.Deferral = old.Deferral // GoBGP would reset the session for a new one
	if old.ConnectRetry != p.ConnectRetry {
		errs = append(errs, s.updatePeer(ctx, p))
	}
	if err := errors.Join(errs...); err != nil {
		return err // s.peers keeps the old one, so the next call tries again
	}
	s.peers[p.Address] = p
	s.table.setLimit(p.Address, p.MaxPrefixes)
	return nil
}

// updatePeer changes what GoBGP can change on a live session.
func (s *Speaker) updatePeer(ctx context.Context, p Peer) error {
	err := s.call(ctx, "update peer", func(ctx context.Context) error {
		_, err := s.server.UpdatePeer(ctx, &api.UpdatePeerRequest{Peer: s.apiPeer(p)})
		return err
	})
	if err != nil {
		return fmt.Errorf("update peer %s (%s): %w", p.Name, p.Address, err)
	}
	return nil
}

func (s *Speaker) softReset(ctx context.Context, p Peer, direction api.ResetPeerRequest_Direction) error {
	err := s.call(ctx, "soft reset", func(ctx context.Context) error {
		return s.server.ResetPeer(ctx, &api.ResetPeerRequest{Address: p.Address.String(), Soft: true, Direction: direction})
	})
	if err != nil {
		return fmt.Errorf("re-evaluate the routes of peer %s (%s): %w", p.Name, p.Address, err)
	}
	return nil
}

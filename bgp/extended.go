package bgp

import (
	"context"
	"errors"
	"net/netip"

	"github.com/osrg/gobgp/v4/api"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// IPv4 prefixes with IPv6 next hops (RFC 8950). GoBGP announces to every peer with IPv4 that it takes them, whatever is
// configured, and sends them whether or not the peer takes them. It must not (section 4), so what the peer announced is
// remembered, and the export policy made accordingly. A peer that was never heard is believed to be as it is configured:
// its routes must not come after the End-of-RIB, or it would forget those it kept during our restart.

// takesExtended says whether a speaker with these capabilities takes IPv6 next hops for IPv4 unicast prefixes.
func takesExtended(capabilities []gobgp.ParameterCapabilityInterface) bool {
	for _, c := range capabilities {
		extended, ok := c.(*gobgp.CapExtendedNexthop)
		if !ok {
			continue
		}
		for _, t := range extended.Tuples {
			if t.NLRIAFI == gobgp.AFI_IP && t.NLRISAFI == gobgp.SAFI_UNICAST && t.NexthopAFI == gobgp.AFI_IP6 {
				return true
			}
		}
	}
	return false
}

// plain returns those of the peers that do not take them though they are configured to.
func (t *table) plain(peers []Peer) map[netip.Addr]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[netip.Addr]bool{}
	for _, p := range peers {
		if s := t.sessions[p.Address]; p.ExtendedNextHop && s != nil && s.plain {
			out[p.Address] = true
		}
	}
	return out
}

// turnedPlain returns the peers that do not take any more what they took, or the other way round, each time once.
func (t *table) turnedPlain() []netip.Addr {
	t.mu.Lock()
	defer t.mu.Unlock()
	turned := t.turned
	t.turned = nil
	return turned
}

// followExtended sends own IPv4 prefixes anew to peers of which something else was believed.
func (t *tender) followExtended(ctx context.Context) {
	turned := t.table.turnedPlain()
	if len(turned) == 0 {
		return
	}
	if err := t.reexport(ctx, turned); err != nil {
		t.log.WithError(err).Error("IPv4 prefixes are not advertised with the next hop that the peer takes")
		t.table.mu.Lock()
		t.table.turned = append(t.table.turned, turned...) // tried again
		t.table.mu.Unlock()
	}
}

func (s *Speaker) reexport(ctx context.Context, turned []netip.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	peers := make([]Peer, 0, len(s.wanted))
	for _, p := range s.wanted {
		peers = append(peers, p)
	}
	if err := s.applyPolicies(ctx, peers); err != nil {
		return err
	}
	var errs []error
	for _, address := range turned {
		if p, ok := s.peers[address]; ok && p.ExtendedNextHop {
			s.log.WithField("peer", p.Name).Info("IPv4 prefixes are advertised anew: whether the peer takes IPv6 next hops for them (RFC 8950) is known now")
			errs = append(errs, s.softReset(ctx, p, api.ResetPeerRequest_DIRECTION_OUT))
		}
	}
	return errors.Join(errs...)
}

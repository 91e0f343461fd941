package bgp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// discardOnly is the next hop of own IPv6 prefixes in the speaker's own table. The export policy replaces
// it for each peer; should it ever leak, it attracts no traffic (RFC 6666).
func discardOnly() netip.Addr { return netip.MustParseAddr("100::1") }

// Announcement is an own prefix and whom it is for.
type Announcement struct {
	Prefix netip.Prefix
	// For are the ids of the clusters that it is for, carried as large communities ASN:2:id; empty: it is for everybody, and
	// says nothing. Who it is not for gets it too, and refuses it.
	For []uint32
	// Probe is where in the prefix we answer probes, carried as the large community ASN:4:offset.
	Probe Offset
}

// equal says whether the same would be told.
func (a Announcement) equal(b Announcement) bool {
	return a.Prefix == b.Prefix && a.Probe == b.Probe && slices.Equal(a.For, b.For)
}

// Advertise makes the advertised prefixes exactly these, for everybody.
func (s *Speaker) Advertise(ctx context.Context, prefixes []netip.Prefix) error {
	all := make([]Announcement, len(prefixes))
	for i, prefix := range prefixes {
		all[i].Prefix = prefix
	}
	return s.Announce(ctx, all)
}

// Announce makes the advertised prefixes exactly these. New ones go out before old ones are withdrawn.
// Prefixes must be masked. Failures of single prefixes are joined; calling again repairs them.
func (s *Speaker) Announce(ctx context.Context, all []Announcement) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := make(map[netip.Prefix]struct{}, len(all))
	var errs []error
	for _, a := range all {
		want[a.Prefix] = struct{}{}
		if told, ok := s.advertised[a.Prefix]; ok && told.equal(a) {
			continue
		}
		if err := s.originate(ctx, a); err != nil {
			errs = append(errs, fmt.Errorf("advertise %s: %w", a.Prefix, err))
			continue
		}
		s.advertised[a.Prefix] = a
	}
	for prefix := range s.advertised {
		if _, ok := want[prefix]; ok {
			continue
		}
		if err := s.withdraw(ctx, prefix); err != nil {
			errs = append(errs, fmt.Errorf("withdraw %s: %w", prefix, err))
			continue
		}
		delete(s.advertised, prefix)
	}
	return errors.Join(errs...)
}

// Leave says of all own prefixes, those of later calls of Advertise included, and of all that is passed on, that they are
// about to go, so that peers prefer other paths before that (GRACEFUL_SHUTDOWN, RFC 8326); or takes that back.
func (s *Speaker) Leave(ctx context.Context, leaving bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving == leaving {
		return nil
	}
	s.leaving = leaving
	var errs []error
	for prefix, told := range s.advertised {
		if err := s.originate(ctx, told); err != nil {
			delete(s.advertised, prefix) // the next Advertise tries again
			errs = append(errs, fmt.Errorf("advertise %s: %w", prefix, err))
		}
	}
	errs = append(errs, s.passAgain(ctx))
	return errors.Join(errs...)
}

// Close ends the sessions on purpose, with the reason for the peers' operators (RFC 9003), and keeps them closed until
// SetPeers takes the peers away. It returns when the peers have been told, or after a second. What is still advertised then
// may be kept by the peers for the time of a restart (RFC 8538): it is to be withdrawn first.
func (s *Speaker) Close(ctx context.Context, why string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	waiting := map[netip.Addr]struct{}{}
	for address, p := range s.peers {
		err := s.call(ctx, "shut down peer", func(ctx context.Context) error {
			return s.server.DisablePeer(ctx, &api.DisablePeerRequest{Address: address.String(), Communication: why})
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("shut down the session with %s (%s): %w", p.Name, address, err))
			continue
		}
		waiting[address] = struct{}{}
	}
	s.awaitEnd(ctx, waiting)
	return errors.Join(errs...)
}

func (s *Speaker) originate(ctx context.Context, a Announcement) error {
	path, err := s.ownPath(a)
	if err != nil {
		return err
	}
	return s.call(ctx, "add path", func(context.Context) error {
		_, err := s.server.AddPath(apiutil.AddPathRequest{Paths: []*apiutil.Path{path}})
		return err
	})
}

func (s *Speaker) withdraw(ctx context.Context, prefix netip.Prefix) error {
	path, err := s.ownPath(Announcement{Prefix: prefix})
	if err != nil {
		return err
	}
	return s.call(ctx, "delete path", func(context.Context) error {
		return s.server.DeletePath(apiutil.DeletePathRequest{Paths: []*apiutil.Path{path}})
	})
}

// ownPath builds the path of an own prefix. The next hop is a placeholder, see exportTo.
func (s *Speaker) ownPath(a Announcement) (*apiutil.Path, error) {
	prefix := a.Prefix
	communities := []*gobgp.LargeCommunity{gobgp.NewLargeCommunity(s.cfg.ASN, functionCluster, s.cfg.ClusterID)}
	for _, id := range a.For {
		communities = append(communities, gobgp.NewLargeCommunity(s.cfg.ASN, functionFor, id))
	}
	if a.Probe.Known {
		communities = append(communities, gobgp.NewLargeCommunity(s.cfg.ASN, functionProbe, a.Probe.Value))
	}
	nlri, err := gobgp.NewIPAddrPrefix(prefix)
	if err != nil {
		return nil, err
	}
	path := &apiutil.Path{Family: familyIPv4, Nlri: nlri, Age: time.Now().Unix(), Attrs: []gobgp.PathAttributeInterface{
		gobgp.NewPathAttributeOrigin(0), // IGP
		gobgp.NewPathAttributeLargeCommunities(communities),
	}}
	if s.leaving {
		path.Attrs = append(path.Attrs, gobgp.NewPathAttributeCommunities([]uint32{gracefulShutdown}))
	}
	nextHop := s.cfg.RouterID
	if prefix.Addr().Is6() {
		path.Family, nextHop = familyIPv6, discardOnly()
		attribute, err := gobgp.NewPathAttributeMpReachNLRI(path.Family, []gobgp.PathNLRI{{NLRI: nlri}}, nextHop)
		if err != nil {
			return nil, err
		}
		path.Attrs = append(path.Attrs, attribute)
		return path, nil
	}
	attribute, err := gobgp.NewPathAttributeNextHop(nextHop)
	if err != nil {
		return nil, err
	}
	path.Attrs = append(path.Attrs, attribute)
	return path, nil
}

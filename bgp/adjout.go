package bgp

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// Advertisement is one path that a peer is told, as the Adj-RIB-Out has it (RFC 4271, section 3.2): after the export policy.
type Advertisement struct {
	Prefix           netip.Prefix
	ID               uint32 // of several paths to one prefix (RFC 7911)
	NextHop          netip.Addr
	ASPath           []uint32
	LocalPref, MED   uint32 // 0: not sent
	Communities      []string
	LargeCommunities []string
	ClusterList      []netip.Addr // of what is reflected (RFC 4456)
}

// Advertised returns what a peer with an established session is told, in the order of prefixes, IPv4 first. GoBGP keeps no
// Adj-RIB-Out: it puts all its best paths through the export policy, so that this is for a person's question. What is
// returned is read while it is asked for, and shares what GoBGP has in memory.
func (s *Speaker) Advertised(ctx context.Context, peer netip.Addr) (iter.Seq[Advertisement], error) {
	var all []*apiutil.Path
	for _, family := range []gobgp.Family{familyIPv4, familyIPv6} {
		var found []*apiutil.Path
		err := s.look(ctx, "list advertised paths", func(context.Context) error {
			return s.server.ListPath(apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_ADJ_OUT, Name: peer.String(), Family: family},
				func(_ gobgp.NLRI, paths []*apiutil.Path) { found = append(found, paths...) })
		})
		if err != nil {
			return nil, err // the call may still be writing to found
		}
		all = append(all, slices.DeleteFunc(found, func(p *apiutil.Path) bool {
			_, is := prefixOf(p)
			return !is || p.SendMaxFiltered
		})...)
	}
	slices.SortStableFunc(all, func(a, b *apiutil.Path) int {
		x, _ := prefixOf(a)
		y, _ := prefixOf(b)
		return x.Compare(y)
	})
	return func(yield func(Advertisement) bool) {
		for _, p := range all {
			if !yield(newAdvertisement(p)) {
				return
			}
		}
	}, nil
}

func newAdvertisement(in *apiutil.Path) Advertisement {
	out := Advertisement{ID: in.LocalID}
	out.Prefix, _ = prefixOf(in)
	for _, attribute := range in.Attrs {
		switch a := attribute.(type) {
		case *gobgp.PathAttributeNextHop:
			out.NextHop = a.Value.Unmap()
		case *gobgp.PathAttributeMpReachNLRI:
			out.NextHop = a.Nexthop.Unmap()
		case *gobgp.PathAttributeAsPath:
			for _, segment := range a.Value {
				out.ASPath = append(out.ASPath, segment.GetAS()...)
			}
		case *gobgp.PathAttributeLocalPref:
			out.LocalPref = a.Value
		case *gobgp.PathAttributeMultiExitDisc:
			out.MED = a.Value
		case *gobgp.PathAttributeCommunities:
			out.Communities = communityNames(a.Value)
		case *gobgp.PathAttributeLargeCommunities:
			for _, c := range a.Values {
				out.LargeCommunities = append(out.LargeCommunities, c.String())
			}
		case *gobgp.PathAttributeClusterList:
			out.ClusterList = a.Value
		}
	}
	return out
}

// communityNames writes communities as others do: 65535:0, or by the names of the well-known ones.
func communityNames(all []uint32) []string {
	var out []string
	for _, c := range all {
		name, known := gobgp.WellKnownCommunityNameMap[gobgp.WellKnownCommunity(c)]
		if !known {
			name = fmt.Sprintf("%d:%d", c>>16, c&0xffff)
		}
		out = append(out, name)
	}
	return out
}

package bgp

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/osrg/gobgp/v4/api"
)

// What is here is the import and export of own prefixes as far as it differs from peer to peer.

// importFrom accepts the ranges of a peer from the peers, and changes nothing about the paths: GoBGP would keep a copy of
// each. Its prefix sets hold one family each. Communities are looked at only where the peer has conditions on them.
func (b *policyBuilder) importFrom(peers []string, p Peer) {
	neighbors := &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.neighborSet(peers)}
	for _, c := range b.carrying(p.Refuse) {
		c.NeighborSet = neighbors
		b.imported(c, api.RouteAction_ROUTE_ACTION_REJECT)
	}
	for _, v6 := range []bool{false, true} {
		if marked := rangesOf(p.Marked, v6); len(marked) > 0 {
			b.imported(&api.Conditions{
				NeighborSet: neighbors, PrefixSet: &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.prefixSet(marked)},
				LargeCommunitySet: &api.MatchSet{Type: api.MatchSet_TYPE_INVERT, Name: b.markSet()},
			}, api.RouteAction_ROUTE_ACTION_REJECT)
		}
		family := rangesOf(p.Import, v6)
		if len(family) == 0 {
			continue
		}
		prefixes := &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.prefixSet(family)}
		either := b.carrying(p.Require)
		if len(p.Require) == 0 {
			either = []*api.Conditions{{}}
		}
		for _, c := range either {
			c.NeighborSet, c.PrefixSet = neighbors, prefixes
			b.imported(c, api.RouteAction_ROUTE_ACTION_ACCEPT)
		}
	}
}

// markSet defines the set of paths that lead through a gateway of our own cluster. It is made once.
func (b *policyBuilder) markSet() string {
	return b.once(&api.DefinedSet{
		DefinedType: api.DefinedType_DEFINED_TYPE_LARGE_COMMUNITY, Name: b.names[0] + "-mark",
		List: []string{fmt.Sprintf("^[0-9]+:%d:%d$", functionGateway, b.clusterID)},
	})
}

func (b *policyBuilder) imported(c *api.Conditions, action api.RouteAction) {
	b.imports = append(b.imports, &api.Statement{
		Name:       fmt.Sprintf("%s-%d", b.names[0], len(b.imports)),
		Conditions: c,
		Actions:    &api.Actions{RouteAction: action},
	})
}

// carrying are conditions one of which a path meets that carries one of the communities.
func (b *policyBuilder) carrying(communities []string) []*api.Conditions {
	var out []*api.Conditions
	plain, large := splitCommunities(communities)
	if len(plain) > 0 {
		out = append(out, &api.Conditions{CommunitySet: b.communitySet(api.DefinedType_DEFINED_TYPE_COMMUNITY, plain)})
	}
	if len(large) > 0 {
		out = append(out, &api.Conditions{LargeCommunitySet: b.communitySet(api.DefinedType_DEFINED_TYPE_LARGE_COMMUNITY, large)})
	}
	return out
}

func (b *policyBuilder) communitySet(kind api.DefinedType, communities []string) *api.MatchSet {
	set := &api.DefinedSet{DefinedType: kind, Name: fmt.Sprintf("%s-communities-%d", b.names[0], len(b.sets))}
	for _, c := range communities {
		set.List = append(set.List, "^"+c+"$")
	}
	b.sets = append(b.sets, set)
	return &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: set.Name}
}

// splitCommunities tells plain communities (RFC 1997) from large ones (RFC 8092).
func splitCommunities(all []string) (plain, large []string) {
	for _, c := range all {
		if strings.Count(c, ":") == 2 {
			large = append(large, c)
		} else {
			plain = append(plain, c)
		}
	}
	return plain, large
}

// tag adds communities to what a statement lets out.
func tag(a *api.Actions, communities []string) {
	plain, large := splitCommunities(communities)
	if len(plain) > 0 {
		a.Community = &api.CommunityAction{Type: api.CommunityAction_TYPE_ADD, Communities: plain}
	}
	if len(large) > 0 {
		a.LargeCommunity = &api.CommunityAction{Type: api.CommunityAction_TYPE_ADD, Communities: large}
	}
}

// ownRule is how a set of peers gets own prefixes of one family.
type ownRule struct {
	nextHop     string // "self" or an address; empty: they get none
	restricted  bool   // to the ranges
	ranges      []Range
	withhold    []Range
	communities []string
}

func ownRuleOf(p Peer, v6 bool) ownRule {
	r := ownRule{nextHop: exportNextHop(p, v6), restricted: p.Restricted, communities: p.Communities, withhold: rangesOf(p.Withhold, v6)}
	if p.Restricted {
		if r.ranges = rangesOf(p.Advertise, v6); len(r.ranges) == 0 {
			return ownRule{}
		}
	}
	return r
}

// exportOwn lets own prefixes out to the peers.
func (b *policyBuilder) exportOwn(peers []Peer, key *strings.Builder) {
	b.exports = append(b.exports, &api.Statement{ // see withdrawAgain
		Name: b.names[1] + "-gone",
		Conditions: &api.Conditions{
			RouteType: api.Conditions_ROUTE_TYPE_LOCAL, CommunitySet: &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.staySet(false)},
		},
		Actions: &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_REJECT},
	})
	for _, v6 := range []bool{false, true} {
		for _, g := range group(peers, func(p Peer) string { return fmt.Sprint(ownRuleOf(p, v6)) }) {
			r := ownRuleOf(g.peer, v6)
			if r.nextHop == "" {
				continue // no next hop of this family: nothing of it is advertised to these peers
			}
			fmt.Fprintln(key, "export", v6, g.key, g.addresses)
			b.keepFrom(g.addresses, r.withhold)
			b.exportTo(g.addresses, v6, r)
		}
	}
}

// keepFrom keeps own prefixes from the peers. It goes before what lets others out.
func (b *policyBuilder) keepFrom(peers []string, ranges []Range) {
	if len(ranges) == 0 {
		return
	}
	b.exports = append(b.exports, &api.Statement{
		Name: fmt.Sprintf("%s-%d", b.names[1], len(b.exports)),
		Conditions: &api.Conditions{
			RouteType:   api.Conditions_ROUTE_TYPE_LOCAL,
			NeighborSet: &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.neighborSet(peers)},
			PrefixSet:   &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.prefixSet(ranges)},
		},
		Actions: &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_REJECT},
	})
}

// exportTo lets own prefixes of one family out to the peers by a rule.
func (b *policyBuilder) exportTo(peers []string, v6 bool, r ownRule) {
	afi := api.Family_AFI_IP
	if v6 {
		afi = api.Family_AFI_IP6
	}
	c := &api.Conditions{
		RouteType:   api.Conditions_ROUTE_TYPE_LOCAL,
		NeighborSet: &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.neighborSet(peers)},
		AfiSafiIn:   []*api.Family{{Afi: afi, Safi: api.Family_SAFI_UNICAST}},
	}
	if r.restricted {
		c.PrefixSet = &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.prefixSet(r.ranges)}
	}
	actions := &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_ACCEPT, Nexthop: &api.NexthopAction{Self: true}}
	if r.nextHop != "self" {
		actions.Nexthop = &api.NexthopAction{Address: r.nextHop}
	}
	tag(actions, r.communities)
	b.exports = append(b.exports, &api.Statement{
		Name: fmt.Sprintf("%s-%d", b.names[1], len(b.exports)), Conditions: c, Actions: actions,
	})
}

// notePreferred remembers whose paths are given a preference. GoBGP writes what the policy made of a path over what the peer
// sent, whenever it is asked which ones the policy keeps out, so that a preference that is taken back would stay.
func (s *Speaker) notePreferred(peers []Peer) {
	present := make(map[netip.Addr]bool, len(peers))
	for _, p := range peers {
		present[p.Address] = s.preferred[p.Address] || p.LocalPref > 0
	}
	s.preferred = present
}

// prefer gives the paths of peers what they count. What else the policy says of them is said by the statements that follow.
func (b *policyBuilder) prefer(peers []Peer, before map[netip.Addr]bool, key *strings.Builder) {
	weight := func(p Peer) uint32 {
		if p.LocalPref == 0 && before[p.Address] {
			return defaultLocalPref
		}
		return p.LocalPref
	}
	for _, g := range group(peers, func(p Peer) string { return fmt.Sprint(weight(p)) }) {
		if weight(g.peer) == 0 {
			continue
		}
		fmt.Fprintln(key, "prefer", g.key, g.addresses)
		b.imports = append(b.imports, &api.Statement{
			Name:       fmt.Sprintf("%s-%d", b.names[0], len(b.imports)),
			Conditions: &api.Conditions{NeighborSet: &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.neighborSet(g.addresses)}},
			Actions:    &api.Actions{LocalPref: &api.LocalPrefAction{Value: weight(g.peer)}},
		})
	}
}

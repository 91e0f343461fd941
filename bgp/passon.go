package bgp

import (
	"fmt"
	"slices"
	"strings"

	"github.com/osrg/gobgp/v4/api"
)

// Passage is learned paths that a peer gets too: those of one cluster. Paths that lead back to us or to the peer (our AS or
// the peer's is in them, RFC 4271, section 9.1.2) are never passed on, whatever it says; and neither are paths of one
// internal peer to another, unless one of the two is a client (RFC 4456, section 6).
type Passage struct {
	// Ranges hold the prefixes.
	Ranges []Range
	// ClusterID is the id of the cluster. What carries the id of another one (ASN:1:id) stays here.
	ClusterID uint32
	// RequireID has what carries no id stay here too.
	RequireID bool
	// Internal has what was learned outside our AS stay here too.
	Internal bool
	// Through has traffic come through us, whatever the peer's PassNextHop: the cluster is not reached otherwise. The paths get
	// the communities.
	Through     bool
	Communities []string
}

// NextHopMode says which next hop a peer gets with what is passed on.
type NextHopMode uint8

// The modes.
const (
	NextHopAuto      NextHopMode = iota // unchanged, and ours in place of a link-local one, which means nothing elsewhere
	NextHopSelf                         // our own address, as for own prefixes
	NextHopUnchanged                    // as it was learned; paths with a link-local one are not passed on
)

// linkLocal is where no next hop may lie that is passed on.
const linkLocal = "fe80::/10"

// The conditions of paths on the id they carry.
const (
	anyID  = iota // no condition
	thisID        // that of the cluster
	noID          // none at all
)

// passRule is what is passed on to a set of peers, and how.
type passRule struct {
	Passage
	ranges  []Range // of one family
	id      int     // one of anyID, thisID, noID
	within  string  // only what has a next hop within this; empty for any
	nextHop string  // "self", "unchanged", an address, or "reject"
	loops   bool    // GoBGP puts our AS in the place of the peer's, so that it says nothing about loops
	outside bool    // the peers are of other ASes

	communities []string
}

// passRules are the rules of one peer in one family, in the order in which they are looked at.
func passRules(p Peer, v6 bool, asn uint32) []passRule {
	if v6 && !p.IPv6 || !v6 && !p.IPv4 {
		return nil
	}
	self, unfit := exportNextHop(p, v6), linkLocal
	if !v6 && !p.ExtendedNextHop {
		unfit = "::/0" // it takes no IPv6 next hops for IPv4 prefixes (RFC 8950)
	}
	var rules []passRule
	for _, passage := range p.PassOn {
		r := passRule{
			Passage: passage, ranges: rangesOf(passage.Ranges, v6), outside: p.ASN != asn, loops: p.ASOverride,
			communities: slices.Concat(p.Communities, passage.Communities),
		}
		mode := p.PassNextHop
		if passage.Through {
			mode = NextHopSelf
		}
		if len(r.ranges) == 0 {
			continue
		}
		for _, id := range passage.conditions() {
			r.id = id
			rules = append(rules, r.hops(mode, self, unfit)...)
		}
	}
	return rules
}

// conditions are those one of which a path has to meet.
func (p Passage) conditions() []int {
	switch {
	case p.ClusterID == 0:
		return []int{anyID}
	case p.RequireID:
		return []int{thisID}
	default:
		return []int{thisID, noID}
	}
}

// hops completes a rule by what becomes of the next hop; self is ours, empty if we have none of the family. One that is
// unfit means nothing to the peer.
func (r passRule) hops(mode NextHopMode, self, unfitHops string) []passRule {
	if mode == NextHopSelf {
		if self == "" {
			return nil
		}
		r.nextHop = self
		return []passRule{r}
	}
	unfit, other := r, r
	unfit.within, unfit.nextHop, other.nextHop = unfitHops, "reject", "unchanged"
	if mode == NextHopAuto && self != "" {
		unfit.nextHop = self
	}
	return []passRule{unfit, other}
}

func rangesOf(all []Range, v6 bool) []Range {
	var out []Range
	for _, r := range all {
		if r.Prefix.Addr().Is6() == v6 {
			out = append(out, r)
		}
	}
	return out
}

// passOn lets learned paths out to the peers that are to have them. Peers with the same rule share its statement, and the
// statements of a peer stay in its order.
func (b *policyBuilder) passOn(peers []Peer, key *strings.Builder) {
	for _, v6 := range []bool{false, true} {
		most := 0
		rules := make(map[string][]passRule, len(peers))
		for _, p := range peers {
			rules[p.Address.String()] = passRules(p, v6, b.asn)
			most = max(most, len(rules[p.Address.String()]))
		}
		for i := range most {
			at := func(p Peer) string {
				if all := rules[p.Address.String()]; i < len(all) {
					return fmt.Sprint(all[i])
				}
				return ""
			}
			for _, g := range group(peers, at) {
				if g.key != "" {
					fmt.Fprintln(key, "pass on", v6, g.key, g.addresses)
					b.passTo(g.addresses, rules[g.peer.Address.String()][i])
				}
			}
		}
	}
}

// passTo lets the paths of one rule out to the peers.
func (b *policyBuilder) passTo(peers []string, r passRule) {
	c := &api.Conditions{
		NeighborSet:  &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.neighborSet(peers)},
		PrefixSet:    &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.prefixSet(r.ranges)},
		CommunitySet: &api.MatchSet{Type: api.MatchSet_TYPE_INVERT, Name: b.staySet(r.outside)},
	}
	if !r.loops {
		c.AsPathSet = &api.MatchSet{Type: api.MatchSet_TYPE_INVERT, Name: b.loopSet()}
	}
	if r.Internal {
		c.RouteType = api.Conditions_ROUTE_TYPE_INTERNAL
	}
	switch r.id {
	case thisID:
		c.LargeCommunitySet = &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.idSet(fmt.Sprint(r.ClusterID))}
	case noID:
		c.LargeCommunitySet = &api.MatchSet{Type: api.MatchSet_TYPE_INVERT, Name: b.idSet("[0-9]+")}
	}
	if r.within != "" {
		c.NextHopInList = []string{r.within}
	}
	actions := &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_ACCEPT}
	switch r.nextHop {
	case "reject":
		actions.RouteAction = api.RouteAction_ROUTE_ACTION_REJECT
	case "self":
		actions.Nexthop = &api.NexthopAction{Self: true}
	case "unchanged":
		actions.Nexthop = &api.NexthopAction{Unchanged: true}
	default:
		actions.Nexthop = &api.NexthopAction{Address: r.nextHop}
	}
	communities := slices.Clone(r.communities)
	if b.leaving {
		communities = append(communities, "65535:0") // whoever has another way to them than through us takes it (RFC 8326)
	}
	tag(actions, communities)
	b.exports = append(b.exports, &api.Statement{
		Name: fmt.Sprintf("%s-%d", b.names[1], len(b.exports)), Conditions: c, Actions: actions,
	})
}

// loopSet defines the set of paths with our own AS in them, not counting the one that an export to another AS begins with:
// GoBGP adds it before it asks the policy. They are in the table, see apiPeer, and never go any further. It is made once.
func (b *policyBuilder) loopSet() string {
	return b.once(&api.DefinedSet{
		DefinedType: api.DefinedType_DEFINED_TYPE_AS_PATH, Name: b.names[1] + "-loop",
		List: []string{fmt.Sprintf("^%d_(.*_)?%d_", b.asn, b.asn)},
	})
}

// staySet defines the set of paths that must not go on, or not to other ASes (RFC 1997): GoBGP leaves that to its user.
func (b *policyBuilder) staySet(outside bool) string {
	set := &api.DefinedSet{
		DefinedType: api.DefinedType_DEFINED_TYPE_COMMUNITY, Name: b.names[1] + "-stay", List: []string{"^65535:65282$"}, // NO_ADVERTISE
	}
	if outside {
		set.Name += "-inside"
		set.List = append(set.List, "^65535:65281$", "^65535:65283$") // NO_EXPORT, NO_EXPORT_SUBCONFED
	}
	return b.once(set)
}

// idSet defines the set of paths that carry a cluster's id.
func (b *policyBuilder) idSet(id string) string {
	return b.once(&api.DefinedSet{
		DefinedType: api.DefinedType_DEFINED_TYPE_LARGE_COMMUNITY, Name: fmt.Sprintf("%s-id-%s", b.names[1], strings.Trim(id, "[]+")),
		List: []string{fmt.Sprintf("^[0-9]+:%d:%s$", functionCluster, id)},
	})
}

// once adds a set unless it is there, and returns its name.
func (b *policyBuilder) once(set *api.DefinedSet) string {
	if !slices.ContainsFunc(b.sets, func(s *api.DefinedSet) bool { return s.Name == set.Name }) {
		b.sets = append(b.sets, set)
	}
	return set.Name
}

// detourLocalPref is the preference of paths that are not to be the best as long as there is a direct one.
const detourLocalPref = defaultLocalPref - 10

// detours make what peers say of some prefixes count less than what anybody else says. Two reflectors that hear a client
// directly and from each other must prefer the direct path, or they go on changing their minds for ever: RFC 4456, section
// 9, has the length of CLUSTER_LIST for that, which GoBGP does not look at. A path that is about to go would rank equal.
func (b *policyBuilder) detours(peers []Peer, key *strings.Builder) {
	for _, g := range group(peers, func(p Peer) string { return fmt.Sprint(p.Detour) }) {
		for _, v6 := range []bool{false, true} {
			ranges := rangesOf(g.peer.Detour, v6)
			if len(ranges) == 0 {
				continue
			}
			fmt.Fprintln(key, "detour", v6, g.key, g.addresses)
			where := api.Conditions{
				NeighborSet: &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.neighborSet(g.addresses)},
				PrefixSet:   &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.prefixSet(ranges)},
			}
			b.imports = append(b.imports, &api.Statement{
				Name: fmt.Sprintf("%s-%d", b.names[0], len(b.imports)),
				Conditions: &api.Conditions{
					NeighborSet: where.NeighborSet, PrefixSet: where.PrefixSet,
					CommunitySet: &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.leavingSet()},
				},
				Actions: &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_REJECT},
			}, &api.Statement{
				Name:       fmt.Sprintf("%s-%d", b.names[0], len(b.imports)+1),
				Conditions: &api.Conditions{NeighborSet: where.NeighborSet, PrefixSet: where.PrefixSet},
				Actions:    &api.Actions{LocalPref: &api.LocalPrefAction{Value: detourLocalPref}},
			})
		}
	}
}

// sameImport says whether two peers are heard in the same way.
func sameImport(a, b Peer) bool {
	return a.LocalPref == b.LocalPref && slices.Equal(a.Import, b.Import) && slices.Equal(a.Marked, b.Marked) && slices.Equal(a.Detour, b.Detour) && slices.Equal(a.Require, b.Require) &&
		slices.Equal(a.Refuse, b.Refuse)
}

// sameExport says whether two peers get the same.
func sameExport(a, b Peer) bool {
	same := func(x, y Passage) bool {
		return x.ClusterID == y.ClusterID && x.RequireID == y.RequireID && x.Internal == y.Internal && x.Through == y.Through &&
			slices.Equal(x.Ranges, y.Ranges) && slices.Equal(x.Communities, y.Communities)
	}
	return a.NextHop4 == b.NextHop4 && a.NextHop6 == b.NextHop6 && a.ExtendedNextHop == b.ExtendedNextHop && a.PassNextHop == b.PassNextHop &&
		slices.EqualFunc(a.PassOn, b.PassOn, same) && slices.Equal(a.audience(), b.audience()) && a.Restricted == b.Restricted &&
		slices.Equal(a.Advertise, b.Advertise) && slices.Equal(a.Withhold, b.Withhold) &&
		slices.Equal(a.Communities, b.Communities)
}

package bgp

import (
	"fmt"
	"slices"
	"strings"

	"github.com/osrg/gobgp/v4/api"
)

// audienceMark is the community that marks paths for the statements that follow: none of the others in GoBGP's conditions
// can be both required and forbidden at once. It is of the range that RFC 1997 reserves, and it never gets out.
const audienceMark = "65535:65535"

// audiences keep from peers what is passed on and says whom it is for, but names none of the clusters that they stand for.
//
// A statement has room for one condition on large communities. So those that name one of a peer's clusters are marked
// first, a statement for each set of clusters; what names others and has no mark is refused for all these peers by one
// statement, and the mark is taken off by another one. What is passed on is said by those that follow, as if nothing
// had been here.
func (b *policyBuilder) audiences(peers []Peer, key *strings.Builder) {
	for _, g := range group(peers, func(p Peer) string { return fmt.Sprint(p.audience()) }) {
		if ids := g.peer.audience(); len(ids) > 0 {
			fmt.Fprintln(key, "audience", g.key, g.addresses)
			b.exports = append(b.exports, &api.Statement{
				Name: fmt.Sprintf("%s-%d", b.names[1], len(b.exports)),
				Conditions: &api.Conditions{
					NeighborSet:       &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.neighborSet(g.addresses)},
					LargeCommunitySet: &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.forSet(ids)},
				},
				Actions: &api.Actions{Community: &api.CommunityAction{Type: api.CommunityAction_TYPE_ADD, Communities: []string{audienceMark}}},
			})
		}
	}
	for _, g := range group(peers, func(p Peer) string { return fmt.Sprint(len(p.audience()) > 0) }) {
		if len(g.peer.audience()) == 0 {
			continue
		}
		all := &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.neighborSet(g.addresses)}
		b.exports = append(b.exports, &api.Statement{
			Name: fmt.Sprintf("%s-%d", b.names[1], len(b.exports)),
			Conditions: &api.Conditions{
				NeighborSet:       all,
				LargeCommunitySet: &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.forSet(nil)},
				CommunitySet:      &api.MatchSet{Type: api.MatchSet_TYPE_INVERT, Name: b.audienceSet()},
			},
			Actions: &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_REJECT},
		}, &api.Statement{
			Name:       fmt.Sprintf("%s-%d", b.names[1], len(b.exports)+1),
			Conditions: &api.Conditions{NeighborSet: all, CommunitySet: &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.audienceSet()}},
			Actions:    &api.Actions{Community: &api.CommunityAction{Type: api.CommunityAction_TYPE_REMOVE, Communities: []string{audienceMark}}},
		})
	}
}

// audience are the sorted ids of the clusters that matter for what the peer gets; none if all of it does, or nothing is
// passed on to it.
func (p Peer) audience() []uint32 {
	if len(p.PassOn) == 0 {
		return nil
	}
	return slices.Sorted(slices.Values(p.For))
}

// forSet defines the set of paths that say they are for one of some clusters, or for any if there are none.
func (b *policyBuilder) forSet(ids []uint32) string {
	set := &api.DefinedSet{
		DefinedType: api.DefinedType_DEFINED_TYPE_LARGE_COMMUNITY, Name: fmt.Sprintf("%s-for-%d", b.names[1], len(b.sets)),
	}
	for _, id := range ids {
		set.List = append(set.List, fmt.Sprintf("^[0-9]+:%d:%d$", functionFor, id))
	}
	if len(ids) == 0 {
		set.List = []string{fmt.Sprintf("^[0-9]+:%d:[0-9]+$", functionFor)}
	}
	b.sets = append(b.sets, set)
	return set.Name
}

// audienceSet defines the set of marked paths. It is made once.
func (b *policyBuilder) audienceSet() string {
	return b.once(&api.DefinedSet{
		DefinedType: api.DefinedType_DEFINED_TYPE_COMMUNITY, Name: b.names[1] + "-audience", List: []string{"^" + audienceMark + "$"},
	})
}

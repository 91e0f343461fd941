package bgp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/osrg/gobgp/v4/api"
)

// defaultLocalPref is that of every path from another AS: GoBGP strips what it carried.
const defaultLocalPref = 100

// policies is the generation of policies that GoBGP runs at present.
//
// GoBGP's conditions keep pointing at a defined set after it was replaced, and all peers share the one
// global table. So every change builds a whole new generation under fresh names, swaps the assignment in
// one step and deletes the old one: no route is ever judged by half a policy.
type policies struct {
	generation int
	key        string // what the generation was built from
	sets       []*api.DefinedSet
	names      []string // the import and the export policy
}

// applyPolicies makes GoBGP run the policies of these peers, and nothing else.
func (s *Speaker) applyPolicies(ctx context.Context, peers []Peer) error {
	next := s.buildPolicies(peers)
	if next.key == s.policies.key && len(s.policies.names) > 0 {
		return nil
	}
	err := s.call(ctx, "policy", func(ctx context.Context) error {
		for _, set := range next.sets {
			if err := s.server.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: set, Replace: true}); err != nil {
				return fmt.Errorf("defined set %s: %w", set.Name, err)
			}
		}
		for i, policy := range next.build() {
			if err := s.server.AddPolicy(ctx, &api.AddPolicyRequest{Policy: policy}); err != nil {
				return fmt.Errorf("policy %s: %w", policy.Name, err)
			}
			direction := []api.PolicyDirection{api.PolicyDirection_POLICY_DIRECTION_IMPORT, api.PolicyDirection_POLICY_DIRECTION_EXPORT}[i]
			if err := s.assign(ctx, policy.Name, direction); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.policies.generation = next.generation // its names are taken now
		return fmt.Errorf("install BGP policy: %w", err)
	}
	old := s.policies
	s.policies = next.policies
	s.dropPolicies(ctx, old)
	return nil
}

// assign makes one policy the whole policy of a direction, everything else being refused.
func (s *Speaker) assign(ctx context.Context, name string, direction api.PolicyDirection) error {
	err := s.server.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
		Name:          "global",
		Direction:     direction,
		Policies:      []*api.Policy{{Name: name}},
		DefaultAction: api.RouteAction_ROUTE_ACTION_REJECT,
	}})
	if err != nil {
		return fmt.Errorf("assign %s: %w", name, err)
	}
	return nil
}

// dropPolicies deletes a generation that is no longer assigned. What can't be deleted is garbage, not danger.
func (s *Speaker) dropPolicies(ctx context.Context, old policies) {
	err := s.call(ctx, "policy", func(ctx context.Context) error {
		for _, name := range old.names {
			if err := s.server.DeletePolicy(ctx, &api.DeletePolicyRequest{Policy: &api.Policy{Name: name}, All: true}); err != nil {
				return err
			}
		}
		for _, set := range old.sets {
			if err := s.server.DeleteDefinedSet(ctx, &api.DeleteDefinedSetRequest{DefinedSet: set, All: true}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.log.WithError(err).Debug("old BGP policy not deleted")
	}
}

// policyBuilder collects the statements of a generation.
type policyBuilder struct {
	policies
	imports, exports []*api.Statement
	asn, clusterID   uint32
	leaving          bool
}

func (b *policyBuilder) build() []*api.Policy {
	return []*api.Policy{{Name: b.names[0], Statements: b.imports}, {Name: b.names[1], Statements: b.exports}}
}

// buildPolicies groups the peers that share a rule, so that the number of statements a path walks through
// grows with the number of different rules, not of peers.
func (s *Speaker) buildPolicies(peers []Peer) *policyBuilder {
	generation := s.policies.generation + 1
	b := &policyBuilder{policies: policies{
		generation: generation,
		names:      []string{fmt.Sprintf("import-%d", generation), fmt.Sprintf("export-%d", generation)},
	}, asn: s.cfg.ASN, clusterID: s.cfg.ClusterID, leaving: s.leaving}
	// Own advertisements pass the import policy too.
	b.imports = append(b.imports, &api.Statement{
		Name:       b.names[0] + "-local",
		Conditions: &api.Conditions{RouteType: api.Conditions_ROUTE_TYPE_LOCAL},
		Actions:    &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_ACCEPT},
	})
	plain := s.table.plain(peers)
	peers = slices.Clone(peers)
	for i := range peers {
		peers[i].ExtendedNextHop = peers[i].ExtendedNextHop && !plain[peers[i].Address]
	}
	var key strings.Builder
	b.prefer(peers, s.preferred, &key)
	b.detours(peers, &key)
	b.lowerLeaving()
	b.refuseBlackholes()
	for _, g := range group(peers, func(p Peer) string { return fmt.Sprint(p.Import, p.Marked, p.Require, p.Refuse) }) {
		fmt.Fprintln(&key, "import", g.key, g.addresses)
		b.importFrom(g.addresses, g.peer)
	}
	b.exportOwn(peers, &key)
	b.audiences(peers, &key)
	b.passOn(peers, &key)
	fmt.Fprintln(&key, "leaving", s.leaving)
	b.key = key.String()
	return b
}

// exportNextHop is the next hop to send to a peer for own prefixes of one family: "self", an address, or ""
// for none.
func exportNextHop(p Peer, v6 bool) string {
	offered, other := p.IPv4, p.NextHop4
	if v6 {
		offered, other = p.IPv6, p.NextHop6
	}
	switch {
	case !offered:
		return ""
	case p.Address.Is6() == v6, p.Address.Is6() && p.ExtendedNextHop:
		return "self"
	case other.IsValid():
		return other.String()
	default:
		return ""
	}
}

// leavingLocalPref is the preference of paths that are about to go. RFC 8326 has 0, which GoBGP takes for none.
const leavingLocalPref = 1

// lowerLeaving makes paths that are about to go the least preferred of all (RFC 8326, section 4.2). What else the policy
// says of them is said by the statements that follow.
func (b *policyBuilder) lowerLeaving() {
	b.imports = append(b.imports, &api.Statement{
		Name:       b.names[0] + "-leaving",
		Conditions: &api.Conditions{CommunitySet: &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: b.leavingSet()}},
		Actions:    &api.Actions{LocalPref: &api.LocalPrefAction{Value: leavingLocalPref}},
	})
}

// leavingSet defines the set of paths that are about to go. It is made once.
func (b *policyBuilder) leavingSet() string {
	return b.once(&api.DefinedSet{
		DefinedType: api.DefinedType_DEFINED_TYPE_COMMUNITY, Name: b.names[0] + "-leaving", List: []string{"^65535:0$"},
	})
}

// refuseBlackholes keeps out what its sender wants discarded (RFC 7999), before anything is accepted: such a path must
// not win the selection over one that carries traffic.
func (b *policyBuilder) refuseBlackholes() {
	set := &api.DefinedSet{
		DefinedType: api.DefinedType_DEFINED_TYPE_COMMUNITY,
		Name:        b.names[0] + "-blackhole",
		List:        []string{fmt.Sprintf("%d:%d", communityBlackhole>>16, communityBlackhole&0xffff)},
	}
	b.sets = append(b.sets, set)
	b.imports = append(b.imports, &api.Statement{
		Name:       fmt.Sprintf("%s-%d", b.names[0], len(b.imports)),
		Conditions: &api.Conditions{CommunitySet: &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: set.Name}},
		Actions:    &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_REJECT},
	})
}

// prefixSet defines a set of prefixes of one family and returns its name.
func (b *policyBuilder) prefixSet(ranges []Range) string {
	set := &api.DefinedSet{
		DefinedType: api.DefinedType_DEFINED_TYPE_PREFIX,
		Name:        fmt.Sprintf("%s-prefixes-%d", b.names[0], len(b.sets)),
	}
	for _, r := range ranges {
		set.Prefixes = append(set.Prefixes, &api.Prefix{
			IpPrefix: r.Prefix.String(), MaskLengthMin: uint32(r.Min), MaskLengthMax: uint32(r.Max),
		})
	}
	b.sets = append(b.sets, set)
	return set.Name
}

// neighborSet defines a set of peers and returns its name.
func (b *policyBuilder) neighborSet(peers []string) string {
	set := &api.DefinedSet{
		DefinedType: api.DefinedType_DEFINED_TYPE_NEIGHBOR,
		Name:        fmt.Sprintf("%s-peers-%d", b.names[0], len(b.sets)),
		List:        peers,
	}
	b.sets = append(b.sets, set)
	return set.Name
}

// peerGroup is a set of peers for which a rule has the same value.
type peerGroup struct {
	key       string
	peer      Peer     // any of them
	addresses []string // as host prefixes, sorted
}

func group(peers []Peer, key func(Peer) string) []peerGroup {
	index := map[string]int{}
	var groups []peerGroup
	for _, p := range peers {
		k := key(p)
		i, ok := index[k]
		if !ok {
			i = len(groups)
			index[k] = i
			groups = append(groups, peerGroup{key: k, peer: p})
		}
		host := netip.PrefixFrom(p.Address, p.Address.BitLen())
		groups[i].addresses = append(groups[i].addresses, host.String())
	}
	for _, g := range groups {
		slices.Sort(g.addresses)
	}
	slices.SortFunc(groups, func(a, b peerGroup) int { return strings.Compare(a.key, b.key) })
	return groups
}

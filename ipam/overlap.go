package ipam

import (
	"fmt"
	"net/netip"
	"slices"
)

// Party is who stands behind a path that Judge accepted.
type Party struct {
	Peer      string
	OriginASN uint32
	// Declared says that the path carries the id of the cluster in whose range it lies. It is a declaration, not a proof:
	// it tells mistakes apart, not lies.
	Declared  bool
	Incumbent bool // the prefix is in the kernel through this path, or through another one of this origin
}

// Dispute decides between paths for one prefix that Judge accepted and that come from different origins: paths of one
// origin, and paths that declare the one cluster whose range it is, are the ordinary ways to one place. Those that
// declare the cluster win; without any, the incumbent's origin keeps the prefix; without one, the origin with the lowest
// AS number has it, so that all nodes choose the same. Of several incumbents the lowest AS number counts, too.
//
// It returns the verdict on each party in the order given: the zero Verdict for those that keep the prefix, at least one.
// Without a dispute it returns nil.
func (p *Plan) Dispute(prefix netip.Prefix, parties []Party) []Verdict {
	holder := slices.MinFunc(parties, func(a, b Party) int { return a.rank(b) })
	var out []Verdict
	for i, x := range parties {
		if keeps(parties, holder, x) {
			continue
		}
		if out == nil {
			out = make([]Verdict, len(parties))
		}
		out[i] = p.overlap(prefix, x, holder)
	}
	return out
}

// Disputed says whether parties may have to be told apart. It is what the healthy case costs.
func Disputed(a, b Party) bool { return a.OriginASN != b.OriginASN && (!a.Declared || !b.Declared) }

// rank orders parties by their right to the prefix.
func (x Party) rank(y Party) int {
	switch {
	case x.Declared != y.Declared:
		return first(x.Declared)
	case x.Incumbent != y.Incumbent:
		return first(x.Incumbent)
	case x.OriginASN != y.OriginASN:
		return first(x.OriginASN < y.OriginASN)
	default:
		return 0
	}
}

func first(yes bool) int {
	if yes {
		return -1
	}
	return 1
}

// keeps says whether x may share the prefix with its holder. What declares nothing but comes from an origin that
// declares is the same origin's: communities get lost on the way.
func keeps(all []Party, holder, x Party) bool {
	if !holder.Declared {
		return x.OriginASN == holder.OriginASN
	}
	return x.Declared || slices.ContainsFunc(all, func(y Party) bool { return y.Declared && y.OriginASN == x.OriginASN })
}

func (p *Plan) overlap(prefix netip.Prefix, loser, holder Party) Verdict {
	cluster := ""
	if s, ok := p.ranges.LookupPrefix(prefix); ok {
		cluster = p.contracts[s.contract].Cluster
	}
	right := "has the lower AS number"
	switch {
	case holder.Declared:
		right = fmt.Sprintf("declares the id of cluster %s", cluster)
	case holder.Incumbent:
		right = "has it already"
	}
	return refuse(Overlap, cluster, "%s comes from two origins: AS %d (peer %s) is refused, AS %d (peer %s) %s and keeps it",
		prefix, loser.OriginASN, loser.Peer, holder.OriginASN, holder.Peer, right)
}

package main

import (
	"errors"
	"net/netip"

	"go4.org/netipx"

	"github.com/underlayd/underlayd/k8s/annotation"
)

// quorum is how many Nodes have to route a CIDR.
type quorum string

const (
	anyNode   quorum = "any"
	everyNode quorum = "all"
)

// open returns what a policy is to open, given what the Nodes say and what it opens
// now, and the errors of the Nodes that are unknown. It is a function of these alone:
// nothing has to be remembered over a restart.
func (q quorum) open(nodes []annotation.Annotated, now, within []netip.Prefix) ([]netip.Prefix, []error) {
	var result *netipx.IPSet
	var unknown []error
	for _, node := range nodes {
		state, err := annotation.ParseNode(node)
		switch {
		case errors.Is(err, annotation.ErrAbsent): // no agent here
		case err != nil:
			unknown = append(unknown, err)
		case result == nil:
			result = setOf(state.RemoteCIDRs)
		default:
			result = q.join(result, setOf(state.RemoteCIDRs))
		}
	}
	if result == nil {
		result = &netipx.IPSet{}
		if q == everyNode && len(unknown) > 0 {
			result = setOf(now) // nobody says anything that can be read
		}
	}
	if len(unknown) > 0 {
		result = q.join(result, setOf(now))
	}
	return intersection(result, setOf(within)).Prefixes(), unknown
}

func (q quorum) join(a, b *netipx.IPSet) *netipx.IPSet {
	if q == everyNode {
		return intersection(a, b)
	}
	var union netipx.IPSetBuilder
	union.AddSet(a)
	union.AddSet(b)
	return built(&union)
}

func intersection(a, b *netipx.IPSet) *netipx.IPSet {
	var both netipx.IPSetBuilder
	both.AddSet(a)
	both.Intersect(b)
	return built(&both)
}

func setOf(prefixes []netip.Prefix) *netipx.IPSet {
	var builder netipx.IPSetBuilder
	for _, prefix := range prefixes {
		builder.AddPrefix(prefix)
	}
	return built(&builder)
}

func built(builder *netipx.IPSetBuilder) *netipx.IPSet {
	set, err := builder.IPSet()
	if err != nil { // only invalid prefixes make it fail, and none gets here
		return &netipx.IPSet{}
	}
	return set
}

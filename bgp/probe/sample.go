package probe

import (
	"cmp"
	"hash/fnv"
	"net/netip"
	"slices"
)

// ring is the targets of one cluster and family in an order that each node has for itself: by a hash of node and target, as
// in rendezvous hashing. A node probes the few that follow its hand, which moves on slowly: in a round of the hand it has
// probed all of them, and at any time the hands of all nodes are spread over all targets. A target that comes or goes moves
// no more than one other in or out.
type ring struct {
	hand    uint64
	members []member // by place
}

type member struct {
	place  uint64
	target Target
}

// place is where a target is in the order of a node.
func place(node string, target netip.Addr) uint64 {
	h := fnv.New64a()
	h.Write([]byte(node))
	h.Write([]byte{0})
	raw := target.As16()
	h.Write(raw[:])
	x := h.Sum64()
	// FNV alone leaves neighbours beside each other: the last bytes hardly reach the first bits.
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// set replaces the members.
func (r *ring) set(node string, targets []Target) {
	r.members = make([]member, len(targets))
	for i, t := range targets {
		r.members[i] = member{place(node, t.Address), t}
	}
	slices.SortFunc(r.members, func(a, b member) int {
		return cmp.Or(cmp.Compare(a.place, b.place), a.target.Address.Compare(b.target.Address))
	})
}

// sample returns the next few from the hand on.
func (r *ring) sample(n int) []Target {
	n = min(n, len(r.members))
	first := r.first()
	out := make([]Target, n)
	for i := range out {
		out[i] = r.members[(first+i)%len(r.members)].target
	}
	return out
}

// turn moves the hand on by one target.
func (r *ring) turn() {
	if len(r.members) > 0 {
		r.hand = r.members[r.first()].place + 1
	}
}

// first is the member at the hand or after it.
func (r *ring) first() int {
	i, _ := slices.BinarySearchFunc(r.members, r.hand, func(m member, at uint64) int { return cmp.Compare(m.place, at) })
	if i == len(r.members) {
		return 0
	}
	return i
}

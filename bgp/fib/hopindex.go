package fib

import (
	"net/netip"
	"slices"
)

// hopIndex finds the next hops that an event is about. On a node links and addresses come and go with every pod, and
// none of that may cost a look at each next hop there is.
type hopIndex struct {
	good     bool            // nothing changed since it was made
	byLink   map[int][]*hop  // as resolved, and as the kernel's object says
	byID     map[uint32]*hop // their objects
	sorted   []*hop          // by address; without those of link-local addresses, which no route leads to
	troubled []*hop          // that cannot be used: anything may change that
	objects  []*hop          // whose route names a next-hop object of somebody's
}

// hopsChanged is called whenever what Stats and the index say of next hops may have changed.
func (t *Table) hopsChanged() { t.recount, t.index.good = true, false }

// indexed returns the index, made anew if need be.
func (t *Table) indexed() *hopIndex {
	x := &t.index
	if x.good {
		return x
	}
	*x = hopIndex{
		good: true, byLink: map[int][]*hop{}, byID: make(map[uint32]*hop, len(t.hops)),
		sorted: x.sorted[:0], troubled: x.troubled[:0], objects: x.objects[:0],
	}
	for _, h := range t.hops {
		if h.problem != "" {
			x.troubled = append(x.troubled, h)
		}
		if h.id != 0 {
			x.byID[h.id] = h
		}
		if h.link != 0 {
			x.byLink[h.link] = append(x.byLink[h.link], h)
		}
		for _, g := range h.via {
			if all := x.byLink[g.link]; len(all) == 0 || all[len(all)-1] != h {
				x.byLink[g.link] = append(all, h)
			}
		}
		if h.object {
			x.objects = append(x.objects, h)
		}
		if other := h.known.link; other != 0 && other != h.link {
			x.byLink[other] = append(x.byLink[other], h)
		}
		if h.addr.Zone() == "" {
			x.sorted = append(x.sorted, h)
		}
	}
	slices.SortFunc(x.sorted, func(a, b *hop) int { return a.addr.Compare(b.addr) })
	return x
}

// doubtLink has the hops of a link resolved again and says whether there are any.
func (t *Table) doubtLink(link int) bool {
	t.recheck = true
	all := t.indexed().byLink[link]
	for _, h := range all {
		t.markStale(h)
	}
	return len(all) > 0
}

// doubtWithin has the hops resolved again that a route to a prefix may lead to, now or until now.
func (t *Table) doubtWithin(dst netip.Prefix, table uint32) {
	t.recheck = true
	all := t.indexed().sorted
	at, _ := slices.BinarySearchFunc(all, dst.Addr(), func(h *hop, a netip.Addr) int { return h.addr.Compare(a) })
	for ; at < len(all) && dst.Contains(all[at].addr); at++ {
		if all[at].heeds(dst, table) {
			t.markStale(all[at])
		}
	}
}

// heeds says whether a route to a prefix that h is in may lead to it: not if another one in the same table is closer.
func (h *hop) heeds(dst netip.Prefix, table uint32) bool {
	return h.closeness == 0 || h.table != table || dst.Bits() >= int(h.closeness)-1
}

// doubtObjects has the hops resolved again whose route names an object, which says no more than that.
func (t *Table) doubtObjects() {
	for _, h := range t.indexed().objects {
		t.markStale(h)
	}
}

// doubtAll has all hops resolved again.
func (t *Table) doubtAll() {
	for _, h := range t.hops {
		t.markStale(h)
	}
}

// doubtTroubled has the hops resolved again that cannot be used. Any event may have made them usable, but who keeps
// making events cannot have us do nothing but ask for them.
func (t *Table) doubtTroubled() {
	for _, h := range t.indexed().troubled {
		t.markStale(h)
	}
}

package fib

import (
	"net/netip"
	"slices"
	"time"
)

// entry is one prefix that is desired, or that has a route of ours in the kernel. There may be a
// million of them: what all have is kept small, what few have is in extra.
type entry struct {
	dst     netip.Prefix
	want    *pathSet // nil: no route is desired
	outcome *Outcome // what was last said of it, shared; never nil
	usual   *group   // that our route of the usual shape names: our metric, no tos; nil: there is none
	extra   *extra

	settled   bool // want has been installed; a new write for it is a repair
	removing  bool // not desired by decision, as opposed to never spoken of
	dirty     bool // is in Table.dirty
	forced    bool // written even in the middle of a fight
	unsure    bool // a notification, which may be an old one, said that a route is gone
	told      bool // is in Table.told
	contested bool // Table.foreign has routes to the same prefix
	seen      bool // its usual route, by the reading under way
}

// extra is what only few entries have, or any for a moment.
type extra struct {
	held    []held // our routes of other shapes, and the old one while a route moves
	trouble *trouble
}

// trouble is kept only for entries that have some.
type trouble struct {
	attempts int
	retry    time.Time // zero: none due
	fight    fight
}

// held is one route of ours in the kernel.
type held struct {
	metric  uint32
	nextHop uint32 // the object it names, 0 for inline
	group   *group // that object, when it is a group of ours
	hops    []gateway
	options options
	tos     uint8 // never one of our making
}

func (h *held) is(r *kernelRoute) bool {
	return h.metric == r.metric && h.tos == r.tos && h.options == r.options && h.nextHop == r.nextHop && (h.nextHop != 0 || sameGateways(h.hops, r.hops))
}

// slab is how many entries are allocated together.
const slab = 128

// entry returns the entry of dst, making it.
func (t *Table) entry(dst netip.Prefix) *entry {
	if e := t.entries.Get(dst); e != nil {
		return e
	}
	var e *entry
	if len(t.gone) > 0 {
		e = t.gone[dst]
	}
	switch {
	case e != nil: // not yet told of: a prefix is told of once
		delete(t.gone, dst)
	case len(t.spare) > 0:
		e = t.spare[len(t.spare)-1]
		t.spare = t.spare[:len(t.spare)-1]
	default:
		if len(t.slab) == 0 {
			t.slab = make([]entry, slab)
		}
		e, t.slab = &t.slab[0], t.slab[1:]
	}
	if e.outcome == nil {
		e.outcome = t.nothing
	}
	e.dst, e.contested = dst, len(t.foreign) > 0 && len(t.foreign[dst]) > 0
	t.entries.Set(e.dst, e)
	return e
}

// retire forgets an entry of which nothing is left but, perhaps, to tell so.
func (t *Table) retire(e *entry) {
	*e = entry{dst: e.dst, outcome: e.outcome, told: e.told}
	t.entries.Delete(e.dst)
	delete(t.troubled, e)
	t.gone[e.dst] = e
}

func (t *Table) markDirty(e *entry) {
	if !e.dirty {
		e.dirty = true
		t.dirty = append(t.dirty, e)
	}
}

func (e *entry) trouble() *trouble {
	if e.extra == nil {
		return nil
	}
	return e.extra.trouble
}

// others are e's routes of unusual shapes.
func (e *entry) others() []held {
	if e.extra == nil {
		return nil
	}
	return e.extra.held
}

// routes counts our routes to e.
func (e *entry) routes() int {
	if e.usual != nil {
		return 1 + len(e.others())
	}
	return len(e.others())
}

// route returns e's i-th route; the usual one is the first.
func (t *Table) route(e *entry, i int) held {
	if e.usual != nil {
		if i == 0 {
			return held{metric: uint32(t.cfg.Metric), nextHop: e.usual.id, group: e.usual, options: t.options(e.dst)}
		}
		i--
	}
	return e.extra.held[i]
}

// find returns the index of e's route that matches, -1 when there is none.
func (t *Table) find(e *entry, match func(*held) bool) int {
	for i := range e.routes() {
		if h := t.route(e, i); match(&h) {
			return i
		}
	}
	return -1
}

func (t *Table) newHeld(r *kernelRoute) held {
	h := held{metric: r.metric, nextHop: r.nextHop, hops: r.hops, tos: r.tos, options: r.options}
	if r.nextHop != 0 {
		h.group = t.groups[r.nextHop]
	}
	return h
}

// keep records a route of ours in the kernel.
func (t *Table) keep(e *entry, h held) {
	if h.group != nil {
		h.group.routes++
	}
	if e.usual == nil && t.isUsual(e, &h) {
		e.usual = h.group
		return
	}
	x := t.extra(e)
	x.held = append(x.held, h)
}

func (t *Table) isUsual(e *entry, h *held) bool {
	return h.group != nil && h.metric == uint32(t.cfg.Metric) && h.tos == 0 && h.options == t.options(e.dst)
}

// lose forgets e's i-th route.
func (t *Table) lose(e *entry, i int) {
	if g := t.route(e, i).group; g != nil {
		t.detach(g)
	}
	switch {
	case e.usual == nil:
		e.extra.held = slices.Delete(e.extra.held, i, i+1)
	case i > 0:
		e.extra.held = slices.Delete(e.extra.held, i-1, i)
	default:
		e.usual = nil
		if at := slices.IndexFunc(e.others(), func(h held) bool { return t.isUsual(e, &h) }); at >= 0 {
			e.usual = e.extra.held[at].group
			e.extra.held = slices.Delete(e.extra.held, at, at+1)
		}
	}
	t.slim(e)
}

// extra returns e's extra, making it.
func (t *Table) extra(e *entry) *extra {
	switch n := len(t.extras); {
	case e.extra != nil:
	case n > 0:
		e.extra = t.extras[n-1]
		t.extras = t.extras[:n-1]
	default:
		e.extra = &extra{}
	}
	return e.extra
}

// slim takes e's extra away when there is nothing in it.
func (t *Table) slim(e *entry) {
	x := e.extra
	if x == nil || len(x.held) > 0 || x.trouble != nil {
		return
	}
	if e.extra = nil; len(t.extras) < chunk {
		t.extras = append(t.extras, x)
	}
}

// serves says whether a route that names g does what is desired of one that wants s: g is a group
// of s, or of another set whose traffic goes the same way.
func (t *Table) serves(g *group, s *pathSet) bool {
	w := s.way()
	return (g.set == s || g.set.way() == w) && len(w.up) > 0 && (g.late || g.current())
}

// satisfies says whether h is the route that e wants, as it should be now.
func (t *Table) satisfies(e *entry, h *held) bool {
	if e.want == nil || h.metric != uint32(t.cfg.Metric) || h.tos != 0 || h.options != t.options(e.dst) {
		return false
	}
	if t.mode == ModeObjects {
		return h.group != nil && t.serves(h.group, e.want)
	}
	return len(e.want.up) > 0 && h.nextHop == 0 && sameGateways(h.hops, e.want.inline)
}

// installed returns the index of the route that e wants, -1 when it is not there.
func (t *Table) installed(e *entry) int {
	if e.usual != nil && e.want != nil && t.mode == ModeObjects && t.serves(e.usual, e.want) {
		return 0
	}
	return t.find(e, func(h *held) bool { return t.satisfies(e, h) })
}

// holds says whether a route of ours with the metric is there.
func (t *Table) holds(e *entry, metric uint32) bool {
	return t.find(e, func(h *held) bool { return h.metric == metric && h.tos == 0 }) >= 0
}

func sameGateways(a, b []gateway) bool {
	if len(a) != len(b) {
		return false
	}
	for _, g := range a {
		if !slices.Contains(b, g) {
			return false
		}
	}
	return true
}

func without(all, some []gateway) []gateway {
	var rest []gateway
	for _, g := range all {
		if !slices.Contains(some, g) {
			rest = append(rest, g)
		}
	}
	return rest
}

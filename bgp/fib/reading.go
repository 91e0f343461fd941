package fib

import (
	"net/netip"
	"slices"
)

// reading is one reading of the kernel. While it is under way nothing of the table but the seen
// marks of entries is touched, for an inconsistent dump must not leave a trace. Of a table that is
// as we know it nothing is remembered: it costs a look at each route and no memory.
type reading struct {
	t        *Table
	nextHops []kernelNextHop
	ours     []kernelRoute  // with our mark, and not what we knew anyway
	discards []netip.Prefix // of our discard routes

	all     bool // foreign routes are collected, not only compared
	foreign []alien
	run     []alien // the foreign routes to one prefix, which the kernel tells together
	same    int     // prefixes whose foreign routes are those we knew
	differ  bool    // some are not
}

// alien is a foreign route and where it leads.
type alien struct {
	dst netip.Prefix
	foreignRoute
}

// take takes one route in.
func (r *reading) take(k *kernelRoute) {
	t := r.t
	if k.protocol != uint8(t.cfg.Protocol) {
		if k.tos == 0 {
			r.takeForeign(alien{k.dst, newForeign(k)})
		}
		return
	}
	e := t.entries.Get(k.dst)
	if e != nil && e.usual != nil && !e.seen && k.nextHop == e.usual.id && k.metric == uint32(t.cfg.Metric) && k.tos == 0 &&
		k.options == t.options(k.dst) {
		e.seen = true
		return
	}
	if isDiscard(k) {
		r.discards = append(r.discards, k.dst)
		return
	}
	known := *k
	known.hops = slices.Clone(k.hops)
	r.ours = append(r.ours, known)
}

func (r *reading) takeForeign(f alien) {
	if r.all {
		r.foreign = append(r.foreign, f)
		return
	}
	if len(r.run) > 0 && r.run[0].dst != f.dst {
		r.compare()
	}
	r.run = append(r.run, f)
}

// compare looks whether the run is what we knew. Should a kernel not tell the routes to one
// prefix together, they are taken for others, which does no harm.
func (r *reading) compare() {
	if len(r.run) == 0 {
		return
	}
	known := r.t.foreign[r.run[0].dst]
	if slices.EqualFunc(r.run, known, func(f alien, k foreignRoute) bool { return f.foreignRoute == k }) {
		r.same++
	} else {
		r.differ = true
	}
	r.run = r.run[:0]
}

// otherForeign says whether the foreign routes are not those we knew.
func (r *reading) otherForeign() bool {
	r.compare()
	return r.differ || r.same != len(r.t.foreign)
}

// forget undoes a reading that failed.
func (r *reading) forget() {
	*r = reading{t: r.t, all: r.all, ours: r.ours[:0], foreign: r.foreign[:0], run: r.run[:0]}
	for _, e := range r.t.entries.All() {
		e.seen = false
	}
}

// absorb makes our knowledge of routes what was read, and dirty what differs from the desired.
func (r *reading) absorb() {
	t := r.t
	for _, g := range t.groups {
		g.routes = 0
	}
	for _, e := range t.entries.All() {
		r.confirm(e)
	}
	for i := range r.ours {
		t.keep(t.entry(r.ours[i].dst), t.newHeld(&r.ours[i]))
	}
	for _, g := range t.groups {
		if g.routes == 0 {
			t.idles(g)
		}
	}
	if r.all {
		r.absorbForeign()
	}
	r.absorbDiscards()
	for _, e := range t.entries.All() {
		if t.differs(e) {
			t.markDirty(e)
		}
	}
}

// confirm leaves of e's routes only the usual one, if it was seen.
func (r *reading) confirm(e *entry) {
	t, g := r.t, e.usual
	if e.extra != nil {
		clear(e.extra.held)
		e.extra.held = e.extra.held[:0]
		t.slim(e)
	}
	e.unsure, e.usual = false, nil
	if e.seen {
		e.seen = false
		// The group's object may have been found missing meanwhile.
		t.keep(e, held{metric: uint32(t.cfg.Metric), nextHop: g.id, group: t.groups[g.id], options: t.options(e.dst)})
	}
}

func (r *reading) absorbForeign() {
	t := r.t
	before := t.foreign
	t.foreign = make(map[netip.Prefix][]foreignRoute, len(before))
	for i := range r.foreign {
		f := &r.foreign[i]
		t.foreign[f.dst] = append(t.foreign[f.dst], f.foreignRoute)
	}
	for _, e := range t.entries.All() {
		now := t.foreign[e.dst]
		e.contested = len(now) > 0
		if !slices.Equal(before[e.dst], now) {
			t.markDirty(e)
		}
	}
}

// differs says whether what is in the kernel and what was last said about e do not fit.
func (t *Table) differs(e *entry) bool {
	if e.want == nil {
		return e.routes() == 0 || e.removing || e.outcome.Status != Adopted
	}
	good := e.routes() == 1 && t.installed(e) == 0
	switch e.outcome.Status {
	case Installed:
		return !good
	case Failed:
		return good // otherwise its retry is due in its own time
	case Conflict:
		_, rivalled := t.rival(e)
		return !rivalled || e.routes() == 0 && !t.collides(e)
	}
	return true
}

package fib

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Adopt reads what is ours from the kernel and returns how many prefixes have routes of ours. They
// stay and carry traffic: an Ensure that wants the same writes nothing, and those never asked for
// go at Prune. Discard routes are adopted too and not counted: they carry none. Called once at start; a second call reads again.
func (t *Table) Adopt(ctx context.Context) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return 0, ErrClosed
	}
	if err := t.sync(ctx); err != nil {
		return 0, err
	}
	n := 0
	for _, e := range t.entries.All() {
		if e.routes() > 0 {
			n++
		}
	}
	return n, t.flush(ctx)
}

// sync reads the kernel, whole and consistent, and makes dirty whatever differs from the desired.
func (t *Table) sync(ctx context.Context) error {
	started := time.Now()
	r := &reading{t: t, all: !t.known}
	err := t.readAll(ctx, r)
	if err == nil && !r.all && r.otherForeign() {
		r.all = true
		r.forget()
		err = t.readAll(ctx, r)
	}
	if err != nil {
		t.reread = true
		return err
	}
	t.stats.Resyncs++
	t.known, t.reread = true, false
	t.ensureRules(started)
	t.absorbNextHops(r.nextHops)
	r.absorb()
	t.lastRead = time.Now()
	t.readTook = t.lastRead.Sub(started)
	return nil
}

// readAll takes dumps that the kernel called inconsistent again, at once: it holds the lock. Run
// comes back to it later when there is no end to it.
func (t *Table) readAll(ctx context.Context, r *reading) error {
	for try := 1; ; try++ {
		var err error
		if r.nextHops, err = t.kernel.read(ctx, r.take); err == nil {
			return nil
		}
		r.forget()
		if !errors.Is(err, errInterrupted) || try == dumpTries {
			return fmt.Errorf("read kernel: %w", err)
		}
		t.stats.Interrupted++
	}
}

// absorbNextHops makes our hops and groups what the kernel says they are.
func (t *Table) absorbNextHops(all []kernelNextHop) {
	if t.mode != ModeObjects {
		return
	}
	there := make(map[uint32]*kernelNextHop)
	t.usedIDs = map[uint32]struct{}{}
	for i := range all {
		if ours(all[i].id) {
			there[all[i].id] = &all[i]
			t.usedIDs[all[i].id] = struct{}{}
		}
	}
	changed := map[*pathSet]struct{}{}
	t.hopsChanged()
	for _, h := range t.hops {
		t.absorbHop(h, there, changed)
	}
	for _, g := range t.groups {
		t.absorbGroup(g, there, changed)
	}
	t.strays = map[uint32]kernelNextHop{}
	t.adoptHops(all, there)
	t.adoptGroups(all, there)
	for s := range changed {
		t.touch(s)
	}
	t.markConcerned(changed)
}

// absorbHop takes h's object out of there when it is h's.
func (t *Table) absorbHop(h *hop, there map[uint32]*kernelNextHop, changed map[*pathSet]struct{}) {
	was := h.known
	if h.id == 0 {
		t.markStale(h)
		return
	}
	o := there[h.id]
	switch {
	case o == nil:
		h.known = gateway{}
		t.usedIDs[h.id] = struct{}{}
	case o.protocol != uint8(t.cfg.Protocol):
		h.known, h.id = gateway{}, 0
	case o.odd || o.members != nil:
		h.known = gateway{} // a stray now; another id for the hop
		h.id = 0
	default:
		h.known = o.gateway
		delete(there, h.id)
	}
	if h.known != was || h.known == (gateway{}) {
		t.markStale(h)
		for s := range h.users() {
			changed[s] = struct{}{}
		}
	}
}

func (t *Table) absorbGroup(g *group, there map[uint32]*kernelNextHop, changed map[*pathSet]struct{}) {
	o := there[g.id]
	if o == nil || o.protocol != uint8(t.cfg.Protocol) || o.odd || o.members == nil {
		// Gone, and with it the kernel dropped its routes; a later reading tells if it did not.
		changed[g.set] = struct{}{}
		delete(t.groups, g.id)
		g.members = nil
		g.set.groups = slices.DeleteFunc(g.set.groups, func(x *group) bool { return x == g })
		t.forget(g.set)
		return
	}
	delete(there, g.id)
	members := slices.Clone(o.members)
	slices.Sort(members)
	if !slices.Equal(members, g.members) {
		changed[g.set] = struct{}{}
	}
	g.members = members
}

// adoptHops takes in the objects of ours that nothing here knows yet.
func (t *Table) adoptHops(all []kernelNextHop, there map[uint32]*kernelNextHop) {
	for i := range all {
		o := &all[i]
		if there[o.id] == nil || o.protocol != uint8(t.cfg.Protocol) || o.members != nil {
			continue
		}
		h := t.hops[o.gateway.addr]
		if o.odd || h != nil && h.known != (gateway{}) {
			t.strays[o.id] = *o
			continue
		}
		if h == nil {
			h = newHop(o.gateway.addr)
			t.hops[h.addr] = h
		}
		h.id, h.known, h.link = o.id, o.gateway, o.gateway.link
		t.markStale(h)
	}
}

func (t *Table) adoptGroups(all []kernelNextHop, there map[uint32]*kernelNextHop) {
	byID := make(map[uint32]*hop, len(t.hops))
	for _, h := range t.hops {
		if h.known != (gateway{}) {
			byID[h.id] = h
		}
	}
	for i := range all {
		o := &all[i]
		if there[o.id] == nil || o.protocol != uint8(t.cfg.Protocol) || o.members == nil {
			continue
		}
		s := t.setOf(o, byID)
		if s == nil {
			t.strays[o.id] = *o
			continue
		}
		g := &group{id: o.id, set: s, members: slices.Clone(o.members), kept: true}
		slices.Sort(g.members)
		t.groups[g.id] = g
		s.groups = append(s.groups, g)
		s.fresh = false
	}
}

// setOf returns the path set that an unknown group of ours stands for, nil when it is not one we would make.
func (t *Table) setOf(o *kernelNextHop, byID map[uint32]*hop) *pathSet {
	if o.odd || len(o.members) == 0 {
		return nil
	}
	addrs := make([]netip.Addr, 0, len(o.members))
	for _, id := range o.members {
		h := byID[id]
		if h == nil {
			return nil
		}
		addrs = append(addrs, h.addr)
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	if len(slices.Compact(addrs)) != len(o.members) {
		return nil
	}
	return t.intern(addrs)
}

package fib

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Move says where the traffic of one set of next hops goes instead.
type Move struct{ From, To []netip.Addr }

// A set that was moved has a detour: its groups have the members of another set. The entries
// that want it, and what is to be done for them, stay as they are; only what its groups should
// look like is asked of the other set. A detour leads to a set that has none itself.
//
// An entry that wants the other set and whose route names such a group has what it wants, and is
// left alone. So when Ensure says prefix by prefix what the failover anticipated, no route is
// written, in however many batches it comes: with the last wish for the moved set its groups
// become the other's. When the moved set is wanted anew instead, those entries have to go first.

// Failover sends the traffic of whole sets of next hops another way at once, by rewriting their
// groups, one message each: no route is touched, and its cost does not grow with the prefixes.
// It anticipates what Ensure is about to be told prefix by prefix; what is desired does not
// change, and states are told anew only when Ensure has been told. A move lasts until Ensure
// wants the From set for a prefix anew (for one, which ends it for all), or until Failover is
// called with To equal to From; that a prefix which wanted it all along is said to want it still
// does not end it. A second move of a set takes the place of the first; what was sent to a set
// that is moved itself goes along, and what is sent to one that has been moved follows it. A next
// hop of To that cannot be used is left out, as in a route; MaxNextHops applies to both sides as
// in Ensure.
//
// A From that is no set in use is ignored. When none of To's next hops can be used, or the kernel
// refuses, the move is not made and the error says which. Saying the same twice writes nothing.
// After an error of the conversation with the kernel Run finds out what was done and does the rest.
// In ModeInline Failover does nothing and returns nil.
func (t *Table) Failover(ctx context.Context, moves []Move) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return ErrClosed
	}
	if t.mode != ModeObjects {
		return nil
	}
	var bad failures
	all := t.plan(moves, &bad)
	if len(all) == 0 {
		return bad.join()
	}
	unresolved := t.resolveStale(ctx)
	for _, d := range all {
		to := d.to
		if to.pins--; unresolved == nil {
			d.start(t, &bad)
		}
		t.forget(to)
	}
	err := unresolved
	if err == nil {
		err = t.write(ctx)
	}
	if err != nil {
		bad.add(err)
		return bad.join()
	}
	undone := false
	for _, d := range all {
		undone = d.undo(t, &bad) || undone
	}
	if undone {
		if err := t.write(ctx); err != nil {
			bad.add(err)
		}
	}
	return bad.join()
}

// diversion is one Move being made.
type diversion struct {
	from, to *pathSet
	groups   []*group // that it rewrites
}

// plan finds the sets of the moves. Those they lead to are pinned until start.
func (t *Table) plan(moves []Move, bad *failures) []*diversion {
	var all []*diversion
	for _, m := range moves {
		addrs, err := t.choose(netip.Prefix{}, m.From)
		if err != nil {
			continue // no set of ours
		}
		from := t.lookup(addrs)
		if from == nil {
			continue
		}
		if addrs, err = t.choose(netip.Prefix{}, m.To); err == nil && len(addrs) == 0 {
			err = errNoNextHop
		}
		if err != nil {
			bad.add(fmt.Errorf("failover from %s: %w", from, err))
			continue
		}
		to := t.intern(addrs)
		to.pins++
		all = append(all, &diversion{from: from, to: to})
	}
	return all
}

// start sets the detour, or ends it when it leads back.
func (d *diversion) start(t *Table, bad *failures) {
	from, to := d.from, d.to
	if to != from && to.detour != from {
		to = to.way()
	}
	switch d.to = to; {
	case !from.inUse():
	case from == to:
		t.endDetour(from)
	case !to.usable():
		bad.add(fmt.Errorf("failover from %s to %s: %s", from, to, whyDown(to)))
	case from.detour != to:
		// First the set itself: those that it carries go along, which needs no second look.
		for _, s := range append([]*pathSet{from}, from.carries...) {
			d.groups = append(d.groups, s.groups...)
			t.divert(s, to)
		}
	}
}

// undo ends the detour if a group could not be written, and says so.
func (d *diversion) undo(t *Table, bad *failures) bool {
	for _, g := range d.groups {
		if t.groups[g.id] != g || g.set.way() != d.to || g.current() {
			continue
		}
		problem := cmp.Or(g.set.problem, whyDown(d.to), cmp.Or(g.set.fight.reason, "not written"))
		bad.add(fmt.Errorf("failover from %s to %s: %s", d.from, d.to, problem))
		for _, s := range slices.Clone(d.to.carries) {
			if s == d.from || s == g.set {
				t.endDetour(s)
			}
		}
		return true
	}
	return false
}

// inUse says whether anybody wants s, a detour leads to it or a route names a group of it.
func (s *pathSet) inUse() bool {
	return s.wants > 0 || len(s.carries) > 0 || slices.ContainsFunc(s.groups, func(g *group) bool { return g.routes > 0 })
}

// way is the set whose next hops carry the traffic of s.
func (s *pathSet) way() *pathSet {
	if s.detour != nil {
		return s.detour
	}
	return s
}

// server returns the group that new routes of s name, nil when one has to be made: its own or, as
// long as that is there, one that was sent its way.
func (s *pathSet) server() *group {
	if len(s.groups) > 0 {
		return s.groups[0]
	}
	if s.detour != nil {
		return nil
	}
	for _, from := range s.carries {
		if len(from.groups) > 0 && from.groups[0].current() {
			return from.groups[0]
		}
	}
	return nil
}

// String names the set in errors.
func (s *pathSet) String() string {
	all := make([]string, len(s.hops))
	for i, h := range s.hops {
		all[i] = h.addr.String()
	}
	return strings.Join(all, " ")
}

// divert sends the traffic of s the way of to from the next pass on. The groups of a set that
// nobody wants, which was adopted, simply become groups of the other.
func (t *Table) divert(s, to *pathSet) {
	if s == to {
		t.endDetour(s)
		return
	}
	old := s.detour
	t.leave(s)
	if s.wants == 0 {
		t.handOver(s, to)
		t.forget(s)
		return
	}
	switch {
	case !s.followed || old == nil:
	case old.way() == to:
		old.followed = true // what wants it and was left at groups of s goes along meanwhile
	default:
		t.revisit(s)
	}
	s.detour = to
	to.carries = append(to.carries, s)
	if len(s.groups) > 0 {
		t.touch(s)
	}
	if old != nil {
		t.forget(old)
	}
}

// leave takes the detour off s.
func (t *Table) leave(s *pathSet) {
	if to := s.detour; to != nil {
		s.detour = nil
		to.carries = slices.DeleteFunc(to.carries, func(o *pathSet) bool { return o == s })
	}
}

// endDetour has the traffic of s go its own way again, if it does not.
func (t *Table) endDetour(s *pathSet) {
	to := s.detour
	if to == nil {
		return
	}
	t.leave(s)
	if s.followed {
		t.revisit(s)
	}
	for _, g := range s.groups {
		g.late = true
	}
	t.touch(s)
	t.forget(to)
}

// revisit has the entries looked at that have to do with s: in the next pass, and by Run if nobody else makes one.
func (t *Table) revisit(s *pathSet) {
	t.queue.wake()
	if t.returned == nil {
		t.returned = map[*pathSet]struct{}{}
	}
	t.returned[s] = struct{}{}
	s.followed = false
}

// handOver makes the groups of s groups of another set, which nothing in the kernel needs to know
// when they have its members already.
func (t *Table) handOver(s, to *pathSet) {
	for _, g := range s.groups {
		g.set, g.kept, g.late = to, false, false
		to.groups = append(to.groups, g)
		if g.routes == 0 {
			t.idles(g)
		}
	}
	s.groups, to.followed = nil, to.followed || s.followed
	t.touch(to)
}

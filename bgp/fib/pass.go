package fib

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// pass is one pass over the dirty entries: next hops, groups, new routes, old routes, what
// nothing names any more. New things are made before what needs them, old ones deleted after.
type pass struct {
	t        *Table
	ctx      context.Context
	now      time.Time
	serial   uint64
	batch    []*entry
	sets     []*pathSet
	problems map[*entry]cause // why something of an entry could not be written
	gone     []held           // obsolete's
	repaired int
}

// chunk is how many routes are added, and their predecessors deleted, before the next ones: as
// many as go into one message to the kernel, so that what is put together is still in the cache.
const chunk = batchMessages

// moveAlone is how many routes a group must have to be moved to a path set that already has one;
// fewer are moved one by one, so that groups of the same content do not pile up.
const moveAlone = 16

// take empties the table's list of dirty entries and touched sets.
func (p *pass) take() {
	t := p.t
	p.batch = t.dirty[:0]
	for _, e := range t.dirty {
		e.dirty = false
		if tr := e.trouble(); tr != nil && tr.fight.held(p.now) && !e.forced {
			t.hold(e)
			continue
		}
		p.batch = append(p.batch, e)
		if e.want != nil && !e.want.touched && (e.routes() > 0 || !t.collides(e)) {
			t.touch(e.want)
		}
	}
	t.dirty = nil
	for _, s := range t.touched {
		s.touched, s.fresh, s.problem = false, false, ""
	}
	p.sets, t.touched = t.touched, nil
}

// cause is why something of an entry could not be written.
type cause struct {
	why     string
	offLink []netip.Addr // see Outcome
}

// trouble notes why something of e could not be written.
func (p *pass) trouble(e *entry, why string) { p.blame(e, cause{why: why}) }

func (p *pass) blame(e *entry, c cause) {
	if p.problems == nil {
		p.problems = map[*entry]cause{}
	}
	p.problems[e] = c
}

// move counts where the routes of one group want to go.
type move struct {
	to    *pathSet
	n     int
	split bool
}

// moveGroups hands a group over to another path set when all of its routes go there: then
// rewriting the group moves them all and no route is touched.
func (p *pass) moveGroups() error {
	if p.t.mode != ModeObjects {
		return nil
	}
	moves := map[*group]*move{}
	for _, e := range p.batch {
		g := e.usual
		if g == nil || e.want == nil || g.set == e.want || e.routes() != 1 || g.set.way() == e.want.way() || p.t.collides(e) {
			continue
		}
		m := moves[g]
		if m == nil {
			m = &move{to: e.want}
			moves[g] = m
		}
		m.n++
		m.split = m.split || m.to != e.want
	}
	for g, m := range moves {
		if m.split || m.n != g.routes || len(m.to.groups) > 0 && m.n <= moveAlone || !m.to.usable() {
			continue
		}
		old := g.set
		old.groups = slices.DeleteFunc(old.groups, func(o *group) bool { return o == g })
		g.set, g.kept, g.late = m.to, false, false
		m.to.groups = append(m.to.groups, g)
		p.t.forget(old)
	}
	return nil
}

// writeHops writes the next-hop objects that the touched sets need and the kernel lacks.
func (p *pass) writeHops() error {
	if p.t.mode != ModeObjects {
		return nil
	}
	var todo []*hop
	seen := map[*hop]struct{}{}
	for _, s := range p.sets {
		if !s.inUse() {
			continue
		}
		for _, h := range s.way().hops {
			for _, g := range h.legs() {
				if _, dup := seen[g]; !dup && g.usable() && !g.live(ModeObjects) {
					seen[g] = struct{}{}
					todo = append(todo, g)
				}
			}
		}
	}
	// An id may have been taken by somebody else since we looked: then another one is tried.
	for range 3 {
		again, err := p.writeHopsOnce(todo)
		if err != nil || len(again) == 0 {
			return err
		}
		todo = again
	}
	for _, h := range todo {
		h.fail("its next-hop id is taken each time")
	}
	return nil
}

func (p *pass) writeHopsOnce(todo []*hop) (again []*hop, err error) {
	reqs := p.t.requests[:0]
	if len(todo) > 0 {
		p.t.hopsChanged()
	}
	todo = slices.DeleteFunc(todo, func(h *hop) bool {
		if h.id == 0 {
			h.id = p.t.newID()
		}
		if h.id == 0 {
			h.fail("no free next-hop id")
		}
		return h.id == 0
	})
	for _, h := range todo {
		r := request{op: opReplaceNextHop, id: h.id, gateway: gateway{h.addr, h.link}}
		if h.known == (gateway{}) {
			r.op = opCreateNextHop
		}
		reqs = append(reqs, r)
	}
	p.t.requests = reqs
	if err := p.t.apply(p.ctx, reqs); err != nil {
		return nil, err
	}
	for i, h := range todo {
		switch err := reqs[i].err; {
		case err == nil:
			h.known = reqs[i].gateway
		case errors.Is(err, unix.EEXIST):
			h.id = 0 // the id stays used: it is somebody else's
			again = append(again, h)
		default:
			h.fail(err.Error())
		}
	}
	return again, nil
}

// writeGroups settles which hops of the touched sets are live and writes their groups.
func (p *pass) writeGroups() error {
	for _, s := range p.sets {
		s.settle(p.t.mode)
		s.way().settle(p.t.mode)
	}
	if p.t.mode != ModeObjects {
		return nil
	}
	return p.rewriteGroups(false)
}

// writeLateGroups writes the groups whose detour ended, now that routes which only seemed to
// belong to them have left.
func (p *pass) writeLateGroups() error {
	if p.t.mode != ModeObjects {
		return nil
	}
	return p.rewriteGroups(true)
}

// rewriteGroups writes what is not as it should be, groups of few routes first: unless the host turns
// nexthop_compat_mode off, the kernel tells of each route of a rewritten group before it goes on to
// the next, so that what comes after a large one waits.
func (p *pass) rewriteGroups(late bool) error {
	t := p.t
	var targets []*group
	for _, s := range p.sets {
		if len(s.way().up) == 0 || s.fight.held(p.now) {
			continue
		}
		for _, g := range s.groups {
			if s.wants == 0 && g.kept {
				continue // adopted, and nobody asked for it: it stays as it is
			}
			if g.late == late && !g.current() {
				targets = append(targets, g)
			}
		}
		if s.wants > 0 && !late && s.server() == nil {
			g := &group{id: t.newID(), set: s}
			if g.id == 0 {
				s.problem = "no free next-hop id"
				continue
			}
			targets = append(targets, g)
		}
	}
	slices.SortFunc(targets, func(a, b *group) int { return a.routes - b.routes })
	reqs := t.requests[:0]
	for _, g := range targets {
		r := request{op: opReplaceGroup, id: g.id, members: g.set.way().memberIDs()}
		if t.groups[g.id] != g {
			r.op = opCreateGroup
		}
		reqs = append(reqs, r)
	}
	t.requests = reqs
	if err := t.apply(p.ctx, reqs); err != nil {
		return err
	}
	for i, g := range targets {
		p.groupWritten(g, &reqs[i])
	}
	return nil
}

func (p *pass) groupWritten(g *group, r *request) {
	t := p.t
	if r.err != nil {
		g.set.problem = fmt.Sprintf("next-hop group 0x%x: %s", r.id, r.err)
		p.doubt(r.err)
		return
	}
	if r.op == opCreateGroup {
		t.groups[g.id] = g
		g.set.groups = append(g.set.groups, g)
		t.idles(g) // unless a route comes to name it
	} else {
		t.stats.GroupRewrites++
	}
	g.members = r.members
}

// doubt has the kernel read again when a refusal says that it is not as we thought.
func (p *pass) doubt(err error) {
	for _, e := range []unix.Errno{unix.EEXIST, unix.EINVAL, unix.ENOENT, unix.ESRCH} {
		if errors.Is(err, e) {
			p.t.reread = true
		}
	}
}

package fib

import (
	"fmt"
	"slices"
)

// target is what a request about a route was made for.
type target struct {
	e    *entry
	held held
}

// addRoutes writes the routes that are desired and not there.
func (p *pass) addRoutes() error {
	reqs, targets := p.t.requests[:0], []target(nil)
	for i, e := range p.batch {
		if r, ok := p.addition(e); ok {
			reqs = append(reqs, r)
			targets = append(targets, target{e, held{metric: r.metric, nextHop: r.id, hops: r.hops}})
		}
		if len(reqs) < chunk && i < len(p.batch)-1 {
			continue
		}
		p.t.requests = reqs
		if err := p.t.apply(p.ctx, reqs); err != nil {
			return err
		}
		for j := range reqs {
			p.added(targets[j], reqs[j].err)
		}
		reqs, targets = reqs[:0], targets[:0]
	}
	return nil
}

// addition returns the request that installs e, if one is needed and possible.
func (p *pass) addition(e *entry) (request, bool) {
	t, s := p.t, e.want
	switch {
	case s == nil:
		return request{}, false
	case s.fight.held(p.now):
		e.problem = fightReason("the next-hop group")
		return request{}, false
	case s.problem != "":
		e.problem = s.problem
		return request{}, false
	case len(s.up) == 0:
		e.problem = whyDown(s)
		return request{}, false
	case len(e.have) == 0 && t.collides(e), t.installed(e) >= 0:
		return request{}, false
	}
	r := request{op: opCreateRoute, dst: e.dst, metric: uint32(t.cfg.Metric)}
	if e.holds(r.metric) {
		r.op = opAppendRoute
	}
	if t.mode == ModeObjects {
		r.id = s.groups[0].id
		return r, true
	}
	r.hops = s.inline
	if merged := t.merged(e); merged != nil {
		// Routes of one metric are one route to IPv6: only what it lacks is appended.
		r.hops = without(s.inline, merged.hops)
	}
	return r, len(r.hops) > 0
}

// holds says whether a route of ours with the metric is there.
func (e *entry) holds(metric uint32) bool {
	for _, h := range e.have {
		if h.metric == metric && h.tos == 0 {
			return true
		}
	}
	return false
}

// merged returns our IPv6 route with inline next hops, into which the kernel merges every
// other one of the same metric; nil when there is none.
func (t *Table) merged(e *entry) *held {
	if e.dst.Addr().Is4() {
		return nil
	}
	for i := range e.have {
		if h := &e.have[i]; h.nextHop == 0 && h.metric == uint32(t.cfg.Metric) {
			return h
		}
	}
	return nil
}

func without(all, some []gateway) []gateway {
	var rest []gateway
	for _, g := range all {
		if !contains(some, g) {
			rest = append(rest, g)
		}
	}
	return rest
}

func (p *pass) added(x target, err error) {
	t, e := p.t, x.e
	if err != nil {
		e.problem = err.Error()
		if !t.collides(e) {
			p.doubt(err)
		}
		return
	}
	e.unsure = false
	if e.settled == e.want {
		t.stats.Repairs++
		p.repaired++
	}
	if m := t.merged(e); m != nil && x.held.nextHop == 0 {
		m.hops = append(append([]gateway(nil), m.hops...), x.held.hops...)
		return
	}
	if x.held.group = t.groups[x.held.nextHop]; x.held.group != nil {
		t.attach(x.held.group)
	}
	e.have = append(e.have, x.held)
}

// deleteRoutes deletes what of ours is no longer desired: after the new route is in, when the
// prefix is to have none, or when no next hop can be used (traffic must not go to a dead one).
func (p *pass) deleteRoutes() error {
	reqs, targets := p.t.requests[:0], []target(nil)
	for i, e := range p.batch {
		for _, h := range p.obsolete(e) {
			reqs = append(reqs, request{op: opDeleteRoute, dst: e.dst, metric: h.metric, id: h.nextHop, hops: h.hops, tos: h.tos})
			targets = append(targets, target{e, h})
		}
		if len(reqs) < chunk && i < len(p.batch)-1 {
			continue
		}
		p.t.requests = reqs
		if err := p.t.apply(p.ctx, reqs); err != nil {
			return err
		}
		for j := range reqs {
			p.deleted(targets[j], reqs[j].err)
		}
		reqs, targets = reqs[:0], targets[:0]
	}
	return nil
}

// obsolete returns what of e's routes is to go.
func (p *pass) obsolete(e *entry) []held {
	t := p.t
	if len(e.have) == 0 || e.want == nil && !e.removing {
		return nil
	}
	keep := t.installed(e)
	if e.want != nil && keep < 0 {
		if m := t.merged(e); m != nil && t.mode == ModeInline && e.problem == "" {
			return surplus(m, e.want.inline)
		}
		if len(e.want.up) > 0 || e.want.problem != "" || e.want.fight.held(p.now) {
			return nil // the new route could not be written: the old one is better than none
		}
	}
	var gone []held
	for i, h := range e.have {
		if i != keep {
			gone = append(gone, h)
		}
	}
	return gone
}

// surplus is the part of a merged IPv6 route that is not desired.
func surplus(m *held, want []gateway) []held {
	if rest := without(m.hops, want); len(rest) > 0 {
		return []held{{metric: m.metric, hops: rest}}
	}
	return nil
}

func (p *pass) deleted(x target, err error) {
	if err != nil {
		x.e.problem = fmt.Sprintf("delete: %s", err)
		p.doubt(err)
		return
	}
	for i := range x.e.have {
		h := &x.e.have[i]
		if h.metric != x.held.metric || h.nextHop != x.held.nextHop || h.tos != x.held.tos {
			continue
		}
		if sameGateways(h.hops, x.held.hops) {
			p.t.lose(x.e, i)
			return
		}
	}
	if m := p.t.merged(x.e); m != nil && x.held.nextHop == 0 {
		m.hops = without(m.hops, x.held.hops)
	}
}

// deleteObjects deletes the groups no route names and then the next hops no group needs.
//
// Not while there is doubt about what names them: with an object the kernel deletes, without a
// word, every route that does.
func (p *pass) deleteObjects() error {
	t := p.t
	if t.reread {
		return nil
	}
	if err := p.deleteGroups(); err != nil {
		return err
	}
	reqs := t.requests[:0]
	var gone []*hop
	for _, h := range t.idleHops {
		if len(h.sets) > 0 || t.hops[h.addr] != h {
			continue
		}
		delete(t.hops, h.addr)
		switch {
		case t.inStray(h.id):
			t.strays[h.id] = kernelNextHop{id: h.id, gateway: h.known} // for Prune to judge
		case h.known != (gateway{}):
			reqs = append(reqs, request{op: opDeleteNextHop, id: h.id})
			gone = append(gone, h)
		default:
			delete(t.usedIDs, h.id)
		}
	}
	t.requests, t.idleHops = reqs, nil
	if err := t.apply(p.ctx, reqs); err != nil {
		return err
	}
	for i, h := range gone {
		if reqs[i].err != nil {
			t.strays[h.id] = kernelNextHop{id: h.id, gateway: h.known}
			continue
		}
		delete(t.usedIDs, h.id)
	}
	return nil
}

// inStray says whether a group with our mark, but not of our making, has id as a member.
func (t *Table) inStray(id uint32) bool {
	for _, s := range t.strays {
		if slices.Contains(s.members, id) {
			return true
		}
	}
	return false
}

func (p *pass) deleteGroups() error {
	t := p.t
	reqs := t.requests[:0]
	var gone, left []*group
	for _, g := range t.idleGroups {
		g.idle = false
		if g.routes > 0 || g.kept || t.groups[g.id] != g {
			continue
		}
		reqs = append(reqs, request{op: opDeleteNextHop, id: g.id})
		gone = append(gone, g)
	}
	t.requests, t.idleGroups = reqs, nil
	if err := t.apply(p.ctx, reqs); err != nil {
		return err
	}
	for i, g := range gone {
		if reqs[i].err != nil {
			g.idle = true
			left = append(left, g)
			continue
		}
		t.drop(g)
	}
	t.idleGroups = left
	return nil
}

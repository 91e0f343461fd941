package fib

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// target is what a request about a route was made for.
type target struct {
	e    *entry
	held held // to delete
}

// writeRoutes writes the routes that are desired and not there, and then deletes what of ours is
// no longer desired, some at a time.
func (p *pass) writeRoutes() error {
	for some := range slices.Chunk(p.batch, chunk) {
		if err := p.addRoutes(some); err != nil {
			return err
		}
		if err := p.deleteRoutes(some); err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) addRoutes(some []*entry) error {
	t := p.t
	reqs, targets := t.requests[:0], t.targets[:0]
	for _, e := range some {
		if r, ok := p.addition(e); ok {
			for _, h := range t.replaced(e) {
				reqs, targets = append(reqs, deletion(e, &h)), append(targets, target{e, h})
			}
			reqs = append(reqs, r)
			targets = append(targets, target{e: e})
		}
	}
	t.requests, t.targets = reqs, targets
	if err := t.apply(p.ctx, reqs); err != nil {
		return err
	}
	for i := range reqs {
		if reqs[i].op == opDeleteRoute {
			p.deleted(&targets[i], reqs[i].err)
			continue
		}
		p.added(targets[i].e, &reqs[i])
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
		p.trouble(e, s.fight.reason)
		return request{}, false
	case s.problem != "":
		p.trouble(e, s.problem)
		return request{}, false
	case len(s.way().up) == 0:
		p.blame(e, cause{whyDown(s.way()), offLink(s.way())})
		return request{}, false
	case e.routes() == 0 && t.collides(e), t.installed(e) >= 0:
		return request{}, false
	}
	r := request{op: opCreateRoute, dst: e.dst, metric: uint32(t.cfg.Metric), options: t.options(e.dst)}
	if t.holds(e, r.metric) {
		r.op = opAppendRoute
	}
	if t.mode == ModeObjects {
		g := s.server()
		if g == nil {
			p.trouble(e, "no next-hop group")
			return request{}, false
		}
		r.id = g.id
		return r, true
	}
	r.hops = s.inline
	if merged := t.merged(e); merged != nil {
		// Routes of one metric are one route to IPv6: only what it lacks is appended.
		r.hops = without(s.inline, merged.hops)
	}
	return r, len(r.hops) > 0
}

// merged returns our IPv6 route with inline next hops, into which the kernel merges every
// other one of the same metric; nil when there is none.
func (t *Table) merged(e *entry) *held {
	if e.dst.Addr().Is4() {
		return nil
	}
	for i := range e.others() {
		if h := &e.extra.held[i]; h.nextHop == 0 && h.metric == uint32(t.cfg.Metric) && h.options == t.options(e.dst) {
			return h
		}
	}
	return nil
}

func (p *pass) added(e *entry, r *request) {
	t := p.t
	if r.err != nil {
		p.trouble(e, refused(r))
		if !t.collides(e) {
			p.doubt(r.err)
		}
		return
	}
	e.unsure = false
	if e.settled && (e.usual == nil || e.usual.set == e.want) {
		t.stats.Repairs++
		p.repaired++
	}
	if m := t.merged(e); m != nil && r.id == 0 {
		m.hops = append(append([]gateway(nil), m.hops...), r.hops...)
		return
	}
	t.keep(e, held{metric: r.metric, nextHop: r.id, group: t.groups[r.id], hops: r.hops, options: r.options})
}

// refused is why a route could not be written; the kernel does not say which address it does not like.
func refused(r *request) string {
	if r.options.source.IsValid() && errors.Is(r.err, unix.EINVAL) {
		return fmt.Sprintf("source address %s: %s", r.options.source, r.err)
	}
	return r.err.Error()
}

// deletion is the request that deletes a route of e.
func deletion(e *entry, h *held) request {
	return request{op: opDeleteRoute, dst: e.dst, metric: h.metric, id: h.nextHop, hops: h.hops, tos: h.tos, options: h.options}
}

// deleteRoutes deletes what of ours is no longer desired: after the new route is in, when the
// prefix is to have none, or when no next hop can be used (traffic must not go to a dead one).
func (p *pass) deleteRoutes(some []*entry) error {
	t := p.t
	reqs, targets := t.requests[:0], t.targets[:0]
	for _, e := range some {
		for _, h := range p.obsolete(e) {
			reqs = append(reqs, deletion(e, &h))
			targets = append(targets, target{e, h})
		}
	}
	t.requests, t.targets = reqs, targets
	if err := t.apply(p.ctx, reqs); err != nil {
		return err
	}
	for i := range reqs {
		p.deleted(&targets[i], reqs[i].err)
	}
	return nil
}

// obsolete returns what of e's routes is to go; it is valid until the next call.
func (p *pass) obsolete(e *entry) []held {
	t, n := p.t, e.routes()
	if n == 0 || e.want == nil && !e.removing {
		return nil
	}
	keep := t.installed(e)
	if keep == 0 && n == 1 {
		return nil
	}
	if e.want != nil && keep < 0 {
		if m := t.merged(e); m != nil && t.mode == ModeInline && p.problems[e].why == "" {
			return surplus(m, e.want.inline)
		}
		if len(e.want.way().up) > 0 || e.want.problem != "" || e.want.fight.held(p.now) {
			return nil // the new route could not be written: the old one is better than none
		}
	}
	p.gone = p.gone[:0]
	for i := range n {
		if i != keep {
			p.gone = append(p.gone, t.route(e, i))
		}
	}
	return p.gone
}

// surplus is the part of a merged IPv6 route that is not desired.
func surplus(m *held, want []gateway) []held {
	if rest := without(m.hops, want); len(rest) > 0 {
		return []held{{metric: m.metric, hops: rest, options: m.options}}
	}
	return nil
}

func (p *pass) deleted(x *target, err error) {
	t, e, gone := p.t, x.e, &x.held
	if err != nil {
		p.trouble(e, fmt.Sprintf("delete: %s", err))
		p.doubt(err)
		return
	}
	at := t.find(e, func(h *held) bool {
		return h.metric == gone.metric && h.nextHop == gone.nextHop && h.tos == gone.tos && h.options == gone.options && sameGateways(h.hops, gone.hops)
	})
	if at >= 0 {
		t.lose(e, at)
		return
	}
	if m := t.merged(e); m != nil && gone.nextHop == 0 {
		m.hops = without(m.hops, gone.hops)
	}
}

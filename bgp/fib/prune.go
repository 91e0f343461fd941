package fib

import (
	"context"
	"errors"
	"fmt"
)

// Prune deletes the routes of ours that nobody desires, then the next-hop objects of ours that
// no route needs, and returns how many prefixes lost their route, or their discard route. The caller calls it only once
// everything desired has been said (after the speaker has converged). It reads the kernel first.
// What could not be deleted is retried by Run.
func (t *Table) Prune(ctx context.Context) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return 0, ErrClosed
	}
	if err := t.sync(ctx); err != nil {
		return 0, err
	}
	var gone []*entry
	for _, e := range t.entries.All() {
		if e.want == nil && e.routes() > 0 {
			e.removing = true
			t.markDirty(e)
			gone = append(gone, e)
		}
	}
	discards := t.pruneDiscards()
	for _, g := range t.groups {
		g.kept = false
		if g.routes == 0 {
			t.idles(g)
		}
	}
	for _, h := range t.hops {
		t.release(h)
	}
	var bad failures
	if err := t.flush(ctx); err != nil {
		bad.add(err)
	}
	removed := 0
	for _, e := range gone {
		if e.routes() == 0 {
			removed++
		} else if e.outcome.Status == Failed {
			bad.add(fmt.Errorf("route %s: %s", e.dst, e.outcome.Reason))
		}
	}
	for _, dst := range discards {
		if d := t.discards[dst]; d == nil {
			removed++
		} else {
			bad.add(fmt.Errorf("discard route %s: %s", dst, t.discardState(d).Reason))
		}
	}
	if err := t.deleteStrays(ctx); err != nil {
		bad.add(err)
	}
	if err := t.pruneRules(true); err != nil {
		bad.add(err)
	}
	return removed, t.tried(bad)
}

// deleteStrays deletes the next-hop objects with our mark that are not of our making, except
// those that a route of ours still names: the kernel would drop the route with it.
func (t *Table) deleteStrays(ctx context.Context) error {
	if len(t.strays) == 0 {
		return nil
	}
	named := map[uint32]struct{}{}
	for _, e := range t.entries.All() {
		for _, h := range e.others() { // a usual one names a group of ours
			named[h.nextHop] = struct{}{}
			for _, member := range t.strays[h.nextHop].members {
				named[member] = struct{}{}
			}
		}
	}
	groups, single := []request(nil), []request(nil)
	for id, s := range t.strays {
		switch _, used := named[id]; {
		case used:
		case s.members != nil:
			groups = append(groups, request{op: opDeleteNextHop, id: id})
		default:
			single = append(single, request{op: opDeleteNextHop, id: id})
		}
	}
	reqs := append(groups, single...)
	if err := t.apply(ctx, reqs); err != nil {
		return err
	}
	for i := range reqs {
		if reqs[i].err == nil {
			delete(t.strays, reqs[i].id)
			delete(t.usedIDs, reqs[i].id)
		}
	}
	return errors.Join(refusals(reqs)...)
}

// Cleanup deletes everything with our mark and nothing else: all routes of our protocol in our
// table, all next-hop objects of our protocol in our range, all rules of our protocol. It returns how many routes it
// deleted. Nothing is desired afterwards, so a Run under way does not bring them back.
func (t *Table) Cleanup(ctx context.Context) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return 0, ErrClosed
	}
	for _, e := range t.entries.All() {
		if e.outcome != t.nothing {
			t.publish(e, t.absent)
		}
		t.retire(e)
	}
	t.reset() // now no route is one we know
	r := &reading{t: t}
	if err := t.readAll(ctx, r); err != nil {
		return 0, err
	}
	routes := make([]request, 0, len(r.ours)+len(r.nextHops))
	var groups, single []request
	for _, dst := range r.discards {
		routes = append(routes, request{op: opDeleteRoute, drops: true, dst: dst, metric: DiscardMetric})
	}
	for _, x := range r.ours {
		routes = append(routes, request{op: opDeleteRoute, dst: x.dst, metric: x.metric, id: x.nextHop, hops: x.hops, tos: x.tos, options: x.options})
	}
	for _, n := range r.nextHops {
		switch {
		case n.protocol != uint8(t.cfg.Protocol) || !ours(n.id):
		case n.members != nil:
			groups = append(groups, request{op: opDeleteNextHop, id: n.id})
		default:
			single = append(single, request{op: opDeleteNextHop, id: n.id})
		}
	}
	reqs := append(append(routes, groups...), single...)
	if err := t.apply(ctx, reqs); err != nil {
		return 0, err
	}
	bad := refusals(reqs[:len(routes)])
	removed := len(routes) - len(bad)
	t.cfg.Rule = 0 // nor is a rule wanted
	return removed, errors.Join(append(append(bad, refusals(reqs[len(routes):])...), t.pruneRules(false))...)
}

// refusals names what the kernel refused to delete.
func refusals(reqs []request) []error {
	var errs []error
	for i := range reqs {
		switch r := &reqs[i]; {
		case r.err == nil:
		case r.op == opDeleteRoute:
			errs = append(errs, fmt.Errorf("delete route %s: %w", r.dst, r.err))
		default:
			errs = append(errs, fmt.Errorf("delete next-hop object 0x%x: %w", r.id, r.err))
		}
	}
	return errs
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/ipam"
)

// learn judges what the speaker learned and hands the result to the kernel, in one batch.
func (a *agent) learn(ctx context.Context, changes []bgp.Change) {
	if len(changes) == 0 {
		a.stale = true // a session's state, then
		return
	}
	routes := make([]fib.Route, 0, len(changes))
	for _, c := range changes {
		routes = a.decide(ctx, c.Prefix, c.Paths, routes)
	}
	a.ensure(ctx, a.fillRoom(ctx, routes))
}

// judgeAgain takes a new decision on known prefixes: the plan changed, or a better path may be usable by now.
func (a *agent) judgeAgain(ctx context.Context, prefixes []netip.Prefix) {
	if len(prefixes) == 0 {
		return
	}
	routes := make([]fib.Route, 0, len(prefixes))
	for _, prefix := range prefixes {
		if r := a.book.get(prefix); r != nil {
			routes = a.decide(ctx, prefix, r.best, routes)
		}
	}
	a.ensure(ctx, a.fillRoom(ctx, routes))
}

// fillRoom gives prefixes that waited for room in their cluster's contract the places that became free.
func (a *agent) fillRoom(ctx context.Context, routes []fib.Route) []fib.Route {
	for {
		waiting := a.ledger.Again()
		if len(waiting) == 0 {
			return routes
		}
		for _, prefix := range waiting {
			if r := a.book.get(prefix); r != nil {
				routes = a.decide(ctx, prefix, r.best, routes)
			}
		}
	}
}

func (a *agent) ensure(ctx context.Context, routes []fib.Route) {
	a.stale = true
	if len(routes) == 0 {
		return
	}
	if err := a.kernel.Ensure(ctx, routes); err != nil {
		a.log.WithError(brief(err)).Warn("routes not installed; they are tried again")
	}
	a.observe(a.kernel.Drain())
}

// decide takes the one decision on a prefix, records it and appends the route that follows from it, unless the
// kernel has been asked for just that.
func (a *agent) decide(ctx context.Context, prefix netip.Prefix, best []bgp.Path, routes []fib.Route) []fib.Route {
	old := a.book.get(prefix)
	if len(best) == 0 && old == nil {
		return routes
	}
	next := &record{prefix: prefix, best: best, paths: best, since: time.Now()}
	if old != nil {
		next.kernel = old.kernel
	}
	a.judge(next)
	if len(best) > 0 && !next.verdict.Accepted {
		a.fallBack(ctx, next)
	}
	if next.verdict.Accepted {
		if full := a.ledger.Admit(prefix, next.verdict.Cluster); !full.Accepted {
			next.verdict, next.hops = full, nil
		}
	} else {
		a.ledger.Release(prefix)
	}
	if old != nil && old.verdict == next.verdict && slices.Equal(old.hops, next.hops) {
		next.since = old.since
	}
	a.book.put(next)
	switch {
	case !a.unasked(old, next):
		return routes
	case a.deferred(prefix):
		a.held[prefix] = struct{}{}
		return routes
	default:
		return append(routes, fib.Route{Dst: prefix, NextHops: next.hops})
	}
}

// deferred says whether the kernel has to wait for a decision on a prefix: after a restart, what an earlier run left
// there is the sum of what all peers said, and better than what the first of them says now (RFC 4724, section 4.1).
func (a *agent) deferred(prefix netip.Prefix) bool {
	if a.held == nil {
		return false
	}
	state, ok := a.kernel.Lookup(prefix)
	return ok && state.Status == fib.Adopted
}

// release hands the deferred decisions to the kernel in one batch; from then on none is deferred.
func (a *agent) release(ctx context.Context) {
	routes := make([]fib.Route, 0, len(a.held))
	for prefix := range a.held {
		// What was withdrawn again is left for Prune.
		if r := a.book.get(prefix); r != nil && len(r.paths) > 0 {
			routes = append(routes, fib.Route{Dst: prefix, NextHops: r.hops})
		}
	}
	a.held = nil
	a.ensure(ctx, routes)
}

// unasked says whether the kernel has not been asked for the route yet. A refused prefix asks for the removal of
// what an earlier run left: it is not kept for the peers to confirm.
func (a *agent) unasked(old, next *record) bool {
	if len(next.hops) == 0 && len(next.paths) > 0 {
		state, ok := a.kernel.Lookup(next.prefix)
		return ok && state.Status != fib.Absent
	}
	return old == nil || !slices.Equal(old.hops, next.hops)
}

// judge gives each path its verdict and the prefix the verdict of its usable paths, or of its first one.
func (a *agent) judge(r *record) {
	r.verdicts = make([]ipam.Verdict, len(r.paths))
	r.hops, r.verdict = nil, ipam.Verdict{}
	for i, p := range r.paths {
		v := a.plan.Judge(a.claim(r.prefix, p))
		r.verdicts[i] = v
		if v.Accepted {
			r.hops = append(r.hops, p.NextHop)
		}
		if i == 0 || v.Accepted && !r.verdict.Accepted {
			r.verdict = v
		}
	}
	slices.SortFunc(r.hops, netip.Addr.Compare)
	r.hops = slices.Compact(r.hops)
}

// fallBack looks for a usable path among those that lost the best-path selection to unusable ones: a peer that
// announces nonsense must not hide another that does not.
func (a *agent) fallBack(ctx context.Context, r *record) {
	r.fallback = true
	all, err := a.speaker.Paths(ctx, r.prefix)
	if err != nil {
		a.log.WithError(err).Warn("looking for another path")
		return
	}
	usable := slices.IndexFunc(all, func(p bgp.Path) bool { return a.plan.Judge(a.claim(r.prefix, p)).Accepted })
	if usable < 0 {
		return
	}
	refused := slices.Clone(r.best)
	for _, p := range all[usable:] {
		if p.LocalPref == all[usable].LocalPref && len(p.ASPath) == len(all[usable].ASPath) && p.MED == all[usable].MED {
			refused = append(refused, p)
		}
	}
	r.paths = refused
	a.judge(r)
}

// observe records what became of prefixes in the kernel.
func (a *agent) observe(states []fib.State) {
	for _, s := range states {
		cluster, of, ok := a.plan.Owner(s.Dst.Addr())
		if !ok || of.Bits() > s.Dst.Bits() {
			cluster = ""
		}
		a.book.observe(s, cluster)
	}
	a.stale = a.stale || len(states) > 0
}

// brief shortens an error that joins many to its first few: 10,000 routes can fail for one reason.
func brief(err error) error {
	const few = 3
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) || len(joined.Unwrap()) <= few {
		return err
	}
	all := joined.Unwrap()
	return fmt.Errorf("%w; and %d more", errors.Join(all[:few]...), len(all)-few)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/ipam"
)

// hear takes in what the speaker has to say: first whose sessions ended, then what changed, at most limit prefixes unless
// it is 0, which are judged and handed to the kernel in one batch. It returns how many those were.
func (a *agent) hear(ctx context.Context, limit int) int {
	a.lose(ctx, a.speaker.Lost())
	changes := a.speaker.Drain(limit)
	if len(changes) == 0 {
		return 0
	}
	a.memory.changed(len(changes))
	b := a.newBatch(len(changes))
	for _, c := range changes {
		b.decide(c)
	}
	b.finish(ctx)
	return len(changes)
}

// judgeAgain takes a new decision on known prefixes: the plan changed, or a better path may be usable by now.
func (a *agent) judgeAgain(ctx context.Context, prefixes []netip.Prefix) {
	if len(prefixes) == 0 {
		return
	}
	b := a.newBatch(len(prefixes))
	for _, prefix := range prefixes {
		b.again(prefix)
	}
	b.finish(ctx)
}

// batch is decisions that are taken together and reach the kernel together.
type batch struct {
	*agent
	now      time.Time
	routes   []fib.Route
	hesitant []bgp.Change   // whose better paths are too new
	fallen   []fallen       // whose best paths are all unusable, and which are not decided yet
	lost     []netip.Prefix // whose last path went with its session, likewise
}

// fallen is a prefix with the decision on its best paths alone.
type fallen struct {
	bgp.Change
	decision
}

func (a *agent) newBatch(size int) *batch {
	return &batch{agent: a, now: time.Now(), routes: make([]fib.Route, 0, size)}
}

// finish gives prefixes that waited for room in their cluster's contract the places that became free, and hands all
// that follows to the kernel.
func (b *batch) finish(ctx context.Context) {
	b.brake()
	for {
		b.stayWith(ctx)
		b.fallBack(ctx)
		waiting := b.ledger.Again()
		if len(waiting) == 0 {
			break
		}
		for _, prefix := range waiting {
			b.again(prefix)
		}
	}
	b.ensure(ctx, b.routes)
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
	a.book.confirmUntold(routes, time.Now())
	a.reconsider(ctx)
}

// again decides on a prefix as it was announced last.
func (b *batch) again(prefix netip.Prefix) {
	switch r := b.book.get(prefix); {
	case r == nil || r.way == nil:
	case r.kept:
		b.keepAgain(r)
	default:
		b.decide(bgp.Change{Prefix: prefix, Paths: r.way.best, Spare: r.way.spare})
	}
}

// decide takes the one decision on a prefix, or leaves it to fallBack. The kernel hears of it unless it has been asked
// for just that.
func (b *batch) decide(c bgp.Change) {
	if c.Paths.Len() == 0 {
		b.withdraw(c)
		return
	}
	if !b.hesitates(c) {
		b.decideNow(c)
	}
}

// decideNow takes the decision on a prefix by its best paths.
func (b *batch) decideNow(c bgp.Change) {
	d := b.judge(c, c.Paths)
	if len(d.way.hops) == 0 && !d.passedOn() || b.hopeless(d.way.hops) {
		b.fallen = append(b.fallen, fallen{c, d})
		return
	}
	b.take(c.Prefix, d)
}

func (b *batch) withdraw(c bgp.Change) {
	switch r := b.book.get(c.Prefix); {
	case r == nil, c.Lost && r.kept:
	case c.Lost && len(r.hops()) > 0:
		b.lost = append(b.lost, c.Prefix)
	default:
		b.take(c.Prefix, decision{verdict: b.owner(c.Prefix)})
	}
}

// take records a decision.
func (b *batch) take(prefix netip.Prefix, d decision) {
	old := b.book.get(prefix)
	if old != nil {
		d.seat = old.seat
	}
	if d.verdict.Accepted {
		var v ipam.Verdict
		if v, d.seat = b.ledger.Admit(prefix, d.verdict.Cluster, d.seat); !v.Accepted {
			full := v
			d.verdict = &full
		}
	} else {
		b.ledger.Release(d.seat)
		d.seat = nil
	}
	asked := asked(old, d)
	d.awaits = b.awaits(old, d, asked)
	if old == nil || old.kept || old.way != d.way || old.seat != d.seat || *old.verdict != *d.verdict {
		b.counted.decided(prefix, old, d)
		b.noteDecision(prefix, old, d, b.now)
		b.book.put(prefix, old, d, b.now)
	}
	switch {
	case asked:
	case b.deferred(old):
		b.held[prefix] = struct{}{}
	default:
		b.routes = append(b.routes, fib.Route{Dst: prefix, NextHops: d.hops()})
	}
}

// asked says whether the kernel has been asked for the route already. A refused prefix asks for the removal of
// what an earlier run left: it is not kept for the peers to confirm.
func asked(old *record, next decision) bool {
	if next.way != nil && len(next.hops()) == 0 {
		return old == nil || old.kernel == nil
	}
	return old != nil && sameHops(old.hops(), next.hops())
}

// deferred says whether the kernel has to wait for a decision on a prefix: after a restart, what an earlier run left
// there is the sum of what all peers said, and better than what the first of them says now (RFC 4724, section 4.1).
func (a *agent) deferred(old *record) bool {
	return a.held != nil && old != nil && old.status() == fib.Adopted
}

// release hands the deferred decisions to the kernel in one batch; from then on none is deferred.
func (a *agent) release(ctx context.Context) {
	routes := make([]fib.Route, 0, len(a.held))
	for prefix := range a.held {
		// What was withdrawn again is left for Prune.
		if r := a.book.get(prefix); r != nil && r.way != nil {
			routes = append(routes, fib.Route{Dst: prefix, NextHops: r.hops()})
		}
	}
	a.held = nil
	a.ensure(ctx, routes)
}

// judge asks the plan about each path. The verdict of the prefix is that of its usable paths, or of its first one.
// Where there are others than the best ones, paths that the kernel has no way for are left out.
func (a *agent) judge(c bgp.Change, paths *bgp.PathSet) decision {
	a.refusedPaths, a.shunning = a.refusedPaths[:0], paths != c.Paths
	d := decision{verdict: a.judgePaths(c.Prefix, paths, 0), learned: c.Learned}
	if c.Spare != nil {
		a.judgePaths(c.Prefix, c.Spare, paths.Len())
	}
	d.way = a.book.way(judged{a.view, c.Paths, paths, c.Spare, a.refusedPaths})
	return d
}

// share returns the one copy of a verdict that thousands of prefixes have.
func (a *agent) share(v ipam.Verdict) *ipam.Verdict {
	shared := a.verdicts[v.Cluster]
	if v.Accepted && shared != nil && *shared == v {
		return shared
	}
	kept := v
	if v.Accepted {
		a.verdicts[v.Cluster] = &kept
	}
	return &kept
}

// owner is the verdict on a prefix that nobody announces: it names the cluster that may.
func (a *agent) owner(prefix netip.Prefix) *ipam.Verdict {
	cluster, of, ok := a.plan.Owner(prefix.Addr())
	if !ok || of.Bits() > prefix.Bits() {
		cluster = ""
	}
	shared := a.owners[cluster]
	if shared == nil {
		shared = &ipam.Verdict{Cluster: cluster}
		a.owners[cluster] = shared
	}
	return shared
}

// observe records what became of prefixes in the kernel.
func (a *agent) observe(states []fib.State) {
	now := time.Now()
	for _, s := range states {
		r := a.book.get(s.Dst)
		a.counted.observed(r, s)
		a.noteKernel(r, s, now)
		a.book.observe(s, a.owner, now)
		a.fail(s)
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

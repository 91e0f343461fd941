package main

import (
	"time"

	"github.com/underlayd/underlayd/bgp/fib"
)

// How long a route takes is measured from when the speaker learned a path (bgp.Change.Learned), or from when the plan first
// accepted one that was known, until the kernel has acknowledged a route with it. What waits on purpose is not measured: a better
// path under bgp.preference.hold, and what an earlier run left until the peers have spoken.

// instant is a moment in steps of 100 µs since the book was begun, 0 for none: it has to fit beside each route. One that is more than
// 119 hours ago can't be told from a later one.
type instant uint32

const instantStep = 100 * time.Microsecond

func (b *book) instant(t time.Time) instant { return max(1, instant(t.Sub(b.started)/instantStep)) }

// awaits is since when the route of a prefix is not confirmed, once the decision is taken.
func (b *batch) awaits(old *record, d decision, asked bool) instant {
	switch {
	case asked && old != nil:
		return old.awaits
	case asked, len(d.hops()) == 0, b.deferred(old):
		return 0
	case !d.learned.IsZero():
		return b.book.instant(d.learned)
	case old == nil || len(old.hops()) == 0:
		return b.book.instant(b.now)
	default: // a known path in place of another one
		return 0
	}
}

// confirm counts a route that is in the kernel now. The record must be one that may be changed.
func (b *book) confirm(r *record, now time.Time) {
	if r.awaits == 0 || r.status() != fib.Installed {
		return
	}
	took := time.Duration(b.instant(now)-r.awaits) * instantStep
	if r.prefix.Addr().Is4() {
		b.latency.IPv4.Observe(took)
	} else {
		b.latency.IPv6.Observe(took)
	}
	r.awaits = 0
}

// confirmUntold counts the routes of a batch of which the kernel's table had no news: after a failover the next hops were
// rewritten before the routes were asked for, so that nothing was left to be told of them.
func (b *book) confirmUntold(routes []fib.Route, now time.Time) {
	for i := range routes {
		if r := b.get(routes[i].Dst); r != nil && r.awaits != 0 && r.status() == fib.Installed {
			b.confirm(b.edit(r.prefix, r), now)
		}
	}
}

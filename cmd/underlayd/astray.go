package main

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/config"
)

// What is here follows what the kernel says of next hops that are on no link. A path whose next hop it can't reach is
// accepted and asked for all the same, for that is no fault of the plan's and passes without its help: unless another
// peer has a path that can be used. That one is taken then, however much worse it is (RFC 4271, section 9.1.2.1: what
// can't be resolved takes no part in the selection).

// gateways are the neighbours through which next hops are resolved, for the views to tell.
type gateways = atomic.Pointer[map[netip.Addr][]netip.Addr]

// resolution says to the kernel table what the configuration says of next hops on no link.
func resolution(c *config.Config) (how fib.Resolve, avoid []netip.Prefix) {
	avoid = slices.Clone(c.Cluster.PodCIDRs)
	for _, r := range c.Clusters {
		avoid = append(avoid, r.PodCIDRs...)
	}
	return fib.Resolve(c.Kernel.Resolve), avoid
}

// followHops takes in what the kernel says of next hops now. What fell back to a worse path is judged again if one of
// them can be used by now.
func (a *agent) followHops(ctx context.Context) {
	if a.readHops() {
		a.judgeAgain(ctx, a.book.fallbacks(len(a.book.fallen)))
	}
}

// readHops says whether a next hop that could not be used can be.
func (a *agent) readHops() (better bool) {
	a.stale = true
	through, astray := map[netip.Addr][]netip.Addr{}, map[netip.Addr]fib.Fault{}
	for _, n := range a.kernel.NextHops() {
		if n.Fault != 0 {
			astray[n.Addr] = n.Fault
		} else {
			through[n.Addr] = n.Gateways
		}
	}
	for hop := range a.astray {
		_, still := astray[hop]
		better = better || !still
	}
	a.astray = astray
	if old := a.through.Load(); old == nil || !maps.EqualFunc(*old, through, slices.Equal) {
		a.sharedChanged = true
		a.through.Store(&through)
	}
	return better
}

// hopeless says whether the kernel reaches none of the next hops.
func (a *agent) hopeless(hops []netip.Addr) bool {
	if len(a.astray) == 0 {
		return false
	}
	return !slices.ContainsFunc(hops, func(hop netip.Addr) bool { return a.astray[hop] == 0 })
}

// fail notes a prefix whose route the kernel could not take.
func (a *agent) fail(s fib.State) {
	if s.Outcome != nil && s.Status == fib.Failed {
		a.failing = append(a.failing, s.Dst)
	}
}

// reconsider looks for other paths of the prefixes that failed because of their next hops.
func (a *agent) reconsider(ctx context.Context) {
	if len(a.failing) == 0 {
		return
	}
	select {
	case <-a.kernel.NextHopsChanged():
		a.followHops(ctx)
	default:
	}
	failed := slices.DeleteFunc(a.failing, func(prefix netip.Prefix) bool {
		r := a.book.get(prefix)
		return r == nil || r.way == nil || r.kept || r.way.stuck || !a.hopeless(r.hops())
	})
	a.failing = nil
	a.judgeAgain(ctx, failed)
}

// keepFollowing has the kernel look after the next hops that were given up for worse paths.
func (a *agent) keepFollowing() {
	var want []netip.Addr
	for _, w := range a.book.ways {
		if w.refused == "" {
			continue
		}
		for i, p := range w.paths.All() {
			if w.lost(i) && !slices.Contains(want, p.NextHop) {
				want = append(want, p.NextHop)
			}
		}
	}
	slices.SortFunc(want, netip.Addr.Compare)
	if slices.Equal(want, a.followed) {
		return
	}
	a.followed = want
	a.kernel.Follow(want)
}

// shuns says whether a path is left out because its next hop can't be reached and another one may be taken.
func (a *agent) shuns(p *bgp.Path) bool { return a.shunning && a.astray[p.NextHop] != 0 }

package main

import (
	"context"
	"maps"
	"net/netip"
	"time"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/status"
)

// refusedPoller looks after the prefixes that peers send and the import policy keeps out. GoBGP does not announce
// them, so the counts of received prefixes are compared now and then, and only when they moved is the list read.
type refusedPoller struct {
	found  chan refusedResult // answers of the one reading under way
	busy   bool
	last   time.Time
	counts map[netip.Addr]bgp.Counters // when the list was read last
	routes map[netip.Prefix]*status.Route
	dirty  map[netip.Prefix]struct{} // since the last snapshot
}

type refusedResult struct {
	changes []bgp.Change
	counts  map[netip.Addr]bgp.Counters
	err     error
}

func newRefusedPoller() refusedPoller {
	return refusedPoller{
		found: make(chan refusedResult, 1), routes: map[netip.Prefix]*status.Route{}, dirty: map[netip.Prefix]struct{}{},
	}
}

// poll starts a reading in the background if it is time for one. Its result comes over found, so that the agent
// never waits for a walk over what a hostile peer sent.
func (p *refusedPoller) poll(ctx context.Context, speaker *bgp.Speaker) {
	if p.busy || time.Since(p.last) < refusedPoll {
		return
	}
	p.busy, p.last = true, time.Now()
	known := p.counts
	go func() {
		var r refusedResult
		if r.counts, r.err = speaker.Counters(ctx, false); r.err == nil && !maps.Equal(r.counts, known) {
			r.changes, _, r.err = speaker.Refused(ctx, refusedLimit)
		} else {
			r.counts = nil
		}
		p.found <- r
	}()
}

// forget makes the next poll read the list whatever the counts say: the plan that judges it is another one.
func (p *refusedPoller) forget() { p.counts = nil }

// noteRefused replaces what is known of refused prefixes.
func (a *agent) noteRefused(r refusedResult) {
	p := &a.refused
	p.busy = false
	if r.err != nil || r.counts == nil {
		return
	}
	p.counts = r.counts
	old := p.routes
	p.routes = make(map[netip.Prefix]*status.Route, len(r.changes))
	for _, c := range r.changes {
		route := p.routes[c.Prefix]
		if route == nil {
			route = &status.Route{Prefix: c.Prefix, Since: p.last}
			if before := old[c.Prefix]; before != nil {
				route.Since = before.Since
			}
			p.routes[c.Prefix] = route
		}
		a.explainRefusal(route, c.Paths[0])
	}
	for prefix := range old {
		p.dirty[prefix] = struct{}{}
	}
	for prefix := range p.routes {
		p.dirty[prefix] = struct{}{}
	}
	a.stale = true
}

// explainRefusal asks the plan why the import policy, which was made from it, keeps a path out.
func (a *agent) explainRefusal(route *status.Route, path bgp.Path) {
	v := a.plan.Judge(a.claim(route.Prefix, path))
	if v.Accepted {
		return // the policy is being replaced; the next reading knows better
	}
	route.Paths = append(route.Paths, a.pathStatus(path, v))
	if route.Verdict == "" {
		route.Cluster, route.Verdict, route.Detail = v.Cluster, string(v.Reason), v.Detail
		route.Expected = a.expected(path, v)
	}
}

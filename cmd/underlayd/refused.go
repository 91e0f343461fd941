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
// them; but as long as nothing happened that did not show in the best paths there is nothing new, and as long as a
// peer has sent no more than what is known the list, which takes a walk over all it sent, need not be read.
type refusedPoller struct {
	found  chan refusedResult // answers of the one reading under way
	busy   bool
	last   time.Time     // when the last reading began
	took   time.Duration // how long it lasted
	unseen uint64        // the changes before it
	counts map[netip.Addr]bgp.Counters
	routes map[netip.Prefix]*status.Route
	dirty  map[netip.Prefix]struct{} // since the last snapshot
}

// The pauses between two readings: after a change that did not show, and to look after what is not announced at all
// (paths with our own AS in them). Both grow with what a reading takes, so that it costs at most 2 % of a core while
// hidden things change all the time, and 0.02 % while nothing does.
const (
	refusedRest      = 50
	refusedPatience  = time.Minute
	refusedQuietRest = 5000
)

type refusedResult struct {
	changes []bgp.Change
	counts  map[netip.Addr]bgp.Counters
	took    time.Duration
	err     error
}

func newRefusedPoller() refusedPoller {
	return refusedPoller{
		found: make(chan refusedResult, 1), routes: map[netip.Prefix]*status.Route{}, dirty: map[netip.Prefix]struct{}{},
	}
}

// due says whether it is time for a reading.
func (p *refusedPoller) due(unseen uint64) bool {
	since := time.Since(p.last)
	if unseen != p.unseen || p.counts == nil {
		return since >= max(refusedPoll, refusedRest*p.took)
	}
	return since >= max(refusedPatience, refusedQuietRest*p.took)
}

// poll starts a reading in the background if it is time for one. Its result comes over found, so that the agent
// never waits for a walk over what a hostile peer sent.
func (p *refusedPoller) poll(ctx context.Context, speaker *bgp.Speaker, v *view) {
	unseen := speaker.Unseen()
	if p.busy || !p.due(unseen) {
		return
	}
	p.busy, p.last = true, time.Now()
	known, before := p.counts, p.routes // nobody writes to these before the answer is there
	if unseen != p.unseen {
		known = nil // the numbers may be the same though the prefixes are not
	}
	p.unseen = unseen
	go func(began time.Time) {
		var r refusedResult
		r.counts, r.err = speaker.Counters(ctx, false)
		switch {
		case r.err != nil:
		case known != nil && maps.Equal(r.counts, known):
			r.counts = nil
		case hidden(r.counts):
			r.changes, _, r.err = speaker.Refused(ctx, refusedLimit, func(peer netip.Addr, prefix netip.Prefix) bool {
				return keptFrom(before[prefix], v.names[peer]) != ""
			})
		}
		r.took = time.Since(began)
		p.found <- r
	}(p.last)
}

// hidden says whether a peer has sent more than what is known.
func hidden(counts map[netip.Addr]bgp.Counters) bool {
	for _, c := range counts {
		if c.Received > c.Known || c.Rejected > 0 {
			return true
		}
	}
	return false
}

// forget makes the next poll read the list whatever the counts say: the plan that judges it is another one.
func (p *refusedPoller) forget() { p.counts = nil }

// noteRefused replaces what is known of refused prefixes.
func (a *agent) noteRefused(r refusedResult) {
	p := &a.refused
	p.busy, p.took = false, r.took
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
		a.explainRefusal(route, old[c.Prefix], &c.Paths.All()[0])
	}
	for prefix := range old {
		p.dirty[prefix] = struct{}{}
	}
	for prefix := range p.routes {
		p.dirty[prefix] = struct{}{}
	}
	a.stale = true
}

// explainRefusal asks the plan why the import policy, which was made from it, keeps a path out, and counts what was not
// kept out for that reason before.
func (a *agent) explainRefusal(route, before *status.Route, path *bgp.Path) {
	v := a.view.judge(route.Prefix, path)
	if v.Accepted && a.conditional(a.view.names[path.Peer]) {
		v = a.view.keptOut(route.Prefix, path)
	}
	if v.Accepted {
		return // the policy is being replaced; the next reading knows better
	}
	out := a.view.path(path, v)
	expected := a.view.expected(path, v)
	if !expected && keptFrom(before, out.Peer) != out.Verdict {
		a.counted.add(out.Peer, v.Reason)
	}
	route.Paths = append(route.Paths, out)
	if route.Verdict == "" {
		route.Cluster, route.Verdict, route.Detail, route.Expected = v.Cluster, out.Verdict, v.Detail, expected
	}
}

// keptFrom is why the path of a peer was kept out; empty if it was not.
func keptFrom(route *status.Route, peer string) string {
	if route != nil {
		for _, p := range route.Paths {
			if p.Peer == peer {
				return p.Verdict
			}
		}
	}
	return ""
}

// beside is a record together with the paths of its prefix that the import policy keeps out.
type beside struct {
	*record
	kept *status.Route
}

// with returns what is to be told of a prefix, given what is kept out of it; nil for nothing.
func (r *record) with(kept *status.Route) status.Row {
	if kept == nil {
		return r
	}
	return beside{r, kept}
}

// Route implements status.Row.
func (b beside) Route() *status.Route {
	out := b.record.Route()
	out.Paths = append(out.Paths, b.kept.Paths...)
	return out
}

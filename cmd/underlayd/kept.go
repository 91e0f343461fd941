package main

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/status"
)

// keep is routes that are kept: of one cluster, and all of which went the same way.
type keep struct {
	since    time.Time // when the last of them was lost
	braked   bool
	prefixes map[netip.Prefix]struct{}
}

// keepKey is what they have in common.
type keepKey struct {
	way     *way
	cluster string
}

func (r *record) keepKey() keepKey { return keepKey{r.way, r.verdict.Cluster} }

// keep keeps the route of a record that nobody announces any more.
func (b *book) keep(r *record, since time.Time) *keep {
	old := r
	r = b.edit(r.prefix, old)
	b.count(r, -1)
	r.kept = true
	b.count(r, +1)
	k := b.kept[r.keepKey()]
	if k == nil {
		k = &keep{prefixes: map[netip.Prefix]struct{}{}}
		b.kept[r.keepKey()] = k
	}
	k.since = since
	k.prefixes[r.prefix] = struct{}{}
	return k
}

// unkeep ends that, whatever comes instead.
func (b *book) unkeep(r *record) {
	if !r.kept {
		return
	}
	r.kept = false
	k := b.kept[r.keepKey()]
	delete(k.prefixes, r.prefix)
	if len(k.prefixes) == 0 {
		delete(b.kept, r.keepKey())
	}
}

// keepAgain judges a kept route by a new plan.
func (b *batch) keepAgain(r *record) {
	k := b.book.kept[r.keepKey()]
	d := b.judge(bgp.Change{Prefix: r.prefix, Paths: r.way.best}, r.way.paths)
	if len(d.way.hops) == 0 {
		b.take(r.prefix, decision{verdict: b.owner(r.prefix)})
		return
	}
	b.take(r.prefix, d)
	if r = b.book.get(r.prefix); r.verdict.Accepted {
		b.book.keep(r, k.since).braked = k.braked
	}
}

// keptProblems tells of routes that are kept, by cluster.
func (a *agent) keptProblems() []status.Problem {
	until, braked := map[string]time.Time{}, map[string]bool{}
	for key, k := range a.book.kept {
		braked[key.cluster] = braked[key.cluster] || k.braked
		if end := a.keepUntil(key.way, k); end.After(until[key.cluster]) {
			until[key.cluster] = end
		}
	}
	var out []status.Problem
	for _, cluster := range slices.Sorted(maps.Keys(until)) {
		t := a.book.tally(cluster)
		why := "their peers restart gracefully, or more are about to go"
		if braked[cluster] {
			why = fmt.Sprintf("more than %d %% of its routes went at once, which bgp.brake takes for a fault of the sessions", a.config.BGP.Brake.Share)
		}
		out = append(out, status.Problem{Severity: status.Warning, Subject: "cluster " + cluster, Message: fmt.Sprintf(
			"%d of its %d routes have lost every session that announced them and are kept until %s: %s",
			t.kept, t.accepted, until[cluster].Format(time.TimeOnly), why)})
	}
	return out
}

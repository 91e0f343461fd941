package main

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/status"
)

// When a session is lost, nobody has said that its routes are bad. A route that has another path changes to that one. One
// that has none is kept in two cases: for a peer that restarts gracefully, which has promised to go on forwarding
// (RFC 4724), and when so many routes of a cluster would go at once that a fault of the control plane is likelier than
// the end of the cluster: that is the brake. Both last for a limited time, and until the peers have told all of their
// routes again. A withdrawal by a peer that is up is obeyed at once.
//
// Sessions that are lost for one reason are not lost in the same moment. So each loss waits for brakeLook whether others
// follow, but for that of a peer whose restart took too long, and what went not longer than brakeMemory ago counts too.
const (
	brakeLook   = 500 * time.Millisecond
	brakeMemory = 30 * time.Second
)

// keep is routes that are kept: of one cluster, and all of which went the same way.
type keep struct {
	since    time.Time // when the last of them was lost
	braked   bool
	prefixes map[netip.Prefix]struct{}
}

// gone is how many routes of a cluster went with their sessions lately.
type gone struct {
	routes int
	last   time.Time
}

// brake decides on the prefixes whose last path went with its session.
func (b *batch) brake() {
	if len(b.lost) == 0 {
		return
	}
	lost, braked, kept := map[string]int{}, map[string]bool{}, map[string]int{}
	for _, prefix := range b.lost {
		lost[b.book.get(prefix).verdict.Cluster]++
	}
	for cluster, n := range lost {
		if braked[cluster] = b.massive(cluster, n); braked[cluster] {
			b.pull(cluster)
		}
	}
	for _, prefix := range b.lost {
		r := b.book.get(prefix)
		cluster := r.verdict.Cluster
		if !b.keepUntil(r.way, &keep{since: b.now, braked: braked[cluster]}).After(b.now) {
			b.take(prefix, decision{verdict: b.owner(prefix)})
			continue
		}
		k := b.book.keep(r, b.now)
		k.braked = k.braked || braked[cluster]
		kept[cluster]++
	}
	b.lost = nil
	for cluster, n := range kept {
		b.log.WithFields(logrus.Fields{"cluster": cluster, "routes": n, "of": b.book.tally(cluster).accepted, "brake": braked[cluster]}).
			Warn("sessions were lost; routes without another path are kept")
	}
}

// massive says whether a cluster that loses so many more of its routes loses more than the brake lets go.
func (a *agent) massive(cluster string, lost int) bool {
	brake, t, before := a.config.BGP.Brake, a.book.tally(cluster), 0
	if g := a.gone[cluster]; time.Since(g.last) < brakeMemory {
		before = g.routes
	}
	if brake.Hold == 0 {
		return false
	}
	limit := brake.Share * (before + t.accepted)
	return (before+t.kept+lost)*100 > limit || (before+t.kept+lost+a.restarting(cluster))*100 > limit
}

// restarting counts the routes of a cluster that depend on peers which restart: they are still announced, for a while. That
// takes a walk over all routes, if there are such peers.
func (a *agent) restarting(cluster string) int {
	restarts := map[netip.Addr]bool{}
	for peer, loss := range a.losses {
		if loss.Cause == bgp.Restarting && time.Since(loss.At) < a.grace(loss) {
			restarts[peer] = true
		}
	}
	if len(restarts) == 0 {
		return 0
	}
	count := 0
	for _, r := range a.book.records.All() {
		if r.way == nil || r.kept || !r.verdict.Accepted || r.verdict.Cluster != cluster {
			continue
		}
		if !slices.ContainsFunc(r.way.usable, func(h hop) bool { return !restarts[h.peer] }) {
			count++
		}
	}
	return count
}

// pull pulls the brake for a cluster: what is kept for a moment stays.
func (a *agent) pull(cluster string) {
	for key, k := range a.book.kept {
		k.braked = k.braked || key.cluster == cluster
	}
}

// keepUntil is until when routes of a way whose sessions are lost are kept; the zero time once the peers that had announced
// them have told all of their routes again, and these were not among them.
func (a *agent) keepUntil(w *way, k *keep) time.Time {
	var until time.Time
	brake := a.config.BGP.Brake
	for _, h := range w.usable {
		loss, lost := a.losses[h.peer]
		if !lost {
			continue
		}
		end := loss.At.Add(a.grace(loss))
		if look := k.since.Add(brakeLook); brake.Hold > 0 && loss.Cause != bgp.Restarting && look.After(end) {
			end = look
		}
		if hold := loss.At.Add(brake.Hold); k.braked && hold.After(end) {
			end = hold
		}
		if end.After(until) {
			until = end
		}
	}
	return until
}

// releaseKept withdraws the kept routes whose time is over.
func (a *agent) releaseKept(ctx context.Context) {
	if len(a.overdue(time.Now())) == 0 {
		return
	}
	a.hear(ctx, 0) // what was announced again before now counts
	for _, k := range a.overdue(time.Now()) {
		b := a.newBatch(len(k.prefixes))
		n := b.letGo(k)
		b.finish(ctx)
		a.log.WithFields(logrus.Fields{"routes": n, "brake": k.braked}).Warn("routes of lost sessions are not kept any longer")
	}
}

// letGo withdraws what was kept and returns how many routes those were.
func (b *batch) letGo(k *keep) int {
	prefixes := slices.Collect(maps.Keys(k.prefixes)) // taking them changes k
	for _, prefix := range prefixes {
		cluster := b.book.get(prefix).verdict.Cluster
		g := b.gone[cluster]
		if b.now.Sub(g.last) >= brakeMemory {
			g.routes = 0
		}
		b.gone[cluster] = gone{g.routes + 1, b.now}
		b.take(prefix, decision{verdict: b.owner(prefix)})
	}
	return len(prefixes)
}

// overdue returns what has been kept for long enough. What was kept for a moment is looked at again: by now it may be clear
// that it was one of many.
func (a *agent) overdue(now time.Time) []*keep {
	var out []*keep
	for key, k := range a.book.kept {
		if !k.braked && !now.Before(a.keepUntil(key.way, k)) && a.massive(key.cluster, 0) {
			a.pull(key.cluster)
		}
		if !now.Before(a.keepUntil(key.way, k)) {
			out = append(out, k)
		}
	}
	return out
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

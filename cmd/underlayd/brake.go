package main

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/underlayd/underlayd/bgp"
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
	fates, of := b.fates()
	lost, braked, kept := map[string]int{}, map[string]bool{}, map[string]int{}
	for _, f := range fates {
		lost[f.cluster] += f.routes
	}
	for cluster, n := range lost {
		if braked[cluster] = b.massive(cluster, n); braked[cluster] {
			b.pull(cluster)
		}
	}
	for i := range fates {
		f := &fates[i]
		f.braked = braked[f.cluster]
		if f.kept = b.keepUntil(f.way, &keep{since: b.now, braked: f.braked}).After(b.now); f.kept {
			kept[f.cluster] += f.routes
		}
	}
	for i, prefix := range b.lost {
		if f := &fates[of[i]]; f.kept {
			k := b.book.keep(b.book.get(prefix), b.now)
			k.braked = k.braked || f.braked
			b.noteKept(b.book.get(prefix), f.braked, b.now)
		} else {
			b.take(prefix, decision{verdict: b.owner(prefix)})
		}
	}
	b.lost = nil
	for cluster, n := range kept {
		b.log.WithFields(logrus.Fields{"cluster": cluster, "routes": n, "of": b.book.tally(cluster).accepted, "brake": braked[cluster]}).
			Warn("sessions were lost; routes without another path are kept")
	}
}

// fate is what becomes of lost routes of one cluster that went the same way: it is decided once for all of them.
type fate struct {
	keepKey
	routes       int
	braked, kept bool
}

// fates returns those of the lost prefixes, undecided, and for each prefix which one is its own.
func (b *batch) fates() (fates []fate, of []int) {
	of = make([]int, len(b.lost))
	known := map[keepKey]int{}
	for i, prefix := range b.lost {
		key := b.book.get(prefix).keepKey()
		f, ok := known[key]
		if !ok {
			f = len(fates)
			known[key], fates = f, append(fates, fate{keepKey: key})
		}
		fates[f].routes++
		of[i] = f
	}
	return fates, of
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
	if due := a.overdue(time.Now()); len(due) > 0 {
		a.letGo(due).finish(ctx)
	}
}

// letGo withdraws what was kept, all of it in one batch, which is yet to be finished.
func (a *agent) letGo(due []keepKey) *batch {
	routes, braked := 0, 0
	for _, key := range due {
		k := a.book.kept[key]
		routes += len(k.prefixes)
		if k.braked {
			braked += len(k.prefixes)
		}
	}
	b := a.newBatch(routes)
	for _, key := range due {
		prefixes := slices.Collect(maps.Keys(a.book.kept[key].prefixes)) // taking them changes it
		g := a.gone[key.cluster]
		if b.now.Sub(g.last) >= brakeMemory {
			g.routes = 0
		}
		a.gone[key.cluster] = gone{g.routes + len(prefixes), b.now}
		for _, prefix := range prefixes {
			b.take(prefix, decision{verdict: b.owner(prefix)})
		}
	}
	a.log.WithFields(logrus.Fields{"routes": routes, "braked": braked}).Warn("routes of lost sessions are not kept any longer")
	return b
}

// overdue returns what has been kept for long enough. What was kept for a moment is looked at again: by now it may be clear
// that it was one of many. That takes a walk over all routes, and is asked once for each cluster.
func (a *agent) overdue(now time.Time) []keepKey {
	var out []keepKey
	massive := map[string]bool{}
	for key, k := range a.book.kept {
		if now.Before(a.keepUntil(key.way, k)) {
			continue
		}
		if _, asked := massive[key.cluster]; !k.braked && !asked {
			if massive[key.cluster] = a.massive(key.cluster, 0); massive[key.cluster] {
				a.pull(key.cluster)
			}
		}
		if !massive[key.cluster] || !now.Before(a.keepUntil(key.way, k)) {
			out = append(out, key)
		}
	}
	return out
}

package fib

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/sirupsen/logrus"
)

// DiscardMetric is the metric of discard routes, of both families the highest there is: any other route to the same
// prefix wins, whoever wrote it and whenever it comes. IPv6 would take 0 for 1024; this it takes as it is.
const DiscardMetric = 1<<32 - 1

// Discard is the state of one discard route.
type Discard struct {
	Prefix netip.Prefix
	// Status is Installed or Adopted when the route is in the kernel, which says nothing of whether packets follow it;
	// Conflict when a foreign route has its place, prefix and metric; or Failed.
	Status Status
	// Reason is one human sentence, empty when all is well.
	Reason string
	// Foreign: there is a route of somebody else to the prefix in our table, which packets follow instead.
	Foreign bool
}

// discard is one prefix whose discard route is desired or in the kernel. There are a handful, apart from the entries:
// who discards nothing pays nothing for them, and nobody takes them for routes that lead somewhere.
type discard struct {
	dst      netip.Prefix
	wanted   bool
	removing bool // not wanted by decision, as opposed to never spoken of
	there    bool // in the kernel
	unsure   bool // a notification, which may be an old one, said that it is gone
	settled  bool // has been there since it is wanted; a new write is a repair
	due      bool // the next pass looks at it
	doubted  bool // failed in a way that says we do not know the kernel well enough
	seen     bool // by the reading under way
	problem  string
	trouble  trouble
}

// isDiscard says whether a route with our mark is a discard route. Others that drop packets are not of our making; they
// are treated as routes of an unusual shape.
func isDiscard(r *kernelRoute) bool { return r.drops && r.metric == DiscardMetric && r.tos == 0 }

// Discard makes the given prefixes the whole set of those that have a discard route: a blackhole that packets meet when
// no route to a longer prefix, and no other one to this prefix, leads them on. It is one of our routes as others are: it
// is adopted at a start and stays until it is asked for or until Prune, it is repaired, and Cleanup removes it. What Ensure
// says of the same prefix is about another route, which wins; neither call touches what the other one wrote.
//
// It yields to everybody. A foreign route to the prefix is neither replaced nor a conflict, unless it has DiscardMetric:
// then ours is written when the other one has gone. The MTU and the source of routes do not apply.
//
// The error joins what failed, one line per prefix, which is retried by Run. Saying the same twice writes nothing.
func (t *Table) Discard(ctx context.Context, prefixes []netip.Prefix) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ready(ctx); err != nil {
		return err
	}
	var bad failures
	set := make(map[netip.Prefix]struct{}, len(prefixes))
	for _, dst := range prefixes {
		if !plainPrefix(dst) {
			bad.add(fmt.Errorf("discard route %s: %w", dst, errNotPrefix))
			continue
		}
		set[dst] = struct{}{}
	}
	if t.desireDiscards(set) {
		if err := t.flush(ctx); err != nil {
			bad.add(err)
		}
	}
	for _, d := range t.sortedDiscards() {
		if s := t.discardState(d); s.Status == Failed {
			bad.add(fmt.Errorf("discard route %s: %s", s.Prefix, s.Reason))
			t.queue.wake() // for the retry
		}
	}
	return bad.join()
}

// desireDiscards records the whole set that is desired, and says whether there is something to be done.
func (t *Table) desireDiscards(set map[netip.Prefix]struct{}) bool {
	for dst := range set {
		d := t.discard(dst)
		if !d.wanted {
			d.wanted, d.removing, d.due = true, false, true
		}
		d.due = d.due || !d.there
	}
	any := false
	for dst, d := range t.discards {
		if _, wanted := set[dst]; d.wanted && !wanted {
			d.wanted, d.settled, d.removing, d.due = false, false, true, true
		}
		any = any || d.due
	}
	t.discardsDue = t.discardsDue || any
	return any
}

// Discards returns the state of every discard route that is desired or in the kernel, sorted.
func (t *Table) Discards() []Discard {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []Discard
	for _, d := range t.sortedDiscards() {
		if d.wanted || d.there || d.removing {
			all = append(all, t.discardState(d))
		}
	}
	return all
}

func (t *Table) discardState(d *discard) Discard {
	s := Discard{Prefix: d.dst, Status: Failed, Foreign: len(t.foreign[d.dst]) > 0}
	f, displaced := t.displacing(d)
	switch {
	case d.there && d.wanted:
		s.Status = Installed
	case d.there && !d.removing:
		s.Status = Adopted
	case d.there:
		s.Reason = cmp.Or(d.problem, "not deleted yet")
	case displaced:
		s.Status = Conflict
		s.Reason = fmt.Sprintf("a foreign route (protocol %s) has the same prefix and metric %d", t.names.text(f.protocol), f.metric)
	default:
		s.Reason = cmp.Or(d.problem, "not in the kernel")
	}
	return s
}

// displacing returns the foreign route that has the place of d.
func (t *Table) displacing(d *discard) (foreignRoute, bool) {
	for _, f := range t.foreign[d.dst] {
		if f.metric == DiscardMetric {
			return f, true
		}
	}
	return foreignRoute{}, false
}

// discard returns that of dst, making it.
func (t *Table) discard(dst netip.Prefix) *discard {
	d := t.discards[dst]
	if d == nil {
		if t.discards == nil {
			t.discards = map[netip.Prefix]*discard{}
		}
		d = &discard{dst: dst}
		t.discards[dst] = d
	}
	return d
}

func (t *Table) sortedDiscards() []*discard {
	return slices.SortedFunc(maps.Values(t.discards), func(a, b *discard) int { return a.dst.Compare(b.dst) })
}

// countDiscards counts those in the kernel.
func (t *Table) countDiscards() int {
	n := 0
	for _, d := range t.discards {
		if d.there {
			n++
		}
	}
	return n
}

// lookAt has the next pass look at d.
func (t *Table) lookAt(d *discard) { d.due, t.discardsDue = true, true }

// retryDiscards makes due what has waited long enough.
func (t *Table) retryDiscards(now time.Time) {
	for _, d := range t.discards {
		if tr := &d.trouble; !tr.retry.IsZero() && !now.Before(tr.retry) {
			tr.retry = time.Time{}
			t.lookAt(d)
		}
	}
}

// discardsWait says whether some are to be tried again.
func (t *Table) discardsWait() bool {
	for _, d := range t.discards {
		if !d.trouble.retry.IsZero() {
			return true
		}
	}
	return false
}

// handleDiscard: somebody else, or the kernel, touched a discard route with our mark.
func (t *Table) handleDiscard(e *event, now time.Time) {
	d := t.discards[e.route.dst]
	if e.kind == routeAdded {
		d = t.discard(e.route.dst)
		t.reread = t.reread || !d.wanted && !d.there // it may be older than our deletion
		d.there, d.unsure = true, false
		t.lookAt(d)
	} else if d != nil {
		t.loseDiscard(d, e, now)
	}
}

// discardReplaced: another route with our mark may have taken the place of a discard route.
func (t *Table) discardReplaced(e *event, now time.Time) {
	d := t.discards[e.route.dst]
	if d != nil && e.kind == routeAdded && e.replaced && e.route.metric == DiscardMetric {
		t.loseDiscard(d, e, now)
	}
}

// loseDiscard notes that d is gone, and gives in for a while when it happens too often.
func (t *Table) loseDiscard(d *discard, e *event, now time.Time) {
	d.there, d.unsure = false, true
	t.lookAt(d)
	if e.third && d.wanted && d.trouble.fight.again("the discard route", e.by, now) {
		t.stats.Fights++
		t.log.WithFields(logrus.Fields{"prefix": d.dst, "reason": d.trouble.fight.reason}).Error("somebody keeps changing a discard route")
	}
}

// discardContested: a foreign route to the prefix of d came or went.
func (t *Table) discardContested(d *discard, e *event) {
	if e.route.metric != DiscardMetric {
		return
	}
	t.lookAt(d)
	if e.kind == routeAdded && e.replaced && d.there {
		d.there, d.unsure, t.reread = false, true, true
	}
}

// absorbDiscards makes our knowledge of discard routes what was read.
func (r *reading) absorbDiscards() {
	t := r.t
	for _, dst := range r.discards {
		t.discard(dst).seen = true
	}
	for _, d := range t.discards {
		was := d.there
		d.there, d.unsure, d.seen = d.seen, false, false
		wrong := d.wanted && !d.there || d.removing && d.there
		if d.there != was || !d.wanted && !d.there || wrong && (d.doubted || d.trouble.retry.IsZero()) {
			t.lookAt(d)
		}
		d.doubted = false
	}
}

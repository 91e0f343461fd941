package fib

import (
	"net/netip"
	"slices"
	"time"
)

const (
	retryFirst = time.Second
	retryLast  = time.Minute
)

// Changed is poked when Drain has something to hand over. It holds one poke.
func (t *Table) Changed() <-chan struct{} { return t.changed }

// Drain returns the latest state of each prefix whose state changed since the last Drain, each
// prefix once and in no particular order. One that has gone is Absent.
func (t *Table) Drain() []State {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]State, len(t.told))
	for i, e := range t.told {
		e.told = false
		all[i] = e.state()
	}
	t.told = reusable(t.told)
	for dst, e := range t.gone {
		*e = entry{}
		t.spare = append(t.spare, e)
		delete(t.gone, dst)
	}
	return all
}

// Lookup returns the state of one prefix; Absent and false when nothing of ours is there and none is desired.
func (t *Table) Lookup(dst netip.Prefix) (State, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.entries.Get(dst)
	if e == nil {
		return State{Dst: dst, Outcome: t.absent}, false
	}
	return e.state(), true
}

// All returns the state of every prefix, sorted.
func (t *Table) All() []State {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]State, 0, t.entries.Len())
	for _, e := range t.entries.All() {
		all = append(all, e.state())
	}
	slices.SortFunc(all, func(a, b State) int { return a.Dst.Compare(b.Dst) })
	return all
}

// Stats returns the counters. Its cost does not grow with the table.
func (t *Table) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.recount {
		t.recount, t.stats.NextHops = false, 0
		for _, h := range t.hops {
			if h.live(t.mode) {
				t.stats.NextHops++
			}
		}
	}
	s := t.stats
	s.Routes, s.Groups = t.entries.Len(), len(t.groups)
	s.Installed, s.Failed = t.tally.installed, t.tally.failed
	s.Conflicts, s.Adopted = t.tally.conflict, t.tally.adopted
	s.Discards = t.countDiscards()
	return s
}

// tally counts prefixes by their status.
type tally struct{ installed, failed, conflict, adopted int }

func (c *tally) count(s Status, by int) {
	switch s {
	case Installed:
		c.installed += by
	case Failed:
		c.failed += by
	case Conflict:
		c.conflict += by
	case Adopted:
		c.adopted += by
	case Absent:
	}
}

func (e *entry) state() State { return State{Dst: e.dst, Outcome: e.outcome} }

// collides says whether a foreign route has the place that ours would take.
func (t *Table) collides(e *entry) bool {
	if !e.contested {
		return false
	}
	for _, f := range t.foreign[e.dst] {
		if f.metric == uint32(t.cfg.Metric) {
			return true
		}
	}
	return false
}

// rival returns the foreign route that collides with ours or wins over it.
func (t *Table) rival(e *entry) (foreignRoute, bool) {
	var worst foreignRoute
	found := false
	if !e.contested {
		return worst, false
	}
	for _, f := range t.foreign[e.dst] {
		if f.metric <= uint32(t.cfg.Metric) && (!found || f.metric < worst.metric) {
			worst, found = f, true
		}
	}
	return worst, found
}

// publish records a state and tells, if it is news.
func (t *Table) publish(e *entry, o *Outcome) {
	was := e.outcome
	if was == o || was.same(o) {
		return
	}
	if o.Status == Conflict {
		t.rivalled[e] = struct{}{}
	} else if was.Status == Conflict {
		delete(t.rivalled, e)
	}
	t.tally.count(was.Status, -1)
	t.tally.count(o.Status, 1)
	e.outcome = o
	if !e.told {
		e.told = true
		t.told = append(t.told, e)
	}
	poke(t.changed)
}

// later has e tried again after a while, each time a longer one.
func (t *Table) later(e *entry, now time.Time) {
	t.trouble(e).later(now)
}

func (tr *trouble) later(now time.Time) {
	wait := retryLast
	if tr.attempts < 6 {
		wait = retryFirst << tr.attempts
	}
	tr.attempts++
	tr.retry = now.Add(wait)
}

func (t *Table) calm(e *entry) {
	if tr := e.trouble(); tr != nil {
		tr.calm()
	}
}

func (tr *trouble) calm() { tr.attempts, tr.retry = 0, time.Time{} }

func (t *Table) trouble(e *entry) *trouble {
	x := t.extra(e)
	if x.trouble == nil {
		x.trouble = &trouble{}
	}
	t.troubled[e] = struct{}{}
	return x.trouble
}

// hold states that e is not repaired now because somebody keeps undoing it.
func (t *Table) hold(e *entry) {
	tr := e.trouble()
	tr.retry = tr.fight.until
	if t.installed(e) < 0 || e.routes() > 1 {
		t.publish(e, t.share(Failed, t.standing(e), cause{why: tr.fight.reason}))
	}
}

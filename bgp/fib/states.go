package fib

import (
	"fmt"
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

// Drain returns the latest state of each prefix whose state changed since the last Drain, sorted.
func (t *Table) Drain() []State {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]State, 0, len(t.pending))
	for _, s := range t.pending {
		all = append(all, s)
	}
	clear(t.pending)
	sortStates(all)
	return all
}

// Lookup returns the state of one prefix; false when nothing of ours is there and none is desired.
func (t *Table) Lookup(dst netip.Prefix) (State, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.entries[dst]
	if !ok {
		return State{}, false
	}
	return e.state(), true
}

// All returns the state of every prefix, sorted.
func (t *Table) All() []State {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]State, 0, len(t.entries))
	for _, e := range t.entries {
		all = append(all, e.state())
	}
	sortStates(all)
	return all
}

// Stats returns the counters.
func (t *Table) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stats
	s.Routes, s.Groups = len(t.entries), len(t.groups)
	s.Installed, s.Failed = t.tally[Installed], t.tally[Failed]
	s.Conflicts, s.Adopted = t.tally[Conflict], t.tally[Adopted]
	for _, h := range t.hops {
		if h.live(t.mode) {
			s.NextHops++
		}
	}
	return s
}

func sortStates(all []State) {
	slices.SortFunc(all, func(a, b State) int { return a.Dst.Compare(b.Dst) })
}

func (e *entry) state() State {
	return State{Dst: e.dst, Status: e.status, NextHops: e.shown, Reason: e.reason}
}

// collides says whether a foreign route has the place that ours would take.
func (t *Table) collides(e *entry) bool {
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
	for _, f := range t.foreign[e.dst] {
		if f.metric <= uint32(t.cfg.Metric) && (!found || f.metric < worst.metric) {
			worst, found = f, true
		}
	}
	return worst, found
}

func (p *pass) conclude(failed error) {
	for _, e := range p.batch {
		if failed != nil && e.problem == "" {
			e.problem = failed.Error()
		}
		if p.t.reread && e.problem != "" {
			p.t.doubted = append(p.t.doubted, e)
		}
		e.forced = false
		p.t.conclude(e, p.now)
	}
	if p.repaired > 0 {
		p.t.log.WithField("routes", p.repaired).Warn("routes of ours had been removed or changed; written again")
	}
}

// conclude decides what became of e.
func (t *Table) conclude(e *entry, now time.Time) {
	if e.want == nil {
		t.concludeUnwanted(e, now)
		return
	}
	foreign, rivalled := t.rival(e)
	at := t.installed(e)
	switch {
	case rivalled:
		t.calm(e)
		e.settled = nil
		t.publish(e, Conflict, t.standing(e), rivalReason(foreign, t.cfg.Metric))
	case at >= 0:
		e.settled = e.want
		reason := whyDown(e.want)
		if reason != "" {
			reason = fmt.Sprintf("%d of %d next hops in use: %s", len(e.want.up), len(e.want.hops), reason)
			t.later(e, now)
		} else {
			t.calm(e)
		}
		t.publish(e, Installed, e.want.addrs, reason)
	default:
		reason := e.problem
		if reason == "" {
			reason = "not in the kernel"
		}
		t.later(e, now)
		t.publish(e, Failed, t.standing(e), reason)
	}
}

func (t *Table) concludeUnwanted(e *entry, now time.Time) {
	switch {
	case len(e.have) == 0:
		if e.status != "" {
			t.publish(e, Absent, nil, "")
		}
		t.tally[e.status]--
		delete(t.entries, e.dst)
		delete(t.troubled, e)
	case e.removing:
		t.later(e, now)
		t.publish(e, Failed, t.standing(e), e.problem)
	default:
		t.publish(e, Adopted, t.standing(e), "")
	}
}

func rivalReason(f foreignRoute, metric int) string {
	if f.metric == uint32(metric) {
		return fmt.Sprintf("a foreign route (protocol %d) has the same prefix and metric %d", f.protocol, f.metric)
	}
	return fmt.Sprintf("a foreign route (protocol %d) to the same prefix wins with metric %d", f.protocol, f.metric)
}

// standing returns the next hops of what of e's is in the kernel now.
func (t *Table) standing(e *entry) []netip.Addr {
	if len(e.have) == 0 {
		return nil
	}
	h := &e.have[0]
	if h.group != nil {
		return h.group.set.addrs
	}
	var addrs []netip.Addr
	for _, g := range h.hops {
		if g.addr.IsValid() {
			addrs = append(addrs, g.addr)
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs
}

// publish records a state and tells, if it is news.
func (t *Table) publish(e *entry, status Status, addrs []netip.Addr, reason string) {
	if e.status == status && e.reason == reason && slices.Equal(e.shown, addrs) {
		return
	}
	t.tally[e.status]--
	t.tally[status]++
	e.status, e.reason, e.shown = status, reason, addrs
	t.pending[e.dst] = e.state()
	poke(t.changed)
}

// later has e tried again after a while, each time a longer one.
func (t *Table) later(e *entry, now time.Time) {
	tr := t.trouble(e)
	wait := retryLast
	if tr.attempts < 6 {
		wait = retryFirst << tr.attempts
	}
	tr.attempts++
	tr.retry = now.Add(wait)
}

func (t *Table) calm(e *entry) {
	if e.trouble != nil {
		e.trouble.attempts, e.trouble.retry = 0, time.Time{}
	}
}

func (t *Table) trouble(e *entry) *trouble {
	if e.trouble == nil {
		e.trouble = &trouble{}
	}
	t.troubled[e] = struct{}{}
	return e.trouble
}

// hold states that e is not repaired now because somebody keeps undoing it.
func (t *Table) hold(e *entry) {
	e.trouble.retry = e.trouble.fight.until
	if t.installed(e) < 0 || len(e.have) > 1 {
		t.publish(e, Failed, t.standing(e), fightReason("the route"))
	}
}

// fightReason has no ticking parts: the same trouble is the same sentence.
func fightReason(what string) string {
	return fmt.Sprintf("another program keeps removing or changing %s (more than %d times within a minute); it is repaired once a minute",
		what, fightRepairs)
}

package fib

import (
	"fmt"
	"net/netip"
	"slices"
)

// conclude ends the pass: it decides what became of each entry and tells what is news.
func (p *pass) conclude(failed error) {
	for _, s := range p.sets {
		for _, g := range s.groups {
			g.late = false
		}
		said, quiet := p.t.quiet[s]
		if quiet && (failed != nil || s.problem != "" || !slices.Equal(said, s.way().addrs)) {
			p.t.revisit(s)
		}
	}
	p.t.quiet = nil
	for _, e := range p.batch {
		if failed != nil && p.problems[e].why == "" {
			p.trouble(e, failed.Error())
		}
		if p.t.reread && p.problems[e].why != "" {
			p.t.doubted = append(p.t.doubted, e)
		}
		e.forced = false
		p.judge(e)
	}
	if p.repaired > 0 {
		p.t.log.WithField("routes", p.repaired).Warn("routes of ours had been removed or changed; written again")
	}
}

// judge decides what became of e.
func (p *pass) judge(e *entry) {
	t := p.t
	if e.want == nil {
		p.judgeUnwanted(e)
		return
	}
	if e.want.detour != nil {
		e.want.followed = true
	}
	if e.usual != nil && e.usual.set != e.want {
		e.usual.set.followed = true
	}
	foreign, rivalled := t.rival(e)
	switch {
	case rivalled:
		t.calm(e)
		e.settled = false
		t.publish(e, t.share(Conflict, t.standing(e), cause{why: t.rivalReason(foreign)}))
	case t.installed(e) >= 0:
		e.settled = true
		o := p.success(e.want)
		if o.Reason != "" {
			t.later(e, p.now)
		} else {
			t.calm(e)
		}
		t.publish(e, o)
	default:
		reason := p.problems[e]
		if reason.why == "" {
			reason.why = "not in the kernel"
		}
		t.later(e, p.now)
		t.publish(e, t.share(Failed, t.standing(e), reason))
	}
}

func (p *pass) judgeUnwanted(e *entry) {
	t := p.t
	switch {
	case e.routes() == 0:
		if e.outcome != t.nothing {
			t.publish(e, t.absent)
		}
		t.retire(e)
	case e.removing:
		t.later(e, p.now)
		t.publish(e, t.share(Failed, t.standing(e), p.problems[e]))
	default:
		t.publish(e, t.share(Adopted, t.standing(e), cause{}))
	}
}

// success returns what is to be said of the prefixes that want s and have it. It is worked out
// once in a pass.
func (p *pass) success(s *pathSet) *Outcome {
	if s.concluded == p.serial {
		return s.outcome
	}
	s.concluded = p.serial
	w := s.way()
	reason := whyDown(w)
	if reason != "" {
		reason = fmt.Sprintf("%d of %d next hops in use: %s", len(w.addrs), len(w.hops), reason)
	}
	o := Outcome{Status: Installed, NextHops: w.addrs, Reason: reason, OffLink: offLink(w)}
	if s.outcome == nil || !s.outcome.same(&o) {
		fresh := o // o itself costs no allocation
		s.outcome = &fresh
	}
	return s.outcome
}

// share returns an outcome, the one that was made last if it says the same: what befalls many
// prefixes befalls them one after the other.
func (t *Table) share(status Status, addrs []netip.Addr, reason cause) *Outcome {
	o := Outcome{Status: status, NextHops: addrs, Reason: reason.why, OffLink: reason.offLink}
	if t.lastOutcome == nil || !t.lastOutcome.same(&o) {
		fresh := o
		t.lastOutcome = &fresh
	}
	return t.lastOutcome
}

// same says whether two outcomes say the same.
func (o *Outcome) same(p *Outcome) bool {
	return o.Status == p.Status && o.Reason == p.Reason && slices.Equal(o.NextHops, p.NextHops) && slices.Equal(o.OffLink, p.OffLink)
}

func (t *Table) rivalReason(f foreignRoute) string {
	protocol := t.names.text(f.protocol)
	if f.metric == uint32(t.cfg.Metric) {
		return fmt.Sprintf("a foreign route (protocol %s) has the same prefix and metric %d", protocol, f.metric)
	}
	return fmt.Sprintf("a foreign route (protocol %s) to the same prefix wins with metric %d", protocol, f.metric)
}

// standing returns the next hops of what of e's is in the kernel now.
func (t *Table) standing(e *entry) []netip.Addr {
	if e.routes() == 0 {
		return nil
	}
	h := t.route(e, 0)
	if h.group != nil {
		return h.group.set.way().addrs
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

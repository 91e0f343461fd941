package fib

import "net/netip"

// discardTarget is what a request of writeDiscards was made for.
type discardTarget struct {
	d     *discard
	other target // a route of ours that is in its place
}

// writeDiscards writes the discard routes that are desired and not there, and deletes those that are to go. It comes
// before the routes: packets of one that is deleted in the same pass meet the discard route at once.
func (p *pass) writeDiscards() error {
	t := p.t
	if !t.discardsDue {
		return nil
	}
	var reqs []request
	var targets []discardTarget
	var due []*discard
	for _, d := range t.sortedDiscards() {
		if !d.due {
			continue
		}
		due = append(due, d)
		switch {
		case !p.mayWrite(d):
		case d.wanted:
			reqs, targets = p.makeRoom(d, reqs, targets)
			reqs = append(reqs, request{op: opCreateRoute, drops: true, dst: d.dst, metric: DiscardMetric})
			targets = append(targets, discardTarget{d: d})
		default:
			reqs = append(reqs, request{op: opDeleteRoute, drops: true, dst: d.dst, metric: DiscardMetric})
			targets = append(targets, discardTarget{d: d})
		}
	}
	if err := t.apply(p.ctx, reqs); err != nil {
		for _, d := range due {
			d.problem, d.unsure = err.Error(), true
		}
		return err // they stay due
	}
	t.discardsDue = false
	for i := range reqs {
		switch x := &targets[i]; {
		case x.other.e != nil:
			p.deleted(&x.other, reqs[i].err)
		default:
			p.discardWritten(x.d, &reqs[i])
		}
	}
	for _, d := range due {
		d.due = false
		if !d.wanted && !d.there && !d.unsure {
			delete(t.discards, d.dst)
		}
	}
	return nil
}

// mayWrite says whether something is to be done for d, and can be now.
func (p *pass) mayWrite(d *discard) bool {
	t, tr := p.t, &d.trouble
	d.problem = ""
	if !d.wanted {
		if !d.removing {
			d.unsure = false
		}
		return d.removing && (d.there || d.unsure)
	}
	if d.there {
		d.settled = true
		tr.calm()
		return false
	}
	if _, displaced := t.displacing(d); displaced {
		d.settled = false
		tr.calm()
		return false
	}
	if tr.fight.held(p.now) {
		d.problem, tr.retry = tr.fight.reason, tr.fight.until
		return false
	}
	return true
}

// makeRoom adds what deletes the routes with our mark, not of our making, that have the place of d.
func (p *pass) makeRoom(d *discard, reqs []request, targets []discardTarget) ([]request, []discardTarget) {
	t := p.t
	e := t.entries.Get(d.dst)
	if e == nil || !t.holds(e, DiscardMetric) {
		return reqs, targets
	}
	for _, h := range e.others() {
		if h.metric == DiscardMetric {
			reqs, targets = append(reqs, deletion(e, &h)), append(targets, discardTarget{d: d, other: target{e, h}})
		}
	}
	p.batch = append(p.batch, e)
	return reqs, targets
}

// discardWritten takes in what became of a request.
func (p *pass) discardWritten(d *discard, r *request) {
	t := p.t
	switch {
	case r.err != nil:
		d.problem = r.err.Error()
		if r.op == opDeleteRoute {
			d.problem = "delete: " + d.problem
		}
		d.trouble.later(p.now)
		if _, displaced := t.displacing(d); !displaced {
			p.doubt(r.err)
			d.doubted = t.reread
		}
	case r.op == opDeleteRoute:
		d.there, d.unsure, d.removing = false, false, false
	default:
		if d.settled {
			t.stats.Repairs++
			p.repaired++
		}
		d.there, d.unsure, d.settled = true, false, true
		d.trouble.calm()
	}
}

// pruneDiscards has those removed that nobody desires, and returns them.
func (t *Table) pruneDiscards() (all []netip.Prefix) {
	for _, d := range t.discards {
		if !d.wanted && d.there {
			d.removing = true
			t.lookAt(d)
			all = append(all, d.dst)
		}
	}
	return all
}

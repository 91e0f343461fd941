package fib

import "slices"

// deleteObjects deletes the groups no route names and then the next hops no group needs.
//
// Not while there is doubt about what names them: with an object the kernel deletes, without a
// word, every route that does.
func (p *pass) deleteObjects() error {
	t := p.t
	if t.reread {
		return nil
	}
	if err := p.deleteGroups(); err != nil {
		return err
	}
	reqs := t.requests[:0]
	var gone, left []*hop
	var named map[uint32]struct{}
	for i := 0; i < len(t.idleHops); i++ { // it grows: a hop may be the last one behind its gateways
		h := t.idleHops[i]
		if !h.idle() || t.hops[h.addr] != h {
			continue
		}
		if h.gate && named == nil {
			named = t.members()
		}
		if _, needed := named[h.id]; needed && h.gate {
			left = append(left, h) // a group that could not be rewritten
			continue
		}
		delete(t.hops, h.addr)
		t.hopsChanged()
		t.lead(h, nil)
		switch {
		case t.inStray(h.id):
			t.strays[h.id] = kernelNextHop{id: h.id, gateway: h.known} // for Prune to judge
		case h.known != (gateway{}):
			reqs = append(reqs, request{op: opDeleteNextHop, id: h.id})
			gone = append(gone, h)
		default:
			delete(t.usedIDs, h.id)
		}
	}
	t.requests, t.idleHops = reqs, left
	if err := t.apply(p.ctx, reqs); err != nil {
		return err
	}
	for i, h := range gone {
		if reqs[i].err != nil {
			t.strays[h.id] = kernelNextHop{id: h.id, gateway: h.known}
			continue
		}
		delete(t.usedIDs, h.id)
	}
	return nil
}

// members are the objects that our groups have.
func (t *Table) members() map[uint32]struct{} {
	all := map[uint32]struct{}{}
	for _, g := range t.groups {
		for _, id := range g.members {
			all[id] = struct{}{}
		}
	}
	return all
}

// inStray says whether a group with our mark, but not of our making, has id as a member.
func (t *Table) inStray(id uint32) bool {
	for _, s := range t.strays {
		if slices.Contains(s.members, id) {
			return true
		}
	}
	return false
}

func (p *pass) deleteGroups() error {
	t := p.t
	reqs := t.requests[:0]
	var gone, left []*group
	for _, g := range t.idleGroups {
		g.idle = false
		if g.routes > 0 || g.kept || t.groups[g.id] != g {
			continue
		}
		reqs = append(reqs, request{op: opDeleteNextHop, id: g.id})
		gone = append(gone, g)
	}
	t.requests, t.idleGroups = reqs, nil
	if err := t.apply(p.ctx, reqs); err != nil {
		return err
	}
	for i, g := range gone {
		if reqs[i].err != nil {
			g.idle = true
			left = append(left, g)
			continue
		}
		t.drop(g)
	}
	t.idleGroups = left
	return nil
}

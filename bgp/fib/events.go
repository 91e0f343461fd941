package fib

import (
	"slices"
	"time"

	"github.com/sirupsen/logrus"
)

// handle takes in one notification. A notification may be older than what we wrote since, so it
// is never more than a hint: what it makes us write fails harmlessly (EEXIST, or the delete of
// the absent) when things have moved on, and that has the kernel read again.
func (t *Table) handle(e *event, now time.Time) {
	switch e.kind {
	case linkChanged:
		t.handleLink(e.link)
	case addressChanged:
		t.factsNews = true
		// With the last IPv4 address of a link the kernel drops the IPv4 routes over it, without a word.
		if t.doubtLink(e.link.index) && e.link.gone {
			t.reread = true
		}
		if h := t.hops[e.addr]; h != nil {
			t.markStale(h) // ours from now on, or no longer
		}
		t.doubtRivals(e.link.index) // a route goes silently with its source address
		t.sourceChanged(e.addr, now)
	case settingsChanged:
		poke(t.hostChanged)
	case rulesChanged:
		poke(t.hostChanged)
		t.recheck, t.ruleNews = true, true
	case nextHopAdded, nextHopRemoved:
		t.handleNextHop(e, now)
	case routeAdded, routeRemoved:
		if !t.known {
			return // the first reading will tell
		}
		if e.inTable && e.route.protocol == uint8(t.cfg.Protocol) {
			if isDiscard(&e.route) {
				t.handleDiscard(e, now)
				return
			}
			t.discardReplaced(e, now)
			t.handleOurs(e, now)
			return
		}
		dst := e.route.dst
		t.doubtWithin(dst, e.table)
		if e.inTable && e.route.tos == 0 {
			t.handleForeign(e)
		}
	}
}

// doubtRivals has the kernel read again when a foreign route that stands in our way may have gone
// with its link: of IPv4 routes the kernel does not tell.
func (t *Table) doubtRivals(link int) {
	if t.reread {
		return
	}
	over := func(f foreignRoute) bool { return f.link == 0 || f.link == link }
	for e := range t.rivalled {
		if slices.ContainsFunc(t.foreign[e.dst], over) {
			t.reread = true
			return
		}
	}
	for dst, d := range t.discards {
		if d.wanted && !d.there && slices.ContainsFunc(t.foreign[dst], over) {
			t.reread = true
			return
		}
	}
}

// handleLink: when a link goes down the kernel drops next-hop objects, groups and IPv4 routes
// without a word, so everything is read again if we use the link.
func (t *Table) handleLink(l linkState) {
	was, seen := t.links[l.index]
	if seen && was == l {
		return
	}
	t.links[l.index] = l
	if l.gone {
		delete(t.links, l.index)
	}
	t.factsNews = true
	if !l.up {
		t.doubtRivals(l.index)
	}
	if t.doubtLink(l.index) {
		t.reread = true
	}
}

func (t *Table) handleNextHop(e *event, now time.Time) {
	id := e.nextHop.id
	if !ours(id) && len(t.indexed().objects) > 0 {
		t.recheck, t.objectNews = true, true
	}
	if !ours(id) || id == lastID || t.mode != ModeObjects || !t.known {
		return
	}
	t.reread = true
	t.usedIDs[id] = struct{}{}
	if !e.third {
		return
	}
	if g := t.groups[id]; g != nil {
		t.interfered(&g.set.fight, "the next-hop group", e, now)
	}
	if h := t.indexed().byID[id]; h != nil && t.interfered(&h.fight, "the next-hop object", e, now) {
		h.fail(h.fight.reason)
		t.hopsChanged()
	}
}

// interfered notes that somebody touched a next-hop object of ours and says whether it is left
// alone for now.
func (t *Table) interfered(f *fight, what string, e *event, now time.Time) bool {
	if f.again(what, e.by, now) {
		t.stats.Fights++
		t.log.WithFields(logrus.Fields{"id": e.nextHop.id, "reason": f.reason}).Error("somebody keeps changing a next-hop object of ours")
	}
	if !f.held(now) {
		t.stats.Repairs++
	}
	return f.held(now)
}

// handleOurs: somebody else, or the kernel, touched a route with our mark.
func (t *Table) handleOurs(e *event, now time.Time) {
	x := t.entries.Get(e.route.dst)
	if e.kind == routeRemoved {
		if x == nil {
			return
		}
		at := t.find(x, func(h *held) bool { return h.is(&e.route) })
		if at < 0 {
			t.reread = t.reread || x.routes() > 0
			return
		}
		t.lose(x, at)
		x.unsure = true
	} else {
		x = t.entry(e.route.dst)
		if !t.gain(x, e) {
			return
		}
	}
	t.markDirty(x)
	if e.third && x.want != nil {
		t.disturbed(x, e.by, now)
	}
}

// gain records a route of ours that somebody else wrote, and says whether that is news. The kernel
// also announces routes whose group somebody rewrote (nexthop_compat_mode): those are none.
func (t *Table) gain(x *entry, e *event) bool {
	known := t.find(x, func(h *held) bool { return h.is(&e.route) }) >= 0
	whole := e.replaced || t.mode == ModeInline && x.dst.Addr().Is6() && e.route.nextHop == 0
	if known && (!whole || x.routes() == 1) {
		return false
	}
	if whole {
		// It took the place of the one with its metric; or of an IPv6 route we are told the whole.
		for at := 0; at >= 0; {
			if at = t.find(x, func(h *held) bool { return h.metric == e.route.metric }); at >= 0 {
				t.lose(x, at)
			}
		}
	}
	t.keep(x, t.newHeld(&e.route))
	t.reread = t.reread || t.collides(x)
	return true
}

// disturbed counts what others did to one of our routes, and gives in for a while when it is too much.
func (t *Table) disturbed(x *entry, by *sender, now time.Time) {
	if t.trouble(x).fight.again("the route", by, now) {
		t.stats.Fights++
		t.fought = append(t.fought, x)
	}
}

// logFights tells of the fights that have just begun, which may be one for each prefix, in one line.
func (t *Table) logFights() {
	if len(t.fought) == 0 {
		return
	}
	first := t.fought[0]
	if tr := first.trouble(); tr != nil {
		t.log.WithFields(logrus.Fields{"prefix": first.dst, "routes": len(t.fought), "reason": tr.fight.reason}).
			Error("somebody keeps changing routes of ours")
	}
	t.fought = nil
}

// handleForeign keeps track of what other programs have in our table.
func (t *Table) handleForeign(e *event) {
	dst, r := e.route.dst, newForeign(&e.route)
	x := t.entries.Get(dst)
	all := t.foreign[dst]
	if e.kind == routeRemoved {
		if at := slices.Index(all, r); at >= 0 {
			all = slices.Delete(all, at, at+1)
		}
		// Of several alike, or a part of an IPv6 multipath route, who knows what is left?
		t.reread = t.reread || x != nil && len(all) > 0
	} else {
		if x != nil && e.replaced && t.holds(x, r.metric) {
			t.reread = true // it may have taken the place of ours
		}
		if !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	if len(all) == 0 {
		delete(t.foreign, dst)
	} else {
		t.foreign[dst] = all
	}
	if d := t.discards[dst]; d != nil {
		t.discardContested(d, e)
	}
	if x != nil {
		x.contested = len(all) > 0
		t.markDirty(x)
	}
}

package main

import (
	"net/netip"
	"slices"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/ipam"
)

// What is here decides on the paths of one prefix, and between those that are all acceptable but come from different
// origins (see ipam.Plan.Dispute). Only the paths that GoBGP selected are compared: a longer one is no rival.

// judgePaths notes which paths of a set are refused, those before them counted in, and returns the verdict of the first
// usable one, or else of the first.
func (a *agent) judgePaths(prefix netip.Prefix, set *bgp.PathSet, before int) *ipam.Verdict {
	var verdict *ipam.Verdict
	var usable *bgp.Path
	refused, disputed := a.refusedPaths, false
	for i := range set.All() {
		p := &set.All()[i]
		v := a.view.judge(prefix, p)
		if v.Accepted && a.shuns(p) {
			v = a.view.unreachable(prefix, p)
		}
		switch {
		case !v.Accepted:
			refused = appendRefused(refused, a.view.mark(before+i, v))
		case usable == nil:
			usable = p
		default:
			disputed = disputed || a.view.disputed(usable, p)
		}
		if i == 0 || v.Accepted && !verdict.Accepted {
			verdict = a.share(v)
		}
	}
	if disputed {
		refused = a.dispute(prefix, set, before)
	}
	a.refusedPaths = refused
	return verdict
}

// party says who stands behind a usable path: with a wrong id it would not be one.
func (v *view) party(p *bgp.Path) ipam.Party {
	return ipam.Party{OriginASN: p.Origin(v.asn), Declared: len(p.ClusterIDs) > 0}
}

// disputed says whether two usable paths may not both be used.
func (v *view) disputed(p, q *bgp.Path) bool { return ipam.Disputed(v.party(p), v.party(q)) }

// dispute settles which of the usable paths of a set are used, and notes all that are not among the refused ones of it.
func (a *agent) dispute(prefix netip.Prefix, set *bgp.PathSet, before int) []byte {
	had := a.incumbents(prefix, set)
	verdicts := a.view.settle(prefix, set, func(i int) bool { return slices.Contains(had, set.All()[i].Origin(a.view.asn)) },
		func(i int) bool { return a.shuns(&set.All()[i]) })
	refused := a.refusedPaths
	for i, v := range verdicts {
		if !v.Accepted {
			refused = appendRefused(refused, a.view.mark(before+i, v))
		}
	}
	return refused
}

// mark is what is to be noted of the i-th path, given the verdict that refuses it.
func (v *view) mark(i int, verdict ipam.Verdict) mark {
	if verdict.Reason == v.far {
		return mark(i) | lostPath
	}
	return mark(i)
}

// settle returns the verdict on each path of a set; the lost ones, whose next hops are not reached, take no part.
func (v *view) settle(prefix netip.Prefix, set *bgp.PathSet, incumbent, lost func(i int) bool) []ipam.Verdict {
	verdicts := make([]ipam.Verdict, set.Len())
	var parties []ipam.Party
	var at []int
	for i := range verdicts {
		p := &set.All()[i]
		if verdicts[i] = v.judge(prefix, p); !verdicts[i].Accepted {
			continue
		}
		if lost(i) {
			verdicts[i] = v.unreachable(prefix, p)
			continue
		}
		party := v.party(p)
		party.Peer, party.Incumbent = v.names[p.Peer], incumbent(i)
		parties, at = append(parties, party), append(at, i)
	}
	for n, lost := range v.plan.Dispute(prefix, parties) {
		if lost.Reason != "" {
			verdicts[at[n]] = lost
		}
	}
	return verdicts
}

// incumbents returns the origins that have a prefix: after a restart those of the paths that lead where the route of the
// earlier run does, else those of the paths in use.
func (a *agent) incumbents(prefix netip.Prefix, set *bgp.PathSet) []uint32 {
	old := a.book.get(prefix)
	if old == nil {
		return nil
	}
	var had []uint32
	if old.status() == fib.Adopted {
		for _, p := range set.All() {
			if slices.Contains(old.kernel.NextHops, p.NextHop) {
				had = append(had, p.Origin(a.view.asn))
			}
		}
	}
	if len(had) > 0 || old.way == nil {
		return had
	}
	for i, p := range old.way.paths.All() {
		if !old.way.refuses(i) {
			had = append(had, p.Origin(a.view.asn))
		}
	}
	return had
}

// verdict explains what was decided about the i-th path.
func (w *way) verdict(prefix netip.Prefix, i int) ipam.Verdict {
	v := w.view.judge(prefix, &w.paths.All()[i])
	if !v.Accepted || !w.refuses(i) {
		return v
	}
	return w.view.settle(prefix, w.paths, func(i int) bool { return !w.refuses(i) }, w.lost)[i]
}

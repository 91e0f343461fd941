package main

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/config"
)

// Where peers are near or far (config.Preference), traffic goes away from a path that is lost at once, and back only after the
// better path has been there for a while: one that comes and goes must not take the traffic along each time. The speaker
// knows nothing of it, and what is passed on follows the better path at once.

// hesitation is a better path that is not used yet.
type hesitation struct {
	until  time.Time
	better *bgp.PathSet
}

// holdTime is for how long a better path is not used; 0 where no preference is given.
func holdTime(c *config.Config) time.Duration {
	if slices.ContainsFunc(c.BGP.Peers, func(p config.Peer) bool { return c.LocalPref(p) > 0 }) {
		return c.BGP.Preference.Hold
	}
	return 0
}

// hesitates says whether a prefix goes on with the path it has, though there is a better one, if that still exists.
func (b *batch) hesitates(c bgp.Change) bool {
	if b.hold == 0 {
		return false
	}
	r := b.book.get(c.Prefix)
	if !b.converged || r == nil || r.way == nil || r.kept || len(r.hops()) == 0 || !r.way.worse(c.Paths) {
		delete(b.hesitating, c.Prefix)
		return false
	}
	h, known := b.hesitating[c.Prefix]
	if !known || h.better != c.Paths {
		h = hesitation{b.now.Add(b.hold), c.Paths}
		b.hesitating[c.Prefix] = h
	}
	if !b.now.Before(h.until) {
		delete(b.hesitating, c.Prefix)
		return false
	}
	b.hesitant = append(b.hesitant, c)
	return true
}

// worse says whether the paths in use have a lower preference than others.
func (w *way) worse(than *bgp.PathSet) bool {
	for i, p := range w.paths.All() {
		if !w.refuses(i) {
			return p.LocalPref < than.All()[0].LocalPref
		}
	}
	return false
}

// stayWith decides on those that hesitate: what they use now is used on, as long as it is still announced, and should its
// session be lost, the better path follows at once.
func (b *batch) stayWith(ctx context.Context) {
	if len(b.hesitant) == 0 {
		return
	}
	prefixes := make([]netip.Prefix, len(b.hesitant))
	for i, c := range b.hesitant {
		prefixes[i] = c.Prefix
	}
	all, err := b.speaker.Paths(ctx, prefixes)
	if err != nil {
		b.log.WithError(err).Warn("looking for the paths in use")
	}
	b.stay(all)
}

func (b *batch) stay(all map[netip.Prefix][]bgp.Path) {
	for _, c := range b.hesitant {
		var d decision
		if paths := b.book.get(c.Prefix).inUse(all[c.Prefix]); paths != nil {
			d = b.judge(bgp.Change{Prefix: c.Prefix, Paths: c.Paths, Spare: c.Paths}, paths)
		}
		if d.way == nil || len(d.way.hops) == 0 {
			b.book.spurn(d.way)
			delete(b.hesitating, c.Prefix)
			b.decideNow(c)
			continue
		}
		b.take(c.Prefix, d)
	}
	b.hesitant = nil
}

// inUse returns those of the paths to a prefix that are used now; nil if none is.
func (r *record) inUse(all []bgp.Path) *bgp.PathSet {
	paths := slices.DeleteFunc(slices.Clone(all), func(p bgp.Path) bool {
		return !slices.Contains(r.way.usable, hop{p.Peer, p.NextHop})
	})
	if slices.EqualFunc(r.way.paths.All(), paths, bgp.Path.Equal) {
		return r.way.paths
	}
	return bgp.NewPathSet(paths)
}

// followHold looks again at prefixes that hesitate, when their time is over or something changed that does not show in the
// best paths.
func (a *agent) followHold(ctx context.Context, now time.Time) {
	if len(a.hesitating) == 0 {
		return
	}
	unseen := a.speaker.Unseen()
	var again []netip.Prefix
	for prefix, h := range a.hesitating {
		switch {
		case a.book.get(prefix) == nil:
			delete(a.hesitating, prefix)
		case unseen != a.unseen || !now.Before(h.until):
			again = append(again, prefix)
		}
	}
	a.unseen = unseen
	a.judgeAgain(ctx, again)
}

package main

import (
	"context"
	"net/netip"
	"slices"

	"github.com/underlayd/underlayd/bgp"
)

// fallBack decides on the fallen. It looks for usable paths among those that lost the best-path selection to unusable
// ones: a peer that announces nonsense must not hide another that does not.
func (b *batch) fallBack(ctx context.Context) {
	if len(b.fallen) == 0 {
		return
	}
	prefixes := make([]netip.Prefix, len(b.fallen))
	for i, f := range b.fallen {
		prefixes[i] = f.Prefix
	}
	all, err := b.speaker.Paths(ctx, prefixes)
	if err != nil {
		b.log.WithError(err).Warn("looking for other paths")
	}
	b.raise(all, err == nil)
	b.keepFollowing()
}

// raise decides on the fallen, given all paths of each. If those are not known, what was decided about the same best
// paths stands.
func (b *batch) raise(all map[netip.Prefix][]bgp.Path, known bool) {
	for _, f := range b.fallen {
		old := b.book.get(f.Prefix)
		if !known && old != nil && old.way != nil && old.way.best == f.Paths {
			continue
		}
		if paths := b.firstUsable(f.Change, all[f.Prefix]); paths != nil {
			f.decision = b.judge(f.Change, paths)
		} else if len(f.way.hops) > 0 {
			f.way = b.book.stuck(f.way)
		}
		b.take(f.Prefix, f.decision)
	}
	for _, f := range b.fallen {
		b.book.spurn(f.way) // the decision on the best paths alone
	}
	b.fallen = nil
}

// firstUsable returns the unusable best paths of a prefix with the best of all those that are usable, nil if none is.
func (a *agent) firstUsable(c bgp.Change, all []bgp.Path) *bgp.PathSet {
	usable := slices.IndexFunc(all, func(p bgp.Path) bool { return a.astray[p.NextHop] == 0 && a.view.judge(c.Prefix, &p).Accepted })
	if usable < 0 {
		return nil
	}
	paths := slices.Clone(c.Paths.All())
	for _, p := range all[usable:] {
		if p.AsGoodAs(all[usable]) {
			paths = append(paths, p)
		}
	}
	if old := a.book.get(c.Prefix); old != nil && old.way != nil && slices.EqualFunc(old.way.paths.All(), paths, bgp.Path.Equal) {
		return old.way.paths
	}
	return bgp.NewPathSet(paths)
}

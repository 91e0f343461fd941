package fib

import (
	"context"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"time"
)

// flush brings the kernel to what is desired for all that is dirty. When it turns out that the
// kernel is not as we thought, everything is read once and the rest gone over again.
func (t *Table) flush(ctx context.Context) error {
	err := t.write(ctx)
	if err != nil || !t.reread {
		return err
	}
	doubted := t.doubted
	t.doubted = nil
	if err := t.sync(ctx); err != nil {
		return err
	}
	for _, e := range doubted {
		if t.entries.Get(e.dst) == e {
			t.markDirty(e)
		}
	}
	err = t.write(ctx)
	t.doubted = nil
	if err == nil {
		t.reread = false // what still fails is tried again with back-off, not by reading in a loop
	}
	return err
}

// write is one pass over what is dirty.
func (t *Table) write(ctx context.Context) error {
	t.passes++
	p := &pass{t: t, ctx: ctx, now: time.Now(), serial: t.passes}
	failed := t.resolveStale(ctx)
	t.markConcerned(t.returned)
	t.returned = nil
	p.take()
	steps := []func() error{p.moveGroups, p.writeHops, p.writeGroups, p.writeDiscards, p.writeRoutes, p.writeLateGroups, p.deleteObjects}
	for _, step := range steps {
		if failed != nil {
			t.reread = true // what was asked may have happened or not
			break
		}
		failed = step()
	}
	p.conclude(failed)
	if t.dirty == nil {
		t.dirty = reusable(p.batch)
	}
	return failed
}

// spread touches the sets for which the newly resolved hops make a difference, and makes the
// entries dirty that have to do with them. Sets that nothing was written for yet have only dirty
// entries.
func (t *Table) spread(hops []*hop) {
	hit := map[*pathSet]struct{}{}
	for _, h := range hops {
		for s := range h.users() {
			if s.fresh {
				continue
			}
			changed, named := t.unsettled(s)
			switch {
			case !changed:
			case named || t.mode == ModeInline || !s.far():
				hit[s] = struct{}{}
				for _, from := range s.carries {
					hit[from] = struct{}{}
				}
			default:
				t.touchQuietly(s)
				for _, from := range s.carries {
					t.touchQuietly(from)
				}
			}
		}
	}
	for s := range hit {
		t.touch(s)
	}
	t.markConcerned(hit)
}

// touchQuietly has the groups of s written, and nothing done about its entries as long as that goes well: the next hops
// that they name are used as before, through other gateways.
func (t *Table) touchQuietly(s *pathSet) {
	if _, again := t.quiet[s]; !again {
		if t.quiet == nil {
			t.quiet = map[*pathSet][]netip.Addr{}
		}
		t.quiet[s] = s.way().addrs
	}
	t.touch(s)
}

// far says whether a hop of s is reached through gateways.
func (s *pathSet) far() bool {
	return slices.ContainsFunc(s.hops, func(h *hop) bool { return len(h.via) > 0 })
}

// users are the sets that hand packets to h.
func (h *hop) users() iter.Seq[*pathSet] {
	return func(yield func(*pathSet) bool) {
		for _, s := range h.sets {
			if !yield(s) {
				return
			}
		}
		for _, f := range h.far {
			for _, s := range f.sets {
				if !yield(s) {
					return
				}
			}
		}
	}
}

// markConcerned makes the entries dirty that want one of the sets or name a group of one.
func (t *Table) markConcerned(sets map[*pathSet]struct{}) {
	if len(sets) == 0 {
		return
	}
	for _, e := range t.entries.All() {
		if e.want == nil {
			continue
		}
		_, hit := sets[e.want]
		if !hit && e.usual != nil && e.usual.set != e.want {
			_, hit = sets[e.usual.set]
		}
		if hit {
			t.markDirty(e)
		}
	}
}

// unsettled says whether what can be used of s is not what was last written for it, and whether other hops of it can
// be used than those that were said to be.
func (t *Table) unsettled(s *pathSet) (changed, named bool) {
	unwritten := false
	changed, named = s.differs(func(g *hop) bool {
		unwritten = unwritten || g.usable() && !g.live(t.mode)
		return g.usable()
	})
	return changed || unwritten, named
}

// apply has the requests carried out and counts.
func (t *Table) apply(ctx context.Context, reqs []request) error {
	if len(reqs) == 0 {
		return nil
	}
	t.stats.Operations += uint64(len(reqs))
	if err := t.kernel.apply(ctx, reqs); err != nil {
		return fmt.Errorf("write to kernel: %w", err)
	}
	for i := range reqs {
		if reqs[i].err != nil {
			t.stats.Errors++
		}
	}
	return nil
}

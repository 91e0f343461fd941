package fib

import (
	"context"
	"errors"
	"fmt"
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
	steps := []func() error{p.moveGroups, p.writeHops, p.writeGroups, p.writeRoutes, p.writeLateGroups, p.deleteObjects}
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

// resolveStale asks the kernel again over which links the stale hops are reached. Entries of
// all sets for which that makes a difference become dirty.
func (t *Table) resolveStale(ctx context.Context) error {
	now := time.Now()
	ask, addrs := t.stale[:0], t.addrs[:0]
	for _, h := range t.stale {
		if h.stale = false; len(h.sets) > 0 && !h.fight.held(now) {
			ask, addrs = append(ask, h), append(addrs, h.addr)
		}
	}
	t.stale, t.addrs = nil, addrs
	if len(ask) == 0 {
		return nil
	}
	answers, err := t.kernel.resolve(ctx, addrs)
	if err != nil {
		for _, h := range ask {
			t.markStale(h)
		}
		return err
	}
	t.hopsChanged()
	for i, h := range ask {
		h.learn(answers[i])
	}
	t.spread(ask)
	return nil
}

func (h *hop) learn(r resolution) {
	if r.err != nil {
		h.fail(r.err.Error())
		h.offLink = errors.Is(r.err, errNotOnLink)
		return
	}
	h.problem, h.offLink, h.link = "", false, r.link
}

// spread touches the sets for which the newly resolved hops make a difference, and makes the
// entries dirty that have to do with them. Sets that nothing was written for yet have only dirty
// entries.
func (t *Table) spread(hops []*hop) {
	hit := map[*pathSet]struct{}{}
	for _, h := range hops {
		for _, s := range h.sets {
			if s.fresh || !t.unsettled(s) {
				continue
			}
			hit[s] = struct{}{}
			for _, from := range s.carries {
				hit[from] = struct{}{}
			}
		}
	}
	for s := range hit {
		t.touch(s)
	}
	t.markConcerned(hit)
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

// unsettled says whether what can be used of s is not what was last written for it.
func (t *Table) unsettled(s *pathSet) bool {
	n := 0
	for _, h := range s.hops {
		usable := h.problem == "" && h.link != 0
		if usable != slices.Contains(s.up, h) || usable && !h.live(t.mode) {
			return true
		}
		if !usable {
			continue
		}
		if s.inline[n].link != h.link {
			return true
		}
		n++
	}
	return false
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

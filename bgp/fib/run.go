package fib

import (
	"context"
	"fmt"
	"time"
)

const (
	// gather lets what belongs together arrive before it is acted on.
	gather = 10 * time.Millisecond
	// tick is how often retries and pending readings are looked at while there are any.
	tick = 200 * time.Millisecond
	// Readings that follow each other within calm are held apart ever more, up to maxRest times
	// as long as one takes: a single event is acted on at once, but somebody who keeps changing
	// things cannot have us do nothing but read.
	calm    = 10 * time.Second
	maxRest = 4
	// The periodic reading rests at least so many times as long as the last one took, however
	// short Resync is: a table of a million must not mean reading all the time. It keeps the
	// cost below 0.2 % of a core.
	idleRest = 500
)

// Run watches the kernel and repairs until ctx ends: routes, groups and next hops that others
// delete or change, what is lost when a link goes down, and, at every Resync, whatever no
// notification told. It retries what failed. It returns nil on cancel; only a broken socket makes
// it return an error. One Run at a time; Ensure and the others may be called meanwhile.
func (t *Table) Run(ctx context.Context) error {
	if !t.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer t.running.Store(false)
	ctx, cancel := context.WithCancel(ctx)
	broken := make(chan error, 1)
	go func() { broken <- t.kernel.watch(ctx, t.queue.push) }()
	err := t.loop(ctx, broken)
	cancel()
	return err
}

func (t *Table) loop(ctx context.Context, broken <-chan error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case err := <-broken:
			return err
		case <-timer.C:
		case <-t.queue.ready:
			select {
			case <-ctx.Done():
			case <-time.After(gather):
			}
		}
		if ctx.Err() == nil {
			timer.Reset(t.step(ctx))
		}
	}
}

// step does what is due and returns how long until something may be due again.
func (t *Table) step(ctx context.Context) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	events, lost := t.queue.take()
	for i := range events {
		t.handle(&events[i], now)
	}
	t.logFights()
	t.followUp(now)
	if lost {
		t.overflow()
	}
	t.retry(now)
	t.retryDiscards(now)
	if err := t.work(ctx, now); err != nil && ctx.Err() == nil {
		t.log.WithError(err).Warn("kernel routes could not be repaired; trying again")
		t.reread = true
	}
	if t.reread || t.recheck || t.factsNews || len(t.troubled) > 0 || t.ruleDue || t.discardsWait() {
		return tick
	}
	return max(tick, t.period()-time.Since(t.lastRead))
}

// followUp does what events asked for and what need not be done for each of them: at once for one that comes alone,
// and once in a tick for those that do not end.
func (t *Table) followUp(now time.Time) {
	if t.factsNews && now.Sub(t.factsAt) >= tick {
		t.factsNews, t.factsAt = false, now
		poke(t.factsChanged)
	}
	if t.recheck && now.Sub(t.checkedAt) >= tick {
		t.recheck, t.checkedAt = false, now
		t.doubtTroubled()
		if t.objectNews {
			t.doubtObjects()
		}
		if t.ruleNews {
			t.doubtAll()
			t.ensureRules(now)
		}
		t.objectNews, t.ruleNews = false, false
	}
	if t.ruleDue && now.Sub(t.ruledAt) >= retryFirst {
		t.ensureRules(now)
	}
}

// period is how long the periodic reading rests.
func (t *Table) period() time.Duration { return max(t.cfg.Resync, idleRest*t.readTook) }

// overflow: notifications were lost, so anything may have happened to links and routes.
func (t *Table) overflow() {
	t.stats.Overflows++
	t.reread = true
	clear(t.links)
	t.doubtAll()
	t.factsNews, t.ruleNews = true, true
	t.log.Debug("kernel notifications were lost; reading everything again")
}

func (t *Table) work(ctx context.Context, now time.Time) error {
	since := now.Sub(t.lastRead)
	if since >= calm {
		t.hurried = 0
	}
	rested := since >= time.Duration(t.hurried)*t.readTook
	if !t.known || t.reread && rested || since >= t.period() {
		t.hurried = min(t.hurried+1, maxRest)
		if err := t.sync(ctx); err != nil {
			return fmt.Errorf("resync: %w", err)
		}
	}
	if len(t.dirty) == 0 && len(t.stale) == 0 && len(t.touched) == 0 && len(t.idleGroups) == 0 && len(t.returned) == 0 && !t.discardsDue {
		return nil
	}
	return t.flush(ctx)
}

// retry makes dirty whatever has waited long enough.
func (t *Table) retry(now time.Time) {
	for e := range t.troubled {
		tr := e.trouble()
		switch {
		case !tr.retry.IsZero() && !now.Before(tr.retry):
			tr.retry = time.Time{}
			t.again(e)
		case tr.retry.IsZero() && tr.fight.over(now):
			e.extra.trouble = nil
			t.slim(e)
			delete(t.troubled, e)
		}
	}
}

// again has e written again, with its unusable next hops resolved again.
func (t *Table) again(e *entry) {
	t.markDirty(e)
	if e.want == nil {
		return
	}
	for _, h := range e.want.way().hops {
		for _, g := range h.legs() {
			if h.problem != "" || g.problem != "" {
				t.markStale(h)
				t.markStale(g)
			}
		}
	}
}

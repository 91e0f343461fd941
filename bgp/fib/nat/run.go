package nat

import (
	"context"
	"time"
)

// What failed is tried again after a second, then less and less often.
const (
	retryFirst = time.Second
	retryMost  = time.Minute
)

// Run watches the table and repairs it until ctx ends, and tries again what failed. It returns nil on cancel; only a broken
// socket makes it return an error. One Run at a time.
func (x *Exemption) Run(ctx context.Context) error {
	if !x.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer x.running.Store(false)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	touches, broken := make(chan touch, 1), make(chan error, 1)
	go func() {
		broken <- x.mon.watch(ctx, func(t touch) {
			select {
			case touches <- t:
			case <-ctx.Done():
			}
		})
	}()
	retry, wait := time.NewTimer(0), retryFirst
	retry.Stop()
	defer retry.Stop()
	for {
		var next time.Duration
		select {
		case err := <-broken:
			return err // nil when ctx has ended
		case t := <-touches:
			next = x.touched(t)
		case <-x.due:
			next = retryFirst
		case <-retry.C:
			if next = x.repair(); next == retryFirst {
				next, wait = wait, min(2*wait, retryMost)
			}
		}
		if next > 0 {
			retry.Reset(next)
		} else {
			wait = retryFirst
		}
	}
}

// touched looks after a table that somebody else has touched, and returns when to do so again; 0 for not at all.
func (x *Exemption) touched(t touch) time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.known, x.disturbed = false, &t
	return x.mend(time.Now())
}

// repair tries again.
func (x *Exemption) repair() time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.mend(time.Now())
}

// mend puts right what is not as it was asked for. x.mu is held.
func (x *Exemption) mend(now time.Time) time.Duration {
	if !x.wanted() {
		return 0 // nobody knows yet what belongs there
	}
	if x.disturbed != nil && x.fight.held(now) {
		x.note(nil, 0)
		return x.fight.until.Sub(now)
	}
	different, err := x.bring()
	repairs := uint64(0)
	if x.disturbed != nil && different && err == nil {
		repairs = 1
		x.log.WithField("by", x.disturbed.by).Warn("somebody removed or changed the table; it is as it should be again")
		if x.fight.again(x.disturbed.by, now) {
			x.log.WithField("reason", x.fight.reason).Error("somebody keeps changing the table")
		}
	}
	if err == nil {
		x.disturbed = nil
	}
	if err != nil && err.Error() != x.State().Problem { // said once
		x.log.WithError(err).Warn("the table is not as it should be; trying again")
	}
	x.note(err, repairs)
	if err != nil {
		return retryFirst
	}
	return x.fight.remembered(now)
}

func (x *Exemption) wanted() bool {
	x.seen.Lock()
	defer x.seen.Unlock()
	return x.asked
}

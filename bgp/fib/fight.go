package fib

import (
	"slices"
	"time"
)

// fight remembers when something of ours had to be repaired because others touched it.
type fight struct {
	repairs []time.Time
	until   time.Time // no repair before
}

const (
	fightWindow  = time.Minute
	fightRepairs = 5
	fightPause   = time.Minute
)

// again notes another interference and says whether it has just become a fight. Whoever keeps on
// fighting after a pause gets the next pause after one repair.
func (f *fight) again(now time.Time) bool {
	if !f.until.IsZero() && now.Sub(f.until) < fightWindow {
		if !now.Before(f.until) {
			f.until = now.Add(fightPause)
		}
		return false
	}
	f.repairs = slices.DeleteFunc(f.repairs, func(at time.Time) bool { return now.Sub(at) >= fightWindow })
	f.repairs = append(f.repairs, now)
	if len(f.repairs) <= fightRepairs {
		return false
	}
	f.repairs, f.until = nil, now.Add(fightPause)
	return true
}

func (f *fight) held(now time.Time) bool { return now.Before(f.until) }

// over says whether f can be forgotten.
func (f *fight) over(now time.Time) bool {
	if !f.until.IsZero() && now.Sub(f.until) < fightWindow {
		return false
	}
	return len(f.repairs) == 0 || now.Sub(f.repairs[len(f.repairs)-1]) >= fightWindow
}

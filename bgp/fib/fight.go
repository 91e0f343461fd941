package fib

import (
	"fmt"
	"time"
)

// fight remembers when something of ours had to be repaired because others touched it, and who did.
type fight struct {
	repairs []repair
	until   time.Time // no repair before
	reason  string    // why not, worked out when the fight began
}

type repair struct {
	at time.Time
	by *sender
}

const (
	fightWindow  = time.Minute
	fightRepairs = 5
	fightPause   = time.Minute
)

// again notes another interference with a thing of ours and says whether it has just become a fight. Whoever keeps on
// fighting after a pause gets the next pause after one repair.
func (f *fight) again(what string, by *sender, now time.Time) bool {
	if !f.until.IsZero() && now.Sub(f.until) < fightWindow {
		if !now.Before(f.until) {
			f.until = now.Add(fightPause)
		}
		return false
	}
	fresh := f.repairs[:0]
	for _, r := range f.repairs {
		if now.Sub(r.at) < fightWindow {
			fresh = append(fresh, r)
		}
	}
	f.repairs = append(fresh, repair{now, by})
	if len(f.repairs) <= fightRepairs {
		return false
	}
	all := make([]*sender, len(f.repairs))
	for i, r := range f.repairs {
		all[i] = r.by
	}
	f.reason = fightReason(what, blame(all))
	f.repairs, f.until = nil, now.Add(fightPause)
	return true
}

func (f *fight) held(now time.Time) bool { return now.Before(f.until) }

// over says whether f can be forgotten.
func (f *fight) over(now time.Time) bool {
	if !f.until.IsZero() && now.Sub(f.until) < fightWindow {
		return false
	}
	return len(f.repairs) == 0 || now.Sub(f.repairs[len(f.repairs)-1].at) >= fightWindow
}

// fightReason has no ticking parts: the same trouble is the same sentence.
func fightReason(what, by string) string {
	return fmt.Sprintf("another program keeps removing or changing %s (more than %d times within a minute%s); it is repaired once a minute",
		what, fightRepairs, by)
}

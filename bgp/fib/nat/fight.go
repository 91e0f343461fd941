package nat

import (
	"fmt"
	"time"
)

// Whoever keeps removing or changing our table is not fought with for each packet.
const (
	fightWindow  = time.Minute
	fightRepairs = 5
	fightPause   = time.Minute
)

// fight remembers the repairs of the last minute.
type fight struct {
	repairs []time.Time
	until   time.Time // no repair before
	reason  string    // why not
}

// again notes another repair of what a program did and says whether it has just become a fight. Whoever goes on after a
// pause gets the next one after one repair.
func (f *fight) again(by string, now time.Time) bool {
	if f.remembered(now) > 0 {
		f.until = now.Add(fightPause)
		return false
	}
	fresh := f.repairs[:0]
	for _, at := range f.repairs {
		if now.Sub(at) < fightWindow {
			fresh = append(fresh, at)
		}
	}
	f.repairs = append(fresh, now)
	if len(f.repairs) < fightRepairs {
		return false
	}
	if by != "" {
		by = ", the last time by " + by
	}
	f.reason = fmt.Sprintf("another program keeps removing or changing the table (%d times within a minute%s); from now on it is repaired once a minute",
		fightRepairs, by)
	f.repairs, f.until = nil, now.Add(fightPause)
	return true
}

func (f *fight) held(now time.Time) bool { return now.Before(f.until) }

// remembered is how much longer a fight is known as one: a pause, and a window after it.
func (f *fight) remembered(now time.Time) time.Duration {
	if f.until.IsZero() {
		return 0
	}
	return max(0, f.until.Add(fightWindow).Sub(now))
}

// problem is the reason while a fight is known as one.
func (f *fight) problem(now time.Time) string {
	if f.remembered(now) == 0 {
		return ""
	}
	return f.reason
}

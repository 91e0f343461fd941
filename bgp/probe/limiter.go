package probe

import (
	"net/netip"
	"time"
)

// bucket lets through so many a second, and so many at once after a pause. It starts full.
type bucket struct {
	rate, burst float64
	left        float64
	last        time.Time
}

func newBucket(rate, burst int) bucket {
	return bucket{rate: float64(rate), burst: float64(burst), left: float64(burst)}
}

// take says whether one more may pass now.
func (b *bucket) take(now time.Time) bool {
	b.fill(now)
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

func (b *bucket) fill(now time.Time) {
	if passed := now.Sub(b.last).Seconds(); passed > 0 {
		if !b.last.IsZero() {
			b.left = min(b.burst, b.left+passed*b.rate)
		}
		b.last = now
	}
}

// wait is how long it takes until one may pass.
func (b *bucket) wait(now time.Time) time.Duration {
	b.fill(now)
	if b.left >= 1 {
		return 0
	}
	return time.Duration((1-b.left)/b.rate*float64(time.Second)) + 1
}

// What a responder does, at most.
const (
	checksRate  = 20000 // MACs a second, some 3 us each: what is beyond is dropped unread
	answersRate = 2000  // a second, in all
	sourceRate  = 50    // a second, to one source
	sources     = 4096  // that are remembered; the one that was first goes first
)

// limiter bounds the answers of a responder. It belongs to one goroutine.
type limiter struct {
	checks, answers bucket
	bySource        map[netip.Addr]*bucket
	order           []netip.Addr // a ring of those in bySource
	next            int
}

func newLimiter() *limiter {
	return &limiter{
		checks: newBucket(checksRate, checksRate/4), answers: newBucket(answersRate, answersRate),
		bySource: map[netip.Addr]*bucket{},
	}
}

// answer says whether a source may be answered now.
func (l *limiter) answer(source netip.Addr, now time.Time) bool {
	b := l.bySource[source]
	if b == nil {
		fresh := newBucket(sourceRate, 2*sourceRate)
		b = &fresh
		l.bySource[source] = b
		if len(l.order) < sources {
			l.order = append(l.order, source)
		} else {
			delete(l.bySource, l.order[l.next])
			l.order[l.next] = source
			l.next = (l.next + 1) % sources
		}
	}
	return b.take(now) && l.answers.take(now)
}

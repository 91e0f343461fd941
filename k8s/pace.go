package k8s

import (
	"context"
	"math/rand/v2"
	"time"
)

// Pace bounds what one node costs the API. The zero value of a field is its
// default.
type Pace struct {
	// Coalesce is how long an ordinary change waits for others (2 s).
	Coalesce time.Duration
	// Spread is how much longer an ordinary write may wait, by chance (as long as
	// Coalesce): a route that comes or goes does so on all nodes of a cluster at once.
	Spread time.Duration
	// Interval is the least time between a write and the next ordinary one (10 s).
	Interval time.Duration
	// Floor is the least time between any two writes (1 s).
	Floor time.Duration
	// Ahead is how many urgent writes may run ahead of one write per Interval
	// (3). However hard routes flap, a span of time t sees at most
	// t/Interval + Ahead + 1 writes.
	Ahead int
	// MaxBackoff caps the delay between tries while the API fails (15 s); tries
	// come after half of the delay to all of it.
	MaxBackoff time.Duration
	// Renew is the time between renewals of the Lease (10 s); the Lease lasts
	// four times as long.
	Renew time.Duration
	// Discover is the time between looks for a kind that the API does not serve, or
	// does not let us read (60 s).
	Discover time.Duration
	// Series is the least time between two writes of one series of Events (5 min).
	Series time.Duration
}

func (p Pace) withDefaults() Pace {
	fill := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	fill(&p.Coalesce, 2*time.Second)
	fill(&p.Spread, p.Coalesce)
	fill(&p.Interval, 10*time.Second)
	fill(&p.Floor, time.Second)
	fill(&p.MaxBackoff, 15*time.Second)
	fill(&p.Renew, 10*time.Second)
	fill(&p.Discover, time.Minute)
	fill(&p.Series, 5*time.Minute)
	if p.Ahead <= 0 {
		p.Ahead = 3
	}
	return p
}

// schedule says when the next write is due. It is a value with no clock of its
// own; the publisher's goroutine owns it.
type schedule struct {
	pace   Pace
	first  time.Time     // of the changes not yet written; zero: none
	spread time.Duration // of these
	urgent bool
	last   time.Time // last write
	// earned is when the writes so far will have been earned back at one per
	// Interval (the theoretical arrival time of the generic cell rate algorithm).
	earned time.Time
}

// change notes that something is to be written. Only the latest word on urgency
// counts.
func (s *schedule) change(now time.Time, urgent bool) {
	if s.first.IsZero() {
		s.first, s.spread = now, rand.N(s.pace.Spread+1) //nolint:gosec // spreading load needs no secrecy
	}
	s.urgent = urgent
}

// settle notes that nothing is to be written any more.
func (s *schedule) settle() { s.first, s.urgent = time.Time{}, false }

// wrote notes a write.
func (s *schedule) wrote(now time.Time) {
	s.settle()
	s.last = now
	s.earned = latest(s.earned, now).Add(s.pace.Interval)
}

// due returns when to write, false when there is nothing to write.
func (s *schedule) due() (time.Time, bool) {
	if s.first.IsZero() {
		return time.Time{}, false
	}
	ordinary := latest(s.first.Add(s.pace.Coalesce), s.last.Add(s.pace.Interval)).Add(s.spread)
	if !s.urgent {
		return ordinary, true
	}
	ahead := s.earned.Add(-time.Duration(s.pace.Ahead) * s.pace.Interval)
	urgent := latest(s.first, latest(s.last.Add(s.pace.Floor), ahead))
	if ordinary.Before(urgent) {
		return ordinary, true
	}
	return urgent, true
}

// backoff spaces the tries of one failing kind of request. One goroutine owns it.
type backoff struct {
	max   time.Duration
	fails int
	until time.Time // not before; zero after a success
}

// failed notes a failure. The wait doubles from 1 s and is jittered downwards to
// half, so that the nodes of a cluster do not come back in step; it is never
// less than what the server asked for.
func (b *backoff) failed(now time.Time, retryAfter time.Duration) {
	wait := min(time.Second<<min(b.fails, 20), b.max)
	wait = wait/2 + rand.N(wait/2+1) //nolint:gosec // spreading load needs no secrecy
	if retryAfter > wait {
		wait = retryAfter + rand.N(retryAfter/4+1) //nolint:gosec // as above
	}
	b.fails++
	b.until = now.Add(wait)
}

// reset notes a success, or any other sign that the API is back.
func (b *backoff) reset() { b.fails, b.until = 0, time.Time{} }

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// inTurns takes a step whenever wake has something or the last step's time is over, until ctx ends.
func inTurns(ctx context.Context, wake <-chan struct{}, step func(context.Context) time.Duration) {
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-timer.C:
		}
		timer.Reset(step(ctx))
	}
}

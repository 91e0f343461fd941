package bgp

import (
	"time"
)

// GoBGP drops what a peer sends while the wall clock shows an earlier second than the one in which the session came up.
// So after the clock was set back the keepalives go on, and not one change of a route is heard until it has caught up.
// What was dropped is lost even then. Nothing but a new session repairs that.

// stepNoise is what the wall clock may lose against the monotonic one between two looks without having been set: a
// clock that is slewed loses half a millisecond in each second.
const stepNoise = 10 * time.Millisecond

// clock notices when the wall clock is set back.
type clock struct {
	read  func() time.Time // the wall clock; the monotonic one is time.Now's
	wall  time.Time
	since time.Time
}

func newClock(read func() time.Time) *clock {
	if read == nil {
		read = time.Now
	}
	return &clock{read: read, wall: read().Round(0), since: time.Now()}
}

// look returns how far the wall clock was set back since the last look, 0 if it was not, and the earliest second that
// it may have shown since.
func (c *clock) look() (back time.Duration, earliest int64) {
	wall, now := c.read().Round(0), time.Now()
	passed := now.Sub(c.since)
	c.since = now
	return c.step(passed, wall)
}

// step is a look when that much time has passed since the last one and the wall clock shows this.
func (c *clock) step(passed time.Duration, wall time.Time) (back time.Duration, earliest int64) {
	back = passed - wall.Sub(c.wall)
	c.wall = wall
	if back <= stepNoise {
		return 0, wall.Unix()
	}
	return back, wall.Add(-passed).Unix() // it may have happened right after the last look
}

package status

import (
	"context"
	"sync/atomic"
	"time"
)

// Source is where the server gets its answers.
type Source interface {
	// Snapshot returns the latest state, or nil if there is none yet. It is called on the goroutine of a
	// request, any number at a time; it must not wait for the daemon's loop, and gives up with ctx. The result
	// is immutable, though a source may add what only it can count to a copy.
	Snapshot(ctx context.Context) *Snapshot
	// Summary is the same for questions that come again and again. It leaves out what takes a look at every route:
	// Routable of the clusters, Advertised of the sessions.
	Summary(ctx context.Context) *Snapshot
	// Turned is when the daemon's loop turned last; zero before the first time. It waits for nothing.
	Turned() time.Time
	// History is what happened; it waits for nothing either.
	History() *History
}

// Board is where the agent's loop pins its latest snapshot for everybody to read. The zero Board is empty and
// ready to use; it is a Source. Neither side ever waits for the other.
type Board struct {
	latest atomic.Pointer[Snapshot]
	turned atomic.Pointer[time.Time]
	past   History
}

// History is what the loop writes down beside.
func (b *Board) History() *History { return &b.past }

// Turn notes that the loop turns. It is called at each turn, whether there is anything to publish or not.
func (b *Board) Turn(now time.Time) { b.turned.Store(&now) }

// Turned is when Turn was called last.
func (b *Board) Turned() time.Time {
	if t := b.turned.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// Publish replaces what is on the board. The snapshot must not be changed afterwards.
func (b *Board) Publish(s *Snapshot) { b.latest.Store(s) }

// Snapshot returns what was published last; nil before the first time.
func (b *Board) Snapshot(context.Context) *Snapshot { return b.latest.Load() }

// Summary is Snapshot.
func (b *Board) Summary(context.Context) *Snapshot { return b.latest.Load() }

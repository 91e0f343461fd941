package bfd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Errors that callers may branch on.
var (
	// ErrRunning is returned by Run when the monitor is running or has been.
	ErrRunning = errors.New("BFD monitor has been started already")
	// ErrEnded is returned by AdminDown when nobody is there to carry it out: Run has not been called, or is over.
	ErrEnded = errors.New("BFD monitor is not running")
)

// Monitor keeps the sessions. Its methods may be called from any goroutine and do not wait for the network, but for Run
// and AdminDown.
type Monitor struct {
	base    time.Time // instants count from here
	changed chan struct{}
	ended   chan struct{} // closed when Run is over
	refused [reasons]atomic.Uint64
	delay   atomic.Int64               // for Delay
	view    atomic.Pointer[[]*session] // what Sessions shows, by address; set by Run

	started atomic.Bool
	bell    chan struct{} // wakes Run for what is wanted; as Changed

	mu      sync.Mutex // guards what follows
	wanted  []Session
	waiting []chan struct{} // to be closed when all sessions are held and have said so
	losses  map[netip.Addr]Loss
}

// New makes a monitor. It opens nothing: sockets are there while Run is, and only those that the sessions need.
// It writes no log, for a log that blocks would be a failure in the eyes of all peers.
func New() *Monitor {
	m := &Monitor{
		base:    time.Now(),
		changed: make(chan struct{}, 1),
		ended:   make(chan struct{}),
		bell:    make(chan struct{}, 1),
		losses:  map[netip.Addr]Loss{},
	}
	m.view.Store(&[]*session{})
	return m
}

// SetSessions says which sessions are wanted, all of them. It may be called before Run, and is carried out by Run at once.
//
//   - A session that is wanted as before is not touched.
//   - A new interval or multiplier is agreed with the peer while the session stays up.
//   - More or fewer hops, as long as they are several, count at once.
//   - With another local address, or one hop instead of several, the session starts anew. That is not a loss.
//   - A session that is not wanted any more tells the peer that it is administratively down, for a detection time, and
//     is gone from Sessions at once.
//
// If one is wrong, nothing is changed and all errors are reported together.
func (m *Monitor) SetSessions(sessions []Session) error {
	var errs []error
	seen := map[netip.Addr]bool{}
	for _, s := range sessions {
		if seen[s.Peer] {
			errs = append(errs, fmt.Errorf("BFD session with %s: there are two", s.Peer))
		}
		seen[s.Peer] = true
		errs = append(errs, s.check())
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wanted = slices.Clone(sessions)
	poke(m.bell)
	return nil
}

// AdminDown holds all sessions and returns when the peers have been told for as long as it takes them to detect a
// failure, or when ctx ends. It comes before an orderly end: peers do not take what follows for a failure. The sessions
// stay held until SetSessions says otherwise.
func (m *Monitor) AdminDown(ctx context.Context) error {
	told := make(chan struct{})
	if !m.started.Load() {
		return ErrEnded
	}
	m.mu.Lock()
	m.wanted = slices.Clone(m.wanted)
	for i := range m.wanted {
		m.wanted[i].AdminDown = true
	}
	m.waiting = append(m.waiting, told)
	m.mu.Unlock()
	poke(m.bell)
	select {
	case <-told:
		return nil
	case <-m.ended:
		return ErrEnded
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Changed is poked when State of a session has changed other than by its counters, or a session was lost; one poke may
// stand for many changes.
func (m *Monitor) Changed() <-chan struct{} { return m.changed }

// poke never blocks: one that waits already tells as much.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Sessions returns the wanted sessions by address, as soon as Run has carried SetSessions out; after Run they are as they
// were at its end.
func (m *Monitor) Sessions() []State {
	view := *m.view.Load()
	states := make([]State, 0, len(view))
	for _, s := range view {
		states = append(states, s.state())
	}
	return states
}

// Lost returns the sessions that were up and have been lost since the last call, by address; also those that are up again.
func (m *Monitor) Lost() []Loss {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.losses) == 0 {
		return nil
	}
	list := slices.SortedFunc(maps.Values(m.losses), func(a, b Loss) int { return a.Peer.Compare(b.Peer) })
	clear(m.losses)
	return list
}

// lose notes a loss for Lost.
func (m *Monitor) lose(l Loss) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l.Times = m.losses[l.Peer].Times + 1
	m.losses[l.Peer] = l
}

// Refused is how many packets were refused since the monitor was made, for each reason that there was.
func (m *Monitor) Refused() map[Reason]uint64 {
	counts := map[Reason]uint64{}
	for r := accepted + 1; int(r) < reasons; r++ {
		if n := m.refused[r].Load(); n > 0 {
			counts[r] = n
		}
	}
	return counts
}

// Delay is how much later than due a packet was sent, or looked for, at worst since the last call: what this process did
// not get of the processors. Peers see it, and take us for gone when it comes near their detection time.
func (m *Monitor) Delay() time.Duration { return time.Duration(m.delay.Swap(0)) }

// delayed notes for Delay.
func (m *Monitor) delayed(by time.Duration) {
	if by > time.Duration(m.delay.Load()) {
		m.delay.Store(int64(by)) // one that is lost to Delay at this moment is counted again soon enough
	}
}

// now is the time, as an instant and as the wall clock has it.
func (m *Monitor) now() (instant, time.Time) {
	t := time.Now()
	return t.Sub(m.base), t
}

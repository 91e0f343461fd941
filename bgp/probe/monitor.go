package probe

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// ErrRunning is returned by Run when the monitor is running or has been.
var ErrRunning = errors.New("probe has been started already")

// Local is what we are in one family.
type Local struct {
	Address netip.Addr // in a pod CIDR of ours; invalid: nothing is sent, and nothing answered there
	Node    netip.Addr // the node's own; invalid: nothing beside the way
}

// Settings is all that is wanted. Without a key, nothing is.
type Settings struct {
	Key        Key
	Port       int
	Interval   time.Duration // between two requests to a target
	Sample     int           // targets of each cluster and family at a time
	Rate       int           // packets a second that we send, in all; answers are limited apart from that
	Cluster    string
	ClusterID  uint32
	Node       string
	MTU        int // that has to be carried; 0: what the link carries
	IPv4, IPv6 Local
	Targets    []Target
}

// Asker is who asks for the way back to it. It is authentic; that it says the truth is for its cluster to answer for.
type Asker struct {
	ClusterID uint32
	From      netip.Addr
}

// Monitor probes and answers. Its methods may be called from any goroutine; none but Run waits.
type Monitor struct {
	back    func(Asker) Back
	started atomic.Bool
	bell    chan struct{}
	view    atomic.Pointer[Results]
	refused [2]struct{ unauthentic, limited atomic.Uint64 } // by family

	mu     sync.Mutex // guards wanted
	wanted Settings
}

// New makes a monitor that does nothing yet. Back is asked of each authentic request, from several goroutines.
func New(back func(Asker) Back) *Monitor {
	m := &Monitor{back: back, bell: make(chan struct{}, 1)}
	m.view.Store(&Results{})
	return m
}

// Set says what is wanted, all of it. It may be called before Run. What stays as it was is not touched: another set of
// targets starts nothing anew.
func (m *Monitor) Set(s Settings) {
	m.mu.Lock()
	m.wanted = s
	m.mu.Unlock()
	poke(m.bell)
}

// Results is what is known; it is another one once an interval, and when a state has changed.
func (m *Monitor) Results() *Results { return m.view.Load() }

// Refused counts what was not heeded, since the monitor was made.
func (m *Monitor) Refused(six bool) Refused {
	r := &m.refused[index(six)]
	return Refused{r.unauthentic.Load(), r.limited.Load()}
}

func index(six bool) int {
	if six {
		return 1
	}
	return 0
}

// Run probes and answers until ctx is cancelled.
func (m *Monitor) Run(ctx context.Context) error {
	if m.started.Swap(true) {
		return ErrRunning
	}
	l := newLoop(m)
	defer l.close()
	for {
		next := time.NewTimer(l.wait(time.Now()))
		select {
		case <-ctx.Done():
			next.Stop()
			return nil
		case <-m.bell:
			m.mu.Lock()
			s := m.wanted
			m.mu.Unlock()
			l.set(s, time.Now())
		case a := <-l.arrivals:
			l.take(a)
		case <-next.C:
		}
		next.Stop()
		l.advance(time.Now())
	}
}

// poke never blocks: one that waits already tells as much.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

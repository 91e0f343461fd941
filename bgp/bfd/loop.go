package bfd

import (
	"context"
	"net/netip"
	"time"
)

const (
	// tolerance is how late a turn may be without the end of detection times being put off.
	tolerance = 5 * time.Millisecond
	// batches is how many batches are read from a socket before sessions get their turn: a flood must not keep us from
	// sending.
	batches = 8
	// rest is kept between two turns when there are many, so that each finds more to do: a hundred sessions would wake us
	// some thousand times a second.
	rest = time.Millisecond
)

// kinds of sockets.
const kinds = 4

func (k kind) index() (i int) {
	if k.six {
		i++
	}
	if k.multihop {
		i += 2
	}
	return i
}

// place is where packets come from that do not name a session.
type place struct {
	from     netip.Addr
	link     uint32
	multihop bool
}

// loop is what Run works on; nobody else touches it.
type loop struct {
	*Monitor
	receivers       [kinds]*receiver
	sessions        map[netip.Addr]*session // by peer, also those that are leaving
	byDiscriminator map[uint32]*session
	byPlace         map[place]*session
	queue           queue // all sessions, also those that left because another one took their place
	taken           map[int]bool
	telling         []chan struct{} // who waits for all sessions to be held
	arrived         chan struct{}   // somebody received something
	timer           *time.Timer
	turned          instant // when the last turn began
	hurried         bool    // it began soon after the one before
	stalled         instant // when a turn last began later than it should have
	stall           time.Duration
}

// Run keeps the sessions until ctx ends, and then closes all sockets without a word to the peers: see AdminDown. It runs in
// the calling goroutine, in whose network namespace it opens sockets; lock it to its thread if that is a special one. It
// returns nil on cancel. A monitor runs once.
func (m *Monitor) Run(ctx context.Context) error {
	if !m.started.CompareAndSwap(false, true) {
		return ErrRunning
	}
	l := newLoop(m)
	defer l.end()
	for l.wait(ctx) {
		l.turn()
	}
	return nil
}

func newLoop(m *Monitor) *loop {
	return &loop{
		Monitor: m, sessions: map[netip.Addr]*session{}, byDiscriminator: map[uint32]*session{},
		byPlace: map[place]*session{}, taken: map[int]bool{}, arrived: make(chan struct{}), timer: time.NewTimer(0),
	}
}

// end closes everything.
func (l *loop) end() {
	l.timer.Stop()
	for _, s := range l.queue {
		s.tx.close()
	}
	for _, r := range l.receivers {
		if r != nil {
			r.close()
		}
	}
	close(l.ended)
}

// wait returns when something may be to be done, or false when ctx has ended. It sleeps as goroutines do, not in a system
// call: in a busy process the return from one waits behind everybody who wants to compute, and packets would be late.
func (l *loop) wait(ctx context.Context) bool {
	now, _ := l.now()
	arrived, next := l.arrived, never
	switch {
	case l.hurried: // sockets are read anyway
		arrived, next = nil, l.turned+rest-now
	case len(l.queue) > 0:
		next = l.queue[0].wake - now
	}
	l.timer.Reset(next)
	select {
	case <-l.timer.C:
	case <-arrived:
	case <-l.bell:
		l.apply()
	case <-ctx.Done():
	}
	asleep := now
	now, _ = l.now()
	if late := now - asleep - max(next, 0); late > tolerance {
		l.stalled, l.stall = now, late
		l.delayed(late)
	}
	l.hurried = now-l.turned < 2*rest
	l.turned = now
	return ctx.Err() == nil
}

// turn does what there is to do: everything that was received first, and only then what time has come for, so that
// nothing is decided without what is known.
func (l *loop) turn() {
	for _, r := range l.receivers {
		if r != nil {
			l.read(r)
		}
	}
	now, wall := l.now()
	for len(l.queue) > 0 && l.queue[0].wake <= now {
		l.serve(l.queue[0], now, wall)
	}
	l.tell(now)
}

// serve does what time has come for, for one session.
func (l *loop) serve(s *session, now instant, wall time.Time) {
	if s.retry != 0 && now >= s.retry {
		l.open(s, now)
	}
	if s.expires != 0 && now >= s.expires {
		l.expire(s, now, wall)
	}
	if due := s.due(now); s.tx.fd != noSocket && now >= due {
		l.delayed(now - due)
		s.transmit(now, false)
	}
	if s.leaving && now >= s.farewell {
		l.forget(s)
		return
	}
	l.show(s, wall)
	// What is still to come has not been read yet: the end of a detection time waits for it, the others don't.
	l.queue.move(s, max(s.wants(now), now+time.Millisecond))
}

// expire takes the end of a detection time, but not before everything has been read that came until then. After a time in
// which we did not get a processor, some of that may be in the hands of one that did not get its turn, either.
func (l *loop) expire(s *session, now instant, wall time.Time) {
	if r := l.receivers[s.kind().index()]; r != nil && r.seen < s.expires {
		return
	}
	if l.stalled > s.heard && s.spare(now, l.stall) {
		return
	}
	silence := now - s.heard
	l.shift(s, wall, silence, s.silent)
}

// shift does something that may change the state of a session, and notes a loss.
func (l *loop) shift(s *session, wall time.Time, silence time.Duration, change func()) {
	before := s.status
	change()
	if s.status == before {
		return
	}
	if before == Up && s.status == Down && (s.diag == DetectionTimeExpired || s.remoteStatus != AdminDown) {
		s.losses.Add(1)
		l.lose(Loss{
			Peer: s.cfg.Peer, At: wall, Silence: silence, Diag: s.diag, RemoteDiag: s.remoteDiag,
			RemoteIndependent: s.remoteIndependent,
		})
		poke(l.changed)
	}
	l.show(s, wall)
}

// show publishes a session; those that leave have been forgotten by everybody else.
func (l *loop) show(s *session, wall time.Time) {
	if !s.leaving && s.show(wall) {
		poke(l.changed)
	}
}

// tell tells those who wait for all sessions to be held.
func (l *loop) tell(now instant) {
	if len(l.telling) == 0 {
		return
	}
	for _, s := range l.queue {
		if s.farewell > now {
			return
		}
	}
	for _, told := range l.telling {
		close(told)
	}
	l.telling = nil
}

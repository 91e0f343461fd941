package probe

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

const (
	turnEvery   = 10 // rounds, after which the sample moves on by one target
	answerLimit = time.Second
	heardLimit  = 64 // clusters
	heardFor    = 5 * time.Minute
	idle        = time.Hour
)

// group is the targets of one cluster and family.
type group struct {
	cluster string
	six     bool
}

// counters are those of a group.
type counters struct {
	sent, lost uint64
	rtt        [len(Sum{}.RTT)]uint64
	rttSum     time.Duration
}

// loop is all that Run owns.
type loop struct {
	Settings
	monitor   *Monitor
	arrivals  chan arrival
	sealer    *sealer
	buffer    []byte
	listeners map[netip.Addr]*responder
	beside    [2]atomic.Pointer[socket] // those of listeners at the node's addresses, for their goroutines
	problems  []string

	rings    map[group]*ring
	sums     map[group]*counters
	records  map[netip.Addr]*record // of those that are probed
	nodes    map[netip.Addr]netip.Addr
	heard    map[uint32]*Heard
	waiting  map[uint64]*pending
	queue    []*record
	allowed  bucket
	senders  [2]*sender
	rounds   int
	next     time.Time // of the next round
	hunted   *hunt
	restless bool // a state has changed since publish
}

func newLoop(m *Monitor) *loop {
	return &loop{
		monitor: m, arrivals: make(chan arrival, 64), buffer: make([]byte, maxDatagram),
		listeners: map[netip.Addr]*responder{}, rings: map[group]*ring{}, sums: map[group]*counters{},
		records: map[netip.Addr]*record{}, nodes: map[netip.Addr]netip.Addr{}, heard: map[uint32]*Heard{}, waiting: map[uint64]*pending{},
	}
}

func (l *loop) on() bool { return !l.Key.IsZero() && l.Port > 0 }

// set takes other settings.
func (l *loop) set(s Settings, now time.Time) {
	old := l.Settings
	l.Settings = s
	if s.identity() != old.identity() {
		l.close()
		l.sealer = s.Key.sealer()
	}
	if s.Rate != old.Rate {
		l.allowed = newBucket(max(s.Rate, 1), max(s.Rate/10, 1))
	}
	if s.IPv4 != old.IPv4 || s.IPv6 != old.IPv6 || s.MTU != old.MTU {
		l.retire()
		for _, r := range l.records {
			r.mtu.due = now
		}
	}
	l.listen()
	l.aim()
	l.sample()
	if s.identity() != old.identity() || s.Interval != old.Interval || s.IPv4 != old.IPv4 || s.IPv6 != old.IPv6 {
		l.next = now // other targets have their turn with the next round: routes that come and go make no more of them
	}
}

// aim takes the targets.
func (l *loop) aim() {
	by := map[group][]Target{}
	known := map[netip.Addr]bool{}
	for _, t := range l.Targets {
		if l.on() && l.local(!t.Address.Is4()).Address.IsValid() && !known[t.Address] {
			g := group{t.Cluster, !t.Address.Is4()}
			by[g] = append(by[g], t)
			known[t.Address] = true
		}
	}
	maps.DeleteFunc(l.nodes, func(a, _ netip.Addr) bool { return !known[a] })
	maps.DeleteFunc(l.rings, func(g group, _ *ring) bool { return by[g] == nil })
	maps.DeleteFunc(l.sums, func(g group, _ *counters) bool { return by[g] == nil })
	for g, targets := range by {
		if l.rings[g] == nil {
			l.rings[g], l.sums[g] = &ring{}, &counters{}
		}
		l.rings[g].set(l.Node, targets)
	}
}

func (l *loop) local(six bool) Local {
	if six {
		return l.IPv6
	}
	return l.IPv4
}

// wait is until when nothing is to be done.
func (l *loop) wait(now time.Time) time.Duration {
	if !l.on() {
		return idle
	}
	d := l.next.Sub(now)
	if len(l.queue) > 0 || l.hunted != nil && !l.hunted.waits {
		d = min(d, l.allowed.wait(now))
	}
	for _, p := range l.waiting {
		d = min(d, p.until.Sub(now))
	}
	return max(d, 0)
}

// advance does what is due.
func (l *loop) advance(now time.Time) {
	for nonce, p := range l.waiting {
		if !now.Before(p.until) {
			l.settle(nonce, p)
			l.expire(p)
		}
	}
	if l.on() && !now.Before(l.next) {
		l.round(now)
	}
	for len(l.queue) > 0 && l.allowed.take(now) {
		r := l.queue[0]
		l.queue = l.queue[1:]
		l.ask(r, now)
	}
	l.followHunt(now)
	if l.restless {
		l.publish(now)
	}
}

// publish renews what Results shows.
func (l *loop) publish(now time.Time) {
	l.restless = false
	r := &Results{Problems: slices.Clone(l.problems)}
	by := map[group][]Node{}
	for a, record := range l.records {
		g := group{record.target.Cluster, !a.Is4()}
		by[g] = append(by[g], record.result(l.MTU))
	}
	for g, ring := range l.rings {
		c := l.sums[g]
		s := Sum{
			Cluster: g.cluster, IPv6: g.six, Targets: len(ring.members), Nodes: by[g],
			Sent: c.sent, Lost: c.lost, RTT: c.rtt, RTTSum: c.rttSum,
		}
		slices.SortFunc(s.Nodes, func(a, b Node) int { return a.Address.Compare(b.Address) })
		s.summary()
		r.Sums = append(r.Sums, s)
	}
	slices.SortFunc(r.Sums, func(a, b Sum) int {
		return cmp.Or(cmp.Compare(a.Cluster, b.Cluster), cmp.Compare(index(a.IPv6), index(b.IPv6)))
	})
	for id, h := range l.heard {
		if now.Sub(h.Last) > heardFor {
			delete(l.heard, id)
			continue
		}
		r.Heard = append(r.Heard, *h)
	}
	slices.SortFunc(r.Heard, func(a, b Heard) int { return cmp.Compare(a.ClusterID, b.ClusterID) })
	l.monitor.view.Store(r)
}

// close closes everything, and forgets what was on the way.
func (l *loop) close() {
	l.retire()
	for a, r := range l.listeners {
		r.close()
		delete(l.listeners, a)
	}
	l.beside[0].Store(nil)
	l.beside[1].Store(nil)
}

// retire gives up the sockets that requests go out by, and the requests that wait for answers.
func (l *loop) retire() {
	l.dropHunt()
	for _, p := range l.waiting {
		p.from.release()
	}
	clear(l.waiting)
	for i := range l.senders {
		l.senders[i].retire()
		l.senders[i] = nil
	}
	l.queue = nil
}

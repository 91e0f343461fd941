package main

import (
	"errors"
	"math"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/underlayd/underlayd/containerlab/bench/kernel"
	"github.com/underlayd/underlayd/containerlab/bench/wire"
)

func endOfRIB(b []byte) []byte { return wire.AppendEndOfRIB(b) }

// probeLimit is how long a change of one prefix may take before the measurement is given up.
const probeLimit = 20 * time.Second

// prober changes one prefix after the other and measures how long each takes to be seen in the kernel.
type prober struct {
	stage   *stage
	session *wire.Session
	hops    []netip.Addr // of every prefix, as last announced
	next    int
	watched atomic.Uint64 // the key waited for
	seen    chan time.Time
}

// newProber takes over a load that is installed.
func newProber(s *stage, session *wire.Session, l load) *prober {
	p := &prober{stage: s, session: session, seen: make(chan time.Time, 1)}
	for i := range l.count {
		p.hops = append(p.hops, l.hopOf(l.first+i))
	}
	s.kernel.OnRoute(func(k kernel.Key, at time.Time) {
		if p.watched.CompareAndSwap(uint64(k), 0) {
			p.seen <- at // has room: the next key is set only after this one was taken
		}
	})
	return p
}

// probe moves prefixes to other nodes that have prefixes already, one at a time, and returns what each took from the
// UPDATE being written to the first notification about the prefix.
func (p *prober) probe(n int, pace time.Duration) ([]time.Duration, error) {
	limit := time.NewTimer(probeLimit)
	defer limit.Stop()
	took := make([]time.Duration, 0, n)
	for range n {
		i := p.next % len(p.hops)
		p.next += 7919 // a prime, so that neighbours in the table are not neighbours in time
		hop := nodeHop(i+1+p.next/len(p.hops), false)
		if hop == p.hops[i] {
			hop = nodeHop(i+2+p.next/len(p.hops), false)
		}
		l := load{first: i, count: 1, perUpdate: 1, hop: func(int) netip.Addr { return hop }}
		text := l.announce()
		p.hops[i] = hop
		p.watched.Store(uint64(kernel.KeyOf(prefixOf(i, false))))
		limit.Reset(probeLimit)
		began := time.Now()
		if err := p.session.Write(text); err != nil {
			return took, err
		}
		select {
		case at := <-p.seen:
			took = append(took, at.Sub(began))
		case <-limit.C:
			return took, errors.New("the change of a prefix did not reach the kernel")
		case <-p.stage.ctx.Done():
			return took, p.stage.pause(0)
		}
		if err := p.stage.pause(pace); err != nil {
			return took, err
		}
	}
	return took, nil
}

// percentile returns the value that the given share of values do not exceed, in milliseconds.
func percentile(values []time.Duration, share float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := int(math.Ceil(share*float64(len(sorted)))) - 1
	return float64(sorted[max(0, at)]) / float64(time.Millisecond)
}

// playSingle changes one prefix at a time while all others stand, and counts the CPU time that takes.
func playSingle(s *stage) error {
	sessions, err := s.open()
	if err != nil {
		return err
	}
	l := spread(0, s.options.routes, false)
	if err := s.install(sessions[0], l); err != nil {
		return err
	}
	if err := s.pause(s.options.rest); err != nil {
		return err
	}
	p := newProber(s, sessions[0], l)
	before, err := s.cpu()
	if err != nil {
		return err
	}
	took, err := p.probe(s.options.probes, 5*time.Millisecond)
	if err != nil {
		return err
	}
	after, err := s.cpu()
	if err != nil {
		return err
	}
	s.note("p50", percentile(took, 0.5))
	s.note("p99", percentile(took, 0.99))
	s.note("cpu", float64(after-before)/float64(time.Millisecond)/float64(len(took)))
	if err := s.pause(s.options.settle); err != nil {
		return err
	}
	return s.verify(l.count, func(i int) hopSet { return hopSet{p.hops[i]} })
}

const (
	flapping  = 1000
	flapEvery = 10 * time.Millisecond
	perFlap   = 100 // 10,000 changes per second
	probePace = 40 * time.Millisecond
)

// playChurn lets prefixes of a second peer come and go while changes of the first peer's are measured.
func playChurn(s *stage) error {
	sessions, err := s.open()
	if err != nil {
		return err
	}
	stand := min(s.options.routes, mostNets-flapping)
	l, flaps := spread(0, stand, false), spread(stand, flapping, false)
	if err := s.install(sessions[0], l); err != nil {
		return err
	}
	if err := sessions[1].Write(endOfRIB(nil)); err != nil {
		return err
	}
	if err := s.noteMemory(); err != nil {
		return err
	}
	p := newProber(s, sessions[0], l)
	quiet, err := p.probe(s.options.probes/4, probePace/4)
	if err != nil {
		return err
	}
	s.note("quiet", percentile(quiet, 0.99))
	flapped := make(chan flapResult, 1)
	go func() { flapped <- s.flap(sessions[1], flaps) }()
	busy, err := p.probe(int(s.options.churn/(probePace+10*time.Millisecond)), probePace)
	if err != nil {
		return err
	}
	s.note("busy", percentile(busy, 0.99))
	result := <-flapped
	if result.err != nil {
		return result.err
	}
	s.note("rate", result.rate)
	if err := s.send(sessions[1], flaps.announce(), "recover", routes(l.count+flaps.count)); err != nil {
		return err
	}
	if err := s.pause(s.options.rest); err != nil {
		return err
	}
	now, peak, err := s.memory()
	s.note("after", now)
	s.note("growth", 100*(now/s.sample["rss"]-1))
	s.note("peak", peak)
	if err != nil {
		return err
	}
	return s.verify(l.count+flaps.count, func(i int) hopSet {
		if i < l.count {
			return hopSet{p.hops[i]}
		}
		return hopSet{flaps.hopOf(i)}
	})
}

type flapResult struct {
	rate float64 // changes per second that the speaker took
	err  error
}

// flap announces and withdraws the prefixes in turn, each in an UPDATE of its own. It ends with all withdrawn.
func (s *stage) flap(session *wire.Session, l load) flapResult {
	var announce, withdraw [][]byte
	for first := l.first; first < l.first+l.count; first += perFlap {
		part := l
		part.first, part.count = first, perFlap
		announce, withdraw = append(announce, part.announce()), append(withdraw, part.withdraw())
	}
	steps := slices.Concat(announce, withdraw)
	began := time.Now()
	turns := int(s.options.churn/flapEvery) / len(steps) * len(steps)
	for i := range turns {
		if err := s.pause(time.Until(began.Add(time.Duration(i) * flapEvery))); err != nil {
			return flapResult{err: err}
		}
		if err := session.Write(steps[i%len(steps)]); err != nil {
			return flapResult{err: err}
		}
	}
	return flapResult{rate: float64(turns*perFlap) / time.Since(began).Seconds()}
}

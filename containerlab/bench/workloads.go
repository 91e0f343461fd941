package main

import (
	"fmt"
	"time"

	"github.com/underlayd/underlayd/containerlab/bench/kernel"
)

// workload is one thing that speakers are measured at, in a lab of its own each time.
type workload struct {
	name   string
	setup  setup
	rounds int // at most that many; 0: as many as asked for
	play   func(*stage) error
}

// workloads returns all of them, in the order in which they are played.
func workloads() []workload {
	one := setup{peers: 1}
	return []workload{
		{name: "spread", setup: one, play: func(s *stage) error { return s.playInstall(spread(0, s.options.routes, false)) }},
		{name: "packed", setup: one, play: playPacked},
		{name: "spread6", setup: one, play: func(s *stage) error { return s.playInstall(spread(0, s.options.routes, true)) }},
		{name: "packed6", setup: one, play: func(s *stage) error { return s.playInstall(packed(0, 0, s.options.routes, true)) }},
		{name: "million", setup: one, rounds: 3, play: func(s *stage) error { return s.playInstall(packed(0, 0, s.options.million, false)) }},
		{name: "ecmp", setup: setup{peers: 2, multipath: true}, play: func(s *stage) error { return s.playFailover(0) }},
		{name: "backup", setup: setup{peers: 2, multipath: true}, play: func(s *stage) error { return s.playFailover(2) }},
		{name: "single", setup: one, rounds: 3, play: playSingle},
		{name: "idle", setup: one, rounds: 1, play: playIdle},
		{name: "restart", setup: setup{peers: 1, graceful: true}, rounds: 3, play: playRestart},
		{name: "peers", setup: setup{peers: mostPeers}, play: playPeers},
		{name: "churn", setup: setup{peers: 2}, rounds: 1, play: playChurn},
	}
}

// playInstall measures how long a load takes from the first byte to the last route, and the memory afterwards.
func (s *stage) playInstall(l load) error {
	sessions, err := s.open()
	if err != nil {
		return err
	}
	took, err := s.install(sessions[0], l, l.count)
	if err != nil {
		return err
	}
	s.note("install", took.Seconds())
	return s.noteMemory()
}

// playPacked installs a load and takes all of it back.
func playPacked(s *stage) error {
	l := packed(0, 0, s.options.routes, false)
	sessions, err := s.open()
	if err != nil {
		return err
	}
	took, err := s.install(sessions[0], l, l.count)
	if err != nil {
		return err
	}
	s.note("install", took.Seconds())
	if took, err = s.send(sessions[0], l.withdraw(), "no routes", routes(0)); err != nil {
		return err
	}
	s.note("withdraw", took.Seconds())
	if err := s.pause(settle); err != nil {
		return err
	}
	return s.verify(0, nil)
}

// playIdle measures the CPU time of a speaker that has all routes and hears nothing but KEEPALIVEs.
func playIdle(s *stage) error {
	sessions, err := s.open()
	if err != nil {
		return err
	}
	if _, err := s.install(sessions[0], spread(0, s.options.routes, false), s.options.routes); err != nil {
		return err
	}
	if err := s.pause(s.options.rest); err != nil {
		return err
	}
	before, err := s.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := s.pause(s.options.idle); err != nil {
		return err
	}
	after, err := s.cpu()
	s.note("cpu", 100*float64(after-before)/float64(time.Since(began)))
	return err
}

// netsPerPeer is what each of many peers announces.
const netsPerPeer = 50

// playPeers has all peers connect at the same moment to a speaker that is up, and announce at once.
func playPeers(s *stage) error {
	if err := s.start(false); err != nil {
		return err
	}
	if err := s.untilListening(); err != nil {
		return err
	}
	total := s.setup.peers * netsPerPeer
	began := time.Now()
	for i := range s.setup.peers {
		go func() {
			session, err := s.dial(i)
			if err == nil {
				l := packed(i, i*netsPerPeer, netsPerPeer, false)
				err = session.Write(endOfRIB(l.announce()))
			}
			if err != nil {
				s.fail(err)
			}
		}()
	}
	at, err := s.await(fmt.Sprintf("%d routes", total), routes(total))
	if err != nil {
		return err
	}
	s.note("install", at.Sub(began).Seconds())
	if err := s.pause(settle); err != nil {
		return err
	}
	return s.verify(total, func(i int) hopSet { return hopSet{peerAddress(i/netsPerPeer, false)} })
}

// playFailover gives the same prefixes two peers, of which one dies; with prepend the other was worse. It measures
// until no route uses the dead next hop and every prefix has its route. The neighbour's death is a TCP reset: how fast
// death is noticed is not compared here.
func (s *stage) playFailover(prepend int) error {
	sessions, err := s.open()
	if err != nil {
		return err
	}
	n := s.options.routes
	dies, stays := packed(0, 0, n, false), packed(1, 0, n, false)
	stays.prepend = prepend
	dead, alive := peerAddress(0, false), peerAddress(1, false)
	before := hopSet{dead, alive}
	if prepend > 0 {
		before = hopSet{dead}
	}
	if _, err := s.install(sessions[0], dies, n); err != nil {
		return err
	}
	if err := sessions[1].Write(endOfRIB(stays.announce())); err != nil {
		return err
	}
	if prepend == 0 {
		if _, err := s.await("all routes to have two next hops", func(m *kernel.Model) bool { return m.Uses(alive) == n }); err != nil {
			return err
		}
	}
	if err := s.pause(s.options.rest); err != nil {
		return err
	}
	if err := s.verify(n, func(int) hopSet { return before }); err != nil {
		return err
	}
	s.release(sessions[0])
	counts := s.kernel.Counts()
	began := time.Now()
	if err := sessions[0].Die(); err != nil {
		return err
	}
	at, err := s.await("no route to use the dead next hop", func(m *kernel.Model) bool { return m.Routes() == n && m.Uses(dead) == 0 })
	if err != nil {
		return err
	}
	s.note("failover", at.Sub(began).Seconds())
	if err := s.pause(settle); err != nil {
		return err
	}
	after := s.kernel.Counts()
	s.note("rewritten", float64(after.Rewritten-counts.Rewritten))
	s.note("deleted", float64(after.Deleted-counts.Deleted))
	return s.verify(n, func(int) hopSet { return hopSet{alive} })
}

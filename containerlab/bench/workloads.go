package main

import (
	"time"
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
	if err := s.install(sessions[0], l); err != nil {
		return err
	}
	return s.noteMemory()
}

// playPacked installs a load and takes all of it back.
func playPacked(s *stage) error {
	l := packed(0, 0, s.options.routes, false)
	sessions, err := s.open()
	if err != nil {
		return err
	}
	if err := s.install(sessions[0], l); err != nil {
		return err
	}
	if err := s.send(sessions[0], l.withdraw(), "withdraw", routes(0)); err != nil {
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
	if err := s.install(sessions[0], spread(0, s.options.routes, false)); err != nil {
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
	before, err := s.cpu()
	if err != nil {
		return err
	}
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
	if err := s.noteUntil(began, before, "install", routes(total)); err != nil {
		return err
	}
	if err := s.pause(s.options.settle); err != nil {
		return err
	}
	return s.verify(total, func(i int) hopSet { return hopSet{peerAddress(i/netsPerPeer, false)} })
}

package main

import (
	"net/netip"
	"time"

	"github.com/underlayd/underlayd/containerlab/bench/kernel"
	"github.com/underlayd/underlayd/containerlab/bench/wire"
)

// playFailover gives the same prefixes two peers, of which one dies; with prepend the other was worse. It measures
// until no route uses the dead next hop while every prefix has its route. The neighbour's death is a TCP reset: how
// fast a silent death is noticed is not compared here.
func (s *stage) playFailover(prepend int) error {
	sessions, err := s.open()
	if err != nil {
		return err
	}
	n := min(s.options.routes, mostNets-1)
	dead, alive := peerAddress(0, false), peerAddress(1, false)
	hops := hopSet{dead, alive}
	if prepend > 0 {
		hops = hopSet{dead}
	}
	if err := s.install(sessions[0], packed(0, 0, n, false)); err != nil {
		return err
	}
	if err := s.back(sessions[1], n, prepend); err != nil {
		return err
	}
	wants := func(i int) hopSet {
		if i == n {
			return hopSet{alive}
		}
		return hops
	}
	if err := s.verify(n+1, wants); err != nil {
		return err
	}
	s.release(sessions[0])
	counts := s.kernel.Counts()
	before, err := s.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := sessions[0].Die(); err != nil {
		return err
	}
	err = s.noteUntil(began, before, "failover", func(m *kernel.Model) bool { return m.Routes() == n+1 && m.Uses(dead) == 0 })
	if err != nil {
		return err
	}
	if err := s.pause(s.options.settle); err != nil {
		return err
	}
	after := s.kernel.Counts()
	s.note("rewritten", float64(after.Rewritten-counts.Rewritten))
	s.note("deleted", float64(after.Deleted-counts.Deleted))
	hops = hopSet{alive}
	return s.verify(n+1, wants)
}

// back has the second peer announce the same prefixes, and then one of its own: when that one is in the kernel the
// speaker knows the others too, even if they were not better and left no trace.
func (s *stage) back(session *wire.Session, n, prepend int) error {
	load := packed(1, 0, n, false)
	load.prepend = prepend
	text := endOfRIB(append(load.announce(), packed(1, n, 1, false).announce()...))
	alive, all := peerAddress(1, false), n+1
	if prepend > 0 {
		all = 1
	}
	err := s.send(session, text, "second", func(m *kernel.Model) bool { return m.Routes() == n+1 && m.Uses(alive) == all })
	if err != nil {
		return err
	}
	return s.pause(s.options.rest)
}

// hopSet is what a route has: sorted next hops.
type hopSet = []netip.Addr

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/containerlab/bench/kernel"
	"github.com/underlayd/underlayd/containerlab/bench/wire"
)

// stage is one speaker in one fresh lab, for one workload. All that fails in it without having been asked to ends its
// context, so that a measurement ends with the reason rather than with a timeout.
type stage struct {
	ctx      context.Context
	fail     context.CancelCauseFunc
	options  options
	speaker  speaker
	setup    setup
	lab      *containerlab.Lab
	node     *containerlab.Node
	fabric   *containerlab.Node
	kernel   *kernel.Monitor
	programs []*containerlab.Process
	sample   map[string]float64

	mu       sync.Mutex // guards released
	released map[any]bool
}

// raise brings up a lab with the speaker configured but not started.
func raise(ctx context.Context, o options, sp speaker, su setup) (*stage, error) {
	s := &stage{options: o, speaker: sp, setup: su, sample: map[string]float64{}, released: map[any]bool{}}
	s.ctx, s.fail = context.WithCancelCause(ctx)
	var err error
	if s.lab, err = o.topology.Up(ctx, containerlab.Options{}); err != nil {
		return nil, err
	}
	s.node, s.fabric = s.lab.Node("node"), s.lab.Node("fabric")
	steps := []func() error{
		func() error { return s.fabric.Do(s.addAddresses) },
		func() error { return sp.configure(ctx, s.node, su) },
		func() error {
			return s.node.Do(func() (err error) {
				s.kernel, err = kernel.Open(watched)
				return err
			})
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, errors.Join(err, s.down())
		}
	}
	return s, nil
}

// addAddresses gives the neighbour the addresses of all its peers. It runs in the neighbour's network.
func (s *stage) addAddresses() error {
	link, err := netlink.LinkByName("eth1")
	if err != nil {
		return err
	}
	for i := range s.setup.peers {
		for _, a := range []netip.Prefix{netip.PrefixFrom(peerAddress(i, false), 16), netip.PrefixFrom(peerAddress(i, true), 64)} {
			address, err := netlink.ParseAddr(a.String())
			if err != nil {
				return err
			}
			if err := netlink.AddrAdd(link, address); err != nil {
				return fmt.Errorf("address %s: %w", a, err)
			}
		}
	}
	return nil
}

// down ends everything.
func (s *stage) down() error {
	s.fail(errors.New("the measurement is over"))
	errs := []error{s.finishProfiles(), s.lab.Down()}
	if s.kernel != nil {
		errs = append(errs, s.kernel.Close())
	}
	return errors.Join(errs...)
}

// finishProfiles lets the speaker end by itself, which completes its profile.
func (s *stage) finishProfiles() error {
	if s.options.profiles == "" || s.speaker.name != ours {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var errs []error
	for _, p := range s.programs {
		s.release(p)
		errs = append(errs, p.Stop(ctx))
	}
	return errors.Join(errs...)
}

// start starts the speaker.
func (s *stage) start(again bool) error {
	programs, err := s.speaker.start(s.ctx, s.node, again)
	s.programs = programs
	for _, p := range programs {
		go func() {
			<-p.Done()
			if !s.isReleased(p) {
				s.fail(fmt.Errorf("%s ended: %w: %s", p.Name(), p.Err(), p.LogTail(5)))
			}
		}()
	}
	return err
}

// kill ends the speaker's programs without warning.
func (s *stage) kill() error {
	var errs []error
	for _, p := range s.programs {
		s.release(p)
		errs = append(errs, p.Kill())
	}
	return errors.Join(errs...)
}

// dial brings up the session of one peer, whose end is a failure from then on.
func (s *stage) dial(peer int) (*wire.Session, error) {
	session, err := s.dialOnly(peer)
	if err == nil {
		s.watch(peer, session)
	}
	return session, err
}

func (s *stage) dialOnly(peer int) (*wire.Session, error) {
	ctx, cancel := context.WithTimeoutCause(s.ctx, s.options.patience, errors.New("the speaker does not take the session"))
	defer cancel()
	return wire.Peer{
		Local: peerAddress(peer, false), Remote: nodeAddress(), ASN: fabricAS, GracefulRestart: s.setup.graceful, Enter: s.fabric.Do,
	}.Dial(ctx)
}

// watch makes the end of a session a failure unless it was released.
func (s *stage) watch(peer int, session *wire.Session) {
	go func() {
		<-session.Done()
		if !s.isReleased(session) {
			s.fail(fmt.Errorf("session of peer %d ended: %w", peer, session.Err()))
		}
	}()
}

// open starts the speaker and brings up the sessions of all peers; then it lets them settle.
func (s *stage) open() ([]*wire.Session, error) {
	if err := s.start(false); err != nil {
		return nil, err
	}
	var sessions []*wire.Session
	for i := range s.setup.peers {
		session, err := s.dial(i)
		if err != nil {
			return nil, err
		}
		sessions = append(sessions, session)
	}
	return sessions, s.pause(s.options.settle)
}

// release says that the end of a session or program is not a failure from now on.
func (s *stage) release(what any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.released[what] = true
}

func (s *stage) isReleased(what any) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.released[what]
}

// pause lets time pass.
func (s *stage) pause(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

// await waits for goal and returns when it was reached.
func (s *stage) await(what string, goal func(*kernel.Model) bool) (time.Time, error) {
	late := fmt.Errorf("%s: not within %s", what, s.options.patience)
	ctx, cancel := context.WithTimeoutCause(s.ctx, s.options.patience, late)
	defer cancel()
	at, err := s.kernel.Await(ctx, goal)
	if err != nil {
		return at, fmt.Errorf("%w (there are %d routes)", err, s.kernel.Routes())
	}
	return at, nil
}

// routes is the goal of having exactly n routes.
func routes(n int) func(*kernel.Model) bool {
	return func(m *kernel.Model) bool { return m.Routes() == n }
}

// send writes text to the session and notes how long it took from the first byte until goal, and the CPU time that
// the speaker used meanwhile: on a machine that is not ours alone the latter can still be compared.
func (s *stage) send(session *wire.Session, text []byte, metric string, goal func(*kernel.Model) bool) error {
	runtime.GC() // ours shall not run in the middle of it
	before, err := s.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	go func() {
		if err := session.Write(text); err != nil {
			s.fail(err)
		}
	}()
	if err := s.noteUntil(began, before, metric, goal); err != nil {
		return err
	}
	return s.pause(s.options.settle)
}

// noteUntil waits for goal and notes the time since began, and the CPU time used beyond before.
func (s *stage) noteUntil(began time.Time, before time.Duration, metric string, goal func(*kernel.Model) bool) error {
	at, err := s.await(metric, goal)
	if err != nil {
		return err
	}
	after, err := s.cpu()
	s.note(metric, at.Sub(began).Seconds())
	s.note(metric+"CPU", (after - before).Seconds())
	return err
}

// install announces a load, waits until all of its routes are there and verifies them.
func (s *stage) install(session *wire.Session, l load) error {
	if err := s.send(session, wire.AppendEndOfRIB(l.announce()), "install", routes(l.count)); err != nil {
		return err
	}
	return s.verify(l.count, func(i int) []netip.Addr { return []netip.Addr{l.hopOf(i)} })
}

// hopOf is the next hop that a prefix of the load really gets.
func (l load) hopOf(i int) netip.Addr {
	return l.hop(l.first + (i-l.first)/l.perUpdate*l.perUpdate)
}

// verify compares the kernel with what it should have.
func (s *stage) verify(total int, hops func(i int) []netip.Addr) error {
	return s.kernel.Verify(total, func(k kernel.Key) []netip.Addr { return hops(indexOf(k)) })
}

// note records a figure of this run.
func (s *stage) note(metric string, value float64) { s.sample[metric] = value }

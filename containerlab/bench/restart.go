package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/containerlab/bench/kernel"
	"github.com/underlayd/underlayd/containerlab/bench/wire"
)

// untilListening waits until the speaker listens for BGP, without connecting: a first connection that is given up at
// once makes some of them wait before they take another one.
func (s *stage) untilListening() error {
	ctx, cancel := context.WithTimeoutCause(s.ctx, s.options.patience, errors.New("the speaker does not listen"))
	defer cancel()
	path := fmt.Sprintf("/proc/%d/net/tcp", s.node.PID())
	listening := fmt.Appendf(nil, ":%04X 00000000:0000 0A", nodeAddress().Port())
	err := containerlab.Until(ctx, "the speaker to listen", func(context.Context) error {
		table, err := os.ReadFile(path)
		if err == nil && !bytes.Contains(table, listening) {
			err = errors.New("it does not yet")
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.pause(2 * s.options.settle) // its own first attempts to connect have failed by then
}

// playRestart installs everything into a speaker that is just starting, kills it, starts it again and announces all
// but one in a hundred prefixes. The first start is the cold one. The second ends when those that came no more are
// gone and the others are there; the counts say what it did to routes that never changed.
func playRestart(s *stage) error {
	n := s.options.routes
	all, kept := spread(0, n, false), spread(0, n-n/100, false)
	session, cold, err := s.startAndSend(all, false, routes(n))
	if err != nil {
		return err
	}
	s.note("cold", cold.Seconds())
	if err := s.pause(s.options.rest); err != nil {
		return err
	}
	if err := s.verify(n, func(i int) hopSet { return hopSet{all.hopOf(i)} }); err != nil {
		return err
	}
	before := s.kernel.Counts()
	s.release(session)
	if err := errors.Join(s.kill(), s.pause(s.options.settle)); err != nil {
		return err
	}
	if left := s.kernel.Routes(); left != n {
		return fmt.Errorf("%d of %d routes are left when the speaker is dead", left, n)
	}
	_, warm, err := s.startAndSend(kept, true, func(m *kernel.Model) bool {
		if m.Routes() != kept.count {
			return false
		}
		for i := kept.count; i < n; i++ {
			if m.NextHops(kernel.KeyOf(prefixOf(i, false))) != nil {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	s.note("pruned", warm.Seconds())
	s.note("ratio", warm.Seconds()/cold.Seconds())
	if err := s.pause(s.options.rest); err != nil {
		return err
	}
	after := s.kernel.Counts()
	s.note("deleted", float64(after.Deleted-before.Deleted-(n-kept.count)))
	s.note("rewritten", float64(after.Rewritten-before.Rewritten+after.Added-before.Added))
	return s.verify(kept.count, func(i int) hopSet { return hopSet{kept.hopOf(i)} })
}

// startAndSend starts the speaker, announces the load as soon as it takes the session, and measures from the start of
// the program until goal. As a real neighbour does, it comes back when the session ends before that: a speaker that
// still reads its configuration may drop the session for the next line of it.
func (s *stage) startAndSend(l load, again bool, goal func(*kernel.Model) bool) (*wire.Session, time.Duration, error) {
	text := endOfRIB(l.announce())
	reached := make(chan struct{})
	type result struct {
		session *wire.Session
		err     error
	}
	sent := make(chan result, 1)
	began := time.Now()
	go func() {
		var r result
		if r.err = s.start(again); r.err == nil {
			r.session, r.err = s.keepSending(text, reached)
		}
		if r.err != nil {
			s.fail(r.err)
		}
		sent <- r
	}()
	at, err := s.await(fmt.Sprintf("%d routes after a start", l.count), goal)
	close(reached)
	r := <-sent // ends in any case: all it does has a deadline or ends with the lab
	return r.session, at.Sub(began), errors.Join(err, r.err)
}

// keepSending returns the session that lasted until reached was closed.
func (s *stage) keepSending(text []byte, reached <-chan struct{}) (*wire.Session, error) {
	for {
		session, err := s.dialOnly(0)
		if err != nil {
			return nil, err
		}
		_ = session.Write(text) // if it fails the session has ended
		select {
		case <-reached:
			s.watch(0, session)
			return session, nil
		case <-session.Done():
			s.sample["resets"]++
		case <-s.ctx.Done():
			return nil, context.Cause(s.ctx)
		}
	}
}

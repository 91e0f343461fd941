package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/containerlab/bench/wire"
)

// connectionRows are about how sessions begin, and about those who only knock.
func connectionRows() []row {
	raw := func(name, required string, inject func(context.Context, *scene) error, says ...string) row {
		return row{name: name, required: required, touches: []string{"raw"}, rewrites: true, lost: unlimited, says: says, inject: inject}
	}
	hold := func(seconds uint16, taken bool) func(context.Context, *scene) error {
		return func(ctx context.Context, s *scene) error {
			return s.handshake(ctx, taken, func(p *wire.Peer) { p.HoldTime = &seconds })
		}
	}
	identifier := func(id string, taken bool) func(context.Context, *scene) error {
		return func(ctx context.Context, s *scene) error {
			return s.handshake(ctx, taken, func(p *wire.Peer) { p.ID = netip.MustParseAddr(id) })
		}
	}
	return []row{
		raw("a peer offers a hold time of 1 s", "refused (RFC 4271, 4.2); nobody else notices", hold(1, false)),
		raw("a peer offers a hold time of 2 s", "refused (RFC 4271, 4.2); nobody else notices", hold(2, false)),
		raw("a peer offers a hold time of 0", "the session lives, without keepalives", hold(0, true)),
		raw("a peer offers a hold time of 65,535 s", "the session lives, with our hold time", hold(65535, true)),
		raw("a peer has the BGP identifier of another peer", "both sessions live, or it is refused; nobody else notices", identifier("192.168.1.2", true)),
		raw("a peer has our BGP identifier", "the session lives (RFC 6286), or it is refused; nobody else notices", identifier("192.168.1.1", true)),
		raw("a peer has the BGP identifier 0.0.0.0", "refused (RFC 6286, 2.2); nobody else notices", identifier("0.0.0.0", false)),
		raw("a peer is of another AS than configured", "never established, and named; less than 20 lines of log", otherAS, `peer raw: .*(?i)bad peer as`),
		{
			name: "2,000 connections of a stranger", fast: true, required: "nothing happens; less than 20 lines of log, memory grows by less than 16 MiB",
			inject: func(ctx context.Context, s *scene) error { return s.knock(ctx, "frr", "192.168.1.66", 2000) },
		},
		{
			name: "2,000 connections of a peer that has a session", required: "nothing happens; less than 20 lines of log, memory grows by less than 16 MiB",
			inject: func(ctx context.Context, s *scene) error { return s.knock(ctx, "frr", "192.168.1.2", 2000) },
		},
		{
			name: "200 connections that say nothing", required: "nothing happens; closed, or no more than a few are kept",
			inject: silentConnections,
		},
		{
			name: "a peer that restarts takes connections and closes them", required: "its routes stay; no packet to it lost",
			touches: []string{"frr"}, back: unlimited,
			inject: slamsTheDoor,
		},
		{
			name: "a peer comes back without graceful restart and with less than before", required: "what it does not say again goes < 10 s after (RFC 4724, 4.2)",
			touches: []string{"bird"}, rewrites: true, exempt: []string{"bird"},
			inject: comesBackWithLess,
		},
	}
}

// handshake has the raw peer open a session of another kind, which the daemon takes or not.
func (s *scene) handshake(ctx context.Context, taken bool, change func(*wire.Peer)) error {
	if err := s.waiting(ctx); err != nil {
		return err
	}
	defer s.raw.resume()
	p := s.raw.peer()
	change(&p)
	short, cancel := context.WithTimeout(ctx, 7*time.Second)
	defer cancel()
	session, err := p.Dial(short)
	if err != nil {
		if taken {
			s.note("refused")
		}
		return nil
	}
	defer func() { _ = session.Die() }()
	if !taken {
		return errors.New("the daemon took the session")
	}
	if err := session.Write(s.raw.announcement()); err != nil {
		return err
	}
	_, err = s.until(ctx, 5*time.Second, "its routes", func(context.Context) error { return s.routesAre(wanted()) })
	if err != nil {
		return err
	}
	select {
	case <-session.Done():
		return fmt.Errorf("the session ended: %w", session.Err())
	case <-time.After(7 * time.Second): // longer than the node's own hold time
		s.note("the session lives")
		return nil
	}
}

func otherAS(ctx context.Context, s *scene) error {
	size := s.daemon.logSize()
	if err := s.edit("east-1", "config.yaml", "asn: 65005", "asn: 65099"); err != nil {
		return err
	}
	err := errors.Join(s.says(ctx, 10*time.Second, "peer raw: .*(?i)as"), pause(ctx, 3*time.Second), s.quietLog(size))
	return errors.Join(err, s.restore("east-1", "config.yaml"))
}

// quietLog makes sure that the log did not grow by much.
func (s *scene) quietLog(since int64) error {
	const limit = 20
	if n := strings.Count(s.daemon.logSince(since), "\n"); n >= limit {
		return fmt.Errorf("%d lines of log", n)
	}
	return nil
}

// knock makes connections from an address and closes them.
func (s *scene) knock(ctx context.Context, peer, from string, times int) error {
	n := s.Node(peer)
	stranger := netip.MustParseAddr(from)
	if own := neighbourOf(peer).address(false); stranger != own {
		if _, err := n.Output(ctx, "ip", "addr", "add", from+"/24", "dev", "eth1"); err != nil {
			return err
		}
		s.later(func(ctx context.Context) error {
			return s.run(ctx, peer, "ip", "addr", "del", from+"/24", "dev", "eth1")
		})
	}
	size := s.daemon.logSize()
	before, err := s.memory()
	if err != nil {
		return err
	}
	closed := 0
	for range times {
		conn, err := s.dialDaemon(ctx, peer, stranger)
		if err != nil {
			closed++
			continue
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
	if err := pause(ctx, 500*time.Millisecond); err != nil {
		return err
	}
	after, err := s.memory()
	s.note("%d MiB more", (after-before)>>20)
	if err == nil && after-before > 16<<20 {
		err = fmt.Errorf("memory grew from %d to %d MiB", before>>20, after>>20)
	}
	if closed > times/2 {
		err = errors.Join(err, fmt.Errorf("only %d connections were made", times-closed))
	}
	return errors.Join(err, s.quietLog(size))
}

// silentConnections keeps many connections of one peer open.
func silentConnections(ctx context.Context, s *scene) error {
	open := 0
	for range 200 {
		conn, err := s.dialDaemon(ctx, "raw", neighbourOf("raw").address(false))
		if err != nil {
			continue
		}
		defer conn.Close()
		if conn.SetReadDeadline(time.Now().Add(20*time.Millisecond)) != nil {
			continue
		}
		var timeout net.Error
		if _, err := conn.Read(make([]byte, 1)); errors.As(err, &timeout) && timeout.Timeout() {
			open++
		}
	}
	s.note("%d stay open", open)
	if open > 10 {
		return fmt.Errorf("%d connections stay open", open)
	}
	return nil
}

// slamsTheDoor has frr's port answer before its daemon is up, as a router's does that is not configured yet.
func slamsTheDoor(ctx context.Context, s *scene) error {
	n := s.Node("frr")
	if err := n.Process("bgpd").Kill(); err != nil {
		return err
	}
	var listener net.Listener
	near := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		failed := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, 255) }) // GTSM
		return errors.Join(err, failed)
	}}
	err := n.Do(func() (err error) {
		listener, err = near.Listen(ctx, "tcp", ":179")
		return err
	})
	if err != nil {
		return err
	}
	taken := make(chan int)
	go func() {
		for i := 0; ; i++ {
			conn, err := listener.Accept()
			if err != nil {
				taken <- i
				return
			}
			conn.Close()
		}
	}()
	err = s.during(ctx, 10*time.Second, "its routes", func(context.Context) error { return s.routesAre(wanted()) })
	listener.Close()
	if n := <-taken; err == nil && n == 0 {
		err = errors.New("the daemon did not dial")
	} else {
		s.note("dialled %s", times(n))
	}
	return errors.Join(err, n.Launch(ctx))
}

func comesBackWithLess(ctx context.Context, s *scene) error {
	n := s.Node("bird")
	if err := n.Process("bird").Kill(); err != nil {
		return err
	}
	err := errors.Join(
		s.edit("bird", "bird.conf", "graceful restart on;", "graceful restart off;"),
		s.edit("bird", "bird.conf", "route 10.30.1.0/24 unreachable;", ""),
		s.sessionIs(ctx, "bird", false, 2*time.Second), s.routesAre(wanted()), n.Launch(ctx), s.sessionIs(ctx, "bird", true, 15*time.Second))
	if err != nil {
		return err
	}
	took, err := s.until(ctx, 10*time.Second, "what was not said again to go", func(context.Context) error { return s.hasRoute("10.30.1.0/24", false) })
	s.note("gone after %s", took)
	return errors.Join(err, s.restore("bird", "bird.conf"), s.run(ctx, "bird", "birdc", "configure"))
}

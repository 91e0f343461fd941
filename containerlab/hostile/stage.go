package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"text/template"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/underlayd/underlayd/containerlab"
)

//go:embed config
var configs embed.FS

const (
	foeCount  = 160
	dialers   = foeCount / 2 // foes that connect; the daemon connects to the others
	strangers = 32
	echoPort  = 7
)

func nodeAddress() netip.Addr { return netip.MustParseAddr("172.31.0.1") }

// stage is the lab with the daemon in it, and all that is watched.
type stage struct {
	lab    *containerlab.Lab
	node   *containerlab.Node
	foes   *containerlab.Node
	friend *containerlab.Node
	daemon *containerlab.Process
	pid    int
	eye    *eye
	all    []*foe
	probe  net.Conn
	ends   []func() error
	again  atomic.Int64 // sessions that ended before they were attacked
	since  string       // when the friend's session came up
}

// raise brings the lab up and waits until the friend's routes and the foes' sessions are possible. folder takes the
// configurations and is the caller's to remove.
func raise(ctx context.Context, topology *containerlab.Topology, binary, folder string) (*stage, error) {
	s := &stage{}
	if err := s.configure(folder); err != nil {
		return nil, err
	}
	var err error
	s.lab, err = topology.Up(ctx, containerlab.Options{Manual: []string{"node"}, Sources: map[string]string{
		"underlayd": binary, "node": filepath.Join(folder, "node"), "friend/bird.conf": filepath.Join(folder, "bird.conf"),
	}})
	if err != nil {
		return nil, err
	}
	s.node, s.foes, s.friend = s.lab.Node("node"), s.lab.Node("foe"), s.lab.Node("friend")
	s.ends = append(s.ends, s.lab.Down)
	for _, step := range []func(context.Context) error{s.addFoes, s.watch, s.start, s.echo, s.friendly} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, s.down())
		}
	}
	s.eye.begin()
	return s, nil
}

func (s *stage) configure(folder string) error {
	type peer struct {
		Name    string
		Address netip.Addr
		Dials   bool
	}
	var peers []peer
	for i := range foeCount {
		peers = append(peers, peer{fmt.Sprintf("foe-%d", i), address4(1, i), i < dialers})
	}
	t, err := template.ParseFS(configs, "config/underlayd.yaml")
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, peers); err != nil {
		return err
	}
	bird, err := configs.ReadFile("config/bird.conf")
	if err != nil {
		return err
	}
	return errors.Join(
		os.Mkdir(filepath.Join(folder, "node"), 0o755),
		os.WriteFile(filepath.Join(folder, "node", "config.yaml"), text.Bytes(), 0o644),
		os.WriteFile(filepath.Join(folder, "bird.conf"), bird, 0o644),
	)
}

// addFoes gives the foes their addresses, and ears to those that the daemon connects to.
func (s *stage) addFoes(context.Context) error {
	for i := range foeCount {
		s.all = append(s.all, &foe{stage: s, number: i, dials: i < dialers, calls: make(chan *net.TCPConn, 1)})
	}
	return s.foes.Do(func() error {
		link, err := netlink.LinkByName("eth1")
		if err != nil {
			return err
		}
		for _, f := range s.all {
			a, err := netlink.ParseAddr(netip.PrefixFrom(address4(1, f.number), 16).String())
			if err != nil {
				return err
			}
			if err := netlink.AddrAdd(link, a); err != nil {
				return fmt.Errorf("address %s: %w", a, err)
			}
		}
		for i := range strangers { // of whom the daemon knows nothing
			a, err := netlink.ParseAddr(netip.PrefixFrom(address4(3, i), 16).String())
			if err != nil {
				return err
			}
			if err := netlink.AddrAdd(link, a); err != nil {
				return fmt.Errorf("address %s: %w", a, err)
			}
		}
		return s.listen()
	})
}

// listen runs in the network of the foes. One socket takes the calls for all of them.
func (s *stage) listen() error {
	config := net.ListenConfig{Control: nearby, KeepAlive: -1}
	l, err := config.Listen(context.Background(), "tcp4", fmt.Sprintf(":%d", bgpPort))
	if err != nil {
		return err
	}
	s.ends = append(s.ends, l.Close)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.deliver(conn.(*net.TCPConn))
		}
	}()
	return nil
}

// deliver gives the daemon's call to the foe it is for. The latest counts.
func (s *stage) deliver(conn *net.TCPConn) {
	at := conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	for _, f := range s.all {
		if address4(1, f.number) != at {
			continue
		}
		select {
		case old := <-f.calls:
			_ = old.Close()
		default:
		}
		f.calls <- conn
		return
	}
	_ = conn.Close()
}

func (s *stage) watch(ctx context.Context) error {
	err := s.node.Do(func() (err error) {
		s.eye, err = openEye(context.WithoutCancel(ctx))
		return err
	})
	if err == nil {
		s.ends = append(s.ends, s.eye.monitor.Close)
	}
	return err
}

func (s *stage) start(ctx context.Context) error {
	if err := s.node.Launch(ctx); err != nil {
		return err
	}
	s.daemon = s.node.Process("underlayd")
	return containerlab.Until(ctx, "the daemon to answer", func(ctx context.Context) error {
		state, err := s.status(ctx)
		s.pid = state.PID
		return err
	})
}

// echo answers on the friend, and opens the socket on the node that asks.
func (s *stage) echo(context.Context) error {
	var server net.PacketConn
	err := s.friend.Do(func() (err error) {
		server, err = net.ListenPacket("udp4", fmt.Sprintf("10.30.1.1:%d", echoPort))
		return err
	})
	if err != nil {
		return err
	}
	s.ends = append(s.ends, server.Close)
	go func() {
		b := make([]byte, 64)
		for {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(b[:n], from)
		}
	}()
	return nil
}

// friendly waits for the friend: its session, its routes, and the first packet.
func (s *stage) friendly(ctx context.Context) error {
	err := containerlab.Until(ctx, "the friend", func(ctx context.Context) error {
		for _, p := range friendRoutes() {
			if hop, _ := s.eye.now(p); !hop.IsValid() {
				return fmt.Errorf("%s is not in the kernel", p)
			}
		}
		state, err := s.status(ctx)
		if s.since = state.friend().Since; err == nil && state.friend().State != "established" {
			err = errors.New("its session is not up")
		}
		return err
	})
	if err != nil {
		return err
	}
	err = s.node.Do(func() (err error) {
		d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(10, 10, 1, 1)}}
		s.probe, err = d.DialContext(ctx, "udp4", fmt.Sprintf("10.30.1.1:%d", echoPort))
		return err
	})
	if err != nil {
		return err
	}
	s.ends = append(s.ends, s.probe.Close)
	return containerlab.Until(ctx, "the first packet", func(context.Context) error { return s.ask() })
}

// ask sends one packet to the friend and waits for the answer.
func (s *stage) ask() error {
	if err := s.probe.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	if _, err := s.probe.Write([]byte("well?")); err != nil {
		return err
	}
	_, err := s.probe.Read(make([]byte, 64))
	return err
}

func (s *stage) down() error {
	var errs []error
	for _, f := range s.all {
		f.hangUp()
	}
	for i := len(s.ends) - 1; i >= 0; i-- {
		errs = append(errs, s.ends[i]())
	}
	return errors.Join(errs...)
}

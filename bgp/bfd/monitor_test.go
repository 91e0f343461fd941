package bfd

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/containerlab"
)

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func TestWrongSessionsAreRefused(t *testing.T) {
	good := Session{Peer: netip.MustParseAddr("10.1.0.2"), Hops: 1, Interval: 50 * ms, Multiplier: 3}
	for _, c := range []struct {
		change func(*Session)
		want   string
	}{
		{func(s *Session) { s.Peer = netip.Addr{} }, "not a peer's address"},
		{func(s *Session) { s.Peer = netip.MustParseAddr("224.0.0.1") }, "not a peer's address"},
		{func(s *Session) { s.Peer = netip.MustParseAddr("::ffff:10.1.0.2") }, "not a peer's address"},
		{func(s *Session) { s.Peer = netip.MustParseAddr("fe80::2") }, "a link-local address needs a zone, as in fe80::1%eth0"},
		{func(s *Session) { s.Peer = netip.MustParseAddr("fd00::2%eth0") }, "only a link-local address has a zone"},
		{func(s *Session) { s.Peer, s.Hops = netip.MustParseAddr("fe80::2%eth0"), 2 }, "a link-local address is one hop away, not 2"},
		{func(s *Session) { s.Local = netip.MustParseAddr("fd00::1") }, "local address fd00::1 is of another family"},
		{func(s *Session) { s.Hops = 0 }, "hops must be 1..255, not 0"},
		{func(s *Session) { s.Hops = 256 }, "hops must be 1..255, not 256"},
		{func(s *Session) { s.Interval = ms }, "interval must be 10ms..1m0s, not 1ms"},
		{func(s *Session) { s.Multiplier = 0 }, "multiplier must be 1..255, not 0"},
		{func(s *Session) { s.Multiplier = 256 }, "multiplier must be 1..255, not 256"},
	} {
		bad := good
		c.change(&bad)
		require.ErrorContains(t, New().SetSessions([]Session{bad}), c.want)
	}
	require.ErrorContains(t, New().SetSessions([]Session{good, good}), "BFD session with 10.1.0.2: there are two")
}

func TestAMonitorIsNotHeldUpByItsStates(t *testing.T) {
	m := New()
	require.ErrorIs(t, m.AdminDown(soon(t)), ErrEnded)
	require.Empty(t, m.Sessions())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	require.NoError(t, containerlab.Until(soon(t), "start", func(ctx context.Context) error { return m.AdminDown(ctx) }))
	require.ErrorIs(t, m.Run(ctx), ErrRunning)
	cancel()
	require.NoError(t, <-done)
	require.ErrorIs(t, m.AdminDown(soon(t)), ErrEnded)
	require.NoError(t, m.SetSessions(nil))
	require.ErrorIs(t, m.Run(t.Context()), ErrRunning)
}

func descriptors(t *testing.T) int {
	files, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(files)
}

func TestOnlyWhatIsNeededIsOpen(t *testing.T) {
	p := newPair(t, theirs{"none", 0, 0})
	all := ours(50*ms, 3)
	m, stop := p.stoppable("us")
	require.NoError(t, containerlab.Until(soon(t), "start", func(ctx context.Context) error { return m.AdminDown(ctx) }))
	before := descriptors(t)
	require.NoError(t, m.SetSessions(all))
	open := func(want int) {
		t.Helper()
		require.NoError(t, containerlab.Until(soon(t), "sockets", func(context.Context) error {
			if got := descriptors(t) - before; got != want {
				return errors.New("not yet")
			}
			return nil
		}))
	}
	open(5 + 4)
	require.NoError(t, m.SetSessions(all[:3]))
	open(3 + 2)
	require.NoError(t, m.SetSessions(all[1:2]))
	open(1 + 1)
	require.NoError(t, m.SetSessions(nil))
	open(0)
	require.NoError(t, m.SetSessions(all))
	open(5 + 4)
	stop()
	open(-1) // the way into the node is closed, too
	require.Len(t, m.Sessions(), 5)
}

func TestSetSessions(t *testing.T) {
	p := newPair(t, theirs{"none", 0, 0})
	sessions := ours(100*ms, 30)
	m := p.monitor("us", sessions...)
	them := p.monitor("them", back(sessions)...)
	until(t, m, "sessions to be up", up)
	until(t, them, "sessions to be up", up)
	start := m.Sessions()
	undisturbed := func(n int) {
		t.Helper()
		require.Empty(t, them.Lost())
		require.Empty(t, m.Lost())
		for i, s := range m.Sessions()[:n] {
			require.Equal(t, start[i].Since, s.Since)
		}
	}

	t.Run("the same again changes nothing", func(t *testing.T) {
		require.NoError(t, m.SetSessions(sessions))
		undisturbed(5)
	})
	t.Run("more hops count at once", func(t *testing.T) {
		sessions[3].Hops = 7
		require.NoError(t, m.SetSessions(sessions))
		until(t, m, "sessions to be up", up)
		undisturbed(5)
	})
	t.Run("a session that is not wanted any more is no failure for the peer", func(t *testing.T) {
		require.NoError(t, m.SetSessions(sessions[:1]))
		require.NoError(t, containerlab.Until(soon(t), "four to be held", func(context.Context) error {
			held := 0
			for _, s := range them.Sessions() {
				if s.Status == Down && s.RemoteStatus == AdminDown && s.RemoteDiag == AdministrativelyDown {
					held++
				}
			}
			if held != 4 {
				return errors.New("not yet")
			}
			return nil
		}))
		require.Len(t, m.Sessions(), 1)
		undisturbed(1)
		require.NoError(t, m.SetSessions(sessions))
		until(t, m, "sessions to be up again", up)
		until(t, them, "sessions to be up again", up)
		undisturbed(1)
	})
	t.Run("a session with another local address starts anew, once the peer was told that the old one ended", func(t *testing.T) {
		before := time.Now()
		sessions[0].Local = netip.MustParseAddr("10.1.0.1")
		require.NoError(t, m.SetSessions(sessions))
		until(t, m, "sessions to be up again", func(s State) bool { return up(s) && (s.Local.IsValid() || s.Peer != sessions[0].Peer) })
		require.GreaterOrEqual(t, time.Since(before), 3000*ms, "a detection time")
		require.Empty(t, m.Lost())
	})
	t.Run("a held session is no failure for the peer, nor is its return", func(t *testing.T) {
		until(t, them, "sessions to be up", up)
		them.Lost()
		sessions[0].AdminDown = true
		require.NoError(t, m.SetSessions(sessions))
		until(t, them, "it to be held", func(s State) bool { return s.Peer != back(sessions)[0].Peer || s.RemoteStatus == AdminDown })
		sessions[0].AdminDown = false
		require.NoError(t, m.SetSessions(sessions))
		until(t, them, "sessions to be up again", up)
		until(t, m, "sessions to be up again", up)
		require.Empty(t, them.Lost())
		require.Empty(t, m.Lost())
	})
	t.Run("everything is held before the end, and nobody takes it for a failure", func(t *testing.T) {
		before := time.Now()
		require.NoError(t, m.AdminDown(soon(t)))
		require.GreaterOrEqual(t, time.Since(before), 3000*ms)
		until(t, them, "sessions to be held", func(s State) bool { return s.Status == Down && s.RemoteStatus == AdminDown })
		require.Empty(t, them.Lost())
	})
}

func TestALossIsToldEvenIfItIsOver(t *testing.T) {
	p := newPair(t, theirs{"none", 0, 0})
	sessions := ours(100*ms, 20)[:1]
	m, them := p.monitor("us", sessions...), p.monitor("them", back(sessions)...)
	for range 2 {
		until(t, m, "it to be up", up)
		until(t, them, "it to be up", up)
		p.deaf("us")
		until(t, m, "it to be down", down)
		p.hears("us")
	}
	until(t, m, "it to be up", up)
	<-m.Changed()
	losses := m.Lost()
	require.Len(t, losses, 1)
	require.Equal(t, 2, losses[0].Times)
	require.EqualValues(t, 2, m.Sessions()[0].Losses)
	require.Empty(t, m.Lost())
}

func TestWhatIsMissingIsSaidAndLookedForAgain(t *testing.T) {
	for _, c := range []struct {
		what    string
		change  func(*Session)
		problem string
		missing func(p pair)
		supply  func(p pair)
	}{
		{
			"an address", func(s *Session) { s.Local = netip.MustParseAddr("10.1.0.77") },
			"local address 10.1.0.77: cannot assign requested address", func(pair) {},
			func(p pair) {
				p.in("us", "ip", "addr", "add", "10.1.0.77/24", "dev", "eth1")
				p.in("them", "true")
			},
		},
		{
			"an interface", func(s *Session) { s.Peer = netip.MustParseAddr("fe80::2%later") },
			"interface later: no such network interface", func(pair) {},
			func(p pair) {
				p.in("us", "ip", "link", "set", "eth1", "down")
				p.in("us", "ip", "link", "set", "eth1", "name", "later")
				p.in("us", "ip", "link", "set", "later", "up")
				p.in("us", "ip", "addr", "replace", "fe80::1/64", "dev", "later", "nodad")
			},
		},
		{
			"a route", func(*Session) {}, "no way to the peer: network is unreachable",
			func(p pair) { p.in("us", "ip", "addr", "del", "10.1.0.1/24", "dev", "eth1") },
			func(p pair) { p.in("us", "ip", "addr", "add", "10.1.0.1/24", "dev", "eth1") },
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			p := newPair(t, theirs{"none", 0, 0})
			c.missing(p)
			s := ours(50*ms, 3)[0]
			c.change(&s)
			m := p.monitor("us", s)
			until(t, m, "a reason", func(s State) bool { return s.Problem == c.problem })
			all := append(back(ours(50*ms, 3)), Session{Peer: netip.MustParseAddr("10.1.0.77"), Hops: 1, Interval: 50 * ms, Multiplier: 3})
			p.monitor("them", all...)
			c.supply(p)
			until(t, m, "it to be up", up)
		})
	}
	t.Run("a port", func(t *testing.T) {
		p := newPair(t, theirs{"none", 0, 0})
		var taken net.PacketConn
		require.NoError(t, p.Node("us").Do(func() (err error) {
			taken, err = net.ListenPacket("udp4", ":3784")
			return err
		}))
		m := p.monitor("us", ours(50*ms, 3)[0])
		p.monitor("them", back(ours(50*ms, 3)[:1])...)
		until(t, m, "a reason", func(s State) bool { return s.Problem == "UDP port 3784 (IPv4): address already in use" })
		require.NoError(t, taken.Close())
		until(t, m, "it to be up", up)
	})
}

// TestPacketsLookAsTheyMust has a plain socket in the place of the peer (RFC 5881, sections 4 and 5).
func TestPacketsLookAsTheyMust(t *testing.T) {
	p := newPair(t, theirs{"none", 0, 0})
	ports := map[int]bool{}
	for _, c := range []struct {
		network, listen string
		session         Session
		options         [][2]int
	}{
		{"udp4", "10.1.0.2:3784", ours(50*ms, 3)[0], [][2]int{{unix.SOL_IP, unix.IP_RECVTTL}, {unix.SOL_IP, unix.IP_RECVTOS}}},
		{"udp6", "[fd00:1::2]:3784", ours(50*ms, 3)[1], [][2]int{{unix.SOL_IPV6, unix.IPV6_RECVHOPLIMIT}, {unix.SOL_IPV6, unix.IPV6_RECVTCLASS}}},
	} {
		t.Run(c.network, func(t *testing.T) {
			var conn *net.UDPConn
			require.NoError(t, p.Node("them").Do(func() error {
				pc, err := net.ListenPacket(c.network, c.listen)
				conn, _ = pc.(*net.UDPConn)
				return err
			}))
			defer conn.Close()
			raw, err := conn.SyscallConn()
			require.NoError(t, err)
			require.NoError(t, raw.Control(func(fd uintptr) {
				for _, o := range c.options {
					require.NoError(t, unix.SetsockoptInt(int(fd), o[0], o[1], 1))
				}
			}))
			_, stop := p.stoppable("us", c.session)
			defer stop()
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
			body, oob := make([]byte, 100), make([]byte, 200)
			n, oobn, _, from, err := conn.ReadMsgUDPAddrPort(body, oob)
			require.NoError(t, err)
			require.Equal(t, packetLength, n)
			require.GreaterOrEqual(t, int(from.Port()), firstPort)
			require.False(t, ports[int(from.Port())])
			ports[int(from.Port())] = true
			messages, err := unix.ParseSocketControlMessage(oob[:oobn])
			require.NoError(t, err)
			require.Len(t, messages, 2)
			for _, m := range messages {
				want := byte(255)
				if m.Header.Type == unix.IP_TOS || m.Header.Type == unix.IPV6_TCLASS {
					want = 0xc0
				}
				require.Equal(t, want, m.Data[0])
			}
		})
	}
}

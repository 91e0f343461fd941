package bfd

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/pkg/packet/bfd"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/containerlab"
)

// forged is a packet that an attacker sends.
type forged struct {
	header
	flags   byte
	length  int    // of the length field; 0: the right one
	cut     int    // bytes that are missing at the end
	more    int    // bytes after the packet
	ttl     int    // 0: 255
	from    string // "": the peer
	port    int    // 0: 3784
	session int    // which of our five sessions it is about
}

func (f forged) bytes(t *testing.T) []byte {
	b, err := f.MarshalBinary()
	require.NoError(t, err)
	b[flagsAt] |= f.flags
	if f.length != 0 {
		b[lengthAt] = byte(f.length)
	}
	return append(b[:len(b)-f.cut], make([]byte, f.more)...)
}

// send sends it from the other end.
func (f forged) send(t *testing.T, p pair, to Session) {
	port, ttl, from := singleHopPort, farthest, to.Peer.String()
	if f.port != 0 {
		port = f.port
	}
	if f.ttl != 0 {
		ttl = f.ttl
	}
	if f.from != "" {
		from = f.from
	}
	target := back([]Session{to})[0].Peer
	require.NoError(t, p.Node("them").Do(func() error {
		dialer := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))}
		conn, err := dialer.DialContext(t.Context(), "udp", netip.AddrPortFrom(target, uint16(port)).String())
		if err != nil {
			return err
		}
		defer conn.Close()
		raw, err := conn.(*net.UDPConn).SyscallConn()
		if err != nil {
			return err
		}
		level, option := unix.SOL_IP, unix.IP_TTL
		if target.Is6() {
			level, option = unix.SOL_IPV6, unix.IPV6_UNICAST_HOPS
		}
		var failed error
		err = raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), level, option, ttl) })
		_, sent := conn.Write(f.bytes(t))
		return errors.Join(err, failed, sent)
	}))
}

func TestHostilePacketsAreCountedAndNothingElse(t *testing.T) {
	p := newPair(t, theirs{"none", 0, 0})
	sessions := ours(100*ms, 250)
	m, them := p.monitor("us", sessions...), p.monitor("them", back(sessions)...)
	until(t, m, "sessions to be up", up)
	until(t, them, "sessions to be up", up)
	start := m.Sessions()
	p.in("them", "ip", "addr", "add", "10.1.0.66/24", "dev", "eth1")
	p.in("them", "ip", "addr", "add", "fe80::66/64", "dev", "eth1", "nodad")
	known := make([]uint32, len(sessions)) // our discriminators; they never change
	for i, s := range sessions {
		for _, e := range *m.view.Load() {
			if e.cfg.Peer == s.Peer {
				known[i] = e.local
			}
		}
	}
	// What would take the session down if it were believed.
	bad := func(change func(*forged)) forged {
		f := forged{header: header{
			Version: version, State: bfd.StateDown, DetectTimeMultiplier: 3, MyDiscriminator: 666,
			DesiredMinTxInterval: 50_000, RequiredMinRxInterval: 50_000,
		}}
		change(&f)
		if f.YourDiscriminator == 1 {
			f.YourDiscriminator = known[f.session]
		}
		return f
	}
	for _, c := range []struct {
		what   string
		reason Reason
		packet forged
	}{
		{"an empty one", TooShort, bad(func(f *forged) { f.cut = packetLength })},
		{"one that is cut", TooShort, bad(func(f *forged) { f.cut = 1 })},
		{"one that claims to be longer than it is", TooShort, bad(func(f *forged) { f.length = 25 })},
		{"one of the version before", WrongVersion, bad(func(f *forged) { f.Version = 0 })},
		{"one of a later version", WrongVersion, bad(func(f *forged) { f.Version = 2 })},
		{"one that claims to be too short", WrongLength, bad(func(f *forged) { f.length = 23 })},
		{"one that nobody could miss", NoMultiplier, bad(func(f *forged) { f.DetectTimeMultiplier = 0 })},
		{"one to many", Multipoint, bad(func(f *forged) { f.flags = multipoint })},
		{"one of nobody", NoDiscriminator, bad(func(f *forged) { f.MyDiscriminator = 0 })},
		{"one that is up with nobody", StateWithoutDiscriminator, bad(func(f *forged) { f.State = bfd.StateUp })},
		{"one that is about to be up with nobody", StateWithoutDiscriminator, bad(func(f *forged) { f.State = bfd.StateInit })},
		{"one with a password", Authentication, bad(func(f *forged) { f.flags, f.length, f.more = authenticated, 33, 9 })},
		{"one with a password, but without", Authentication, bad(func(f *forged) { f.flags, f.YourDiscriminator = authenticated, 1 })},
		{"one from afar", TooFar, bad(func(f *forged) { f.ttl = 254 })},
		{"one from afar that knows us", TooFar, bad(func(f *forged) { f.ttl, f.YourDiscriminator = 64, 1 })},
		{"one from afar by IPv6", TooFar, bad(func(f *forged) { f.ttl, f.session = 254, 1 })},
		{"one from three hops afar, where there are two", TooFar, bad(func(f *forged) { f.ttl, f.session, f.port = 254, 3, multihopPort })},
		{"one by IPv6 from three hops afar", TooFar, bad(func(f *forged) { f.ttl, f.session, f.port = 254, 4, multihopPort })},
		{"one that guesses", UnknownDiscriminator, bad(func(f *forged) { f.YourDiscriminator = known[0] ^ 1 })},
		{"one of a stranger", UnknownPeer, bad(func(f *forged) { f.from = "10.1.0.66" })},
		{"one of a stranger on the link", UnknownPeer, bad(func(f *forged) { f.from, f.session = "fe80::66%eth1", 2 })},
		{"one of a peer that is further away, as if it were near", UnknownPeer, bad(func(f *forged) { f.from = "10.3.0.2" })},
		{"one of a peer that is near, as if it were further away", UnknownPeer, bad(func(f *forged) { f.port = multihopPort })},
		{"one of a stranger who knows us", WrongAddress, bad(func(f *forged) { f.from, f.YourDiscriminator = "10.1.0.66", 1 })},
		{"one of another peer who knows us", WrongAddress, bad(func(f *forged) { f.from, f.YourDiscriminator = "10.3.0.2", 1 })},
		{"one of the peer who knows us, at the wrong port", WrongAddress, bad(func(f *forged) { f.port, f.YourDiscriminator = multihopPort, 1 })},
	} {
		t.Run(c.what, func(t *testing.T) {
			before := m.Refused()
			c.packet.send(t, p, sessions[c.packet.session])
			require.NoError(t, containerlab.Until(soon(t), "it to be counted", func(context.Context) error {
				for reason, n := range m.Refused() {
					if n != before[reason] {
						require.Equal(t, c.reason, reason)
						require.Equal(t, before[reason]+1, n)
						return nil
					}
				}
				return errors.New("not yet")
			}))
		})
	}
	require.Empty(t, m.Lost())
	require.Empty(t, them.Refused())
	for i, s := range m.Sessions() {
		require.Equal(t, Up, s.Status)
		require.Equal(t, start[i].Since, s.Since)
	}
	t.Run("the same, true, takes it down", func(t *testing.T) {
		f := bad(func(f *forged) { f.YourDiscriminator = 1 })
		f.send(t, p, sessions[0])
		require.NoError(t, containerlab.Until(soon(t), "a loss", func(context.Context) error {
			if len(m.Lost()) == 0 {
				return errors.New("none")
			}
			return nil
		}))
	})
}

// stalled keeps a monitor from working for a while, as a garbage collector or a lack of processors would: it waits for a
// lock, here or with the next loss.
func stalled(m *Monitor, d time.Duration, meanwhile func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	poke(m.bell)
	after := time.After(d)
	meanwhile()
	<-after
}

func TestAStallIsNoFailure(t *testing.T) {
	p := newPair(t, theirs{"none", 0, 0})
	patient := ours(300*ms, 100) // they wait half a minute for us, we wait 1.5 s for them
	m, them := p.monitor("us", patient...), p.monitor("them", back(ours(300*ms, 5))...)
	until(t, m, "sessions to be up", up)
	until(t, them, "sessions to be up", up)
	for _, d := range []time.Duration{1400 * ms, 3000 * ms} {
		stalled(m, d, func() {})
		until(t, m, "sessions to be up", up)
		late := them.Delay()
		for _, l := range m.Lost() {
			require.Greater(t, late, 600*ms, "a loss after %s, and they were not late: %+v", d, l)
		}
	}
	require.Empty(t, them.Lost())

	t.Run("but a failure in its course is one", func(t *testing.T) {
		m.Lost()
		var end time.Time
		stalled(m, 3000*ms, func() { p.deaf("us"); end = time.Now().Add(3000 * ms) })
		losses, late := p.lost(m), m.Delay()
		for _, l := range losses {
			t.Logf("a stall of 3s, and told %s after it", l.At.Sub(end).Round(ms))
			require.Equal(t, DetectionTimeExpired, l.Diag)
			require.Less(t, l.At.Sub(end), 3000*ms+late)
		}
	})
}

package bgp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// caller is a host, with the TTL of its packets.
type caller struct {
	host string
	ttl  int
}

// unheard is how long a caller tries that is not to be heard: its second SYN is one second after the first.
const unheard = 2 * time.Second

// impatient connects from a host for so long and sends OPEN, KEEPALIVE and an UPDATE before anybody answered.
func impatient(t *testing.T, s *subject, from caller, limit time.Duration) (net.Conn, error) {
	t.Helper()
	local := netip.MustParseAddr(from.host)
	dialer := net.Dialer{
		Timeout:   limit,
		LocalAddr: &net.TCPAddr{IP: local.AsSlice()},
		Control: func(_, _ string, c syscall.RawConn) (err error) {
			return errorsOf(c.Control(func(fd uintptr) {
				if local.Is4() {
					err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, from.ttl)
				} else {
					err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, from.ttl)
				}
			}), err)
		},
	}
	target := speaker
	if local.Is6() {
		target = netip.MustParseAddr("fd00::1")
	}
	dialer.SetMultipathTCP(false)
	conn, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort(target.String(), strconv.Itoa(s.cfg.Port)))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	capabilities := gobgp.NewOptionParameterCapability([]gobgp.ParameterCapabilityInterface{
		gobgp.NewCapMultiProtocol(familyIPv4), gobgp.NewCapFourOctetASNumber(65000),
	})
	open, err := gobgp.NewBGPOpenMessage(65000, 90, netip.MustParseAddr("1.1.1.1"), []gobgp.OptionParameterInterface{capabilities})
	require.NoError(t, err)
	for _, m := range []*gobgp.BGPMessage{open, gobgp.NewBGPKeepAliveMessage()} {
		raw, err := m.Serialize()
		require.NoError(t, err)
		_, _ = conn.Write(raw) // who was heard may have been sent away already
	}
	return conn, nil
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestGTSMHoldsFromTheFirstPacket: what a distant machine sends is never read, not even when it is quick.
func TestGTSMHoldsFromTheFirstPacket(t *testing.T) {
	for _, host := range []string{"192.168.0.2", "fd00::2"} {
		t.Run(host, func(t *testing.T) {
			s := start(t, func(c *Config) {
				c.ListenAddresses = append(c.ListenAddresses, netip.MustParseAddr("fd00::1"))
			})
			address := netip.MustParseAddr(host)
			peer := Peer{Transport: Transport{
				Name: "near", Address: address, ASN: 65000, Port: 1, Passive: true, Hops: 2, HoldTime: holdTime, IPv4: true,
			}, ConnectRetry: time.Second}
			others := []Peer{
				{Transport: Transport{Name: "a", Address: netip.MustParseAddr("192.168.0.9"), ASN: 65009, Port: 1, Passive: true, Hops: 1, HoldTime: holdTime, IPv4: true}},
				{Transport: Transport{Name: "b", Address: netip.MustParseAddr("fd00::9"), ASN: 65009, Port: 1, Passive: true, Hops: 1, HoldTime: holdTime, IPv4: true}},
			}
			require.NoError(t, s.SetPeers(t.Context(), append(others, peer)))
			_, err := impatient(t, s, caller{host, 253}, unheard)
			var timeout net.Error
			require.ErrorAs(t, err, &timeout)
			require.True(t, timeout.Timeout(), "the SYN itself is dropped")
			require.False(t, near(s).Established)

			_, err = impatient(t, s, caller{host, 254}, patience)
			require.NoError(t, err)
			require.Eventually(t, func() bool { return near(s).Established }, patience, 10*time.Millisecond, "a near one is heard")
		})
	}
}

// TestPeerWithoutGTSMIsHeard: the filter is about the peers that ask for it, and follows the configuration.
func TestPeerWithoutGTSMIsHeard(t *testing.T) {
	s := start(t, nil)
	peer := Peer{Transport: Transport{
		Name: "near", Address: netip.MustParseAddr("192.168.0.2"), ASN: 65000, Port: 1, Passive: true, Hops: 1, HoldTime: holdTime, IPv4: true,
	}, ConnectRetry: time.Second}
	require.NoError(t, s.SetPeers(t.Context(), []Peer{peer}))
	_, err := impatient(t, s, caller{"192.168.0.2", 64}, unheard)
	require.Error(t, err)
	peer.Hops = 0
	require.NoError(t, s.SetPeers(t.Context(), []Peer{peer}))
	require.Eventually(t, func() bool {
		conn, err := impatient(t, s, caller{"192.168.0.2", 64}, 5*time.Second)
		if err != nil {
			return false
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		for ctx.Err() == nil && !near(s).Established {
			select {
			case <-s.Changed():
			case <-ctx.Done(): // GoBGP was still idle and closed the connection
			}
		}
		return near(s).Established || conn.Close() != nil
	}, patience, 100*time.Millisecond)
}

func near(s *subject) Session {
	for _, session := range s.Sessions() {
		if session.Peer == "near" {
			return session
		}
	}
	return Session{}
}

// TestTheFilterIsBuiltWhenItMustBeAnother and not each time somebody asks for it.
func TestTheFilterIsBuiltWhenItMustBeAnother(t *testing.T) {
	east, west := Peer{Transport: Transport{Address: netip.MustParseAddr("192.168.0.2")}}, Peer{Transport: Transport{Address: netip.MustParseAddr("192.168.0.3")}}
	near, odd := east, east
	near.Hops, odd.Name = 1, "another name"
	both := []Peer{east, west}
	full := errors.New("no buffer space available")
	var built, attached int
	var fault error
	g := guard{
		build:  func(peers, deaf []Peer) ([]unix.SockFilter, error) { built++; return listenFilter(peers, deaf) },
		attach: func([]unix.SockFilter) error { attached++; return fault },
	}
	for _, row := range []struct {
		name            string
		peers, deaf     []Peer
		fault           error
		built, attached int
	}{
		{"the first filter is attached even for nobody: until then nobody is heard", nil, nil, nil, 1, 1},
		{"the same is there already", nil, nil, nil, 0, 0},
		{"peers of whom it asks nothing are in the same program", both, nil, nil, 1, 0},
		{"in another order they are the same", []Peer{west, east}, nil, nil, 0, 0},
		{"what is not about the filter changes nothing", []Peer{odd, west}, nil, nil, 0, 0},
		{"a peer that may come from so far only", []Peer{near, west}, nil, nil, 1, 1},
		{"one whose turn it is not", both, []Peer{east}, nil, 1, 1},
		{"it is another's", both, []Peer{west}, nil, 1, 1},
		{"it is neither's", both, []Peer{west, east}, nil, 1, 1},
		{"in another order they are the same", both, []Peer{east, west}, nil, 0, 0},
		{"one that the kernel does not take", both, nil, full, 1, 1},
		{"is tried again", both, nil, nil, 1, 1},
		{"one that only some of the listeners may have", both, []Peer{west, east}, full, 1, 1},
		{"is put back on all", both, nil, nil, 1, 1},
		{"one peer has gone", []Peer{west}, nil, nil, 1, 0},
		{"it is another one", []Peer{east}, nil, nil, 1, 0},
	} {
		built, attached, fault = 0, 0, row.fault
		require.ErrorIs(t, g.hear(row.peers, row.deaf), row.fault, row.name)
		require.Equal(t, []int{row.built, row.attached}, []int{built, attached}, row.name)
	}
}

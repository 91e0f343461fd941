package bgp

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

var (
	six      = netip.MustParseAddr("fd00::1") // the speaker's
	sixPeer  = netip.MustParseAddr("fd00::2")
	takesIt  = gobgp.NewCapExtendedNexthop([]*gobgp.CapExtendedNexthopTuple{gobgp.NewCapExtendedNexthopTuple(familyIPv4, gobgp.AFI_IP6)})
	takesVPN = gobgp.NewCapExtendedNexthop([]*gobgp.CapExtendedNexthopTuple{gobgp.NewCapExtendedNexthopTuple(gobgp.RF_IPv4_VPN, gobgp.AFI_IP6)})
)

// listener is a peer over IPv6 that writes down what it is told. It takes only packets that came from nearby.
type listener struct {
	*raw
	told []string // "prefix via next hop", "-prefix", "end"
}

// listenTo connects until the session is there; a speaker has its turns.
func listenTo(t *testing.T, s *subject, more ...gobgp.ParameterCapabilityInterface) *listener {
	t.Helper()
	var l *listener
	require.Eventually(t, func() bool {
		dialer := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: sixPeer.AsSlice()}, Control: nearbyOnly}
		dialer.SetMultipathTCP(false)
		conn, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort(six.String(), strconv.Itoa(s.cfg.Port)))
		if err != nil {
			return false
		}
		t.Cleanup(func() { _ = conn.Close() })
		open, err := gobgp.NewBGPOpenMessage(65000, 90, netip.MustParseAddr("1.1.1.1"), []gobgp.OptionParameterInterface{
			gobgp.NewOptionParameterCapability(append([]gobgp.ParameterCapabilityInterface{
				gobgp.NewCapMultiProtocol(familyIPv4), gobgp.NewCapMultiProtocol(familyIPv6), gobgp.NewCapFourOctetASNumber(65000),
				gobgp.NewCapGracefulRestart(false, true, 120, []*gobgp.CapGracefulRestartTuple{gobgp.NewCapGracefulRestartTuple(familyIPv4, true)}),
			}, more...)),
		})
		require.NoError(t, err)
		l = &listener{raw: &raw{t, conn}}
		for _, m := range []*gobgp.BGPMessage{open, gobgp.NewBGPKeepAliveMessage()} {
			text, err := m.Serialize()
			require.NoError(t, err)
			_, _ = conn.Write(text) // whose turn it is not is sent away
		}
		return l.hears("end", 5*time.Second) == nil
	}, patience, 50*time.Millisecond)
	return l
}

// nearbyOnly has a socket drop what may have been forwarded, as a GTSM peer does that connects (RFC 5082).
func nearbyOnly(_, _ string, c syscall.RawConn) (err error) {
	const minHopCount = 73 // IPV6_MINHOPCOUNT
	return errorsOf(c.Control(func(fd uintptr) {
		err = errorsOf(unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, minHopCount, 255),
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, 255))
	}), err)
}

// hears reads until it is told something.
func (l *listener) hears(what string, limit time.Duration) error {
	if err := l.conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	for {
		m, err := l.next()
		if err != nil {
			return err
		}
		update, ok := m.Body.(*gobgp.BGPUpdate)
		if !ok {
			continue
		}
		l.note(update)
		for _, told := range l.told {
			if told == what {
				return nil
			}
		}
	}
}

func (l *listener) note(u *gobgp.BGPUpdate) {
	if end, family := u.IsEndOfRib(); end && family == familyIPv4 {
		l.told = append(l.told, "end")
	}
	for _, p := range u.WithdrawnRoutes {
		l.told = append(l.told, "-"+p.NLRI.String())
	}
	for _, attribute := range u.PathAttributes {
		switch a := attribute.(type) {
		case *gobgp.PathAttributeMpReachNLRI:
			for _, p := range a.Value {
				l.told = append(l.told, fmt.Sprintf("%s via %s", p.NLRI, a.Nexthop))
			}
		case *gobgp.PathAttributeNextHop:
			for _, p := range u.NLRI {
				l.told = append(l.told, fmt.Sprintf("%s via %s", p.NLRI, a.Value))
			}
		}
	}
}

// TestIPv6NextHopsForIPv4: a peer over IPv6 gets IPv4 prefixes with an IPv6 next hop if it takes them (RFC 8950), and only
// then. All of them dial, and take no answer to their SYN that may have been forwarded.
func TestIPv6NextHopsForIPv4(t *testing.T) {
	v4, withSix, plain := netip.MustParseAddr("192.0.2.1"), "10.10.1.0/24 via fd00::1", "10.10.1.0/24 via 192.0.2.1"
	takes := []gobgp.ParameterCapabilityInterface{takesIt}
	for name, row := range map[string]struct {
		extended     bool
		nextHop4     netip.Addr
		capabilities []gobgp.ParameterCapabilityInterface
		first, then  string // what the peer is told in the end of the first session, and before the end of the second
	}{
		"a peer that takes them gets them":                            {true, netip.Addr{}, takes, withSix, withSix},
		"it gets them though there is an IPv4 next hop":               {true, v4, takes, withSix, withSix},
		"it does not if that is not configured":                       {false, v4, takes, plain, plain},
		"a peer that does not take them gets nothing":                 {true, netip.Addr{}, nil, "-10.10.1.0/24", ""},
		"a peer that does not gets the IPv4 next hop":                 {true, v4, nil, plain, plain},
		"a peer that takes them for another family does not get them": {true, v4, []gobgp.ParameterCapabilityInterface{takesVPN}, plain, plain},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(c *Config) { c.ListenAddresses = append(c.ListenAddresses, six) })
			require.NoError(t, s.Advertise(t.Context(), []netip.Prefix{east}))
			require.NoError(t, s.SetPeers(t.Context(), []Peer{{Transport: Transport{
				Name: "far", Address: sixPeer, ASN: 65000, Port: 1, Passive: true, Hops: 1, HoldTime: 90 * time.Second, IPv4: true, IPv6: true,
				GracefulRestart: GracefulRestart{Enabled: true, RestartTime: time.Minute},
			}, ConnectRetry: time.Second, ExtendedNextHop: row.extended, NextHop4: row.nextHop4}}))
			l := listenTo(t, s, row.capabilities...)
			if !slices.Contains(l.told, row.first) {
				require.NoError(t, l.hears(row.first, patience), "told: %q", l.told)
			}
			require.Equal(t, len(row.capabilities) > 0 && row.capabilities[0] == takesIt, named(s, "far").ExtendedNextHop)
			require.NoError(t, l.conn.Close())
			require.Eventually(t, func() bool { return !named(s, "far").Established }, patience, 10*time.Millisecond)
			want := []string{"end"}
			if row.then != "" {
				want = []string{row.then, "end"}
			}
			require.Equal(t, want, listenTo(t, s, row.capabilities...).told, "before the End-of-RIB")
		})
	}
}

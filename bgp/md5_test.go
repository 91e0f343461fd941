package bgp

import (
	"bytes"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// secure gives the remote's side of the session a key; "" for none.
func (r *remote) secure(key string, passive bool, s *subject) {
	r.t.Helper()
	ctx := r.t.Context()
	local := s.facing(r.addr)
	_ = r.server.DeletePeer(ctx, &api.DeletePeerRequest{Address: local.String()})
	listeners, err := listening(r.port)
	require.NoError(r.t, err)
	for _, fd := range listeners { // GoBGP leaves it there
		_ = setMD5(fd, local, "")
	}
	require.NoError(r.t, r.server.AddPeer(ctx, &api.AddPeerRequest{Peer: &api.Peer{
		Conf:            &api.PeerConf{NeighborAddress: local.String(), PeerAsn: ownASN, AuthPassword: key},
		Transport:       &api.Transport{LocalAddress: r.addr.String(), RemotePort: uint32(s.cfg.Port), PassiveMode: passive},
		Timers:          &api.Timers{Config: &api.TimersConfig{ConnectRetry: 1, HoldTime: 90, KeepaliveInterval: 30}},
		EbgpMultihop:    &api.EbgpMultihop{Enabled: true, MultihopTtl: 2},
		AfiSafis:        []*api.AfiSafi{apiFamily(api.Family_AFI_IP, true), apiFamily(api.Family_AFI_IP6, true)},
		GracefulRestart: &api.GracefulRestart{Enabled: true, RestartTime: 30},
	}}))
}

// knock connects as a host with a key, "" for none, and says whether the kernel let it in.
func knock(t *testing.T, s *subject, host, key string) bool {
	t.Helper()
	local := netip.MustParseAddr(host)
	target := speaker
	if local.Is6() {
		target = netip.MustParseAddr("fd00::1")
	}
	dialer := net.Dialer{
		Timeout: 300 * time.Millisecond, LocalAddr: &net.TCPAddr{IP: local.AsSlice()},
		Control: func(_, _ string, c syscall.RawConn) (err error) {
			if key == "" {
				return nil
			}
			return errorsOf(c.Control(func(fd uintptr) { err = setMD5(int(fd), target, key) }), err)
		},
	}
	dialer.SetMultipathTCP(false)
	conn, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort(target.String(), strconv.Itoa(s.cfg.Port)))
	if err != nil {
		return false
	}
	require.NoError(t, conn.Close())
	return true
}

func withIPv6(c *Config) {
	c.ListenAddresses = append(c.ListenAddresses, netip.MustParseAddr("fd00::1"))
}

// TestPasswords: both sides have the same key or there is no session, whoever connects, over either protocol.
func TestPasswords(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"192.168.0.2", "fd00::2"} {
		for _, dials := range []string{"we dial", "it dials"} {
			t.Run(host+", "+dials, func(t *testing.T) {
				passwords(t, host, dials == "we dial")
			})
		}
	}
}

func passwords(t *testing.T, host string, active bool) {
	s := start(t, withIPv6)
	far, untouched := startRemoteAt(t, host, 65000, freePort(t), s), startRemote(t, "192.168.0.3", 65001, s)
	p, other := far.peer("far"), untouched.peer("other")
	p.Passive, p.LocalAddress = !active, s.facing(far.addr)
	set := func(key string) {
		p.Password = Secret{}
		if key != "" {
			p.Password = secret(t, key)
		}
		require.NoError(t, s.SetPeers(t.Context(), []Peer{p, other}))
	}
	up := func(what string) {
		require.Eventually(t, func() bool { return named(s, "far").Established }, patience, 10*time.Millisecond, what)
	}
	down := func(what string) {
		require.Eventually(t, func() bool { return !named(s, "far").Established }, patience, 10*time.Millisecond, what)
		require.Never(t, func() bool { return named(s, "far").Established }, time.Second, 50*time.Millisecond, what)
	}
	far.secure("one", active, s)
	set("one")
	established(t, s, "other")
	since := named(s, "other").Since
	up("the same key on both sides")

	set("two")
	down("a key changed on our side only ends the session")
	far.secure("two", active, s)
	up("the key changed on the other side too")

	if far.addr.Is6() {
		return // the rest has nothing to do with the family
	}
	far.secure("", active, s)
	down("no key on the other side")
	set("")
	up("no key on either side")
	set("three")
	down("a key given to a live session ends it, and from then on it takes the key")
	far.secure("three", active, s)
	up("and both have it")
	require.Equal(t, since, named(s, "other").Since, "nobody else's session is touched")
	require.Zero(t, named(s, "other").Flaps)
}

// TestTheListenerHasTheKeysOfItsPeersOnly looks at the kernel from outside, on sockets of both families.
func TestTheListenerHasTheKeysOfItsPeersOnly(t *testing.T) {
	for _, host := range []string{"192.168.0.2", "fd00::2"} {
		t.Run(host, func(t *testing.T) {
			s := start(t, withIPv6)
			p := Peer{Transport: Transport{
				Name: "far", Address: netip.MustParseAddr(host), ASN: 65000, Port: 1, Passive: true, Password: secret(t, "one"),
				HoldTime: holdTime, IPv4: true,
			}, ConnectRetry: time.Second}
			answered := func(key string) { // in a moment: a peer is not heard before GoBGP wants it to be
				t.Helper()
				require.Eventually(t, func() bool { return knock(t, s, host, key) }, patience, 10*time.Millisecond)
			}
			require.NoError(t, s.SetPeers(t.Context(), nil), "before that nobody is heard")
			answered("")
			require.NoError(t, s.SetPeers(t.Context(), []Peer{p}))
			answered("one")
			require.False(t, knock(t, s, host, ""), "without the key")
			require.False(t, knock(t, s, host, "two"), "with another")
			p.Password = secret(t, "two")
			require.NoError(t, s.SetPeers(t.Context(), []Peer{p}))
			answered("two")
			require.False(t, knock(t, s, host, "one"), "the old key is gone")
			require.NoError(t, s.SetPeers(t.Context(), nil))
			require.False(t, knock(t, s, host, "two"), "the key of a removed peer is gone")
			answered("")
			p.Password = Secret{}
			require.NoError(t, s.SetPeers(t.Context(), []Peer{p}))
			answered("")
		})
	}
}

// TestAKeyThatTheKernelRefuses: the kernel's memory for options of one socket is full after some keys.
func TestAKeyThatTheKernelRefuses(t *testing.T) {
	s := start(t, nil)
	require.NoError(t, s.SetPeers(t.Context(), nil), "the filter takes of the same memory")
	listeners, err := listening(s.cfg.Port)
	require.NoError(t, err)
	filler := netip.MustParseAddr("198.18.0.1")
	var fillers []netip.Addr
	for err == nil {
		fillers = append(fillers, filler)
		err = setMD5(listeners[0], filler, "filler")
		filler = filler.Next()
	}
	require.ErrorIs(t, err, unix.ENOMEM)
	p := Peer{Transport: Transport{
		Name: "far", Address: netip.MustParseAddr("192.168.0.2"), ASN: 65000, Port: 1, Passive: true, Password: secret(t, "one"),
		HoldTime: holdTime, IPv4: true,
	}, ConnectRetry: time.Second}
	err = s.SetPeers(t.Context(), []Peer{p})
	require.ErrorContains(t, err, "peer far (192.168.0.2) is refused")
	require.ErrorContains(t, err, "net.core.optmem_max")
	require.NotContains(t, err.Error(), "one\"")
	require.Contains(t, named(s, "far").LastError, "net.core.optmem_max")
	require.Error(t, s.server.DeletePeer(t.Context(), &api.DeletePeerRequest{Address: "192.168.0.2"}), "it is not in GoBGP")

	for _, f := range fillers {
		_ = setMD5(listeners[0], f, "")
	}
	require.NoError(t, s.SetPeers(t.Context(), []Peer{p}), "the next attempt finds room")
	require.Empty(t, named(s, "far").LastError)
	require.False(t, knock(t, s, "192.168.0.2", ""))
}

// TestARefusedPeerIsShownAndNotRun: nobody gets in for it, and what was there ends.
func TestARefusedPeerIsShownAndNotRun(t *testing.T) {
	s := start(t, nil)
	far := startRemote(t, "192.168.0.2", 65000, s)
	p := far.peer("far")
	refused := p
	refused.Refused = "password file /x: is empty"
	require.NoError(t, s.SetPeers(t.Context(), []Peer{refused}))
	require.Equal(t, refused.Refused, named(s, "far").LastError)
	require.Never(t, func() bool { return named(s, "far").Established }, 2*time.Second, 50*time.Millisecond)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{p}))
	require.Empty(t, named(s, "far").LastError)
	established(t, s, "far")
	require.NoError(t, s.SetPeers(t.Context(), []Peer{refused}))
	require.False(t, named(s, "far").Established)
	require.NoError(t, s.SetPeers(t.Context(), nil))
	require.Empty(t, s.Sessions())
}

// TestNobodyTellsThePassword asks GoBGP's service and reads the log, with everything in it.
func TestNobodyTellsThePassword(t *testing.T) {
	var text bytes.Buffer
	name := filepath.Join(t.TempDir(), "gobgp.sock")
	s := start(t, func(c *Config) {
		c.Socket = name
		c.Log.(*logrus.Logger).SetLevel(logrus.DebugLevel)
		c.Log.(*logrus.Logger).SetOutput(&text)
	})
	far := startRemote(t, "192.168.0.2", 65000, s)
	far.secure("Fabr1c", true, s)
	p := far.peer("far")
	p.Password = secret(t, "Fabr1c")
	require.NoError(t, s.SetPeers(t.Context(), []Peer{p}))
	established(t, s, "far")
	conn, err := grpc.NewClient("unix://"+name, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	client := api.NewGoBgpServiceClient(conn)
	list, err := client.ListPeer(t.Context(), &api.ListPeerRequest{})
	require.NoError(t, err)
	answer, err := list.Recv()
	require.NoError(t, err)
	require.Equal(t, redacted, answer.GetPeer().GetConf().GetAuthPassword(), "that there is one may be known")
	require.NotContains(t, answer.String(), "Fabr1c")
	events, err := client.WatchEvent(t.Context(), &api.WatchEventRequest{Peer: &api.WatchEventRequest_Peer{}})
	require.NoError(t, err)
	event, err := events.Recv()
	require.NoError(t, err)
	require.NotContains(t, event.String(), "Fabr1c")
	p.Password = secret(t, "Fabr1c2")
	require.NoError(t, s.SetPeers(t.Context(), []Peer{p}))
	s.stop()
	require.NotEmpty(t, text.String())
	require.NotContains(t, text.String(), "Fabr1c")
}

// TestOnlyTheseAnswersHavePasswords fails when a GoBGP comes with another place for them.
func TestOnlyTheseAnswersHavePasswords(t *testing.T) {
	var with []string
	messages := api.File_api_gobgp_proto.Messages()
	for i := range messages.Len() {
		if m := messages.Get(i); m.Fields().ByName("auth_password") != nil {
			with = append(with, string(m.Name()))
		}
	}
	require.ElementsMatch(t, []string{"PeerConf", "PeerState", "PeerGroupConf", "PeerGroupState"}, with,
		"peer groups are not used")
}

// TestAConnectionThatSlippedIn was accepted before the listener had the key.
func TestAConnectionThatSlippedIn(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	p := passive("far", "192.168.0.2")
	p.HoldTime = 15 * time.Second
	require.NoError(t, s.SetPeers(t.Context(), []Peer{p}))
	r := connect(t, s)
	r.flood(10, 10)
	counted(t, s, 10)
	found, err := connections()
	require.NoError(t, err)
	port := uint16(r.conn.LocalAddr().(*net.TCPAddr).Port)
	secured := 0
	for e, c := range found {
		if e.peer == netip.MustParseAddr("192.168.0.2") && e.port == port {
			require.NoError(t, c.secure(e.peer, secret(t, "one")))
			secured++
		}
	}
	require.Equal(t, 1, secured)
	r.flood(20, 10)
	require.Never(t, func() bool {
		c, err := s.Counters(t.Context(), false)
		return err == nil && c[netip.MustParseAddr("192.168.0.2")].Received > 10
	}, 2*time.Second, 50*time.Millisecond, "what comes without the key is not heard")
	require.Eventually(t, func() bool { return !named(s, "far").Established }, patience, 50*time.Millisecond, "until it is over")
}

package bgp

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/stretchr/testify/require"
)

func TestLostSessionWithdrawsAndReturns(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	fabric := startRemote(t, "192.168.0.2", 65000, s)
	peer := fabric.peer("fabric")
	fabric.announce(west)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{peer}))
	w := newWorld(t, s)
	w.becomes("10.20.1.0/24 from [192.168.0.2]")
	require.NoError(t, fabric.server.ShutdownPeer(t.Context(), &api.ShutdownPeerRequest{Address: speaker.String(), Communication: "rack\x1b moves"}))
	w.becomes()
	require.Eventually(t, func() bool { return !s.Sessions()[0].Established && s.Sessions()[0].LastError != "" }, patience, 10*time.Millisecond)
	session := s.Sessions()[0]
	require.Equal(t, 1, session.Flaps)
	require.Contains(t, session.LastError, "administrative shutdown")
	require.Contains(t, session.LastError, "rack? moves", "what a peer writes is made printable")
	require.NoError(t, fabric.server.EnablePeer(t.Context(), &api.EnablePeerRequest{Address: speaker.String()}))
	w.becomes("10.20.1.0/24 from [192.168.0.2]")
}

func TestTransportChangeResetsOnlyItsSession(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	a, b := startRemote(t, "192.168.0.2", 65000, s), startRemote(t, "192.168.0.3", 65001, s)
	pa, pb := a.peer("a"), b.peer("b")
	require.NoError(t, s.SetPeers(t.Context(), []Peer{pa, pb}))
	established(t, s, "a", "b")
	a.announce(west)
	w := newWorld(t, s)
	w.becomes("10.20.1.0/24 from [192.168.0.2]")
	before := s.Sessions()[1].Since
	pa.HoldTime = 30 * time.Second
	require.NoError(t, s.SetPeers(t.Context(), []Peer{pa, pb}))
	require.Equal(t, rebuildGrace, s.Lost()[0].Grace)
	var changes []Change
	require.Eventually(t, func() bool { changes = s.Drain(0); return len(changes) > 0 }, patience, 10*time.Millisecond)
	require.Equal(t, []Change{{Prefix: west, Lost: true}}, changes, "its routes may be kept meanwhile")
	w.becomes("10.20.1.0/24 from [192.168.0.2]")
	require.Eventually(t, func() bool { return s.Sessions()[0].Established }, patience, 10*time.Millisecond)
	require.Equal(t, before, s.Sessions()[1].Since)
	require.Zero(t, s.Sessions()[1].Flaps)
}

func TestTimersChangeOnALiveSession(t *testing.T) {
	s := start(t, nil)
	a := startRemote(t, "192.168.0.2", 65000, s)
	p := a.peer("a")
	require.NoError(t, s.SetPeers(t.Context(), []Peer{p}))
	established(t, s, "a")
	before := s.Sessions()[0].Since
	p.Deferral = 20 * time.Second
	p.ConnectRetry = 3 * time.Second
	require.NoError(t, s.SetPeers(t.Context(), []Peer{p}))
	require.Never(t, func() bool { return s.Sessions()[0].Flaps > 0 }, time.Second, 50*time.Millisecond)
	require.Equal(t, before, s.Sessions()[0].Since)
}

func TestCounters(t *testing.T) {
	s := start(t, nil)
	fabric := startRemote(t, "192.168.0.2", 65000, s)
	fabric.announce(west)
	fabric.announce(hijack)
	require.NoError(t, s.Advertise(t.Context(), []netip.Prefix{east, east6}))
	require.NoError(t, s.SetPeers(t.Context(), []Peer{fabric.peer("fabric")}))
	require.Eventually(t, func() bool {
		c, err := s.Counters(t.Context(), true)
		return err == nil && c[fabric.addr] == Counters{Received: 2, Advertised: 2, Known: 1}
	}, patience, 50*time.Millisecond)
}

func TestPathsListsTheLosersToo(t *testing.T) {
	s := start(t, nil)
	a, b := startRemote(t, "192.168.0.2", 65000, s), startRemote(t, "192.168.0.3", 65001, s)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{a.peer("a"), b.peer("b")}))
	longer := gobgp.NewPathAttributeAsPath([]gobgp.AsPathParamInterface{gobgp.NewAs4PathParam(gobgp.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{65009})})
	a.announce(west)
	b.announce(west, longer)
	require.Eventually(t, func() bool {
		all, err := s.Paths(t.Context(), []netip.Prefix{west})
		paths := all[west]
		return err == nil && len(paths) == 2 && paths[0].Peer == a.addr
	}, patience, 10*time.Millisecond)
	newWorld(t, s).becomes("10.20.1.0/24 from [192.168.0.2]")
}

func TestSocketOfAKilledDaemonIsReplaced(t *testing.T) {
	name := filepath.Join(t.TempDir(), "gobgp.sock")
	l, err := net.Listen("unix", name)
	require.NoError(t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	require.ErrorContains(t, removeStaleSocket(name), "in use")
	require.NoError(t, l.Close())
	start(t, func(c *Config) { c.Socket = name })
	info, err := os.Stat(name)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestAPeerWithOurIdentifierIsTold(t *testing.T) {
	s := start(t, func(c *Config) { c.RouterID = netip.MustParseAddr("192.168.0.2") })
	internal, external := startRemote(t, "192.168.0.2", ownASN, s), startRemote(t, "192.168.0.3", 65000, s)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{external.peer("a-external"), internal.peer("b-internal")}))
	require.Eventually(t, func() bool { return s.Sessions()[1].BadIdentifier() }, patience, 10*time.Millisecond, "%+v", s.Sessions())
	established(t, s, "a-external")
	require.False(t, s.Sessions()[0].BadIdentifier())
}

package bgp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
)

const (
	ownASN   = 64512
	patience = time.Minute // of a machine that may leave us waiting for ten seconds at a time

	// holdTime is that of sessions whose end is for something else to bring about: keepalives of a busy machine are late.
	holdTime = 90 * time.Second
)

var (
	east    = netip.MustParsePrefix("10.10.1.0/24")
	east6   = netip.MustParsePrefix("fd00:10:0:1::/64")
	west    = netip.MustParsePrefix("10.20.1.0/24")
	west6   = netip.MustParsePrefix("fd00:20:0:1::/64")
	hijack  = netip.MustParsePrefix("10.30.1.0/24")
	ranges  = []Range{{netip.MustParsePrefix("10.20.0.0/16"), 16, 28}, {netip.MustParsePrefix("fd00:20::/48"), 48, 80}}
	speaker = netip.MustParseAddr("192.168.0.1")
)

// subject is the speaker under test. It is stopped before its peers are: a peer that goes first would make
// GoBGP mark paths as stale while its watchers read them, a race of its own.
type subject struct {
	*Speaker
	stop func()
}

// start brings up the speaker under test on 192.168.0.1 with fast timers.
func start(t *testing.T, change func(*Config)) *subject {
	t.Helper()
	log := logrus.New()
	log.SetOutput(t.Output())
	if os.Getenv("UNDERLAYD_TEST_DEBUG") != "" {
		log.SetLevel(logrus.DebugLevel)
	}
	cfg := Config{
		ASN: ownASN, RouterID: speaker, Port: freePort(t), ListenAddresses: []netip.Addr{speaker}, ClusterID: 7,
		Log: log,
	}
	if change != nil {
		change(&cfg)
	}
	s, err := Start(t.Context(), cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(stop)
	return &subject{Speaker: s, stop: stop}
}

// freePort is a port that nobody listens on, from below those that the kernel gives to connections: one of them would
// take it before it is used.
func freePort(t *testing.T) int {
	for {
		port := 10000 + rand.IntN(20000)
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		require.NoError(t, err)
		require.NoError(t, l.Close())
		return port
	}
}

// world drains the speaker until its learned table reads as wanted: "prefix via peer,peer".
type world struct {
	t     *testing.T
	s     *subject
	table map[netip.Prefix][]Path
}

func newWorld(t *testing.T, s *subject) *world {
	return &world{t: t, s: s, table: map[netip.Prefix][]Path{}}
}

func (w *world) text() []string {
	for _, c := range w.s.Drain(0) {
		if c.Paths.Len() == 0 {
			delete(w.table, c.Prefix)
			continue
		}
		w.table[c.Prefix] = c.Paths.All()
	}
	rows := []string{}
	for prefix, paths := range w.table {
		var from []string
		for _, p := range paths {
			from = append(from, p.Peer.String())
		}
		slices.Sort(from)
		rows = append(rows, fmt.Sprintf("%s from %v", prefix, from))
	}
	slices.Sort(rows)
	return rows
}

func (w *world) becomes(rows ...string) {
	w.t.Helper()
	var got []string
	want := append([]string{}, rows...)
	require.Eventually(w.t, func() bool { got = w.text(); return slices.Equal(got, want) }, patience, 10*time.Millisecond,
		"want %v, have %v", want, &got)
}

func established(t *testing.T, s *subject, names ...string) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, session := range s.Sessions() {
			if slices.Contains(names, session.Peer) && !session.Established {
				return false
			}
		}
		return true
	}, patience, 10*time.Millisecond, "sessions %v not established: %+v", names, s.Sessions())
}

func TestOnlyOwnPrefixesGoOut(t *testing.T) {
	s := start(t, nil)
	fabric, other := startRemote(t, "192.168.0.2", 65000, s), startRemote(t, "192.168.0.3", 65001, s)
	require.NoError(t, s.Advertise(t.Context(), []netip.Prefix{east, east6}))
	require.NoError(t, s.SetPeers(t.Context(), []Peer{fabric.peer("fabric"), other.peer("other")}))
	established(t, s, "fabric", "other")
	own := []string{
		"10.10.1.0/24 via 192.168.0.1 as [64512] cluster [7]",
		"fd00:10:0:1::/64 via fd00::1 as [64512] cluster [7]",
	}
	require.Eventually(t, func() bool { return slices.Equal(own, fabric.received()) }, patience, 10*time.Millisecond)

	fabric.announce(west)
	newWorld(t, s).becomes("10.20.1.0/24 from [192.168.0.2]")
	require.NoError(t, s.Advertise(t.Context(), []netip.Prefix{east6}))
	require.Eventually(t, func() bool { return slices.Equal(own[1:], other.received()) }, patience, 10*time.Millisecond,
		"a withdrawal reaches the peer, and what was learned from another peer does not: %v", other.received())
}

func TestIPv6NeedsANextHop(t *testing.T) {
	s := start(t, nil)
	fabric := startRemote(t, "192.168.0.2", 65000, s)
	peer := fabric.peer("fabric")
	peer.NextHop6 = netip.Addr{}
	require.NoError(t, s.Advertise(t.Context(), []netip.Prefix{east, east6}))
	require.NoError(t, s.SetPeers(t.Context(), []Peer{peer}))
	only4 := []string{"10.10.1.0/24 via 192.168.0.1 as [64512] cluster [7]"}
	require.Eventually(t, func() bool { return slices.Equal(only4, fabric.received()) }, patience, 10*time.Millisecond)

	peer.NextHop6 = netip.MustParseAddr("fd00::9")
	require.NoError(t, s.SetPeers(t.Context(), []Peer{peer}))
	both := append(only4, "fd00:10:0:1::/64 via fd00::9 as [64512] cluster [7]")
	require.Eventually(t, func() bool { return slices.Equal(both, fabric.received()) }, patience, 10*time.Millisecond)
	require.Zero(t, s.Sessions()[0].Flaps, "a new next hop does not reset the session")
}

func TestImportIsDenyByDefault(t *testing.T) {
	s := start(t, nil)
	fabric := startRemote(t, "192.168.0.2", 65000, s)
	peer := fabric.peer("fabric")
	peer.Import = nil
	for _, p := range []netip.Prefix{west, west6, hijack, east} {
		fabric.announce(p)
	}
	require.NoError(t, s.SetPeers(t.Context(), []Peer{peer}))
	require.Eventually(t, func() bool { return s.Sessions()[0].Complete }, patience, 10*time.Millisecond, "End-of-RIB arrives")
	w := newWorld(t, s)
	w.becomes()
	refused, total, err := s.Refused(t.Context(), 3, nothingKnown)
	require.NoError(t, err)
	require.Equal(t, 4, total)
	require.Len(t, refused, 3, "the list is cut at the limit")

	peer.Import = ranges
	require.NoError(t, s.SetPeers(t.Context(), []Peer{peer}))
	w.becomes("10.20.1.0/24 from [192.168.0.2]", "fd00:20:0:1::/64 from [192.168.0.2]")

	peer.Import = ranges[:1]
	require.NoError(t, s.SetPeers(t.Context(), []Peer{peer}))
	w.becomes("10.20.1.0/24 from [192.168.0.2]")
	require.Zero(t, s.Sessions()[0].Flaps, "a new contract does not reset the session")
}

func TestOnePeersRangesAreNotAnothers(t *testing.T) {
	s := start(t, nil)
	fabric, other := startRemote(t, "192.168.0.2", 65000, s), startRemote(t, "192.168.0.3", 65001, s)
	allowed, denied := fabric.peer("fabric"), other.peer("other")
	denied.Import = []Range{{netip.MustParsePrefix("10.30.0.0/16"), 16, 28}}
	fabric.announce(west)
	other.announce(west)
	other.announce(hijack)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{allowed, denied}))
	newWorld(t, s).becomes("10.20.1.0/24 from [192.168.0.2]", "10.30.1.0/24 from [192.168.0.3]")
}

func TestEqualPathsAreAllUsed(t *testing.T) {
	s := start(t, nil)
	a, b := startRemote(t, "192.168.0.2", 65000, s), startRemote(t, "192.168.0.3", 65001, s)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{a.peer("a"), b.peer("b")}))
	established(t, s, "a", "b")
	w := newWorld(t, s)
	a.announce(west)
	w.becomes("10.20.1.0/24 from [192.168.0.2]")
	b.announce(west)
	w.becomes("10.20.1.0/24 from [192.168.0.2 192.168.0.3]")
	a.withdraw(west)
	w.becomes("10.20.1.0/24 from [192.168.0.3]")
	a.announce(west)
	w.becomes("10.20.1.0/24 from [192.168.0.2 192.168.0.3]")
	require.NoError(t, s.SetPeers(t.Context(), []Peer{b.peer("b")}))
	w.becomes("10.20.1.0/24 from [192.168.0.3]")
	b.withdraw(west)
	w.becomes()
}

func TestLocalPreferenceFromOutsideIsIgnored(t *testing.T) {
	s := start(t, nil)
	a, b := startRemote(t, "192.168.0.2", 65000, s), startRemote(t, "192.168.0.3", 65001, s)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{a.peer("a"), b.peer("b")}))
	a.announce(west, gobgp.NewPathAttributeLocalPref(4294967295))
	b.announce(west)
	w := newWorld(t, s)
	w.becomes("10.20.1.0/24 from [192.168.0.2 192.168.0.3]")
	for _, p := range w.table[west] {
		require.EqualValues(t, defaultLocalPref, p.LocalPref)
	}
}

func TestInternalPeerIsHeard(t *testing.T) {
	s := start(t, nil)
	internal := startRemote(t, "192.168.0.2", ownASN, s)
	require.NoError(t, s.Advertise(t.Context(), []netip.Prefix{east, east6}))
	require.NoError(t, s.SetPeers(t.Context(), []Peer{internal.peer("reflector")}))
	community := gobgp.NewPathAttributeLargeCommunities([]*gobgp.LargeCommunity{gobgp.NewLargeCommunity(ownASN, functionCluster, 2)})
	internal.announce(west, community)
	w := newWorld(t, s)
	w.becomes("10.20.1.0/24 from [192.168.0.2]")
	require.Equal(t, []uint32{2}, w.table[west][0].ClusterIDs)
	require.Empty(t, w.table[west][0].ASPath)
	want := []string{
		"10.10.1.0/24 via 192.168.0.1 as [] cluster []", // the origin of an internal path is not in the path
		"fd00:10:0:1::/64 via fd00::1 as [] cluster []",
	}
	require.Eventually(t, func() bool { return slices.Equal(want, internal.received()) }, patience, 10*time.Millisecond)
}

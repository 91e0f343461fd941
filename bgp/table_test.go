package bgp

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/stretchr/testify/require"
)

// event is what GoBGP's watch says of one path.
func event(tb testing.TB, prefix netip.Prefix, peer, nextHop netip.Addr) *apiutil.Path {
	tb.Helper()
	nlri, err := gobgp.NewIPAddrPrefix(prefix)
	require.NoError(tb, err)
	via, err := gobgp.NewPathAttributeNextHop(nextHop)
	require.NoError(tb, err)
	return &apiutil.Path{Nlri: nlri, PeerAddress: peer, Attrs: []gobgp.PathAttributeInterface{
		gobgp.NewPathAttributeAsPath([]gobgp.AsPathParamInterface{gobgp.NewAs4PathParam(gobgp.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{65000, 64513})}),
		gobgp.NewPathAttributeLargeCommunities([]*gobgp.LargeCommunity{gobgp.NewLargeCommunity(64513, functionCluster, 2)}),
		via,
	}}
}

func ipv4(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// events are of n prefixes by some nodes, each its own next hop.
func events(tb testing.TB, n, nodes int) [][]*apiutil.Path {
	tb.Helper()
	peer := netip.MustParseAddr("192.168.0.2")
	all := make([][]*apiutil.Path, n)
	for i := range all {
		prefix := netip.PrefixFrom(ipv4(10<<24|uint32(i)<<8), 24)
		all[i] = []*apiutil.Path{event(tb, prefix, peer, ipv4(172<<24|16<<16|uint32(i%nodes)))}
	}
	return all
}

func TestWhatIsSaidAgainCostsNothing(t *testing.T) {
	table, all := newTable(ownASN, 7), events(t, 100, 10)
	for _, e := range all {
		table.update(e)
	}
	require.Len(t, table.drain(0), 100)
	require.Len(t, table.sets.sets, 10, "prefixes with the same paths share one set")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for _, e := range all {
			table.update(e)
		}
	}))
	require.Empty(t, table.drain(0), "nothing has changed")

	for _, e := range all {
		withdrawn := *e[0]
		withdrawn.Withdrawal = true
		table.update([]*apiutil.Path{&withdrawn})
	}
	require.Len(t, table.drain(0), 100)
	require.Zero(t, table.prefixes.Len())
	require.Empty(t, table.sets.sets)
}

func TestABurstIsHandedOverInParts(t *testing.T) {
	table := newTable(ownASN, 7)
	for _, e := range events(t, 25, 10) {
		table.update(e)
	}
	<-table.changed
	require.Len(t, table.drain(10), 10)
	<-table.changed // there is more
	require.Len(t, table.drain(10), 10)
	require.Len(t, table.drain(10), 5)
	require.Empty(t, table.drain(10))
	for _, e := range events(t, 50, 10) {
		table.update(e)
	}
	require.Len(t, table.drain(0), 25, "no limit, and what is known is no news")
}

// TestAdditionsAreHeldBackInABurstOnly: a second path that comes alone is heard of at once.
func TestAdditionsAreHeldBackInABurstOnly(t *testing.T) { synctest.Test(t, additionsAreHeldBack) }

func additionsAreHeldBack(t *testing.T) {
	table, b := newTable(ownASN, 7), netip.MustParseAddr("192.168.0.3")
	table.addSession(Peer{Transport: Transport{Address: b}})
	all := events(t, 100, 10)
	second := func(i int) {
		prefix, _ := prefixOf(all[i][0])
		table.update([]*apiutil.Path{event(t, prefix, b, b)})
	}
	for _, e := range all {
		table.update(e)
	}
	require.Len(t, table.drain(0), 100)
	second(0)
	require.Len(t, table.drain(0), 1)
	for i := range all {
		second(i)
	}
	require.Len(t, table.drain(0), addBurst-1, "and those that came first")
	require.Eventually(t, func() bool { return len(table.drain(0)) == 100-addBurst }, 10*addRest, time.Millisecond)
}

func BenchmarkTableUpdate(b *testing.B) {
	all := events(b, 100_000, 4000)
	for name, fresh := range map[string]bool{"new": true, "the same again": false} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			table := newTable(ownASN, 7)
			for i := range b.N {
				if fresh && i%len(all) == 0 {
					table = newTable(ownASN, 7)
				}
				table.update(all[i%len(all)])
			}
		})
	}
}

// TestTwoSessionsThatEndTogether: what the first one took along is not torn apart by the end of the second.
func TestTwoSessionsThatEndTogether(t *testing.T) {
	table := newTable(ownASN, 7)
	a, b, c := netip.MustParseAddr("192.168.0.2"), netip.MustParseAddr("192.168.0.3"), netip.MustParseAddr("192.168.0.4")
	for _, peer := range []netip.Addr{a, b, c} {
		table.addSession(Peer{Transport: Transport{Address: peer}})
	}
	all := events(t, 10, 1)
	say := func(i int, peer netip.Addr, withdrawn bool) {
		prefix, _ := prefixOf(all[i][0])
		e := event(t, prefix, peer, peer)
		e.Withdrawal = withdrawn
		table.update([]*apiutil.Path{e})
	}
	for i := range all {
		say(i, a, false)
		say(i, b, false)
	}
	require.Len(t, table.drain(0), 10)
	for i := range all { // a burst of additions: some are still held back
		say(i, c, false)
	}
	table.drain(0)
	gone := func() []netip.Addr {
		var peers []netip.Addr
		for _, loss := range table.lost() {
			peers = append(peers, loss.Peer)
		}
		return peers
	}
	table.fall(a, Disconnected)
	require.Equal(t, []netip.Addr{a}, gone())
	require.Empty(t, gone(), "no news")
	say(0, a, true)
	require.Empty(t, table.drain(0), "held back until all of it is withdrawn")
	table.fall(b, Closed)
	require.ElementsMatch(t, []netip.Addr{a, b}, gone(), "the first one is still gone")
	say(1, a, true)
	say(2, b, true)
	require.Empty(t, table.drain(0))
	table.landed(table.sessions[a])
	require.Len(t, table.drain(0), 2)
	table.landed(table.sessions[b])
	changes := table.drain(0)
	require.Len(t, changes, 1)
	require.Equal(t, 2, changes[0].Paths.Len())
}

func TestAPeerMayHaveSeveralPathsToAPrefix(t *testing.T) {
	table := newTable(ownASN, 0)
	prefix, peer := netip.MustParsePrefix("10.20.1.0/24"), netip.MustParseAddr("192.168.0.2")
	path := func(id, nextHop uint32) *apiutil.Path {
		p := event(t, prefix, peer, ipv4(nextHop))
		p.RemoteID = id
		return p
	}
	hops := func() (list []netip.Addr) {
		changes := table.drain(0)
		require.Len(t, changes, 1)
		for _, p := range changes[0].Paths.All() {
			list = append(list, p.NextHop)
		}
		return list
	}
	table.update([]*apiutil.Path{path(2, 20), path(1, 10)})
	require.Equal(t, []netip.Addr{ipv4(10), ipv4(20)}, hops())
	table.update([]*apiutil.Path{path(1, 11)})
	require.Equal(t, []netip.Addr{ipv4(11), ipv4(20)}, hops(), "only the path with that id is replaced")
	gone := path(2, 20)
	gone.Withdrawal = true
	table.update([]*apiutil.Path{gone})
	require.Equal(t, []netip.Addr{ipv4(11)}, hops(), "or withdrawn")
	gone = path(1, 11)
	gone.Withdrawal = true
	table.update([]*apiutil.Path{gone})
	require.Empty(t, hops())
	require.Empty(t, table.sets.sets)
}

package bgp

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/stretchr/testify/require"
)

func TestAPeerGetsItsShareOfOurPrefixes(t *testing.T) {
	s := start(t, nil)
	a, b := startRemote(t, "192.168.0.2", 65000, s), startRemote(t, "192.168.0.3", 65001, s)
	some, none := a.peer("some"), b.peer("none")
	some.Restricted, none.Restricted = true, true
	some.Advertise = []Range{{netip.MustParsePrefix("10.10.0.0/23"), 23, 32}}
	require.NoError(t, s.Advertise(t.Context(), []netip.Prefix{east, mate, east6}))
	require.NoError(t, s.SetPeers(t.Context(), []Peer{some, none}))
	established(t, s, "some", "none")
	const first, second = "10.10.1.0/24 via 192.168.0.1 as [64512] cluster [7]", "10.10.2.0/24 via 192.168.0.1 as [64512] cluster [7]"
	const six = "fd00:10:0:1::/64 via fd00::1 as [64512] cluster [7]"
	a.gets(first)
	b.gets()
	some.Restricted, none.Advertise = false, []Range{{mate, 24, 24}, {east6, 64, 64}}
	require.NoError(t, s.SetPeers(t.Context(), []Peer{some, none}))
	a.gets(first, second, six)
	b.gets(second, six)
	none.Advertise = nil
	require.NoError(t, s.SetPeers(t.Context(), []Peer{some, none}))
	b.gets()
	require.Zero(t, s.Sessions()[0].Flaps+s.Sessions()[1].Flaps)
}

func TestWhatIsForSomeClustersSaysSo(t *testing.T) {
	s := start(t, nil)
	a := startRemote(t, "192.168.0.2", 65000, s)
	require.NoError(t, s.Announce(t.Context(), []Announcement{{Prefix: east, For: []uint32{2, 3}}}))
	require.NoError(t, s.SetPeers(t.Context(), []Peer{a.peer("a")}))
	is := func(want ...*gobgp.LargeCommunity) {
		t.Helper()
		var got []*gobgp.LargeCommunity
		require.Eventually(t, func() bool {
			got = nil
			for _, attribute := range a.attributes(east) {
				if c, ok := attribute.(*gobgp.PathAttributeLargeCommunities); ok {
					got = c.Values
				}
			}
			return len(got) == len(want)
		}, patience, 10*time.Millisecond)
		require.Equal(t, want, got)
	}
	ours := gobgp.NewLargeCommunity(ownASN, functionCluster, 7)
	is(ours, gobgp.NewLargeCommunity(ownASN, functionFor, 2), gobgp.NewLargeCommunity(ownASN, functionFor, 3))
	require.NoError(t, s.Announce(t.Context(), []Announcement{{Prefix: east, For: []uint32{3}}}))
	is(ours, gobgp.NewLargeCommunity(ownASN, functionFor, 3))
	require.NoError(t, s.Advertise(t.Context(), []netip.Prefix{east}))
	is(ours)
}

func TestWhatIsForOthersIsKnown(t *testing.T) {
	s := start(t, nil)
	a := startRemote(t, "192.168.0.2", 65000, s)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{a.peer("a")}))
	w := newWorld(t, s)
	for _, row := range []struct {
		name string
		asn  uint32
		ids  []uint32
		want bool
	}{
		{"for another one", 65000, []uint32{3}, true},
		{"for us too", 65000, []uint32{3, 7}, false},
		{"for everybody", 65000, nil, false},
		{"what somebody on the way wrote does not count", 65009, []uint32{3}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			communities := []*gobgp.LargeCommunity{gobgp.NewLargeCommunity(65000, functionCluster, 2)}
			for _, id := range row.ids {
				communities = append(communities, gobgp.NewLargeCommunity(row.asn, functionFor, id))
			}
			a.announce(west, gobgp.NewPathAttributeLargeCommunities(communities))
			w.becomes("10.20.1.0/24 from [192.168.0.2]")
			require.Eventually(t, func() bool { w.text(); return w.table[west][0].NotForUs == row.want }, patience, 10*time.Millisecond)
			require.Equal(t, []uint32{2}, w.table[west][0].ClusterIDs)
		})
	}
}

func TestCommunitiesOfAPeer(t *testing.T) {
	s := start(t, nil)
	a, b := startRemote(t, "192.168.0.2", 65000, s), startRemote(t, "192.168.0.3", 65001, s)
	from, to := a.peer("from"), b.foreign("to", others)
	to.Communities = []string{"65000:100", "65000:9:2", "65535:65281"}
	from.Require, from.Refuse = []string{"65000:20", "65000:3:4"}, []string{"65000:666"}
	plain := func(all ...uint32) gobgp.PathAttributeInterface { return gobgp.NewPathAttributeCommunities(all) }
	large := gobgp.NewPathAttributeLargeCommunities([]*gobgp.LargeCommunity{gobgp.NewLargeCommunity(65000, 3, 4)})
	at := func(i string) netip.Prefix { return netip.MustParsePrefix("10.20." + i + ".0/24") }
	a.announce(at("1"))
	a.announce(at("2"), plain(65000<<16|20))
	a.announce(at("3"), large)
	a.announce(at("4"), plain(65000<<16|20, 65000<<16|666))
	a.announce(at("5"), plain(65000<<16|20, uint32(gobgp.COMMUNITY_NO_EXPORT)))
	a.announce(at("6"), plain(65000<<16|20, uint32(gobgp.COMMUNITY_NO_ADVERTISE)))
	require.NoError(t, s.Advertise(t.Context(), []netip.Prefix{east}))
	require.NoError(t, s.SetPeers(t.Context(), []Peer{from, to}))
	w := newWorld(t, s)
	w.becomes("10.20.2.0/24 from [192.168.0.2]", "10.20.3.0/24 from [192.168.0.2]", "10.20.5.0/24 from [192.168.0.2]", "10.20.6.0/24 from [192.168.0.2]")
	mine := "10.10.1.0/24 via 192.168.0.1 as [64512] cluster [7]"
	b.gets(mine, "10.20.2.0/24 via 192.168.0.2 as [64512 65000] cluster []", "10.20.3.0/24 via 192.168.0.2 as [64512 65000] cluster []")
	for _, prefix := range []netip.Prefix{east, at("2")} {
		carried := map[string]bool{}
		for _, attribute := range b.attributes(prefix) {
			switch c := attribute.(type) {
			case *gobgp.PathAttributeCommunities:
				for _, v := range c.Value {
					carried[fmt.Sprintf("%d:%d", v>>16, v&0xffff)] = true
				}
			case *gobgp.PathAttributeLargeCommunities:
				for _, v := range c.Values {
					carried[v.String()] = true
				}
			}
		}
		require.Subset(t, carried, map[string]bool{"65000:100": true, "65000:9:2": true}, prefix)
	}
	from.Require, from.Refuse, to.Communities = nil, nil, nil
	require.NoError(t, s.SetPeers(t.Context(), []Peer{from, to}))
	b.gets(mine, "10.20.1.0/24 via 192.168.0.2 as [64512 65000] cluster []", "10.20.2.0/24 via 192.168.0.2 as [64512 65000] cluster []",
		"10.20.3.0/24 via 192.168.0.2 as [64512 65000] cluster []", "10.20.4.0/24 via 192.168.0.2 as [64512 65000] cluster []")
	require.Zero(t, s.Sessions()[0].Flaps+s.Sessions()[1].Flaps)
}

func TestANearPeerCountsMore(t *testing.T) {
	s := start(t, nil)
	near, far := startRemote(t, "192.168.0.2", 65000, s), startRemote(t, "192.168.0.3", 65001, s)
	a, b := near.peer("near"), far.peer("far")
	a.LocalPref, b.LocalPref = 300, 100
	near.announce(west, asPath(65009, 65009))
	near.announce(hijack)
	far.announce(west)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{a, b}))
	established(t, s, "near", "far")
	w := newWorld(t, s)
	w.becomes("10.20.1.0/24 from [192.168.0.2]")
	require.EqualValues(t, 300, w.table[west][0].LocalPref)
	_, _, err := s.Refused(t.Context(), 10, nothingKnown)
	require.NoError(t, err)
	near.announce(west, gobgp.NewPathAttributeCommunities([]uint32{gracefulShutdown}))
	w.becomes("10.20.1.0/24 from [192.168.0.3]") // what is about to go is not wanted from near either
	near.announce(west, asPath(65009, 65009))
	w.becomes("10.20.1.0/24 from [192.168.0.2]")
	_, _, err = s.Refused(t.Context(), 10, nothingKnown)
	require.NoError(t, err)

	a.LocalPref, b.LocalPref = 0, 0
	require.NoError(t, s.SetPeers(t.Context(), []Peer{a, b}))
	w.becomes("10.20.1.0/24 from [192.168.0.3]") // the shorter one, once nothing else is said
	require.Zero(t, s.Sessions()[0].Flaps+s.Sessions()[1].Flaps)
}

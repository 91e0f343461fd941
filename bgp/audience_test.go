package bgp

import (
	"net/netip"
	"slices"
	"testing"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/stretchr/testify/require"
)

// of is the large communities of a path of a cluster, and for some others.
func of(asn, cluster uint32, others ...uint32) gobgp.PathAttributeInterface {
	all := []*gobgp.LargeCommunity{gobgp.NewLargeCommunity(asn, functionCluster, cluster)}
	for _, id := range others {
		all = append(all, gobgp.NewLargeCommunity(asn, functionFor, id))
	}
	return gobgp.NewPathAttributeLargeCommunities(all)
}

// TestWhatIsForOthersIsNotPassedOn: a cluster that is not meant does not even hear of it.
func TestWhatIsForOthersIsNotPassedOn(t *testing.T) {
	s := start(t, nil)
	w := startRemote(t, "192.168.0.3", 65001, s)
	three, both, all := startRemote(t, "192.168.0.5", 65002, s), startRemote(t, "192.168.0.6", 65003, s), startRemote(t, "192.168.0.7", 65004, s)
	client, second := startRemote(t, "192.168.0.2", ownASN, s), startRemote(t, "192.168.0.4", ownASN, s)
	plain := gobgp.NewPathAttributeCommunities([]uint32{65000<<16 | 100})
	prefix := func(n byte) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 20, n, 0}), 24) }
	w.announce(prefix(1), of(65001, 2))               // for everybody
	w.announce(prefix(2), of(65001, 2, 3), plain)     // for cluster 3
	w.announce(prefix(3), of(65001, 2, 4))            // for cluster 4
	w.announce(prefix(4), of(65001, 2, 4, 33, 3))     // for several
	w.announce(prefix(5), of(65001, 2, 7))            // for our own
	w.announce(prefix(6), of(65001, 2, 33))           // for one whose number begins alike
	w.announce(prefix(7), of(65001, 9, 3))            // of the wrong cluster, for the right one
	w.announce(netip.MustParsePrefix("10.20.8.0/24")) // says nothing at all

	peers := []Peer{w.peer("west"), three.foreign("three", others), both.foreign("both", others), all.foreign("all", others), client.client("client"), second.client("second")}
	peers[1].For, peers[2].For, peers[4].For = []uint32{3}, []uint32{4, 3}, []uint32{7}
	peers[1].Communities = []string{"65000:1"}
	require.NoError(t, s.SetPeers(t.Context(), peers))
	get := func(r *remote, which ...byte) {
		t.Helper()
		path := "[64512 65001]"
		if r.asn == ownASN {
			path = "[65001]"
		}
		var want []string
		for _, n := range which {
			id := "[2]"
			if n == 8 {
				id = "[]"
			}
			want = append(want, prefix(n).String()+" via 192.168.0.3 as "+path+" cluster "+id)
		}
		r.gets(want...)
	}
	get(three, 1, 2, 4, 8)
	get(both, 1, 2, 3, 4, 8)
	get(all, 1, 2, 3, 4, 5, 6, 8)
	get(client, 1, 5, 8)
	get(second, 1, 2, 3, 4, 5, 6, 8)

	t.Run("what is sent is what it was", func(t *testing.T) {
		require.Equal(t, []uint32{65000<<16 | 100, 65000<<16 | 1}, communitiesOf(three, prefix(2)))
		require.Equal(t, []uint32{65000<<16 | 1}, communitiesOf(three, prefix(1)))
		require.Equal(t, []uint32{65000<<16 | 100}, communitiesOf(both, prefix(2)))
		require.Empty(t, communitiesOf(both, prefix(4)))
	})
	t.Run("it goes when it is no longer for them, and comes when it is", func(t *testing.T) {
		w.announce(prefix(2), of(65001, 2, 7))
		w.announce(prefix(3), of(65001, 2, 3))
		w.announce(prefix(5), of(65001, 2))
		get(three, 1, 3, 4, 5, 8)
		get(both, 1, 3, 4, 5, 8)
		get(client, 1, 2, 5, 8)
	})
	t.Run("another audience is asked for without a reset", func(t *testing.T) {
		peers[1].For, peers[2].For = []uint32{7}, nil
		require.NoError(t, s.SetPeers(t.Context(), peers))
		get(three, 1, 2, 5, 8)
		get(both, 1, 2, 3, 4, 5, 6, 8)
		for _, session := range s.Sessions() {
			require.Zero(t, session.Flaps, session.Peer)
		}
	})
}

// communitiesOf are those of a path that a remote got from the speaker.
func communitiesOf(r *remote, prefix netip.Prefix) []uint32 {
	r.t.Helper()
	for _, a := range r.attributes(prefix) {
		if c, ok := a.(*gobgp.PathAttributeCommunities); ok {
			return slices.Clone(c.Value)
		}
	}
	return nil
}

package bgp

import (
	"net/netip"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/stretchr/testify/require"
)

// largeCommunities are those of the path to a prefix that a remote got from the speaker.
func (r *remote) largeCommunities(prefix netip.Prefix) []string {
	var out []string
	for _, attribute := range r.attributes(prefix) {
		if c, ok := attribute.(*gobgp.PathAttributeLargeCommunities); ok {
			for _, v := range c.Values {
				out = append(out, v.String())
			}
		}
	}
	return out
}

// TestAGateway: another network gets the cluster as a whole, our own nodes what was learned there, and neither gets more.
func TestAGateway(t *testing.T) {
	pool, pool6 := netip.MustParsePrefix("10.10.0.0/16"), netip.MustParsePrefix("fd00:10::/48")
	whole := []Range{{pool, 16, 16}, {pool6, 48, 48}}
	s := start(t, nil)
	border, node, tor := startRemote(t, "192.168.0.2", 65001, s), startRemote(t, "192.168.0.3", ownASN, s), startRemote(t, "192.168.0.4", 65002, s)
	beyond := Passage{Ranges: ranges, ClusterID: 2, Through: true, Communities: []string{GatewayMark(ownASN, 7)}}
	far, near, fabric := border.peer("far"), node.foreign("node", beyond), tor.foreign("fabric", beyond)
	far.Restricted, far.Advertise = true, whole
	near.Withhold, fabric.Withhold = whole, whole
	fabric.PassNextHop = NextHopUnchanged
	require.NoError(t, s.Announce(t.Context(), []Announcement{{Prefix: pool}, {Prefix: pool6}, {Prefix: east}, {Prefix: east6}}))
	border.announce(west, id(65001, 2))
	border.announce(west6, id(65001, 2))
	peers := []Peer{far, near, fabric}
	require.NoError(t, s.SetPeers(t.Context(), peers))
	border.gets("10.10.0.0/16 via 192.168.0.1 as [64512] cluster [7]", "fd00:10::/48 via fd00::1 as [64512] cluster [7]")
	node.gets("10.10.1.0/24 via 192.168.0.1 as [] cluster []", "10.20.1.0/24 via 192.168.0.1 as [65001] cluster [2]",
		"fd00:10:0:1::/64 via fd00::1 as [] cluster []", "fd00:20:0:1::/64 via fd00::1 as [65001] cluster [2]")
	tor.gets("10.10.1.0/24 via 192.168.0.1 as [64512] cluster [7]", "10.20.1.0/24 via 192.168.0.1 as [64512 65001] cluster [2]",
		"fd00:10:0:1::/64 via fd00::1 as [64512] cluster [7]", "fd00:20:0:1::/64 via fd00::1 as [64512 65001] cluster [2]")
	for _, r := range []*remote{node, tor} {
		require.ElementsMatch(t, []string{"65001:1:2", "64512:3:7"}, r.largeCommunities(west))
	}

	t.Run("a node whose pods are the whole of the cluster tells both", func(t *testing.T) {
		require.NoError(t, s.Advertise(t.Context(), []netip.Prefix{pool}))
		peers[1].Withhold, peers[2].Withhold = nil, nil
		require.NoError(t, s.SetPeers(t.Context(), peers))
		border.gets("10.10.0.0/16 via 192.168.0.1 as [64512] cluster [7]")
		tor.gets("10.10.0.0/16 via 192.168.0.1 as [64512] cluster [7]", "10.20.1.0/24 via 192.168.0.1 as [64512 65001] cluster [2]",
			"fd00:20:0:1::/64 via fd00::1 as [64512 65001] cluster [2]")
		for _, session := range s.Sessions() {
			require.Zero(t, session.Flaps, session.Peer)
		}
	})
}

// TestWhatNeedsTheMarkOfOurGateways: without it a path is not even a candidate, so that it can't be the best one and passed on.
func TestWhatNeedsTheMarkOfOurGateways(t *testing.T) {
	s := start(t, nil)
	a, inside := startRemote(t, "192.168.0.2", 65000, s), startRemote(t, "192.168.0.3", ownASN, s)
	p, node := a.peer("a"), inside.foreign("node", others)
	p.Marked = ranges
	at := func(i string) netip.Prefix { return netip.MustParsePrefix("10.20." + i + ".0/24") }
	mark := func(asn, cluster uint32) gobgp.PathAttributeInterface {
		return gobgp.NewPathAttributeLargeCommunities([]*gobgp.LargeCommunity{gobgp.NewLargeCommunity(asn, functionGateway, cluster)})
	}
	a.announce(at("1"))
	a.announce(at("2"), mark(64512, 2))
	a.announce(at("3"), mark(65000, 7))
	require.NoError(t, s.SetPeers(t.Context(), []Peer{p, node}))
	w := newWorld(t, s)
	w.becomes("10.20.3.0/24 from [192.168.0.2]")
	inside.gets("10.20.3.0/24 via 192.168.0.2 as [65000] cluster []")
	p.Marked = nil
	require.NoError(t, s.SetPeers(t.Context(), []Peer{p, node}))
	w.becomes("10.20.1.0/24 from [192.168.0.2]", "10.20.2.0/24 from [192.168.0.2]", "10.20.3.0/24 from [192.168.0.2]")
	require.Zero(t, s.Sessions()[0].Flaps)
}

func TestTheMarkOfOurGateways(t *testing.T) {
	s := start(t, nil)
	a := startRemote(t, "192.168.0.2", 65000, s)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{a.peer("a")}))
	w := newWorld(t, s)
	for i, row := range []struct {
		name string
		mark *gobgp.LargeCommunity
		want bool
	}{
		{"of our AS and our cluster", gobgp.NewLargeCommunity(ownASN, functionGateway, 7), true},
		{"of our cluster, by a node with another AS number that is in the path", gobgp.NewLargeCommunity(65009, functionGateway, 7), true},
		{"of our cluster, by somebody who is not in the path", gobgp.NewLargeCommunity(65008, functionGateway, 7), false},
		{"of another cluster", gobgp.NewLargeCommunity(65009, functionGateway, 2), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			a.announce(west, gobgp.NewPathAttributeLargeCommunities([]*gobgp.LargeCommunity{row.mark}), gobgp.NewPathAttributeMultiExitDisc(uint32(i+1)), asPath(65009))
			require.Eventually(t, func() bool { w.text(); return len(w.table[west]) == 1 && w.table[west][0].MED == uint32(i+1) }, patience, 10*time.Millisecond)
			require.Equal(t, row.want, w.table[west][0].OurGateway)
			require.Empty(t, w.table[west][0].ClusterIDs, "it says nothing of where the prefix comes from")
		})
	}
}

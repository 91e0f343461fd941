package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/ipam"
)

const reflecting = `
cluster: {name: east, id: 1, podCIDRs: [10.10.0.0/16]}
node: {name: east-rr-1}
bgp:
  asn: 64512
  peers:
  - {name: node, address: 192.168.0.2, asn: 64512, client: true}
  - {name: second, address: 192.168.0.3, asn: 64512, client: true, passOn: [east, west]}
  - {name: west, address: 192.168.0.4, asn: 64513, passOn: [east], nextHop: self}
  - {name: tor, address: 192.168.0.5, asn: 65000}
clusters:
- {name: west, id: 2, podCIDRs: [10.20.0.0/16], requireID: true}
- {name: north, id: 3, podCIDRs: [10.30.0.0/16]}
`

func TestWhatAReflectorPassesOn(t *testing.T) {
	c := parse(t, reflecting)
	id := netip.MustParseAddr("192.168.0.1")
	peers := asReflector(c, id, false, speakerPeers(c, newPlan(c, fib.Facts{}), nowhere, nil))
	span := func(prefix string, least, most int) []bgp.Range {
		return []bgp.Range{{Prefix: netip.MustParsePrefix(prefix), Min: least, Max: most}}
	}
	pool := span("10.10.0.0/16", 16, 32)
	east := bgp.Passage{Ranges: pool, ClusterID: 1, Internal: true}
	west := bgp.Passage{Ranges: span("10.20.0.0/16", 16, 28), ClusterID: 2, RequireID: true}
	north := bgp.Passage{Ranges: span("10.30.0.0/16", 16, 28), ClusterID: 3}
	node, second, other, tor := peers[0], peers[1], peers[2], peers[3]
	require.Equal(t, []bgp.Passage{north, west}, node.PassOn, "a client gets every declared cluster")
	require.Equal(t, []bgp.Passage{east, west}, second.PassOn)
	require.Equal(t, []bgp.Passage{east}, other.PassOn)
	require.Empty(t, tor.PassOn, "nobody else gets anything")
	require.Equal(t, bgp.NextHopSelf, other.PassNextHop)
	require.Subset(t, node.Import, pool)
	require.NotContains(t, other.Import, pool[0])
	require.Empty(t, node.Detour)
	require.Equal(t, pool, second.Detour, "who gets what our clients said is a reflector like us")
	require.Equal(t, id, node.Reflector, "auto is the router id")
	require.False(t, tor.Reflector.IsValid())

	require.Equal(t, []uint32{1}, node.For, "a client gets what is for our own cluster")
	require.Empty(t, second.For, "who gets what our clients said may have others to pass it on to")
	require.Empty(t, other.For, "it is not said which clusters are behind it")
	require.Empty(t, tor.For)

	c = parse(t, strings.Replace(reflecting, "asn: 64512\n", "asn: 64512\n  reflector: {clusterID: 0.0.0.9}\n", 1))
	silent := asReflector(c, id, true, speakerPeers(c, newPlan(c, fib.Facts{}), nowhere, nil))
	require.Equal(t, "0.0.0.9", silent[0].Reflector.String())
	for _, p := range silent {
		require.Empty(t, p.PassOn, "a node that has left passes nothing on")
	}
}

// TestTheClustersThatAPeerStandsFor: what is passed on and says whom it is for goes to nobody else.
func TestTheClustersThatAPeerStandsFor(t *testing.T) {
	for _, test := range []struct {
		says, peer string
		ids        []uint32
	}{
		{"a spoke, for its cluster", "asn: 64513, clusters: [west], passOn: [east, north]", []uint32{2}},
		{"a hub with several clusters behind it, for all of them", "asn: 64513, clusters: [north, west], passOn: [east]", []uint32{2, 3}},
		{"a router that may announce anything, for anybody", "asn: 65000, passOn: [east]", nil},
		{"a client with another cluster behind it, for that one too", "asn: 64512, client: true, clusters: [north]", []uint32{3, 1}},
		{"another reflector of ours, for anybody", "asn: 64512, client: true, clusters: [west], passOn: [east, west]", nil},
		{"an internal peer, for our own cluster and those behind it", "asn: 64512, clusters: [west], passOn: [north]", []uint32{2, 1}},
		{"an internal peer of which nothing is said, for anybody", "asn: 64512, passOn: [north]", nil},
	} {
		t.Run(test.says, func(t *testing.T) {
			c := parse(t, strings.Replace(reflecting, "asn: 64512, client: true}", test.peer+"}", 1))
			require.Equal(t, test.ids, speakerPeers(c, newPlan(c, fib.Facts{}), nowhere, nil)[0].For)
		})
	}
}

// TestWhatIsPassedOnIsNeitherInstalledNorRefused: nothing is asked of the kernel or of the speaker for it.
func TestWhatIsPassedOnIsNeitherInstalledNorRefused(t *testing.T) {
	a := deciding(1000)
	a.config.Cluster.PodCIDRs = []netip.Prefix{netip.MustParsePrefix("172.31.0.0/16")}
	a.config.BGP.Peers[0].Client = true
	a.takePlan(fib.Facts{})
	c := bgp.Change{Prefix: netip.MustParsePrefix("172.31.2.0/24"), Paths: bgp.NewPathSet([]bgp.Path{{
		Peer: peerA, NextHop: peerB, ClusterIDs: []uint32{1}, LocalPref: 100,
	}})}
	b := a.newBatch(1)
	b.decide(c)
	require.Empty(t, b.routes)
	require.Empty(t, b.fallen, "nothing better is looked for")
	require.Empty(t, a.book.fallen, "then or later")
	require.Equal(t, tally{passedOn: 1}, *a.book.tally("east"))
	require.Empty(t, a.counted.of("tor-a"))
	route := a.book.get(c.Prefix).Route()
	require.True(t, route.PassedOn)
	require.Equal(t, string(ipam.PassedOn), route.Verdict)

	c.Paths = bgp.NewPathSet([]bgp.Path{{Peer: peerA, NextHop: peerB, ClusterIDs: []uint32{1}, LocalPref: 100, ClusterLoop: true}})
	b.decide(c)
	b.raise(nil, true)
	require.Equal(t, string(ipam.ClusterLoop), a.book.get(c.Prefix).Route().Verdict)
	require.Equal(t, tally{refused: 1}, *a.book.tally(""))
	b.decide(bgp.Change{Prefix: c.Prefix})
	require.Empty(t, b.routes)
	require.Zero(t, *a.book.tally("east"))
}

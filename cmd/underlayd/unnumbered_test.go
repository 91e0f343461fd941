package main

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/bgp/neighbor"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/ipam"
)

const unnumbered = `
cluster: {name: east, id: 1, podCIDRs: [10.10.0.0/16]}
node: {name: east-1}
bgp:
  asn: 64512
  peers:
  - {name: leaf-a, interface: eth1, asn: 65001, bfd: {interval: 300ms}}
  - {name: leaf-b, interface: eth2, asn: 65002, bfd: {interval: 300ms}, allowOwnAS: 1}
  - {name: tor, address: 192.168.0.2, asn: 65000}
clusters:
- {name: west, id: 2, podCIDRs: [10.20.0.0/16]}
`

func TestUnnumberedPeers(t *testing.T) {
	file := parse(t, unnumbered)
	leafA, ours := netip.MustParseAddr("fe80::a%eth1"), netip.MustParseAddr("fe80::1%eth1")
	c, missing := withNeighbors(file, func(link string) (neighbor.Pair, string) {
		if link == "eth1" {
			return neighbor.Pair{Neighbor: leafA, Local: ours}, ""
		}
		return neighbor.Pair{}, "no neighbour has been heard on " + link
	})
	require.Equal(t, []netip.Addr{leafA, ours}, []netip.Addr{c.BGP.Peers[0].Address, c.BGP.Peers[0].LocalAddress})
	require.True(t, unfound(c.BGP.Peers[1].Address), "it has an address of its own even so")
	require.Equal(t, map[string]string{"leaf-b": "no neighbour has been heard on eth2"}, missing)
	require.False(t, file.BGP.Peers[0].Address.IsValid(), "what was loaded is not touched")
	require.Empty(t, config.Changes(file, parse(t, unnumbered)))

	peers := speakerPeers(c, newPlan(c, fib.Facts{}), nowhere, nil)
	require.Equal(t, []bool{true, true, false}, []bool{peers[0].ExtendedNextHop, peers[1].ExtendedNextHop, peers[2].ExtendedNextHop})
	sessions := bfdSessions(c, peers, func(a netip.Addr) bool { return a.IsLinkLocalUnicast() })
	require.Len(t, sessions, 1, "who is not there is not watched")
	require.Equal(t, leafA, sessions[0].Peer)
	require.Equal(t, 1, sessions[0].Hops)

	same, missing := withNeighbors(parse(t, sample), nil)
	require.Equal(t, parse(t, sample), same)
	require.Empty(t, missing)
}

func TestIPv6NextHopsForIPv4(t *testing.T) {
	v4 := netip.MustParseAddr("192.0.2.1")
	for name, row := range map[string]struct {
		peer, text string
		v4         netip.Addr
		sent       bool
		accepted   bool
	}{
		"auto, link-local":                      {`"fe80::1%eth1"`, "auto", v4, true, true},
		"auto, global, with IPv4 on the link":   {`"fd00::2"`, "auto", v4, false, true},
		"auto, global, without IPv4 on it":      {`"fd00::2"`, "auto", netip.Addr{}, true, true},
		"true, global, with IPv4 on the link":   {`"fd00::2"`, "true", v4, true, true},
		"false, link-local":                     {`"fe80::1%eth1"`, "false", netip.Addr{}, false, false},
		"auto, over IPv4, whatever is the case": {"192.0.2.2", "auto", netip.Addr{}, false, false},
	} {
		c := parse(t, `
cluster: {name: east, id: 1, podCIDRs: [10.10.0.0/16]}
node: {name: east-1}
bgp: {asn: 64512, peers: [{name: leaf, address: `+row.peer+`, asn: 65001, extendedNextHop: `+row.text+`}]}
clusters: [{name: west, id: 2, podCIDRs: [10.20.0.0/16]}]
`)
		require.Equal(t, row.sent, extendedNextHop(c.BGP.Peers[0], row.v4), name)
		verdict := newPlan(c, fib.Facts{}).Judge(ipam.Claim{
			Prefix: netip.MustParsePrefix("10.20.1.0/24"), Peer: "leaf", NextHop: netip.MustParseAddr("fe80::1%eth1"), OriginASN: 65001,
		})
		require.Equal(t, row.accepted, verdict.Accepted, "%s: %s", name, verdict.Detail)
	}
}

// TestOurOwnASInAPath: a peer may send as much of it as was agreed, and the others none.
func TestOurOwnASInAPath(t *testing.T) {
	c, _ := withNeighbors(parse(t, unnumbered), func(link string) (neighbor.Pair, string) {
		return neighbor.Pair{Neighbor: netip.MustParseAddr("fe80::1%" + link)}, ""
	})
	v := newView(c, newPlan(c, fib.Facts{}), &away{}, &gateways{})
	judge := func(link string, path ...uint32) string {
		peer := netip.MustParseAddr("fe80::1%" + link)
		return string(v.judge(netip.MustParsePrefix("10.20.1.0/24"), &bgp.Path{Peer: peer, NextHop: peer, ASPath: path}).Reason)
	}
	require.Equal(t, "Accepted", judge("eth2", 65002, 64512))
	require.Equal(t, "ASLoop", judge("eth2", 65002, 64512, 64512))
	require.Equal(t, "ASLoop", judge("eth1", 65001, 64512))
	require.Equal(t, "Accepted", judge("eth1", 65001, 65001), "the AS was overridden")
}

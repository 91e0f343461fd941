package main

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/status"
)

const sample = `
cluster: {name: east, id: 1, podCIDRs: [10.10.0.0/16, "fd00:10::/48"]}
node: {name: east-1}
bgp:
  asn: 64512
  peers:
  - {name: tor, address: 192.168.0.2, asn: 65000, clusters: [west]}
  - {name: reflector, address: "fd00::3", asn: 64512, holdTime: 9s, families: [ipv6]}
clusters:
- {name: west, id: 2, podCIDRs: [10.20.0.0/16], prefixLength: {ipv4: [20, 26]}}
- {name: north, id: 3, podCIDRs: [10.30.0.0/16, "fd00:30::/48"]}
`

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse(strings.NewReader(text), "sample", config.Overrides{})
	require.NoError(t, err)
	return c
}

func nowhere(netip.Addr) (string, netip.Addr, netip.Addr, error) {
	return "", netip.Addr{}, netip.Addr{}, errors.New("no route")
}

func TestSpeakerPeers(t *testing.T) {
	c := parse(t, sample)
	v4, v6 := netip.MustParseAddr("192.168.0.1"), netip.MustParseAddr("fd00::1")
	locate := func(netip.Addr) (string, netip.Addr, netip.Addr, error) { return "eth0", v4, v6, nil }
	peers := speakerPeers(c, newPlan(c, fib.Facts{}), locate, nil)
	require.Len(t, peers, 2)
	tor, reflector := peers[0], peers[1]
	require.Equal(t, 1, tor.Hops, "an external peer is a neighbour")
	require.Equal(t, 0, reflector.Hops, "an internal one need not be")
	require.Equal(t, c.BGP.HoldTime, tor.HoldTime)
	require.EqualValues(t, 9e9, reflector.HoldTime)
	require.True(t, tor.IPv4 && tor.IPv6 && reflector.IPv6)
	require.False(t, reflector.IPv4)
	require.Equal(t, []netip.Addr{v4, v6}, []netip.Addr{tor.NextHop4, tor.NextHop6})
	require.Len(t, tor.Import, 1, "only the cluster it may announce")
	require.Equal(t, "10.20.0.0/16", tor.Import[0].Prefix.String())
	require.Equal(t, []int{20, 26}, []int{tor.Import[0].Min, tor.Import[0].Max})
	require.Len(t, reflector.Import, 3, "every declared cluster")

	without := speakerPeers(c, newPlan(c, fib.Facts{}), nowhere, nil)
	require.False(t, without[0].NextHop6.IsValid())
}

func TestRouterID(t *testing.T) {
	v4 := netip.MustParseAddr("192.168.0.1")
	facing := func(netip.Addr) (string, netip.Addr, netip.Addr, error) { return "eth0", v4, netip.Addr{}, nil }
	only4 := fib.Facts{Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.0.1/24")}}
	only6 := fib.Facts{Addresses: []netip.Prefix{netip.MustParsePrefix("fd00::1/64")}}
	rows := []struct {
		name   string
		config string
		facts  fib.Facts
		locate locator
		want   string
	}{
		{"what is configured counts first", strings.Replace(sample, "asn: 64512", "asn: 64512\n  routerID: 1.2.3.4", 1), only6, facing, "1.2.3.4"},
		{"our address towards a peer comes next", sample, only6, facing, "192.168.0.1"},
		{"then any IPv4 address of the node", sample, fib.Facts{Addresses: []netip.Prefix{netip.MustParsePrefix("10.1.1.1/24")}}, nowhere, "10.1.1.1"},
		{"beside a speaker on loopback, which has our address for its own, it is a hash that stays the same",
			strings.Replace(sample, "address: 192.168.0.2,", "address: 127.0.0.1, port: 1790,", 1), only4, facing, "34.105.50.2"},
		{"and so it is with a peer at an address of this node", sample,
			fib.Facts{Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.0.2/24")}}, facing, "34.105.50.2"},
		{"a node without any gets a hash that stays the same", sample, only6, nowhere, "34.105.50.2"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			id, why := chooseRouterID(parse(t, row.config), row.facts, row.locate)
			require.Equal(t, row.want, id.String())
			require.NotEmpty(t, why)
		})
	}
}

func TestClusterState(t *testing.T) {
	rows := []struct {
		name  string
		in    status.RemoteCluster
		state status.ClusterState
		why   string
	}{
		{"all is well", status.RemoteCluster{Installed: 2, Accepted: 2, Peers: 1, PeersUp: 1}, status.Reachable, ""},
		{"nobody to ask", status.RemoteCluster{Peers: 1}, status.Unreachable, "no session"},
		{"nothing accepted", status.RemoteCluster{Peers: 1, PeersUp: 1}, status.Unreachable, "no route to it was accepted"},
		{"the kernel has none", status.RemoteCluster{Accepted: 2, Peers: 1, PeersUp: 1}, status.Unreachable, "in the kernel"},
		{"the kernel lacks some", status.RemoteCluster{Accepted: 2, Installed: 1, Peers: 1, PeersUp: 1}, status.Partial, "not all of its routes"},
		{"one of two peers is down", status.RemoteCluster{Accepted: 2, Installed: 2, Peers: 2, PeersUp: 1}, status.Partial, "not all sessions"},
		{"adopted routes while no peer is up yet", status.RemoteCluster{Installed: 2, Peers: 1}, status.Partial, "not all sessions"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			state, reason, why := clusterState(row.in)
			require.Equal(t, row.why == "", reason == "")
			require.Equal(t, row.state, state)
			require.Contains(t, why, row.why)
		})
	}
}

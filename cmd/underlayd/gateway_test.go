package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/config"
)

const bordering = `
cluster: {name: east, id: 1, network: dc1, podCIDRs: [10.10.0.0/16, "fd00:10::/48"]}
node: {name: east-gw-1, gateway: true}
bgp:
  asn: 64512
  peers:
  - {name: west-gw, address: 192.168.9.1, asn: 64513, network: dc2}
  - {name: south-gw, address: 192.168.9.2, asn: 64514, network: dc3, advertise: [10.10.0.0/17]}
  - {name: east-1, address: 192.168.0.2, asn: 64512}
  - {name: tor, address: 192.168.0.5, asn: 65000, passOn: [west]}
clusters:
- {name: west, id: 2, network: dc2, podCIDRs: [10.20.0.0/16]}
- {name: north, id: 3, network: dc1, podCIDRs: [10.30.0.0/16]}
- {name: south, id: 4, network: dc3, podCIDRs: [10.40.0.0/16]}
`

// onNode is a configuration as the agent has it on a node without labels.
func onNode(t *testing.T, text string) *config.Config {
	t.Helper()
	c, errs := parse(t, text).ForNode(nil)
	require.Empty(t, errs)
	return c
}

func span(prefix string) bgp.Range { return exactly(netip.MustParsePrefix(prefix)) }

func TestWhatAGatewayTellsOfItsCluster(t *testing.T) {
	announced := func(prefix string, ids ...uint32) bgp.Announcement {
		return bgp.Announcement{Prefix: netip.MustParsePrefix(prefix), For: ids}
	}
	for _, row := range []struct {
		name, old, new string
		want           []bgp.Announcement
		west           []bgp.Range // what its gateway gets
	}{
		{"the whole of it, and less to whom it is to have less", "", "",
			[]bgp.Announcement{announced("10.10.0.0/16"), announced("10.10.0.0/17"), announced("fd00:10::/48")},
			[]bgp.Range{span("10.10.0.0/16"), span("fd00:10::/48")}},
		{"a part to a cluster that is to have a part", "network: dc2, podCIDRs", "network: dc2, advertise: [10.10.8.0/21], podCIDRs",
			[]bgp.Announcement{announced("10.10.0.0/17", 4), announced("10.10.8.0/21")},
			[]bgp.Range{span("10.10.8.0/21")}},
		{"nothing to one that is to have nothing", "network: dc2, podCIDRs", "network: dc2, advertise: [], podCIDRs",
			[]bgp.Announcement{announced("10.10.0.0/17", 4)}, nil},
		{"what is no gateway tells nothing", "gateway: true", "gateway: false", nil, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := onNode(t, strings.Replace(bordering, row.old, row.new, 1))
			require.Equal(t, row.want, aggregates(c))
			if c.Node.Gateway != config.True {
				require.Len(t, c.BGP.Peers, 2, "it has no peers across the border")
				return
			}
			peers := asGateway(c, nil, nil, speakerPeers(c, newPlan(c, fib.Facts{}), nowhere, nil))
			require.True(t, peers[0].Restricted)
			require.Equal(t, row.west, peers[0].Advertise)
			require.Equal(t, []bgp.Range{span("10.10.0.0/17")}, peers[1].Advertise)
			for _, a := range row.want {
				require.Contains(t, peers[2].Withhold, exactly(a.Prefix), "inside nobody is told")
				require.Contains(t, peers[3].Withhold, exactly(a.Prefix))
			}
			require.False(t, peers[2].Restricted)
		})
	}
}

func TestWhatAGatewayHidesInside(t *testing.T) {
	c := onNode(t, bordering)
	peers := asGateway(c, []netip.Prefix{netip.MustParsePrefix("10.10.64.0/18")}, []netip.Prefix{netip.MustParsePrefix("10.10.0.0/16")},
		speakerPeers(c, newPlan(c, fib.Facts{}), nowhere, nil))
	require.Equal(t, []bgp.Range{span("10.10.0.0/17"), span("fd00:10::/48"), span("10.10.64.0/18")}, peers[2].Withhold,
		"what is advertised until now stays hidden; the node's own prefix, be it the whole of the cluster, is not")
}

func TestWhatAGatewayPassesOn(t *testing.T) {
	c := onNode(t, bordering)
	peers := speakerPeers(c, newPlan(c, fib.Facts{}), nowhere, nil)
	var inside []uint32
	for _, passage := range peers[2].PassOn {
		inside = append(inside, passage.ClusterID)
		require.True(t, passage.Through)
		require.Equal(t, []string{"64512:3:1"}, passage.Communities)
	}
	require.Equal(t, []uint32{4, 2}, inside, "the nodes inside get what is in other networks, and that alone")
	require.Len(t, peers[3].PassOn, 1, "a router gets what is declared")
	require.True(t, peers[3].PassOn[0].Through)
	require.Empty(t, peers[0].PassOn)
}

func TestOnePrefixForBoth(t *testing.T) {
	a, b := netip.MustParsePrefix("10.10.0.0/16"), netip.MustParsePrefix("10.10.1.0/24")
	for _, row := range []struct {
		name             string
		own, whole, both []bgp.Announcement
	}{
		{"two prefixes", []bgp.Announcement{{Prefix: b}}, []bgp.Announcement{{Prefix: a, For: []uint32{2}}}, []bgp.Announcement{{Prefix: b}, {Prefix: a, For: []uint32{2}}}},
		{"one for some and for others", []bgp.Announcement{{Prefix: a, For: []uint32{3, 5}}}, []bgp.Announcement{{Prefix: a, For: []uint32{2, 3}}}, []bgp.Announcement{{Prefix: a, For: []uint32{2, 3, 5}}}},
		{"one for everybody", []bgp.Announcement{{Prefix: a}}, []bgp.Announcement{{Prefix: a, For: []uint32{2}}}, []bgp.Announcement{{Prefix: a}}},
	} {
		t.Run(row.name, func(t *testing.T) { require.Equal(t, row.both, together(row.own, row.whole)) })
	}
}

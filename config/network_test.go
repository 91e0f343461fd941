package config_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config"
)

// networked is a node of a network with one peer, and a contract with west.
func networked(ours, peer, west string) string {
	return "cluster: {name: east, id: 1, network: " + ours + ", podCIDRs: [10.10.0.0/16]}\n" +
		"bgp: {asn: 64512, peers: [{name: a, address: 192.0.2.1, " + peer + "}]}\n" +
		"clusters: [{name: west, id: 2, network: " + west + ", podCIDRs: [10.20.0.0/16]}, {name: north, id: 3, network: dc1, podCIDRs: [10.30.0.0/16]}]\n"
}

func TestNetworks(t *testing.T) {
	for _, row := range []rule{
		{"a gateway of another network", networked("dc1", "asn: 65000, network: dc2", "dc2"), nil},
		{"a network is a DNS-1123 label", networked("DC1", "asn: 65000", "dc2"),
			one("cluster.network[0]: DC1: must be a DNS-1123 label: 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit (did you mean dc1?)")},
		{"there is at least one", networked("[]", "asn: 65000", "dc2"),
			one("cluster.network: []: must not be empty: the network, a DNS-1123 label, in which this cluster's nodes are reached directly, or several; clusters without one in common exchange routes through gateways")},
		{"each once", networked("[dc1, dc1]", "asn: 65000", "dc2"), one("cluster.network[1]: dc1: is listed twice: also at cluster.network[0]")},
		{"a network that nobody is in", networked("dc1", "asn: 65000, network: dc3", "dc2"),
			one("bgp.peers[0].network: dc3: no declared cluster is reached through it: give clusters[].network of those that are (did you mean dc2?)")},
		{"a gateway of another network is of another AS", networked("dc1", "asn: 64512, network: dc2", "dc2"),
			one("bgp.peers[0].network: dc2: is for eBGP: a gateway of another network is of another AS, and the peer's asn is ours, 64512")},
		{"a cluster of our own network is not learned of it", networked("dc1", "asn: 65000, network: dc2, clusters: [north, west]", "dc2"),
			one("bgp.peers[0].clusters[0]: north: is of our own network, and learned without gateways")},
		{"our own cluster is not passed on to it", networked("dc1", "asn: 65000, network: dc2, passOn: [east]", "dc2"),
			one("bgp.peers[0].passOn: east: is this cluster itself, whose pod CIDRs a gateway of another network gets as a whole; leave it out")},
		{"traffic of another network comes through us", networked("dc1", "asn: 65000, network: dc2, nextHop: unchanged", "dc2"),
			one("bgp.peers[0].nextHop: unchanged: can't be: what a gateway of another network gets comes through ours")},
		{"our own network says nothing of a peer", networked("dc1", "asn: 64512, network: dc1", "dc2"), nil},
	} {
		t.Run(row.name, row.run)
	}
}

func TestHowAClusterIsReached(t *testing.T) {
	for _, row := range []struct {
		name, ours, west         string
		direct, gateways, border bool
		clusters                 []string
	}{
		{"in one network", "default", "default", true, false, true, nil},
		{"in two networks", "dc1", "dc2", false, true, true, []string{"west"}},
		{"the remote one is about to join us", "dc1", "[dc1, dc2]", true, true, true, []string{"west"}},
		{"we are about to join it", "[dc2, dc1]", "dc2", true, true, true, []string{"west"}},
		{"both are in both", "[dc1, dc2]", "[dc2, dc1]", true, false, true, nil},
		{"we have joined it", "dc2", "dc2", true, false, false, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := networked(row.ours, "asn: 65000, network: dc2", row.west)
			if row.border && row.clusters == nil {
				text = networked(row.ours, "asn: 65000", row.west)
			}
			c := mustParse(t, text)
			require.Equal(t, row.direct, c.Direct(c.Clusters[0]))
			require.Equal(t, row.gateways, c.ThroughGateways(c.Clusters[0]))
			require.Equal(t, row.border, c.Border(config.Peer{Network: "dc2"}))
			require.False(t, c.Border(config.Peer{}), "a peer without a network is in ours")
			require.Equal(t, row.clusters, c.BGP.Peers[0].Clusters)
			var out bytes.Buffer
			require.NoError(t, c.Print(&out))
			require.Equal(t, c, mustParse(t, out.String()), "what is printed says the same")
		})
	}
}

func TestChangesOfNetworks(t *testing.T) {
	old := mustParse(t, networked("dc1", "asn: 65000, network: dc2", "dc2"))
	var said []string
	for _, c := range config.Changes(old, mustParse(t, networked("dc1", "asn: 65000, network: dc2", "[dc1, dc2]"))) {
		said = append(said, c.String())
	}
	require.Equal(t, []string{"clusters[west].network: dc2 to dc1, dc2 (Live)"}, said, "a move takes no restart and no reset")
}

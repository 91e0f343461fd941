package config_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config"
)

func TestLabelsAndSelectors(t *testing.T) {
	labels := func(list string) string { return minimal + "node: {labels: [" + list + "]}\n" }
	for _, row := range []rule{
		{"labels as Kubernetes has them are fine", labels("rack=a, example.org/Rack_1=, underlayd.io/gateway=true"), nil},
		{"a label without a value is refused", labels("rack"), one("node.labels[0]: rack: must be a label, key=value, such as example.org/rack=a")},
		{"a key that Kubernetes does not allow is refused", labels("-rack=a"), one("node.labels[0]: -rack=a: must have a key as Kubernetes allows it, such as example.org/rack: " +
			"name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')")},
		{"so is a value", labels("rack=a=b"), one("node.labels[0]: rack=a=b: must have a value as Kubernetes allows it: " +
			"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')")},
		{"a key has one value", labels("rack=a, row=1, rack=b"), one("node.labels[2]: rack=b: gives the label rack a second value: also at node.labels[0]")},
		{"a number is not a label", labels("7"), one(`node.labels[0]: 7: wants a label, key=value, not a whole number`)},
		{"a role may be left to a label", minimal + "node: {gateway: auto, reflector: false}\n", nil},
		{"but to nothing else", minimal + "node: {gateway: maybe}\n", one("node.gateway: maybe: must be one of auto, true, false")},
		{"selectors are as kubectl get -l takes them", peer("nodeSelector: 'topology.kubernetes.io/zone in (a, b),!spare,rack!=z'"), nil},
		{"half a selector is refused", peer("nodeSelector: rack in"), one("bgp.peers[0].nodeSelector: rack in: must be a label selector, as kubectl get -l takes it, such as example.org/rack=a: " +
			"unable to parse requirement: found '' expected: '('")},
		{"so is one of a cluster", remote("nodeSelector: '==a'"), one("clusters[0].nodeSelector: ==a: must be a label selector, as kubectl get -l takes it, such as example.org/rack=a: " +
			"found '==', expected: !, identifier, or 'end of string'")},
		{"two racks may have one address", peers("name: a, address: 192.0.2.1, asn: 1, nodeSelector: rack=a", "name: b, address: 192.0.2.1, asn: 2, nodeSelector: rack=b"), nil},
		{"and one link", peers("name: a, interface: eth1, asn: 1, nodeSelector: rack=a", `name: b, address: "fe80::1%eth1", asn: 2, nodeSelector: rack=b`), nil},
		{"a peer of every node takes its address alone", peers("name: a, address: 192.0.2.1, asn: 1, nodeSelector: rack=a", "name: b, address: 192.0.2.1, asn: 2"),
			one("bgp.peers[1].address: 192.0.2.1: is already used by bgp.peers[0].address")},
		{"whichever comes first", peers("name: a, address: 192.0.2.1, asn: 1", "name: b, address: 192.0.2.1, asn: 2, nodeSelector: rack=a"),
			one("bgp.peers[1].address: 192.0.2.1: is already used by bgp.peers[0].address")},
		{"one rack has one peer at an address, in whatever order it is selected", peers("name: a, interface: eth1, asn: 1, nodeSelector: 'rack=a,row=1'", "name: b, interface: eth1, asn: 2, nodeSelector: 'row=1, rack=a'"),
			one("bgp.peers[1].interface: eth1: is already used by bgp.peers[0].interface")},
		{"names are for all nodes", peers("name: a, address: 192.0.2.1, asn: 1, nodeSelector: rack=a", "name: a, address: 192.0.2.2, asn: 2, nodeSelector: rack=b"),
			one("bgp.peers[1].name: a: is already used by bgp.peers[0].name")},
	} {
		t.Run(row.name, row.run)
	}
}

// racks is the file of all nodes of a cluster: each rack has a peer of its own at the same address, and all nodes have one
// more.
const racks = `cluster: {name: east, id: 1, region: eu, podCIDRs: [10.10.0.0/16]}
node: {labels: [shelf=top]}
bgp:
  asn: 64512
  peers:
  - {name: tor-a, address: 192.0.2.1, asn: 65001, nodeSelector: topology.kubernetes.io/zone=a}
  - {name: tor-b, address: 192.0.2.1, asn: 65002, nodeSelector: "topology.kubernetes.io/zone in (b, c)"}
  - {name: lab, address: 192.0.2.1, asn: 65003, nodeSelector: lab}
  - {name: core, address: 192.0.2.9, asn: 65000}
  - {name: not-spare, address: 192.0.2.8, asn: 65000, nodeSelector: "!spare"}
  - {name: top, address: 192.0.2.7, asn: 65000, nodeSelector: shelf=top}
clusters:
- {name: west, id: 2, podCIDRs: [10.20.0.0/16], nodeSelector: underlayd.io/gateway=true}
- {name: north, id: 3, podCIDRs: [10.30.0.0/16]}
`

func names(peers []config.Peer) string {
	var all []string
	for _, p := range peers {
		all = append(all, p.Name)
	}
	return strings.Join(all, " ")
}

func TestForNode(t *testing.T) {
	zone := func(z string, more ...string) map[string]string {
		labels := map[string]string{config.ZoneLabel: z}
		for _, pair := range more {
			key, value, _ := strings.Cut(pair, "=")
			labels[key] = value
		}
		return labels
	}
	for _, row := range []struct {
		name          string
		labels        map[string]string
		peers         string
		gateway       config.Tristate
		region, zone  string
		forWest       bool
		errs          string
		unknown, file string // file: instead of racks, its node
	}{
		{name: "a node without labels", peers: "core not-spare top", gateway: config.False, region: "eu"},
		{name: "a node of a rack", labels: zone("a"), peers: "tor-a core not-spare top", gateway: config.False, region: "eu", zone: "a"},
		{name: "a node of another rack, with the same address", labels: zone("c"), peers: "tor-b core not-spare top", gateway: config.False, region: "eu", zone: "c"},
		{name: "a label that is there keeps a peer away", labels: zone("a", "spare="), peers: "tor-a core top", gateway: config.False, region: "eu", zone: "a"},
		{name: "a gateway", labels: zone("a", "underlayd.io/gateway=true"), peers: "tor-a core not-spare top", gateway: config.True, region: "eu", zone: "a", forWest: true},
		{name: "what is not quite true is not", labels: zone("a", "underlayd.io/gateway=yes"), peers: "tor-a core not-spare top", gateway: config.False, region: "eu", zone: "a"},
		{name: "a region of its own", labels: zone("a", "topology.kubernetes.io/region=us"), peers: "tor-a core not-spare top", gateway: config.False, region: "us", zone: "a"},
		{name: "two peers at one address: the second is left out", labels: zone("b", "lab=1"), peers: "tor-b core not-spare top", gateway: config.False, region: "eu", zone: "b",
			errs: "peer lab.address: 192.0.2.1: is already used by peer tor-b.address"},
		{name: "a zone that can't be one says nothing", labels: zone("Zone_B"), peers: "core not-spare top", gateway: config.False, region: "eu",
			errs: "node.labels: topology.kubernetes.io/zone=Zone_B: says nothing of where the node is: its value must be a DNS-1123 label, 1 to 63 of a-z, 0-9 and -"},
		{name: "the file's own labels win", labels: zone("b", "shelf=low"), file: "{labels: [topology.kubernetes.io/zone=a]}",
			peers: "tor-a core not-spare", gateway: config.False, region: "eu", zone: "a"},
		{name: "and what it says of the node goes before labels", labels: zone("b", "underlayd.io/gateway=true"), file: "{zone: z, region: us, gateway: false}",
			peers: "tor-b core not-spare", gateway: config.False, region: "us", zone: "z", forWest: true},
		{name: "a gateway without any label", file: "{gateway: true}", peers: "core not-spare", gateway: config.True, region: "eu"},
	} {
		t.Run(row.name, func(t *testing.T) {
			text := racks
			if row.file != "" {
				text = strings.Replace(racks, "{labels: [shelf=top]}", row.file, 1)
			}
			all := mustParse(t, text)
			c, errs := all.ForNode(row.labels)
			if row.errs == "" {
				require.Empty(t, errs)
			} else {
				require.EqualError(t, errs, row.errs)
			}
			require.Equal(t, row.peers, names(c.BGP.Peers))
			require.Equal(t, row.gateway, c.Node.Gateway)
			require.Equal(t, config.False, c.Node.Reflector)
			require.Equal(t, []string{row.region, row.zone}, []string{c.Node.Region, c.Node.Zone})
			require.Equal(t, row.forWest, len(c.Clusters[0].Advertise) > 0, "prefixes of other nodes are not for it")
			require.NotEmpty(t, c.Clusters[1].Advertise)
			require.NoError(t, c.Validate())
			require.Equal(t, mustParse(t, text), all, "the file's is left alone")
		})
	}
}

func TestForUnknownNode(t *testing.T) {
	c, errs := mustParse(t, racks).ForUnknownNode()
	require.Empty(t, errs)
	require.Equal(t, "core", names(c.BGP.Peers), "not even those of nodes that lack a label: it may be there")
	require.Empty(t, c.Clusters[0].Advertise)
	require.Equal(t, []config.Tristate{config.False, config.False}, []config.Tristate{c.Node.Gateway, c.Node.Reflector})
	require.Equal(t, "eu", c.Node.Region)
}

func TestALabelThatChangesNeedsNoRestart(t *testing.T) {
	all := mustParse(t, racks)
	before, _ := all.ForNode(map[string]string{config.ZoneLabel: "a"})
	after, _ := all.ForNode(map[string]string{config.ZoneLabel: "b", config.GatewayLabel: "true", config.ReflectorLabel: "true"})
	var got []string
	for _, c := range config.Changes(before, after) {
		got = append(got, c.String())
	}
	require.Equal(t, []string{
		"node.zone: a to b (Live)", "node.gateway: false to true (Live)", "node.reflector: false to true (Live)",
		"bgp.peers[tor-b]: nothing to tor-b (Live)", "clusters[west].advertise: nothing to all (Live)", "bgp.peers[tor-a]: tor-a to nothing (Live)",
	}, got)
	same, _ := all.ForNode(map[string]string{config.ZoneLabel: "a", "example.org/unrelated": "1"})
	require.Empty(t, config.Changes(before, same), "a label that nothing depends on is no change")
}

func TestPeersOfAFileAreSelectedToo(t *testing.T) {
	const file = `groups:
- defaults: {asn: 65001, nodeSelector: rack=a}
  peers: [{name: a-1, address: 192.0.2.11}, {name: a-2, address: 192.0.2.9}]
- defaults: {asn: 65002, nodeSelector: rack=b}
  peers: [{name: b-1, address: 192.0.2.11}]
`
	base, _ := mustParse(t, strings.Replace(racks, "192.0.2.9, asn: 65000", "192.0.2.9, asn: 65000, nodeSelector: rack", 1)).ForNode(map[string]string{"rack": "a"})
	found, err := config.ParsePeers(strings.NewReader(file), "p.yaml", base, nil)
	require.NoError(t, err, "a file is checked for all nodes")
	require.Equal(t, "a-1 a-2 b-1", names(found))
	whole, errs := base.WithPeers(found)
	require.EqualError(t, errs, "peer a-2.address: 192.0.2.9: is already used by bgp.peers[0].address")
	require.Equal(t, "core not-spare top a-1", names(whole.BGP.Peers))

	_, err = config.ParsePeers(strings.NewReader(strings.Replace(file, "rack=b", "rack=a", 1)), "p.yaml", base, nil)
	require.ErrorContains(t, err, "groups[1].peers[0].address: 192.0.2.11: is already used by groups[0].peers[0].address")
}

func TestHubsAndReflectors(t *testing.T) {
	const hub = "underlayd.io/reflector=true"
	text := func(keys string) string {
		return inBGP("nodePeers: {enabled: true, "+keys+"}") + "clusters: [{name: west, id: 2, podCIDRs: [10.20.0.0/16]}, {name: north, id: 3, podCIDRs: [10.30.0.0/16]}]\n"
	}
	reflector := map[string]string{config.ReflectorLabel: "true"}
	for _, row := range []struct {
		name, keys   string
		labels       map[string]string
		selector     string // of the Nodes that are peers
		client       bool
		node, others []string // what a Node, and a hub, gets passed on
	}{
		{name: "without hubs every Node is a peer", keys: "selector: a=b", selector: "a=b"},
		{name: "a hub has every Node", keys: "selector: a=b, hubs: " + hub, labels: reflector, selector: "a=b",
			client: true, node: []string{"north", "west"}, others: []string{"east", "north", "west"}},
		{name: "another Node has hubs", keys: "hubs: " + hub, selector: hub},
		{name: "those that are selected", keys: "selector: a=b, hubs: " + hub, selector: "a=b," + hub},
		{name: "however that is written", keys: "selector: ' c in (y, x),a == b', hubs: " + hub, selector: "a==b,c in (x,y)," + hub},
		{name: "a hub that reflects for nobody", keys: "hubs: hub", labels: map[string]string{"hub": ""}},
		{name: "a reflector of a full mesh", labels: reflector, client: true, node: []string{"north", "west"}, others: []string{"north", "west"}},
		{name: "a reflector passes on what it is told to", keys: "hubs: " + hub + ", defaults: {passOn: [west]}", labels: reflector,
			client: true, node: []string{"west"}, others: []string{"east", "west"}},
		{name: "what is said of clients is left alone", keys: "hubs: " + hub + ", defaults: {client: true, passOn: []}", labels: reflector, client: true},
		{name: "Nodes of another AS are no clients", keys: "hubs: " + hub + ", defaults: {asn: 65000}", labels: reflector},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, errs := mustParse(t, text(row.keys)).ForNode(row.labels)
			require.Empty(t, errs)
			require.Equal(t, row.selector, c.NodePeersSelector())
			node := c.NodePeer("node-1", netip.MustParseAddr("192.168.0.1"), false)
			other := c.NodePeer("node-2", netip.MustParseAddr("192.168.0.2"), true)
			require.Equal(t, []bool{row.client, row.client}, []bool{node.Client, other.Client})
			require.Equal(t, row.node, node.PassOn)
			require.Equal(t, row.others, other.PassOn)
			whole, errs := c.WithPeers([]config.Peer{node, other})
			require.Empty(t, errs)
			require.NoError(t, whole.Validate())
		})
	}
}

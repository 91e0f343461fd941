package config_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config"
)

const (
	meshBase = `cluster: {name: east, id: 1, podCIDRs: [10.10.0.0/16]}
bgp:
  asn: 64512
  peers: [{name: tor-a, address: 192.0.2.1, asn: 65000, hops: 0}]
clusters:
- {name: west, id: 2, podCIDRs: [10.20.0.0/16]}
- {name: north, id: 3, podCIDRs: [10.30.0.0/16]}
`
	mesh = `groups:
- cluster: east
  defaults: {asn: 64512}
  peers:
  - {name: east-1, address: 192.168.0.11}
  - {name: east-2, address: 192.168.0.12}
- cluster: west
  defaults: {asn: 64513, holdTime: 9s, bfd: {interval: 300ms}}
  peers:
  - {name: west-1, address: 192.168.0.21}
  - {name: west-2, address: 192.168.0.22, holdTime: 30s, clusters: [north], bfd: {multiplier: 5}, hops: 0}
- peers:
  - {name: spare, address: 192.168.0.99, asn: 64512}
`
)

// self is the address of the node.
func self(a netip.Addr) bool { return a == netip.MustParseAddr("192.168.0.11") }

func parsePeers(t *testing.T, text string) ([]config.Peer, error) {
	t.Helper()
	return config.ParsePeers(strings.NewReader(text), "p.yaml", mustParse(t, meshBase), self)
}

func TestAFileOfPeers(t *testing.T) {
	written := mustParse(t, strings.Replace(meshBase, "hops: 0}]", `hops: 0},
    {name: west-1, address: 192.168.0.21, asn: 64513, holdTime: 9s, bfd: {interval: 300ms}, clusters: [west]},
    {name: west-2, address: 192.168.0.22, asn: 64513, holdTime: 30s, clusters: [north], bfd: {multiplier: 5}, hops: 0},
    {name: spare, address: 192.168.0.99, asn: 64512}]`, 1))
	want := written.BGP.Peers[1:]
	got, err := parsePeers(t, mesh)
	require.NoError(t, err)
	require.Equal(t, want, got, "the own cluster's group is left out, what an entry says goes before its defaults, iBGP has no GTSM")

	base := mustParse(t, meshBase)
	whole, errs := base.WithPeers(got)
	require.Empty(t, errs)
	require.Equal(t, written, whole, "as if they had been in the configuration")
	require.Len(t, base.BGP.Peers, 1)

	base.Cluster.Name = "west"
	_, err = config.ParsePeers(strings.NewReader(mesh), "p.yaml", base, self)
	require.ErrorContains(t, err, "groups[0].peers[1].clusters[0]: east: is not declared", "another cluster has the same file, and contracts of its own")
}

func TestTheNodeItselfIsNoPeer(t *testing.T) {
	const text = "groups:\n- defaults: {asn: 64512}\n  peers:\n  - {name: a, address: 192.168.0.11}\n  - {name: b, address: 192.168.0.12}\n"
	got, err := parsePeers(t, text)
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, "b", got[0].Name)

	base := mustParse(t, meshBase)
	base.BGP.ListenAddresses = []netip.Addr{netip.MustParseAddr("192.168.0.12")}
	got, err = config.ParsePeers(strings.NewReader(text), "p.yaml", base, nil)
	require.NoError(t, err, "an address that is listened on is known without the kernel")
	require.Len(t, got, 1)
	require.Equal(t, "a", got[0].Name)
}

func TestBrokenFilesOfPeers(t *testing.T) {
	group := func(peers string) string { return "groups:\n- peers: [" + peers + "]\n" }
	for _, row := range []struct{ name, text, want string }{
		{"no peers, when the file says so", "groups: []", ""},
		{"a group without any, when the file says so", "groups: [{cluster: west, peers: []}]", ""},
		{"an empty file may be half of one", "", "p.yaml: groups: is required: the peers, in groups; [] for none"},
		{"so may one that ends after the first word", "groups:", "p.yaml:1:1: groups: is required: the peers, in groups; [] for none"},
		{"and one that ends within a group", "groups:\n- cluster: west\n  peers:\n", "p.yaml:2:3: groups[0].peers: is required: the peers of the group; [] for none"},
		{"half a line is no YAML", "groups:\n- peers: [{name: a", "p.yaml:1: is not YAML: did not find expected ',' or '}'"},
		{"an unknown key of the file", "groups: []\npeers: []\n", "p.yaml:2:1: peers: unknown key (peers belongs at bgp.peers)"},
		{"an unknown key of a group", "groups: [{peers: [], asn: 1}]", "p.yaml:1:22: groups[0].asn: unknown key (asn belongs at bgp.asn or bgp.peers[].asn)"},
		{"an unknown key of a peer", group("{name: a, address: 192.0.2.9, asn: 1, x: 1}"), "p.yaml:2:49: groups[0].peers[0].x: unknown key*"},
		{"a name among the defaults", "groups: [{defaults: {name: a}, peers: []}]", "p.yaml:1:22: groups[0].defaults.name: unknown key*"},
		{"what is wrong with defaults is said once", "groups: [{defaults: {asn: 0}, peers: [{name: a, address: 192.0.2.9}, {name: b, address: 192.0.2.8}]}]",
			"p.yaml:1:27: groups[0].defaults.asn: 0: AS 0 is reserved and must not be used (RFC 7607)"},
		{"no AS number anywhere", group("{name: a, address: 192.0.2.9}"), "p.yaml:2:11: groups[0].peers[0].asn: is required: the peer's AS number; bgp.asn makes the session iBGP"},
		{"no address anywhere", group("{name: a, asn: 1}"), "p.yaml:2:11: groups[0].peers[0].address: is required, or interface in its place"},
		{"an address of the configuration", group("{name: a, address: 192.0.2.1, asn: 1}"),
			"p.yaml:2:30: groups[0].peers[0].address: 192.0.2.1: is already used by bgp.peers[0].address"},
		{"a name of the configuration", group("{name: tor-a, address: 192.0.2.9, asn: 1}"), "p.yaml:2:18: groups[0].peers[0].name: tor-a: is already used by bgp.peers[0].name"},
		{"an address twice in the file", group("{name: a, address: 192.0.2.9, asn: 1}, {name: b, address: 192.0.2.9, asn: 1}"),
			"p.yaml:2:69: groups[0].peers[1].address: 192.0.2.9: is already used by groups[0].peers[0].address"},
		{"a cluster that is not declared", "groups:\n- cluster: wets\n  peers: [{name: a, address: 192.0.2.9, asn: 1}]\n",
			"p.yaml:3:11: groups[0].peers[0].clusters[0]: wets: is not declared in clusters (did you mean west?)"},
		{"an address among pods", group("{name: a, address: 10.20.0.1, asn: 1}"), "p.yaml:2:30: groups[0].peers[0].address: 10.20.0.1: lies in 10.20.0.0/16 (clusters[0].podCIDRs[0])*"},
		{"defaults that contradict an entry", "groups: [{defaults: {multihop: 3}, peers: [{name: a, address: 192.0.2.9, asn: 1, hops: 2}]}]",
			"p.yaml:1:32: groups[0].peers[0].multihop: 3: excludes hops, which is 2*"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := parsePeers(t, row.text)
			if row.want == "" {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			if begin, cut := strings.CutSuffix(row.want, "*"); cut {
				require.True(t, strings.HasPrefix(err.Error(), begin), err.Error())
				require.NotContains(t, err.Error(), "\n")
				return
			}
			require.EqualError(t, err, row.want)
		})
	}
}

func TestLoadPeers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers.yaml")
	_, err := config.LoadPeers(path, mustParse(t, meshBase), self)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(path, []byte(mesh), 0o600))
	got, err := config.LoadPeers(path, mustParse(t, meshBase), self)
	require.NoError(t, err)
	require.Len(t, got, 3)
}

func TestPeersThatBreakARuleAreLeftOut(t *testing.T) {
	base := mustParse(t, strings.Replace(meshBase, "asn: 64512", "asn: 64512\n  nodePeers: {enabled: true, defaults: {holdTime: 9s}}", 1))
	node := func(name, address string) config.Peer {
		return base.NodePeer(name, netip.MustParseAddr(address), false)
	}
	whole, errs := base.WithPeers([]config.Peer{
		node("node-1.example.org", "192.168.0.1"), node("node-2", "10.10.0.9"), node("tor-a", "192.168.0.3"), node("node-4", "192.168.0.4"),
	})
	require.EqualError(t, errs, "peer tor-a.name: tor-a: is already used by bgp.peers[0].name\n"+
		"peer node-2.address: 10.10.0.9: lies in 10.10.0.0/16 (cluster.podCIDRs[0]): a route to pods could then cut off the session it came from")
	require.Len(t, whole.BGP.Peers, 3)
	first := whole.BGP.Peers[1]
	require.Equal(t, "node-1-example-org", first.Name)
	require.Equal(t, uint32(64512), first.ASN)
	require.Equal(t, 9*time.Second, first.HoldTime)
	require.Zero(t, first.Hops, "iBGP")
	require.NoError(t, whole.Validate())
}

func TestNodePeers(t *testing.T) {
	with := func(keys string) string { return inBGP("nodePeers: {enabled: true, " + keys + "}") }
	for _, row := range []rule{
		{"any key of a peer is fine", with("defaults: {holdTime: 9s, bfd: {interval: 1s}}"), nil},
		{"an address is not one of them", with("defaults: {address: 192.0.2.1}"), []string{}},
		{"an AS number that nobody has is refused", with("defaults: {asn: 0}"), one("bgp.nodePeers.defaults.asn: 0: AS 0 is reserved and must not be used (RFC 7607)")},
		{"multihop is for eBGP, and these are not", with("defaults: {multihop: 2}"),
			one("bgp.nodePeers.defaults.multihop: 2: is for eBGP: an iBGP session is multihop anyway; leave it out")},
		{"hops with multihop are refused", with("defaults: {asn: 65000, hops: 2, multihop: 4}"),
			one("bgp.nodePeers.defaults.multihop: 4: excludes hops, which is 2: GTSM (RFC 5082) sends with TTL 255; say how far the peer is with one of the two")},
		{"a selector is checked", with("selector: 'rack in (a'"), one("bgp.nodePeers.selector: rack in (a: must be a label selector, as kubectl get -l takes it, such as example.org/rack=a: unable to parse requirement: found '', expected: ',' or ')'")},
		{"so is that of the hubs", with("hubs: a b"), one("bgp.nodePeers.hubs: a b: must be a label selector, as kubectl get -l takes it, such as example.org/rack=a: " +
			"unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt")},
		{"another family is refused", with("address: any"), one("bgp.nodePeers.address: any: must be one of ipv4, ipv6")},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.want != nil && len(row.want) == 0 {
				_, err := parse(row.text)
				require.ErrorContains(t, err, "bgp.nodePeers.defaults.address: unknown key")
				return
			}
			row.run(t)
		})
	}
}

// BenchmarkParsePeers reads a mesh of a thousand nodes, as every change of the file does.
func BenchmarkParsePeers(b *testing.B) {
	var text strings.Builder
	text.WriteString("groups:\n- cluster: west\n  defaults: {asn: 64513, holdTime: 9s}\n  peers:\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "  - {name: west-%d, address: 192.168.%d.%d}\n", i, 10+i/250, 1+i%250)
	}
	base, err := parse(meshBase)
	require.NoError(b, err)
	for b.Loop() {
		peers, err := config.ParsePeers(strings.NewReader(text.String()), "p.yaml", base, nil)
		require.NoError(b, err)
		require.Len(b, peers, 1000)
	}
}

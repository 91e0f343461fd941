package config_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config"
)

func TestSelections(t *testing.T) {
	for _, row := range []rule{
		{"a part of the pool may be what a peer gets", peer("advertise: [10.10.0.0/17]"), nil},
		{"so may all of it", peer("advertise: [all]"), nil},
		{"or nothing", peer("advertise: []"), nil},
		{"what is not ours can't be", peer("advertise: [10.20.0.0/16]"),
			one("bgp.peers[0].advertise[0]: 10.20.0.0/16: lies in none of cluster.podCIDRs, and only those may be advertised")},
		{"nor can what is wider", remote("advertise: [10.0.0.0/8]"),
			one("clusters[0].advertise[0]: 10.0.0.0/8: lies in none of cluster.podCIDRs, and only those may be advertised")},
		{"communities are fine by number and by name", peer(`communities: ["65000:100", "4200000000:1:2", no-export], refuse: ["65535:666"]`), nil},
		{"a community of four octets is refused", peer(`communities: ["4200000000:1"]`),
			one("bgp.peers[0].communities[0]: 4200000000:1: must have numbers of 0 to 65535, in plain decimal digits")},
		{"a misspelt name is told the right one", peer("refuse: [no-exprt]"),
			one("bgp.peers[0].refuse[0]: no-exprt: must be two numbers (65000:100), three (65000:1:2) or one of blackhole, graceful-shutdown, no-advertise, no-export, no-export-subconfed, no-peer (did you mean no-export?)")},
		{"a name and its number are the same", peer(`communities: [no-export, "65535:65281"]`),
			one("bgp.peers[0].communities[1]: no-export: is listed twice: also at bgp.peers[0].communities[0]")},
		{"a large one that the daemon gives itself is refused", peer(`communities: ["64512:1:2"]`),
			one("bgp.peers[0].communities[0]: 64512:1:2: is the daemon's own: 64512:1, 64512:2 and 64512:3 say which cluster a prefix is of, which ones it is for, and whose gateways it leads through")},
		{"but not the plain one", peer(`communities: ["64512:1"]`), nil},
		{"what is required can't be refused", peer(`require: ["65000:1"], refuse: ["65000:1"]`),
			one("bgp.peers[0].refuse[0]: 65000:1: is in require too: nothing of this peer could be accepted")},
		{"to be discarded can't be required", peer("require: [blackhole]"),
			one("bgp.peers[0].require[0]: 65535:666: can't be: what carries it is refused (RFC 7999)")},
	} {
		t.Run(row.name, row.run)
	}
}

func TestWhatASelectionSelects(t *testing.T) {
	own := netip.MustParsePrefix("10.10.1.0/24")
	for _, row := range []struct {
		name, list string
		want       bool
	}{
		{"all", "[all]", true},
		{"none", "[]", false},
		{"the prefix itself", "[10.10.1.0/24]", true},
		{"what holds it", "[10.10.128.0/17, 10.10.0.0/17]", true},
		{"what holds another one", "[10.10.128.0/17]", false},
		{"what is only a part of it", "[10.10.1.0/25]", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := mustParse(t, peer("advertise: "+row.list))
			require.Equal(t, row.want, config.Selects(c.BGP.Peers[0].Advertise, own))
			var out bytes.Buffer
			require.NoError(t, c.Print(&out))
			require.Equal(t, c, mustParse(t, out.String()), "what is printed says the same")
		})
	}
	require.True(t, config.Selects(mustParse(t, peer("port: 179")).BGP.Peers[0].Advertise, own), "all is the default")
}

func TestPreference(t *testing.T) {
	for _, row := range []rule{
		{"a zone counts at least as much as its region", inBGP("preference: {zone: 100, region: 150}"),
			one("bgp.preference.zone: 100: must be at least bgp.preference.region, 150: the same zone is nearer than the same region")},
		{"a region at least as much as any other", inBGP("preference: {other: 250}"),
			one("bgp.preference.region: 200: must be at least bgp.preference.other, 250: the same region is nearer than any other")},
		{"1 is for what is about to go", inBGP("preference: {other: 1}"), one("bgp.preference.other: 1: must be 2 to 4294967295")},
	} {
		t.Run(row.name, row.run)
	}
	for _, row := range []struct {
		name, node, peer string
		want             int
	}{
		{"the same zone of the same region", "region: eu, zone: a", "region: eu, zone: a", 300},
		{"a zone without a region", "zone: a", "zone: a", 300},
		{"a zone of the same name elsewhere", "region: eu, zone: a", "region: us, zone: a", 100},
		{"another zone of the same region", "region: eu, zone: a", "region: eu, zone: b", 200},
		{"a region without a zone", "region: eu, zone: a", "region: eu", 200},
		{"another region", "region: eu", "region: us", 100},
		{"a peer whose place is not known", "region: eu", "port: 179", 0},
		{"a node whose place is not known", "podCIDRs: []", "region: eu", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := mustParse(t, peer(row.peer)+"node: {"+row.node+"}\n")
			require.Equal(t, row.want, c.LocalPref(c.BGP.Peers[0]))
		})
	}
	c, errs := mustParse(t, "cluster: {name: east, id: 1, region: eu, zone: a, podCIDRs: []}\nnode: {zone: b}\nbgp: {asn: 64512}\n").ForNode(nil)
	require.Empty(t, errs)
	require.Equal(t, []string{"eu", "b"}, []string{c.Node.Region, c.Node.Zone}, "a node is where its cluster is, unless it says otherwise")
}

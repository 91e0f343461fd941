package ipam

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, prefix(s))
	}
	return out
}

// east is the plan of a node of cluster east: two neighbours, of which tor-a may announce any cluster and
// south-gw only south.
func east() *Plan { return New(eastConfig(), eastFacts()) }

func eastConfig() Config {
	return Config{
		Cluster: "east", ID: 1, ASN: 64512,
		PodCIDRs: prefixes("10.10.0.0/16", "fd00:10::/48"),
		Reserved: prefixes("10.96.0.0/16", "192.168.0.0/16", "fd00:96::/112"),
		Contracts: []Contract{
			{
				Cluster: "west", ID: 2, Prefixes: prefixes("10.20.0.0/16", "fd00:20::/48"),
				IPv4: Lengths{16, 28}, IPv6: Lengths{48, 80}, MaxPrefixes: 1000,
			},
			{
				Cluster: "south", ID: 3, Prefixes: prefixes("10.30.0.0/16", "10.31.0.0/16", "fd00:30::/48"),
				IPv4: Lengths{24, 24}, IPv6: Lengths{64, 64}, MaxPrefixes: 2,
			},
		},
		Peers: map[string]Peer{
			"tor-a":    {Address: addr("172.16.0.1")},
			"tor-a-6":  {Address: addr("fd00:ff::1")},
			"south-gw": {Address: addr("100.65.0.7"), Clusters: []string{"south"}},
		},
	}
}

func eastFacts() Facts {
	return Facts{
		Addresses: []netip.Addr{
			addr("172.16.0.10"), addr("fd00:ff::10"), addr("100.64.0.10"),
			addr("10.10.1.1"), addr("127.0.0.1"), addr("fe80::1%eth1"),
		},
		Connected: prefixes("172.16.0.0/24", "fd00:ff::/64", "10.10.1.0/24", "127.0.0.0/8", "fe80::/64"),
	}
}

// from makes a claim that is right in everything but what the row changes.
func from(p string, change ...func(*Claim)) Claim {
	c := Claim{Prefix: prefix(p), Peer: "tor-a", NextHop: addr("172.16.0.1"), OriginASN: 64513}
	if !c.Prefix.Addr().Is4() {
		c.NextHop = addr("fd00:ff::1")
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

func via(s string) func(*Claim)       { return func(c *Claim) { c.NextHop = addr(s) } }
func ids(list ...uint32) func(*Claim) { return func(c *Claim) { c.ClusterIDs = list } }
func blackhole(c *Claim)              { c.Blackhole = true }
func peerNamed(s string) func(*Claim) { return func(c *Claim) { c.Peer = s } }

func TestAPrefixThatMeetsItsContractIsAccepted(t *testing.T) {
	for name, row := range map[string]struct {
		claim   Claim
		cluster string
	}{
		"a node's IPv4 pod range":                         {from("10.20.1.0/24"), "west"},
		"a node's IPv6 pod range":                         {from("fd00:20:0:1::/64"), "west"},
		"the whole IPv4 range of the contract":            {from("10.20.0.0/16"), "west"},
		"the whole IPv6 range of the contract":            {from("fd00:20::/48"), "west"},
		"the longest IPv4 prefix allowed":                 {from("10.20.1.16/28"), "west"},
		"the longest IPv6 prefix allowed":                 {from("fd00:20:0:1:8000::/80"), "west"},
		"no cluster id at all":                            {from("10.20.1.0/24", ids()), "west"},
		"the right cluster id":                            {from("10.20.1.0/24", ids(2)), "west"},
		"the right cluster id twice":                      {from("10.20.1.0/24", ids(2, 2)), "west"},
		"the second range of a contract":                  {from("10.31.4.0/24"), "south"},
		"the cluster a restricted peer is allowed":        {from("10.30.4.0/24", peerNamed("south-gw")), "south"},
		"a next hop that is not the peer":                 {from("10.20.1.0/24", via("172.16.0.77")), "west"},
		"a link-local next hop with its zone":             {from("fd00:20:0:1::/64", via("fe80::2%eth0")), "west"},
		"an IPv4 link-local next hop (clouds have such)":  {from("10.20.1.0/24", via("169.254.1.1")), "west"},
		"an empty path, so that the origin is our own AS": {from("10.20.1.0/24", func(c *Claim) { c.OriginASN = 64512 }), "west"},
		"the link-local address we have on another link":  {from("fd00:20:0:1::/64", via("fe80::1%eth0")), "west"},
	} {
		t.Run(name, func(t *testing.T) {
			v := east().Judge(row.claim)
			require.True(t, v.Accepted, v.Detail)
			require.Equal(t, Accepted, v.Reason)
			require.Equal(t, row.cluster, v.Cluster)
			require.Contains(t, v.Detail, row.cluster)
		})
	}
}

func TestLocalPodCIDRsAreAdvertisedOnlyInsideThePool(t *testing.T) {
	ok, refused := east().Advertise([]netip.Prefix{
		prefix("fd00:10:0:1::/64"), prefix("10.10.2.0/24"), prefix("10.10.1.0/24"), prefix("10.10.2.0/24"),
		prefix("10.11.0.0/24"), prefix("10.0.0.0/8"), prefix("10.10.1.5/24"), {}, prefix("0.0.0.0/0"),
		prefix("fd00:10::/48"), prefix("fd00:96::/120"), prefix("10.96.7.0/24"), prefix("fe80::/64"), prefix("::ffff:10.10.1.0/120"),
	})
	require.Equal(t, prefixes("10.10.1.0/24", "10.10.2.0/24", "fd00:10::/48", "fd00:10:0:1::/64"), ok)
	var got []Reason
	for _, r := range refused {
		require.NotEmpty(t, r.Detail)
		got = append(got, r.Reason)
	}
	require.Equal(t, []Reason{OutsidePool, Reserved, InvalidPrefix, InvalidPrefix, DefaultRoute, Reserved, Reserved, Special, Special}, got)
	require.Equal(t, "10.11.0.0/24 lies outside the ranges that cluster east may advertise", refused[0].Detail)
}

func TestAPodCIDRWiderThanThePoolIsRefused(t *testing.T) {
	ok, refused := New(Config{Cluster: "east", PodCIDRs: prefixes("10.10.0.0/16")}, Facts{}).Advertise(prefixes("10.0.0.0/8"))
	require.Empty(t, ok)
	require.Equal(t, OutsidePool, refused[0].Reason)
	require.Equal(t, "10.0.0.0/8 is wider than the range 10.10.0.0/16 that cluster east may advertise", refused[0].Detail)
}

func TestAPodCIDRInsideAReservedPartOfThePoolIsRefused(t *testing.T) {
	p := New(Config{Cluster: "east", PodCIDRs: prefixes("10.0.0.0/8"), Reserved: prefixes("10.96.0.0/16")}, Facts{})
	ok, refused := p.Advertise(prefixes("10.96.1.0/24", "10.1.0.0/24"))
	require.Equal(t, prefixes("10.1.0.0/24"), ok)
	require.Equal(t, []Refusal{{prefix("10.96.1.0/24"), Reserved, "10.96.1.0/24 lies inside the reserved range 10.96.0.0/16"}}, refused)
}

func TestImportsAreTheRangesThePeerMayAnnounce(t *testing.T) {
	p := east()
	require.Nil(t, p.Imports("nobody"))
	require.Equal(t, []Range{
		{prefix("10.30.0.0/16"), 24, 24}, {prefix("10.31.0.0/16"), 24, 24}, {prefix("fd00:30::/48"), 64, 64},
	}, p.Imports("south-gw"))
	require.Equal(t, []Range{
		{prefix("10.20.0.0/16"), 16, 28}, {prefix("10.30.0.0/16"), 24, 24}, {prefix("10.31.0.0/16"), 24, 24},
		{prefix("fd00:20::/48"), 48, 80}, {prefix("fd00:30::/48"), 64, 64},
	}, p.Imports("tor-a"))
}

func TestAContractWhoseLengthsExcludeItsOwnRangeImportsNothing(t *testing.T) {
	p := New(Config{
		Contracts: []Contract{{Cluster: "west", Prefixes: prefixes("10.20.0.0/26", "fd00::/16"), IPv4: Lengths{16, 24}}},
		Peers:     map[string]Peer{"a": {}},
	}, Facts{})
	require.Empty(t, p.Imports("a"))
}

func TestOwnerNamesTheClusterOfAnAddress(t *testing.T) {
	for name, row := range map[string]struct {
		address netip.Addr
		cluster string
		of      netip.Prefix
	}{
		"our own pod":                  {addr("10.10.3.4"), "east", prefix("10.10.0.0/16")},
		"a pod of west":                {addr("10.20.3.4"), "west", prefix("10.20.0.0/16")},
		"a pod of west over IPv6":      {addr("fd00:20::9"), "west", prefix("fd00:20::/48")},
		"a pod of west, IPv4-mapped":   {addr("::ffff:10.20.3.4"), "west", prefix("10.20.0.0/16")},
		"an address nobody declared":   {addr("8.8.8.8"), "", netip.Prefix{}},
		"something that is no address": {netip.Addr{}, "", netip.Prefix{}},
	} {
		t.Run(name, func(t *testing.T) {
			cluster, of, ok := east().Owner(row.address)
			require.Equal(t, row.cluster, cluster)
			require.Equal(t, row.of, of)
			require.Equal(t, row.cluster != "", ok)
		})
	}
}

func TestAPlanKeepsNothingOfWhatItWasMadeFrom(t *testing.T) {
	c, f := eastConfig(), eastFacts()
	p := New(c, f)
	c.Contracts[0].Prefixes[0], c.Contracts[0].Cluster = prefix("10.99.0.0/16"), "changed"
	f.Addresses[0] = addr("172.16.0.99")
	delete(c.Peers, "tor-a")
	require.True(t, p.Judge(from("10.20.1.0/24")).Accepted)
	require.Equal(t, NextHopOurs, p.Judge(from("10.20.1.0/24", via("172.16.0.10"))).Reason)
	require.Equal(t, prefix("10.20.0.0/16"), p.Imports("tor-a")[0].Prefix)
}

func TestTheZeroPlanAcceptsNothing(t *testing.T) {
	p := New(Config{Peers: map[string]Peer{"tor-a": {}}}, Facts{})
	require.Equal(t, NoContract, p.Judge(from("10.20.1.0/24")).Reason)
	p = New(Config{Contracts: []Contract{{Cluster: "west", Prefixes: prefixes("10.20.0.0/16")}}, Peers: map[string]Peer{"tor-a": {}}}, Facts{})
	require.Equal(t, PrefixLength, p.Judge(from("10.20.1.0/24")).Reason)
}

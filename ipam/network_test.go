package ipam

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// networked is east's plan on a gateway: west is in a network of its own, and behind west-gw; south is about to come to ours.
func networked() *Plan {
	c := eastConfig()
	c.Networks = []string{"dc1"}
	for i, networks := range [][]string{{"dc2"}, {"dc1", "dc3"}} {
		c.Contracts[i].Networks = networks
	}
	c.Contracts = append(c.Contracts, Contract{
		Cluster: "north", ID: 4, Networks: []string{"dc1"}, Prefixes: prefixes("10.40.0.0/16"), IPv4: Lengths{24, 24}, MaxPrefixes: 10,
	})
	c.Peers["west-gw"] = Peer{Address: addr("172.16.0.2"), Border: true}
	c.Peers["east-gw-2"] = Peer{Address: addr("172.16.0.3"), Internal: true}
	return New(c, eastFacts())
}

func TestTheWayAClusterIsReached(t *testing.T) {
	by := func(peer string) func(*Claim) { return func(c *Claim) { c.Peer = peer } }
	marked := func(c *Claim) { c.OurGateway = true }
	for name, row := range map[string]struct {
		claim  Claim
		reason Reason
		detail string
	}{
		"another network's gateway speaks for its cluster":     {from("10.20.0.0/16", by("west-gw")), Accepted, ""},
		"so does our other gateway, inside our AS":             {from("10.20.0.0/16", by("east-gw-2")), Accepted, ""},
		"so does a router in between, of our gateways' routes": {from("10.20.0.0/16", marked), Accepted, ""},
		"a node of another network is not reached directly":    {from("10.20.1.0/24"), OtherNetwork, "is in another network (dc2; ours: dc1): its routes come through our gateways"},
		"a cluster of ours is not reached through another":     {from("10.40.1.0/24", by("west-gw")), OtherNetwork, "is in ours (dc1): its routes come directly"},
		"but directly": {from("10.40.1.0/24"), Accepted, ""},
		"a cluster that moves is reached directly":                {from("10.30.1.0/24"), Accepted, ""},
		"and through gateways":                                    {from("10.31.0.0/16", by("west-gw")), Accepted, ""},
		"as a whole, whatever its nodes' prefixes are like":       {from("10.30.0.0/16", by("west-gw")), Accepted, ""},
		"but not as a part of that":                               {from("10.30.0.0/17", by("west-gw")), PrefixLength, "may send lengths 24 to 24"},
		"a cluster of ours has the lengths of its nodes' alone":   {from("10.40.0.0/16"), PrefixLength, "may send lengths 24 to 24"},
		"our own pods never come from another network's gateways": {from("10.10.0.0/16", by("west-gw")), OwnPrefix, "but peer west-gw announces it"},
	} {
		t.Run(name, func(t *testing.T) {
			v := networked().Judge(row.claim)
			require.Equal(t, row.reason, v.Reason, v.Detail)
			require.Contains(t, v.Detail, row.detail)
		})
	}
	require.Contains(t, networked().Imports("west-gw"), Range{prefix("10.30.0.0/16"), 16, 16}, "the speaker lets in what is accepted")
	require.NotContains(t, networked().Imports("tor-a"), Range{prefix("10.40.0.0/16"), 16, 16})
	require.NotContains(t, networked().Imports("west-gw"), Range{prefix("10.40.0.0/16"), 24, 24}, "and no more")
	west := []Range{{prefix("10.20.0.0/16"), 16, 28}, {prefix("fd00:20::/48"), 48, 80}}
	require.Equal(t, west, networked().ImportsMarked("tor-a"), "what only our gateways say needs their mark")
	require.Subset(t, networked().Imports("tor-a"), west)
	require.Empty(t, networked().ImportsMarked("west-gw"))
	require.Empty(t, networked().ImportsMarked("east-gw-2"))
}

func TestThoseWhoSayNothingOfNetworksAreInOne(t *testing.T) {
	require.True(t, meet(nil, nil))
	require.False(t, meet([]string{"dc1"}, nil))
	require.True(t, meet([]string{"dc1", "dc2"}, []string{"dc2"}))
}

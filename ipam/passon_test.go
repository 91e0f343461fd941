package ipam

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// reflecting is east's plan on a route reflector.
func reflecting() *Plan {
	c := eastConfig()
	c.Peers["east-2"] = Peer{Address: addr("172.16.0.12"), Client: true}
	return New(c, eastFacts())
}

func fromClient(p string, change ...func(*Claim)) Claim {
	c := from(p, change...)
	c.Peer, c.OriginASN = "east-2", 64512
	if c.NextHop == addr("172.16.0.1") {
		c.NextHop = addr("172.16.0.12")
	}
	return c
}

func TestWhatAClientAnnouncesOfOurOwnCluster(t *testing.T) {
	id := func(id uint32) func(*Claim) { return func(c *Claim) { c.ClusterIDs = []uint32{id} } }
	for name, row := range map[string]struct {
		claim  Claim
		reason Reason
		detail string
	}{
		"its own pods are passed on":                   {fromClient("10.10.2.0/24"), PassedOn, "learned from a client to be passed on"},
		"so are they with our id":                      {fromClient("fd00:10:0:2::/64", id(1)), PassedOn, "own network routes it"},
		"the whole pool may be one node's":             {fromClient("10.10.0.0/16"), NodeAddress, "on-link subnet"},
		"what covers the pool is not ours":             {fromClient("10.8.0.0/13"), OwnPrefix, "covers our own pod range"},
		"not what is on this node":                     {fromClient("10.10.1.0/24"), NodeAddress, "equals this node's on-link subnet"},
		"nor a part of it":                             {fromClient("10.10.1.128/25"), NodeAddress, "lies inside this node's on-link subnet"},
		"nor with another cluster's id":                {fromClient("10.10.2.0/24", id(2)), ClusterMismatch, "carries id 2"},
		"nor with a next hop that is us":               {fromClient("10.10.2.0/24", func(c *Claim) { c.NextHop = addr("172.16.0.10") }), NextHopOurs, "own address"},
		"nor with a next hop among pods":               {fromClient("10.10.2.0/24", func(c *Claim) { c.NextHop = addr("10.20.0.1") }), NextHopInPodRange, "recursion"},
		"nothing of it is learned from anybody else":   {from("10.10.2.0/24"), OwnPrefix, "but peer tor-a announces it"},
		"another cluster's pods are as of anybody":     {fromClient("10.30.0.0/16"), PrefixLength, "may send lengths 24 to 24"},
		"and accepted if they keep to their contracts": {fromClient("10.20.1.0/24"), Accepted, "lies inside the range"},
	} {
		t.Run(name, func(t *testing.T) {
			v := reflecting().Judge(row.claim)
			require.Equal(t, row.reason, v.Reason, v.Detail)
			require.Equal(t, row.reason == Accepted, v.Accepted, "what is passed on is not installed")
			require.Contains(t, v.Detail, row.detail)
		})
	}
}

func TestWhatMayBePassedOn(t *testing.T) {
	p := reflecting()
	pool := []Range{{netip.MustParsePrefix("10.10.0.0/16"), 16, 32}, {netip.MustParsePrefix("fd00:10::/48"), 48, 128}}
	require.Subset(t, p.Imports("east-2"), pool, "a client's own pods come in")
	for _, r := range pool {
		require.NotContains(t, p.Imports("tor-a"), r)
	}
	ranges, id, requireID := p.Passage("east")
	require.ElementsMatch(t, pool, ranges)
	require.EqualValues(t, 1, id)
	require.False(t, requireID)
	ranges, id, _ = p.Passage("south")
	require.Contains(t, ranges, Range{netip.MustParsePrefix("10.31.0.0/16"), 24, 24})
	require.EqualValues(t, 3, id)
	ranges, _, _ = p.Passage("nowhere")
	require.Empty(t, ranges)
}

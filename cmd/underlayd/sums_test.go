package main

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go4.org/netipx"

	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/ipam"
	"github.com/underlayd/underlayd/status"
)

// randomPrefixes are close together, so that they cover each other and lie side by side.
func randomPrefixes(random *rand.Rand, n int) []netip.Prefix {
	var out []netip.Prefix
	for range n {
		var four [4]byte
		binary.BigEndian.PutUint32(four[:], 10<<24|random.Uint32N(1<<12))
		six := netip.MustParseAddr("fd00::").As16()
		six[15] = byte(random.Uint32())
		out = append(out, netip.PrefixFrom(netip.AddrFrom4(four), 20+random.IntN(13)).Masked(),
			netip.PrefixFrom(netip.AddrFrom16(six), 118+random.IntN(11)).Masked())
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

func TestAnAggregateIsTheSmallestOne(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var got []netip.Prefix
		var b netipx.IPSetBuilder
		for _, p := range randomPrefixes(random, 1+random.IntN(60)) {
			got = aggregate(got, p)
			b.AddPrefix(p)
		}
		set, err := b.IPSet()
		require.NoError(t, err)
		require.Equal(t, set.Prefixes(), got)
	}
	require.Equal(t, []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")},
		aggregate(aggregate(nil, netip.MustParsePrefix("0.0.0.0/1")), netip.MustParsePrefix("128.0.0.0/1")))
}

// TestSumsRememberNothingWrong changes a table at random and compares sums that know the tables before with new ones.
func TestSumsRememberNothingWrong(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	peers := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	var ways []*way
	for i := range peers {
		ways = append(ways, &way{usable: []hop{{peers[i], peers[i]}}, hops: peers[i : i+1]})
	}
	counts := map[string]status.FamilyCounts{"ipv4": {}, "ipv6": {}}
	snapshot := func(table *status.RouteTable) *status.Snapshot {
		return &status.Snapshot{
			Table: table, Clusters: []status.RemoteCluster{{Name: "west"}, {Name: "north"}},
			Sessions: []status.Session{{Address: peers[0], Prefixes: counts}, {Address: peers[1], Prefixes: counts}},
		}
	}
	var old sums
	var table *status.RouteTable
	for round := range 60 {
		var changed []status.Row
		var removed []netip.Prefix
		for _, p := range randomPrefixes(random, 40) {
			if random.IntN(4) == 0 {
				removed = append(removed, p)
				continue
			}
			w := ways[random.IntN(2)]
			r := &record{prefix: p, way: w, verdict: &ipam.Verdict{Accepted: random.IntN(5) > 0, Cluster: []string{"west", "north"}[random.IntN(2)]}}
			if random.IntN(3) > 0 {
				r.kernel = &fib.Outcome{Status: fib.Installed, NextHops: w.hops}
			}
			changed = append(changed, r)
		}
		table = table.With(changed, removed)
		s := snapshot(table)
		var fresh sums
		require.Equal(t, fresh.withRoutable(s), old.withRoutable(s), round)
		require.Equal(t, fresh.withFamilies(s), old.withFamilies(s), round)
	}
	require.Greater(t, table.Len(), 1000, "of several chunks")
	require.NotZero(t, old.withFamilies(snapshot(table))[0].Prefixes["ipv6"].Installed)
	require.Equal(t, status.FamilyCounts{}, counts["ipv4"], "the snapshot itself is immutable")
}

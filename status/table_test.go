package status

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }

func collect(seq iter.Seq[*Route]) (out []string) {
	for r := range seq {
		out = append(out, r.Prefix.String())
	}
	return out
}

func routesOf(prefixes ...string) *RouteTable {
	var t *RouteTable
	for _, p := range prefixes {
		t = t.With([]Row{&Route{Prefix: prefix(p)}}, nil)
	}
	return t
}

// many makes n routes, accepted and in the kernel.
func many(n int) *RouteTable {
	routes := make([]Row, 0, n)
	for i := range n {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(20 + i>>16), byte(i >> 8), byte(i), 0}), 24)
		routes = append(routes, &Route{
			Prefix: p, Cluster: "west", Accepted: true, Verdict: "Accepted", NextHops: []netip.Addr{addr("172.16.0.1")},
			Paths:  []Path{{Peer: "tor-a", NextHop: addr("172.16.0.1"), ASPath: []uint32{65000, 64513}, Accepted: true, Verdict: "Accepted"}},
			Kernel: KernelRoute{Status: Installed, NextHops: []netip.Addr{addr("172.16.0.1")}},
		})
	}
	return (*RouteTable)(nil).With(routes, nil)
}

func TestTheNilTableIsEmpty(t *testing.T) {
	var none *RouteTable
	require.Zero(t, none.Len())
	require.Empty(t, collect(none.All()))
	require.Empty(t, collect(none.Overlapping(prefix("0.0.0.0/0"))))
	_, ok := none.Get(prefix("10.0.0.0/8"))
	require.False(t, ok)
	require.Zero(t, none.With(nil, []netip.Prefix{prefix("10.0.0.0/8")}).Len())
}

func TestOverlappingFindsWhatCoversAndWhatLiesInside(t *testing.T) {
	table := routesOf("10.0.0.0/8", "10.20.0.0/16", "10.20.1.0/24", "10.20.1.0/28", "10.20.2.0/24", "10.21.0.0/16", "fd00::/16", "fd00:20::/48")
	for name, row := range map[string]struct {
		asked string
		found []string
	}{
		"a prefix with both":            {"10.20.0.0/16", []string{"10.0.0.0/8", "10.20.0.0/16", "10.20.1.0/24", "10.20.1.0/28", "10.20.2.0/24"}},
		"an address":                    {"10.20.1.3/32", []string{"10.0.0.0/8", "10.20.0.0/16", "10.20.1.0/24", "10.20.1.0/28"}},
		"a prefix that is not there":    {"10.20.1.0/26", []string{"10.0.0.0/8", "10.20.0.0/16", "10.20.1.0/24", "10.20.1.0/28"}},
		"the widest":                    {"0.0.0.0/0", []string{"10.0.0.0/8", "10.20.0.0/16", "10.20.1.0/24", "10.20.1.0/28", "10.20.2.0/24", "10.21.0.0/16"}},
		"IPv6":                          {"fd00:20:0:1::/64", []string{"fd00::/16", "fd00:20::/48"}},
		"all IPv6, and no IPv4 with it": {"::/0", []string{"fd00::/16", "fd00:20::/48"}},
		"nothing":                       {"11.0.0.0/8", nil},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, row.found, collect(table.Overlapping(prefix(row.asked))))
		})
	}
}

func TestAChangedTableLeavesTheOldOneAsItWas(t *testing.T) {
	old := routesOf("10.1.0.0/24", "10.2.0.0/24")
	changed := &Route{Prefix: prefix("10.1.0.0/24"), Cluster: "west"}
	next := old.With([]Row{&Route{Prefix: prefix("10.1.0.0/24"), Cluster: "lost"}, changed, &Route{Prefix: prefix("10.3.0.0/24")}},
		[]netip.Prefix{prefix("10.2.0.0/24"), prefix("10.3.0.0/24"), prefix("10.9.0.0/24")})
	require.Equal(t, []string{"10.1.0.0/24", "10.2.0.0/24"}, collect(old.All()))
	require.Equal(t, []string{"10.1.0.0/24"}, collect(next.All()), "removal stands over a change in the same call")
	got, ok := next.Get(prefix("10.1.0.0/24"))
	require.True(t, ok)
	require.Same(t, changed, got, "the last change of a prefix stands")
	before, _ := old.Get(prefix("10.1.0.0/24"))
	require.Empty(t, before.Cluster)
}

func TestTheTableIsWhatAPlainMapSays(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		model := map[netip.Prefix]*Route{}
		var table *RouteTable
		for range 60 {
			var changed []Row
			var removed []netip.Prefix
			for range random.IntN(400) {
				a := netip.AddrFrom4([4]byte{10, byte(random.IntN(4)), byte(random.IntN(256)), 0})
				r := &Route{Prefix: netip.PrefixFrom(a, 16+random.IntN(9)).Masked()}
				if random.IntN(5) < 2 {
					removed = append(removed, r.Prefix)
				} else {
					changed = append(changed, r)
				}
			}
			for _, r := range changed {
				model[r.Key()] = r.Route()
			}
			for _, p := range removed {
				delete(model, p)
			}
			table = table.With(changed, removed)
			check(t, model, table)
		}
		var all []netip.Prefix
		for p := range model {
			all = append(all, p)
		}
		table = table.With(nil, all)
		require.Zero(t, table.Len())
		require.Empty(t, table.chunks)
	}
}

func check(t *testing.T, model map[netip.Prefix]*Route, table *RouteTable) {
	t.Helper()
	require.Equal(t, len(model), table.Len())
	n, before := 0, netip.Prefix{}
	for r := range table.All() {
		require.Same(t, model[r.Prefix], r)
		require.Negative(t, before.Compare(r.Prefix))
		n, before = n+1, r.Prefix
	}
	require.Equal(t, len(model), n)
	for _, c := range table.chunks {
		require.NotEmpty(t, c)
		require.LessOrEqual(t, len(c), chunkMax)
	}
	require.LessOrEqual(t, len(table.chunks), 1+4*len(model)/chunkMax, "chunks do not crumble")
	for p, r := range model {
		got, ok := table.Get(p)
		require.True(t, ok)
		require.Same(t, r, got)
	}
}

func TestOneChangeIn100000RoutesCopiesLittle(t *testing.T) {
	table := many(100_000)
	change := []Row{&Route{Prefix: prefix("20.100.7.0/24")}}
	require.Less(t, testing.AllocsPerRun(10, func() { table.With(change, nil) }), 40.0)
	next := table.With(change, nil)
	shared := 0
	for _, c := range next.chunks {
		if slices.ContainsFunc(table.chunks, func(o []Row) bool { return &o[0] == &c[0] }) {
			shared++
		}
	}
	require.GreaterOrEqual(t, shared, len(table.chunks)-2)
}

func BenchmarkTableWith(b *testing.B) {
	table := many(100_000)
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("%d-of-100000", n), func(b *testing.B) {
			var changed []Row
			for i := range n {
				x := i * (100_000 / n)
				changed = append(changed, &Route{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(20 + x>>16), byte(x >> 8), byte(x), 0}), 24)})
			}
			b.ReportAllocs()
			for b.Loop() {
				table.With(changed, nil)
			}
		})
	}
}

func BenchmarkSurvey(b *testing.B) {
	table := many(100_000)
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			var s surveyor
			s.survey(table)
		}
	})
	b.Run("again", func(b *testing.B) {
		var s surveyor
		for b.Loop() {
			s.survey(table)
		}
	})
	b.Run("after 100 changes", func(b *testing.B) {
		var s surveyor
		var changed []Row
		for i := range 100 {
			changed = append(changed, &Route{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i), 1, 0}), 24)})
		}
		other := table.With(changed, nil)
		for b.Loop() {
			s.survey(table)
			s.survey(other)
		}
	})
}

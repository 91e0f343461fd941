package fib

import (
	"net/netip"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is paid beside the kernel's own work.

// BenchmarkDrain tells of 100,000 routes that changed.
func BenchmarkDrain(b *testing.B) {
	_, table := benchTable(b, ModeObjects)
	sets := [][]Route{benchRoutes(100_000, 0, 0), benchRoutes(100_000, 0, 0)}
	for i := range sets[0] {
		sets[0][i].NextHops = []netip.Addr{benchHop(1)}
		sets[1][i].NextHops = []netip.Addr{benchHop(2)}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		b.StopTimer()
		i++
		require.NoError(b, table.Ensure(b.Context(), sets[i%2]))
		b.StartTimer()
		if n := len(table.Drain()); n != 100_000 {
			b.Fatal(n)
		}
	}
}

// BenchmarkHeap is the memory that 100,000 routes over 4,000 next hops take, all told, by route.
func BenchmarkHeap(b *testing.B) {
	_, table := benchTable(b, ModeObjects)
	routes := benchRoutes(100_000, 1, 0)
	live := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		before := live()
		require.NoError(b, table.Ensure(b.Context(), routes))
		require.Len(b, table.Drain(), len(routes))
		b.ReportMetric(float64(live()-before)/float64(len(routes)), "B/route")
		b.StopTimer()
		_, err := table.Cleanup(b.Context())
		require.NoError(b, err)
		table.Drain()
		b.StartTimer()
	}
	runtime.KeepAlive(routes)
}

// BenchmarkEncode encodes one route that names a group.
func BenchmarkEncode(b *testing.B) {
	var enc encoder
	r := request{op: opCreateRoute, dst: netip.MustParsePrefix("20.1.2.0/24"), metric: DefaultMetric, id: firstID}
	b.ReportAllocs()
	for b.Loop() {
		enc.buf = enc.buf[:0]
		enc.request(&r, DefaultTable, DefaultProtocol, 1)
	}
}

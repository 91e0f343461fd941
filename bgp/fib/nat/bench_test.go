package nat

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

const many = 100_000

// manyPrefixes do not touch each other: each is a range.
func manyPrefixes() []netip.Prefix {
	out := make([]netip.Prefix, many)
	for i := range out {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 40<<24+uint32(i)<<9)
		out[i] = netip.PrefixFrom(netip.AddrFrom4(a), 24)
	}
	return out
}

// BenchmarkFirst writes 100,000 prefixes where there is no table.
func BenchmarkFirst(b *testing.B) {
	w := newMasqueraded(b)
	x := w.open(b, Config{})
	remote := manyPrefixes()
	for b.Loop() {
		require.NoError(b, x.Set(b.Context(), Sides{Local: locals(), Remote: remote}))
		b.StopTimer()
		require.True(b, w.has(b, x))
		require.NoError(b, x.Set(b.Context(), Sides{}))
		b.StartTimer()
	}
}

// BenchmarkAdopt reads 100,000 prefixes.
func BenchmarkAdopt(b *testing.B) {
	w := newMasqueraded(b)
	x := w.open(b, Config{})
	require.NoError(b, x.Set(b.Context(), Sides{Local: locals(), Remote: manyPrefixes()}))
	for b.Loop() {
		left, err := x.Adopt()
		require.NoError(b, err)
		require.Len(b, left.Remote, many)
	}
}

// BenchmarkOne adds one prefix to 100,000, and takes it away.
func BenchmarkOne(b *testing.B) {
	for _, n := range []int{100, many} {
		b.Run(map[bool]string{true: "of-100000", false: "of-100"}[n == many], func(b *testing.B) {
			w := newMasqueraded(b)
			x := w.open(b, Config{})
			remote := manyPrefixes()[:n]
			more := append(remote[:n:n], netip.MustParsePrefix("10.20.0.0/16"))
			require.NoError(b, x.Set(b.Context(), Sides{Local: locals(), Remote: remote}))
			for b.Loop() {
				require.NoError(b, x.Set(b.Context(), Sides{Local: locals(), Remote: more}))
				require.NoError(b, x.Set(b.Context(), Sides{Local: locals(), Remote: remote}))
			}
		})
	}
}

// BenchmarkOneWritten is the part of it that the kernel has: the messages of one change, written.
func BenchmarkOneWritten(b *testing.B) {
	w := newMasqueraded(b)
	x := w.open(b, Config{})
	remote := manyPrefixes()
	require.NoError(b, x.Set(b.Context(), Sides{Local: locals(), Remote: remote}))
	one, two := contents{}, contents{}
	two[remote4] = x.want[remote4][:1:1]
	one[remote4] = nil
	for b.Loop() {
		require.NoError(b, x.update(&two, &one))
		require.NoError(b, x.update(&one, &two))
	}
}

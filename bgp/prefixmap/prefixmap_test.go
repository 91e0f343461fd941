package prefixmap

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestItIsWhatAPlainMapSays(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	model, m := map[netip.Prefix]int{}, Map[int]{}
	require.Zero(t, m.Len())
	m.Delete(netip.MustParsePrefix("10.0.0.0/8")) // the zero map takes everything
	require.False(t, m.Has(netip.MustParsePrefix("::/0")))
	for i := range 20_000 {
		var a netip.Addr
		switch random.IntN(3) {
		case 0:
			a = netip.AddrFrom4([4]byte{10, byte(random.IntN(2)), byte(random.IntN(4)), 0})
		case 1:
			a = netip.AddrFrom16([16]byte{0xfd, 0, byte(random.IntN(16))})
		default: // an IPv4-mapped prefix is none of IPv4
			a = netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff, 12: 10, 13: byte(random.IntN(2))})
		}
		p := netip.PrefixFrom(a, random.IntN(a.BitLen()+1))
		if random.IntN(3) == 0 {
			delete(model, p)
			m.Delete(p)
		} else {
			model[p] = i
			m.Set(p, i)
		}
		want, has := model[p]
		require.Equal(t, want, m.Get(p))
		require.Equal(t, has, m.Has(p))
		require.Equal(t, len(model), m.Len())
	}
	require.Equal(t, model, maps.Collect(m.All()))
	for p := range m.All() {
		m.Delete(p)
	}
	require.Zero(t, m.Len())
}

func TestTheEndsOfIPv4(t *testing.T) {
	var m Map[string]
	for _, text := range []string{"0.0.0.0/0", "0.0.0.0/32", "255.255.255.255/32", "255.255.255.255/0", "::/0"} {
		m.Set(netip.MustParsePrefix(text), text)
	}
	require.Equal(t, 5, m.Len())
	for p, text := range m.All() {
		require.Equal(t, text, p.String())
	}
}

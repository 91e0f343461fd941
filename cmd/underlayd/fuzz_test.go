package main

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp"
)

// FuzzDecide has prefixes announced with any paths, by whom and through whatever: no decision panics, and what is to be
// routed lies inside the contract, through next hops of its family that somebody announced.
func FuzzDecide(f *testing.F) {
	f.Add([]byte{10, 20, 1, 0}, 24, []byte{172, 16, 0, 1, 172, 16, 0, 2}, []byte{0, 0, 0xfd, 0xe8}, uint32(2))
	f.Add([]byte{0, 0, 0, 0}, 0, []byte{}, []byte{}, uint32(0))
	f.Add([]byte{10, 20, 1, 0}, 24, []byte{172, 16, 0, 1}, []byte{0, 0, 0xfc, 0}, uint32(1))
	contract := netip.MustParsePrefix("10.0.0.0/7")
	f.Fuzz(func(t *testing.T, address []byte, bits int, hops, path []byte, id uint32) {
		a, ok := netip.AddrFromSlice(address)
		prefix := netip.PrefixFrom(a, bits)
		if !ok || !prefix.IsValid() {
			return
		}
		var paths []bgp.Path
		for i, peer := range []netip.Addr{peerA, peerB, {}} {
			p := bgp.Path{Peer: peer, ClusterIDs: []uint32{id}[:id&1], LocalPref: 100}
			if n := 4 * i; len(hops) >= n+4 {
				p.NextHop, _ = netip.AddrFromSlice(hops[n : n+4])
			} else if len(hops) == 16 {
				p.NextHop, _ = netip.AddrFromSlice(hops)
			}
			for b := path; len(b) >= 4; b = b[4:] {
				p.ASPath = append(p.ASPath, binary.BigEndian.Uint32(b))
			}
			paths = append(paths, p)
		}
		agent := deciding(1)
		b := agent.newBatch(1)
		change := bgp.Change{Prefix: prefix, Paths: bgp.NewPathSet(paths[:1+len(hops)%3]), Spare: bgp.NewPathSet(paths[:len(path)%3])}
		b.decide(change)
		b.raise(map[netip.Prefix][]bgp.Path{prefix: paths}, true)
		for _, r := range b.routes {
			if len(r.NextHops) == 0 {
				continue
			}
			require.True(t, contract.Contains(r.Dst.Addr()) && r.Dst.Bits() >= 8 && r.Dst.Bits() <= 28, r.Dst)
			require.Equal(t, r.Dst.Masked(), r.Dst)
			for _, h := range r.NextHops {
				require.True(t, h.Is4() && !h.IsUnspecified() && !h.IsLoopback() && !h.IsMulticast(), h)
			}
		}
		b.decide(bgp.Change{Prefix: prefix})
		require.Zero(t, agent.ledger.Usage("west").Admitted)
		require.Empty(t, agent.book.ways)
	})
}

package main

import (
	"encoding/binary"
	"net/netip"

	"github.com/underlayd/underlayd/containerlab/bench/kernel"
	"github.com/underlayd/underlayd/containerlab/bench/wire"
)

const (
	nodeAS    = 64512
	fabricAS  = 65000
	remoteAS  = 64513 // of the cluster the prefixes come from
	remoteID  = 2
	nextHops  = 4000 // nodes of that cluster, in the workloads where each announces its own prefix
	firstPeer = 10
	mostPeers = 200
	mostNets  = 1_000_000 // the most that underlayd lets one cluster send
)

func nodeAddress() netip.AddrPort { return netip.MustParseAddrPort("172.31.0.1:179") }

// prefixOf is the i-th prefix: a /24 of 16.0.0.0/4 or a /64 of fd20::/32.
func prefixOf(i int, v6 bool) netip.Prefix {
	if v6 {
		a := [16]byte{0: 0xfd, 1: 0x20}
		binary.BigEndian.PutUint32(a[4:], uint32(i))
		return netip.PrefixFrom(netip.AddrFrom16(a), 64)
	}
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 16<<24|uint32(i)<<8)
	return netip.PrefixFrom(netip.AddrFrom4(a), 24)
}

// indexOf undoes prefixOf.
func indexOf(k kernel.Key) int {
	if k>>56 == 0xfd {
		return int(uint32(k))
	}
	return int(k>>40) & (1<<20 - 1)
}

// watched says whether a route is one of those that the benchmark announces.
func watched(k kernel.Key) bool { return k>>60 == 1 || k>>48 == 0xfd20 }

// ranges are the IPv4 ranges of the remote cluster, as wide as underlayd lets pod ranges be: together 16.0.0.0/4.
func ranges() []netip.Prefix {
	all := make([]netip.Prefix, 0, 16)
	for i := range 16 {
		all = append(all, netip.PrefixFrom(netip.AddrFrom4([4]byte{16 + byte(i)}), 8))
	}
	return all
}

// nodeHop is the address of the i-th node of the remote cluster, on the link.
func nodeHop(i int, v6 bool) netip.Addr {
	i %= nextHops
	if v6 {
		return netip.AddrFrom16([16]byte{0: 0xfd, 3: 0xbe, 13: 1, 14: byte(i >> 8), 15: byte(i)})
	}
	return netip.AddrFrom4([4]byte{172, 31, 16 + byte(i>>8), byte(i)})
}

// peerAddress is the address of the i-th peer, which is the next hop of what it announces in its own name.
func peerAddress(i int, v6 bool) netip.Addr {
	if v6 {
		return netip.AddrFrom16([16]byte{0: 0xfd, 3: 0xbe, 14: 1, 15: byte(firstPeer + i)})
	}
	return netip.AddrFrom4([4]byte{172, 31, 0, byte(firstPeer + i)})
}

// load is a set of prefixes as one peer announces them.
type load struct {
	first, count int
	perUpdate    int
	v6           bool
	// hop is the next hop of a prefix; in an UPDATE with several it is that of the first.
	hop func(i int) netip.Addr
	// prepend makes the path longer, and so worse.
	prepend int
}

// path is the path of a prefix.
func (l load) path(hop netip.Addr) wire.Path {
	p := wire.Path{NextHop: hop, Community: [3]uint32{remoteAS, 1, remoteID}}
	for range l.prepend + 1 {
		p.ASPath = append(p.ASPath, fabricAS)
	}
	p.ASPath = append(p.ASPath, remoteAS)
	return p
}

// announce is the load as UPDATEs.
func (l load) announce() []byte {
	var b []byte
	l.each(func(first int, prefixes []netip.Prefix) {
		b = wire.AppendUpdate(b, l.path(l.hop(first)), len(prefixes), prefixes...)
	})
	return b
}

// withdraw takes it back.
func (l load) withdraw() []byte {
	var b []byte
	l.each(func(_ int, prefixes []netip.Prefix) { b = wire.AppendWithdraw(b, len(prefixes), prefixes...) })
	return b
}

func (l load) each(f func(first int, prefixes []netip.Prefix)) {
	prefixes := make([]netip.Prefix, 0, l.perUpdate)
	for i := l.first; i < l.first+l.count; i += l.perUpdate {
		prefixes = prefixes[:0]
		for j := i; j < min(i+l.perUpdate, l.first+l.count); j++ {
			prefixes = append(prefixes, prefixOf(j, l.v6))
		}
		f(i, prefixes)
	}
}

// spread is a load in which every prefix comes in an UPDATE of its own and the next hops are those of many nodes.
func spread(first, count int, v6 bool) load {
	return load{first: first, count: count, perUpdate: 1, v6: v6, hop: func(i int) netip.Addr { return nodeHop(i, v6) }}
}

// packed is a load of 100 prefixes per UPDATE, all with the peer as next hop.
func packed(peer, first, count int, v6 bool) load {
	return load{first: first, count: count, perUpdate: 100, v6: v6, hop: func(int) netip.Addr { return peerAddress(peer, v6) }}
}

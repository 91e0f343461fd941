package kernel

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Attributes that the unix package does not name (linux/nexthop.h, linux/rtnetlink.h).
const (
	rtaNextHopID = 30

	nhaID      = 1
	nhaGroup   = 2
	nhaGateway = 6
)

// Sizes of the headers behind the netlink header, and of one group member.
const (
	sizeofNextHopMessage = 8
	sizeofGroupMember    = 8
	sizeofMultipath      = 8
)

// Key tells routes apart: the first 64 bits of an IPv6 prefix, or an IPv4 address and a length. It is exact for
// prefixes up to /64 and cheaper than a netip.Prefix where a million of them are looked up in a second.
type Key uint64

// KeyOf is the key of a prefix.
func KeyOf(p netip.Prefix) Key {
	if p.Addr().Is4() {
		a := p.Addr().As4()
		return key4(a[:], uint8(p.Bits()))
	}
	a := p.Addr().As16()
	return key6(a[:])
}

func key4(addr []byte, bits uint8) Key {
	return Key(binary.BigEndian.Uint32(addr))<<32 | Key(bits)
}

func key6(addr []byte) Key { return Key(binary.BigEndian.Uint64(addr)) }

// routeMessage is what matters of RTM_NEWROUTE and RTM_DELROUTE.
type routeMessage struct {
	key     Key
	v6      bool
	nextHop uint32 // the object it names; 0: hops are in the route
	hops    []netip.Addr
}

// parseRoute reads a route of the main table; false for any other. hops is reused.
func parseRoute(b []byte, hops []netip.Addr) (m routeMessage, ok bool) {
	if len(b) < unix.SizeofRtMsg || b[4] != unix.RT_TABLE_MAIN || b[7] != unix.RTN_UNICAST {
		return m, false
	}
	m.v6 = b[0] == unix.AF_INET6
	bits := b[1]
	m.hops = hops[:0]
	seen := false
	for kind, value := range attributes(b[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.RTA_DST:
			switch {
			case len(value) == 4:
				m.key, seen = key4(value, bits), true
			case len(value) == 16 && bits <= 64:
				m.key, seen = key6(value), true
			}
		case rtaNextHopID:
			m.nextHop = binary.NativeEndian.Uint32(value)
		case unix.RTA_GATEWAY, unix.RTA_VIA:
			m.hops = appendAddress(m.hops, kind, value)
		case unix.RTA_MULTIPATH:
			m.hops = appendMultipath(m.hops, value)
		}
	}
	return m, seen
}

func appendAddress(hops []netip.Addr, kind uint16, value []byte) []netip.Addr {
	if kind == unix.RTA_VIA && len(value) > 2 {
		value = value[2:]
	}
	if a, ok := netip.AddrFromSlice(value); ok {
		hops = append(hops, a)
	}
	return hops
}

func appendMultipath(hops []netip.Addr, b []byte) []netip.Addr {
	for len(b) >= sizeofMultipath {
		n := int(binary.NativeEndian.Uint16(b))
		if n < sizeofMultipath || n > len(b) {
			return hops
		}
		for kind, value := range attributes(b[sizeofMultipath:n]) {
			if kind == unix.RTA_GATEWAY || kind == unix.RTA_VIA {
				hops = appendAddress(hops, kind, value)
			}
		}
		b = b[min(len(b), align(n)):]
	}
	return hops
}

// nextHopMessage is what matters of RTM_NEWNEXTHOP and RTM_DELNEXTHOP.
type nextHopMessage struct {
	id      uint32
	gateway netip.Addr
	members []uint32
}

func parseNextHop(b []byte) (m nextHopMessage) {
	if len(b) < sizeofNextHopMessage {
		return m
	}
	for kind, value := range attributes(b[sizeofNextHopMessage:]) {
		switch kind {
		case nhaID:
			m.id = binary.NativeEndian.Uint32(value)
		case nhaGateway:
			m.gateway, _ = netip.AddrFromSlice(value)
		case nhaGroup:
			for member := range slices.Chunk(value, sizeofGroupMember) {
				m.members = append(m.members, binary.NativeEndian.Uint32(member))
			}
		}
	}
	return m
}

// attributes iterates over netlink attributes.
func attributes(b []byte) func(func(uint16, []byte) bool) {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			n := int(binary.NativeEndian.Uint16(b))
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if n < unix.SizeofRtAttr || n > len(b) || !yield(kind, b[unix.SizeofRtAttr:n]) {
				return
			}
			b = b[min(len(b), align(n)):]
		}
	}
}

// messages iterates over the netlink messages of one datagram.
func messages(b []byte) func(func(unix.NlMsghdr, []byte) bool) {
	return func(yield func(unix.NlMsghdr, []byte) bool) {
		for len(b) >= unix.SizeofNlMsghdr {
			h := unix.NlMsghdr{
				Len: binary.NativeEndian.Uint32(b), Type: binary.NativeEndian.Uint16(b[4:]), Flags: binary.NativeEndian.Uint16(b[6:]),
				Seq: binary.NativeEndian.Uint32(b[8:]), Pid: binary.NativeEndian.Uint32(b[12:]),
			}
			n := int(h.Len)
			if n < unix.SizeofNlMsghdr || n > len(b) || !yield(h, b[unix.SizeofNlMsghdr:n]) {
				return
			}
			b = b[min(len(b), align(n)):]
		}
	}
}

func align(n int) int { return (n + 3) &^ 3 }

package fib

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Netlink headers and numbers are in the byte order of the machine; addresses are in network order.

// Attribute numbers of linux/rtnetlink.h that x/sys does not all name.
const (
	attrVia        = unix.RTA_VIA
	attrNextHopID  = 30     // RTA_NH_ID
	attrTypeMask   = 0x3fff // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
	nextHopGroupID = unix.SizeofNexthopGrp
)

// encoder appends netlink messages to one buffer, so that a batch costs no garbage.
type encoder struct{ buf []byte }

func (e *encoder) begin(kind, flags uint16, seq uint32) int {
	start := len(e.buf)
	e.buf = append(e.buf, 0, 0, 0, 0)
	e.buf = binary.NativeEndian.AppendUint16(e.buf, kind)
	e.buf = binary.NativeEndian.AppendUint16(e.buf, flags|unix.NLM_F_REQUEST)
	e.buf = binary.NativeEndian.AppendUint32(e.buf, seq)
	e.buf = append(e.buf, 0, 0, 0, 0)
	return start
}

func (e *encoder) end(start int) {
	binary.NativeEndian.PutUint32(e.buf[start:], uint32(len(e.buf)-start))
}

// setFlags adds flags to a message that has been begun.
func (e *encoder) setFlags(start int, flags uint16) {
	binary.NativeEndian.PutUint16(e.buf[start+6:], binary.NativeEndian.Uint16(e.buf[start+6:])|flags)
}

func (e *encoder) open(kind uint16) int {
	start := len(e.buf)
	e.buf = append(e.buf, 0, 0)
	e.buf = binary.NativeEndian.AppendUint16(e.buf, kind)
	return start
}

func (e *encoder) shut(start int) {
	binary.NativeEndian.PutUint16(e.buf[start:], uint16(len(e.buf)-start))
	for len(e.buf)%4 != 0 {
		e.buf = append(e.buf, 0)
	}
}

func (e *encoder) u32(kind uint16, v uint32) {
	start := e.open(kind)
	e.buf = binary.NativeEndian.AppendUint32(e.buf, v)
	e.shut(start)
}

func (e *encoder) addr(kind uint16, a netip.Addr) {
	start := e.open(kind)
	e.rawAddr(a)
	e.shut(start)
}

func (e *encoder) rawAddr(a netip.Addr) {
	if a = a.Unmap(); a.Is4() {
		b := a.As4()
		e.buf = append(e.buf, b[:]...)
		return
	}
	b := a.As16()
	e.buf = append(e.buf, b[:]...)
}

// via is the gateway of a route; an IPv4 route through an IPv6 gateway (RFC 8950) needs another attribute.
// One without a gateway, out of a link, has none.
func (e *encoder) via(dst, gw netip.Addr) {
	if !gw.IsValid() {
		return
	}
	if family(dst) == family(gw) {
		e.addr(unix.RTA_GATEWAY, gw)
		return
	}
	start := e.open(attrVia)
	e.buf = binary.NativeEndian.AppendUint16(e.buf, uint16(family(gw)))
	e.rawAddr(gw)
	e.shut(start)
}

func family(a netip.Addr) uint8 {
	if a.Is4() || a.Is4In6() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// request appends the message for r and returns where it starts.
func (e *encoder) request(r *request, table, protocol uint32, seq uint32) int {
	switch r.op {
	case opCreateNextHop:
		return e.nextHop(r, unix.NLM_F_CREATE|unix.NLM_F_EXCL, protocol, seq)
	case opReplaceNextHop:
		return e.nextHop(r, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, protocol, seq)
	case opCreateGroup:
		return e.group(r, unix.NLM_F_CREATE|unix.NLM_F_EXCL, protocol, seq)
	case opReplaceGroup:
		return e.group(r, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, protocol, seq)
	case opDeleteNextHop:
		start := e.begin(unix.RTM_DELNEXTHOP, 0, seq)
		e.nextHopHeader(unix.AF_UNSPEC, 0)
		e.u32(unix.NHA_ID, r.id)
		e.end(start)
		return start
	case opCreateRoute:
		return e.route(r, unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, routeKey{table, protocol, seq})
	case opAppendRoute:
		return e.route(r, unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, routeKey{table, protocol, seq})
	default:
		return e.route(r, unix.RTM_DELROUTE, 0, routeKey{table, protocol, seq})
	}
}

func (e *encoder) nextHopHeader(family, protocol uint8) {
	e.buf = append(e.buf, family, 0, protocol, 0, 0, 0, 0, 0)
}

func (e *encoder) nextHop(r *request, flags uint16, protocol, seq uint32) int {
	start := e.begin(unix.RTM_NEWNEXTHOP, flags, seq)
	e.nextHopHeader(family(r.gateway.addr), uint8(protocol))
	binary.NativeEndian.PutUint32(e.buf[len(e.buf)-4:], uint32(onLink(r.gateway.addr)))
	e.u32(unix.NHA_ID, r.id)
	e.u32(unix.NHA_OIF, uint32(r.gateway.link))
	e.addr(unix.NHA_GATEWAY, r.gateway.addr)
	e.end(start)
	return start
}

func (e *encoder) group(r *request, flags uint16, protocol, seq uint32) int {
	start := e.begin(unix.RTM_NEWNEXTHOP, flags, seq)
	e.nextHopHeader(unix.AF_UNSPEC, uint8(protocol))
	e.u32(unix.NHA_ID, r.id)
	members := e.open(unix.NHA_GROUP)
	for _, id := range r.members {
		e.buf = binary.NativeEndian.AppendUint32(e.buf, id)
		e.buf = append(e.buf, 0, 0, 0, 0) // weight 1 is written as 0
	}
	e.shut(members)
	e.end(start)
	return start
}

// onLink is the flag of a pinned gateway.
func onLink(a netip.Addr) uint8 {
	if pinned(a) {
		return attrOnLink
	}
	return 0
}

type routeKey struct{ table, protocol, seq uint32 }

func (e *encoder) route(r *request, kind, flags uint16, key routeKey) int {
	start := e.begin(kind, flags, key.seq)
	scope, typ := uint8(unix.RT_SCOPE_UNIVERSE), uint8(unix.RTN_UNICAST)
	if kind == unix.RTM_DELROUTE {
		scope, typ = unix.RT_SCOPE_NOWHERE, unix.RTN_UNSPEC // any
	}
	if r.drops {
		typ = unix.RTN_BLACKHOLE
	}
	e.buf = append(e.buf, family(r.dst.Addr()), uint8(r.dst.Bits()), 0, r.tos,
		shortTable(key.table), uint8(key.protocol), scope, typ)
	flags4 := uint32(0)
	if len(r.hops) == 1 {
		flags4 = uint32(onLink(r.hops[0].addr))
	}
	e.buf = binary.NativeEndian.AppendUint32(e.buf, flags4)
	e.u32(unix.RTA_TABLE, key.table)
	e.addr(unix.RTA_DST, r.dst.Addr())
	e.u32(unix.RTA_PRIORITY, r.metric)
	e.options(r.options)
	switch {
	case r.id != 0:
		e.u32(attrNextHopID, r.id)
	case len(r.hops) == 1:
		e.via(r.dst.Addr(), r.hops[0].addr)
		e.u32(unix.RTA_OIF, uint32(r.hops[0].link))
	case len(r.hops) > 1:
		e.multipath(r)
	}
	e.end(start)
	return start
}

func (e *encoder) multipath(r *request) {
	all := e.open(unix.RTA_MULTIPATH)
	for _, hop := range r.hops {
		one := len(e.buf)
		e.buf = append(e.buf, 0, 0, onLink(hop.addr), 0) // length, flags, weight-1
		e.buf = binary.NativeEndian.AppendUint32(e.buf, uint32(hop.link))
		e.via(r.dst.Addr(), hop.addr)
		binary.NativeEndian.PutUint16(e.buf[one:], uint16(len(e.buf)-one))
	}
	e.shut(all)
}

func shortTable(table uint32) uint8 {
	if table < 256 {
		return uint8(table)
	}
	return unix.RT_TABLE_UNSPEC // the attribute has it
}

// lookup asks which route leads to addr.
func (e *encoder) lookup(addr netip.Addr, seq uint32) {
	start := e.begin(unix.RTM_GETROUTE, 0, seq)
	// The route as it is in its table; only IPv4 has to be asked for the table, and only IPv4 may be.
	flags := uint32(unix.RTM_F_FIB_MATCH)
	if addr.Is4() {
		flags |= unix.RTM_F_LOOKUP_TABLE
	}
	e.buf = append(e.buf, family(addr), uint8(addr.BitLen()), 0, 0, 0, 0, 0, 0)
	e.buf = binary.NativeEndian.AppendUint32(e.buf, flags)
	e.addr(unix.RTA_DST, addr)
	e.end(start)
}

// dumpRoutes asks for all routes of one family in one table.
func (e *encoder) dumpRoutes(family uint8, table, seq uint32) {
	start := e.begin(unix.RTM_GETROUTE, unix.NLM_F_DUMP, seq)
	e.buf = append(e.buf, family, 0, 0, 0, shortTable(table), 0, 0, 0, 0, 0, 0, 0)
	e.u32(unix.RTA_TABLE, table)
	e.end(start)
}

// getNextHop asks for one next-hop object.
func (e *encoder) getNextHop(id, seq uint32) {
	start := e.begin(unix.RTM_GETNEXTHOP, 0, seq)
	e.nextHopHeader(unix.AF_UNSPEC, 0)
	e.u32(unix.NHA_ID, id)
	e.end(start)
}

func (e *encoder) dumpNextHops(seq uint32) {
	start := e.begin(unix.RTM_GETNEXTHOP, unix.NLM_F_DUMP, seq)
	e.nextHopHeader(unix.AF_UNSPEC, 0)
	e.end(start)
}

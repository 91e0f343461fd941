package fib

import (
	"encoding/binary"
	"errors"
	"iter"
	"net/netip"

	"golang.org/x/sys/unix"
)

var errShort = errors.New("netlink message is cut short")

// message is one netlink message inside a receive buffer; it is valid until the next receive.
type message struct {
	kind, flags uint16
	seq, port   uint32
	body        []byte
}

// next cuts the first message off b.
func next(b []byte) (m message, rest []byte, err error) {
	if len(b) < unix.SizeofNlMsghdr {
		return m, nil, errShort
	}
	size := int(binary.NativeEndian.Uint32(b))
	if size < unix.SizeofNlMsghdr || size > len(b) {
		return m, nil, errShort
	}
	m = message{
		kind: binary.NativeEndian.Uint16(b[4:]), flags: binary.NativeEndian.Uint16(b[6:]),
		seq: binary.NativeEndian.Uint32(b[8:]), port: binary.NativeEndian.Uint32(b[12:]),
		body: b[unix.SizeofNlMsghdr:size],
	}
	return m, b[min(align(size), len(b)):], nil
}

func align(n int) int { return (n + 3) &^ 3 }

// attributes are the kinds and values of the attributes in b; a cut-short one ends them.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(kind uint16, value []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			size := int(binary.NativeEndian.Uint16(b))
			if size < unix.SizeofRtAttr || size > len(b) || !yield(binary.NativeEndian.Uint16(b[2:])&attrTypeMask, b[unix.SizeofRtAttr:size]) {
				return
			}
			b = b[min(align(size), len(b)):]
		}
	}
}

func number(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

func address(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

// viaAddress reads RTA_VIA: a family and an address of it.
func viaAddress(b []byte) netip.Addr {
	if len(b) < 2 {
		return netip.Addr{}
	}
	return address(b[2:])
}

// unpinned is the address of a gateway with these flags, pinned to a link whose name is to be found.
func unpinned(a netip.Addr, flags uint32) netip.Addr {
	if flags&attrOnLink == 0 || !a.IsValid() || linkLocal(a) {
		return a
	}
	return pin(a, unnamed)
}

// routeMessage is a decoded RTM_NEWROUTE, RTM_DELROUTE or reply to a lookup.
type routeMessage struct {
	route  kernelRoute
	table  uint32
	kind   uint8 // RTN_*
	flags  uint32
	link   int
	direct bool // no gateway
}

// decode makes m what body says, and says whether it is a route of a family we know. It uses the
// memory of m's hops again.
func (m *routeMessage) decode(body []byte) bool {
	if len(body) < unix.SizeofRtMsg || body[0] != unix.AF_INET && body[0] != unix.AF_INET6 {
		return false
	}
	hops := m.route.hops[:0]
	*m = routeMessage{table: uint32(body[4]), kind: body[7], flags: binary.NativeEndian.Uint32(body[8:])}
	m.route.tos, m.route.protocol = body[3], body[5]
	dst := netip.IPv4Unspecified()
	if body[0] == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	single, paths := gateway{}, []byte(nil)
	for kind, v := range attributes(body[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.RTA_DST:
			dst = address(v)
		case unix.RTA_TABLE:
			m.table = number(v)
		case unix.RTA_PRIORITY:
			m.route.metric = number(v)
		case unix.RTA_METRICS, unix.RTA_PREFSRC:
			m.route.options.read(kind, v)
		case attrNextHopID:
			m.route.nextHop = number(v)
		case unix.RTA_GATEWAY:
			single.addr = address(v)
		case attrVia:
			single.addr = viaAddress(v)
		case unix.RTA_OIF:
			single.link = int(number(v))
		case unix.RTA_MULTIPATH:
			paths = v
		}
	}
	m.route.dst = netip.PrefixFrom(dst, int(body[1]))
	m.link, m.direct = single.link, !single.addr.IsValid() && paths == nil
	single.addr = unpinned(single.addr, m.flags)
	m.route.drops = m.drops()
	switch {
	case m.route.nextHop != 0 || m.kind != unix.RTN_UNICAST:
	case paths == nil:
		m.route.hops = append(hops, single)
	default:
		m.route.hops = decodeHops(hops, paths)
	}
	return m.route.dst.IsValid()
}

// drops says whether the route is a blackhole of its own, not of a next-hop object.
func (m *routeMessage) drops() bool { return m.kind == unix.RTN_BLACKHOLE && m.route.nextHop == 0 }

func decodeHops(hops []gateway, paths []byte) []gateway {
	for len(paths) >= unix.SizeofRtNexthop {
		size := int(binary.NativeEndian.Uint16(paths))
		if size < unix.SizeofRtNexthop || size > len(paths) {
			break
		}
		hop := gateway{link: int(binary.NativeEndian.Uint32(paths[4:]))}
		for kind, v := range attributes(paths[unix.SizeofRtNexthop:size]) {
			switch kind {
			case unix.RTA_GATEWAY:
				hop.addr = address(v)
			case attrVia:
				hop.addr = viaAddress(v)
			}
		}
		hop.addr = unpinned(hop.addr, uint32(paths[2]))
		hops = append(hops, hop)
		paths = paths[min(align(size), len(paths)):]
	}
	return hops
}

func decodeNextHop(body []byte) (kernelNextHop, bool) {
	if len(body) < unix.SizeofNhmsg {
		return kernelNextHop{}, false
	}
	n := kernelNextHop{protocol: body[2]}
	for kind, v := range attributes(body[unix.SizeofNhmsg:]) {
		switch kind {
		case unix.NHA_ID:
			n.id = number(v)
		case unix.NHA_OIF:
			n.gateway.link = int(number(v))
		case unix.NHA_GATEWAY:
			n.gateway.addr = address(v)
		case unix.NHA_GROUP:
			for ; len(v) >= nextHopGroupID; v = v[nextHopGroupID:] {
				n.members = append(n.members, number(v))
				n.odd = n.odd || v[4] != 0 // a weight above one
			}
		case unix.NHA_GROUP_TYPE:
			n.odd = n.odd || len(v) >= 2 && binary.NativeEndian.Uint16(v) != 0
		case unix.NHA_BLACKHOLE, unix.NHA_ENCAP, unix.NHA_ENCAP_TYPE:
			n.odd = true
		}
	}
	n.gateway.addr = unpinned(n.gateway.addr, binary.NativeEndian.Uint32(body[4:]))
	if n.members == nil && !n.gateway.addr.IsValid() {
		n.odd = true
	}
	return n, n.id != 0
}

func decodeLink(body []byte, gone bool) (linkState, bool) {
	if len(body) < unix.SizeofIfInfomsg {
		return linkState{}, false
	}
	flags := binary.NativeEndian.Uint32(body[8:])
	l := linkState{index: int(int32(binary.NativeEndian.Uint32(body[4:]))), gone: gone}
	l.up = !gone && flags&unix.IFF_UP != 0 && flags&unix.IFF_RUNNING != 0
	for kind, v := range attributes(body[unix.SizeofIfInfomsg:]) {
		if kind == unix.IFLA_IFNAME {
			l.name = unix.ByteSliceToString(v)
		}
	}
	return l, body[0] != unix.AF_BRIDGE
}

// decodeError returns the outcome in an NLMSG_ERROR or an NLMSG_DONE, with the kernel's own
// words when it gave any (extended acknowledgement).
func decodeError(m message) error {
	if len(m.body) < 4 {
		return errShort
	}
	code := int32(binary.NativeEndian.Uint32(m.body))
	if code == 0 {
		return nil
	}
	err := &kernelError{errno: unix.Errno(-code)}
	rest := m.body[4:]
	if m.kind == unix.NLMSG_ERROR {
		// The header of the request follows (NETLINK_CAP_ACK: only the header).
		rest = rest[min(unix.SizeofNlMsghdr, len(rest)):]
	}
	if m.flags&unix.NLM_F_ACK_TLVS != 0 {
		for kind, v := range attributes(rest) {
			if kind == unix.NLMSGERR_ATTR_MSG {
				err.text = unix.ByteSliceToString(v)
			}
		}
	}
	return err
}

// kernelError is a refusal by the kernel: the number callers compare and the words people read.
type kernelError struct {
	errno unix.Errno
	text  string
}

func (e *kernelError) Error() string {
	text := e.errno.Error()
	if e.text != "" {
		text += ": " + e.text
	}
	// What the number does not say, in a route's reason.
	switch e.errno {
	case unix.EPERM:
		text += " (CAP_NET_ADMIN is missing)"
	case unix.ENOSPC:
		text += " (a limit of the kernel's is reached)"
	}
	return text
}

func (e *kernelError) Unwrap() error { return e.errno }

package fib

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// neighbourStates are the kernel's NUD_* in the order of their bits.
func neighbourStates() []string {
	return []string{"INCOMPLETE", "REACHABLE", "STALE", "DELAY", "PROBE", "FAILED", "NOARP", "PERMANENT"}
}

// neighbour reads the state of one neighbour; empty when there is no entry, and from kernels that can't be asked for one
// (before 5.0).
func (s *socket) neighbour(addr netip.Addr, link int) (state string, err error) {
	seq := s.nextSeq()
	s.enc.getNeighbour(addr, link, seq)
	if err := s.send(); err != nil {
		return "", err
	}
	return state, s.receive(func(m message) (bool, error) {
		if m.seq != seq {
			return false, nil
		}
		if m.kind == unix.RTM_NEWNEIGH && len(m.body) >= unix.SizeofNdMsg {
			bits := binary.NativeEndian.Uint16(m.body[8:])
			for i, name := range neighbourStates() {
				if bits&(1<<i) != 0 {
					state = name
				}
			}
		}
		return true, nil
	})
}

// packet asks what becomes of a packet.
func (e *encoder) packet(p Packet, in int, flags, seq uint32) {
	start := e.begin(unix.RTM_GETROUTE, 0, seq)
	if p.Dst.Is4() {
		flags |= unix.RTM_F_LOOKUP_TABLE
	}
	source := byte(0)
	if p.Src.IsValid() {
		source = byte(p.Src.BitLen())
	}
	e.buf = append(e.buf, family(p.Dst), byte(p.Dst.BitLen()), source, 0, 0, 0, 0, 0)
	e.buf = binary.NativeEndian.AppendUint32(e.buf, flags)
	e.addr(unix.RTA_DST, p.Dst.WithZone(""))
	if p.Src.IsValid() {
		e.addr(unix.RTA_SRC, p.Src.WithZone(""))
	}
	if in != 0 {
		e.u32(unix.RTA_IIF, uint32(in))
	}
	e.end(start)
}

// dumpKind asks for all routes of a kind of one family, in all tables.
func (e *encoder) dumpKind(family, kind uint8, seq uint32) {
	start := e.begin(unix.RTM_GETROUTE, unix.NLM_F_DUMP, seq)
	e.buf = append(e.buf, family, 0, 0, 0, unix.RT_TABLE_UNSPEC, 0, 0, kind, 0, 0, 0, 0)
	e.end(start)
}

// getNeighbour asks for one neighbour.
func (e *encoder) getNeighbour(addr netip.Addr, link int, seq uint32) {
	start := e.begin(unix.RTM_GETNEIGH, 0, seq)
	e.buf = append(e.buf, family(addr), 0, 0, 0)
	e.buf = binary.NativeEndian.AppendUint32(e.buf, uint32(link))
	e.buf = append(e.buf, 0, 0, 0, 0)
	e.addr(unix.NDA_DST, addr)
	e.end(start)
}

// fateOf is what a route of this kind does with packets.
func fateOf(kind uint8) Fate {
	switch kind {
	case unix.RTN_UNICAST:
		return Forwarded
	case unix.RTN_LOCAL:
		return Delivered
	case unix.RTN_BROADCAST:
		return Flooded
	case unix.RTN_MULTICAST:
		return Multicast
	case unix.RTN_ANYCAST:
		return Anycast
	case unix.RTN_BLACKHOLE:
		return Blackholed
	case unix.RTN_UNREACHABLE:
		return Unreachable
	case unix.RTN_PROHIBIT:
		return Prohibited
	default:
		return Refused
	}
}

// drops is the error that a packet meets, for which IPv6 names a route; 0 for none.
func drops(f Fate) unix.Errno {
	switch f {
	case Blackholed:
		return unix.EINVAL
	case Unreachable:
		return unix.EHOSTUNREACH
	case Prohibited:
		return unix.EACCES
	}
	return 0
}

// dropping says whether a packet of this fate is dropped by a route or a rule.
func dropping(f Fate) bool { return f == Blackholed || f == Unreachable || f == Prohibited }

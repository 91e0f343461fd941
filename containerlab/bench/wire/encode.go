package wire

import (
	"encoding/binary"
	"net/netip"
)

// Message types of RFC 4271, section 4.1, and of RFC 2918.
const (
	TypeOpen         = 1
	TypeUpdate       = 2
	TypeNotification = 3
	TypeKeepalive    = 4
	TypeRouteRefresh = 5
)

// Sizes of RFC 4271, section 4.1.
const (
	headerSize = 19
	maxMessage = 4096
)

// Path attribute types and flags.
const (
	attrOrigin         = 1
	attrASPath         = 2
	attrNextHop        = 3
	attrMPReach        = 14
	attrMPUnreach      = 15
	attrLargeCommunity = 32

	wellKnown = 0x40
	optional  = 0x80
	transit   = 0xc0
	extended  = 0x10

	asSequence = 2
)

// Path is what the prefixes of one UPDATE share.
type Path struct {
	NextHop netip.Addr
	ASPath  []uint32
	// Community is one large community, RFC 8092.
	Community [3]uint32
}

// AppendUpdate appends UPDATEs that announce the prefixes, at most perUpdate in each. All prefixes are of the family
// of the next hop.
func AppendUpdate(b []byte, p Path, perUpdate int, prefixes ...netip.Prefix) []byte {
	for len(prefixes) > 0 {
		n := min(perUpdate, len(prefixes))
		b = appendUpdate(b, p, prefixes[:n])
		prefixes = prefixes[n:]
	}
	return b
}

func appendUpdate(b []byte, p Path, prefixes []netip.Prefix) []byte {
	start := len(b)
	b = appendHeader(b, TypeUpdate)
	b = append(b, 0, 0, 0, 0) // nothing withdrawn; length of the attributes
	attributes := len(b)
	v6 := p.NextHop.Is6()
	if v6 {
		b = appendMPReach(b, p.NextHop, prefixes) // first, RFC 7606, section 5.1
	}
	b = append(b, wellKnown, attrOrigin, 1, 0)
	b = append(b, wellKnown, attrASPath, byte(2+4*len(p.ASPath)), asSequence, byte(len(p.ASPath)))
	for _, as := range p.ASPath {
		b = binary.BigEndian.AppendUint32(b, as)
	}
	if !v6 {
		b = append(b, wellKnown, attrNextHop, 4)
		b = append(b, p.NextHop.AsSlice()...)
	}
	b = append(b, transit, attrLargeCommunity, 12)
	for _, part := range p.Community {
		b = binary.BigEndian.AppendUint32(b, part)
	}
	binary.BigEndian.PutUint16(b[attributes-2:], uint16(len(b)-attributes))
	if !v6 {
		b = appendPrefixes(b, prefixes)
	}
	return finish(b, start)
}

func appendMPReach(b []byte, nextHop netip.Addr, prefixes []netip.Prefix) []byte {
	b = append(b, optional|extended, attrMPReach, 0, 0)
	start := len(b)
	b = append(b, 0, 2, 1, 16) // IPv6, unicast
	b = append(b, nextHop.AsSlice()...)
	b = append(b, 0)
	b = appendPrefixes(b, prefixes)
	binary.BigEndian.PutUint16(b[start-2:], uint16(len(b)-start))
	return b
}

// AppendWithdraw appends UPDATEs that withdraw the prefixes, at most perUpdate in each; all of one family.
func AppendWithdraw(b []byte, perUpdate int, prefixes ...netip.Prefix) []byte {
	for len(prefixes) > 0 {
		n := min(perUpdate, len(prefixes))
		start := len(b)
		b = appendHeader(b, TypeUpdate)
		if prefixes[0].Addr().Is4() {
			b = append(b, 0, 0)
			list := len(b)
			b = appendPrefixes(b, prefixes[:n])
			binary.BigEndian.PutUint16(b[list-2:], uint16(len(b)-list))
			b = append(b, 0, 0)
		} else {
			b = append(b, 0, 0, 0, 0)
			attributes := len(b)
			b = append(b, optional|extended, attrMPUnreach, 0, 0, 0, 2, 1)
			b = appendPrefixes(b, prefixes[:n])
			binary.BigEndian.PutUint16(b[attributes+2:], uint16(len(b)-attributes-4))
			binary.BigEndian.PutUint16(b[attributes-2:], uint16(len(b)-attributes))
		}
		b = finish(b, start)
		prefixes = prefixes[n:]
	}
	return b
}

// AppendEndOfRIB appends the markers of both families (RFC 4724, section 2).
func AppendEndOfRIB(b []byte) []byte {
	start := len(b)
	b = finish(append(appendHeader(b, TypeUpdate), 0, 0, 0, 0), start)
	start = len(b)
	return finish(append(appendHeader(b, TypeUpdate), 0, 0, 0, 6, optional, attrMPUnreach, 3, 0, 2, 1), start)
}

func appendPrefixes(b []byte, prefixes []netip.Prefix) []byte {
	for _, p := range prefixes {
		b = append(b, byte(p.Bits()))
		b = append(b, p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
	}
	return b
}

// AppendMessage appends a message of any type and body; its length is true.
func AppendMessage(b []byte, kind byte, body ...byte) []byte {
	start := len(b)
	return finish(append(appendHeader(b, kind), body...), start)
}

func appendHeader(b []byte, kind byte) []byte {
	for range 16 {
		b = append(b, 0xff)
	}
	return append(b, 0, 0, kind)
}

// finish writes the length of the message that starts at start.
func finish(b []byte, start int) []byte {
	binary.BigEndian.PutUint16(b[start+16:], uint16(len(b)-start))
	return b
}

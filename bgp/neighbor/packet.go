package neighbor

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// ICMPv6 messages (RFC 4443, RFC 4861).
const (
	echoRequest         = 128
	echoReply           = 129
	routerSolicitation  = 133
	routerAdvertisement = 134

	nearby = 255 // the hop limit of neighbour discovery: a message that was forwarded has less (RFC 4861, section 6.1)
)

// allNodes and allRouters of the link (RFC 4291, section 2.7.1).
func allNodes() netip.Addr   { return netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 15: 1}) }
func allRouters() netip.Addr { return netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 15: 2}) }

// The kernel fills in the checksums.

func ping(id uint16) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{echoRequest, 0, 0, 0}, id), 0, 0)
}

func solicitation() []byte { return []byte{routerSolicitation, 7: 0} }

// advertisement says that we are a router, and nobody's default router: all that it could say of the link is left
// unspecified.
func advertisement() []byte { return []byte{routerAdvertisement, 15: 0} }

// packet is a message as it was received.
type packet struct {
	from netip.Addr // without zone
	link int
	hops int
	body []byte
}

// use says what a packet is good for: whether its sender is a neighbour, a router, or asks for routers.
func (p *packet) use(id uint16) (neighbor, router, asks bool) {
	if !p.from.Is6() || !p.from.IsLinkLocalUnicast() || len(p.body) < 8 || p.body[1] != 0 {
		return false, false, false
	}
	switch p.body[0] {
	case echoReply:
		return binary.BigEndian.Uint16(p.body[4:]) == id, false, false
	case routerSolicitation:
		return p.hops == nearby, false, p.hops == nearby
	case routerAdvertisement:
		whole := p.hops == nearby && len(p.body) >= len(advertisement())
		return whole, whole, false
	}
	return false, false, false
}

// fair is how often a solicitation is answered at most.
const fair = time.Second

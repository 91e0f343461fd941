package bgp

import (
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// notificationBit is the N bit: NOTIFICATIONs do not end a graceful restart (RFC 8538, section 2).
const notificationBit = 0x04

// preserves says whether a peer goes on forwarding while it restarts. The capability alone says no more than that it
// knows what that is; it lists the families it keeps (RFC 4724, section 3).
func (s *session) preserves(c *gobgp.CapGracefulRestart) bool {
	if c == nil {
		return false
	}
	kept := map[gobgp.Family]bool{}
	for _, t := range c.Tuples {
		kept[gobgp.NewFamily(t.AFI, t.SAFI)] = true
	}
	return (!s.IPv4 || kept[familyIPv4]) && (!s.IPv6 || kept[familyIPv6])
}

package bgp

import (
	"slices"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// Negotiated is what both sides of an established session announced (RFC 5492), beside what Session says itself.
type Negotiated struct {
	FourOctetAS          bool // RFC 6793
	RouteRefresh         bool // RFC 2918
	EnhancedRouteRefresh bool // RFC 7313
	ExtendedMessages     bool // RFC 8654
	// AddPathsReceived are the families of which the peer sends several paths for one prefix (RFC 7911), and AddPathsSent those
	// of which it gets them: ipv4, ipv6.
	AddPathsReceived, AddPathsSent []string
	// Restart is the peer's graceful restart capability (RFC 4724); nil if not both sides announced it.
	Restart *PeerRestart
	// PeerCapabilities are all that the peer announced, by name or number, sorted.
	PeerCapabilities []string
}

// PeerRestart is what a peer says of its restarts.
type PeerRestart struct {
	Time         time.Duration // for how long it asks to keep its routes
	Restarted    bool          // it had just restarted when the session came up
	Notification bool          // a NOTIFICATION does not end it either (RFC 8538)
	Families     []string      // whose routes it keeps: ipv4, ipv6
	Forwarding   []string      // those of them of which it says that it went on forwarding
}

// The flags of the graceful restart capability (RFC 4724, section 3).
const (
	restartedBit  = 0x08 // among the four that CapGracefulRestart.Flags has
	forwardingBit = 0x80 // of a family
)

// newNegotiated compares the capabilities of both sides.
func newNegotiated(local, remote []gobgp.ParameterCapabilityInterface, graceful *gobgp.CapGracefulRestart) Negotiated {
	both := func(code gobgp.BGPCapabilityCode) bool { return has(local, code) && has(remote, code) }
	n := Negotiated{
		FourOctetAS: both(gobgp.BGP_CAP_FOUR_OCTET_AS_NUMBER), RouteRefresh: both(gobgp.BGP_CAP_ROUTE_REFRESH),
		EnhancedRouteRefresh: both(gobgp.BGP_CAP_ENHANCED_ROUTE_REFRESH), ExtendedMessages: both(gobgp.BGP_CAP_EXTENDED_MESSAGE),
		AddPathsReceived: addPaths(local, remote), AddPathsSent: addPaths(remote, local),
	}
	for _, c := range remote {
		n.PeerCapabilities = append(n.PeerCapabilities, printable(c.Code().String(), 40))
	}
	slices.Sort(n.PeerCapabilities)
	n.PeerCapabilities = slices.Compact(n.PeerCapabilities)
	if graceful != nil {
		n.Restart = newPeerRestart(graceful)
	}
	return n
}

func newPeerRestart(c *gobgp.CapGracefulRestart) *PeerRestart {
	r := &PeerRestart{
		Time: time.Duration(c.Time) * time.Second, Restarted: c.Flags&restartedBit != 0, Notification: c.Flags&notificationBit != 0,
	}
	for _, t := range c.Tuples {
		family := gobgp.NewFamily(t.AFI, t.SAFI)
		if name := familyName(family); name != "" {
			r.Families = append(r.Families, name)
			if t.Flags&forwardingBit != 0 {
				r.Forwarding = append(r.Forwarding, name)
			}
		}
	}
	return r
}

func has(all []gobgp.ParameterCapabilityInterface, code gobgp.BGPCapabilityCode) bool {
	return slices.ContainsFunc(all, func(c gobgp.ParameterCapabilityInterface) bool { return c.Code() == code })
}

// addPaths returns the families of which to takes what from sends.
func addPaths(to, from []gobgp.ParameterCapabilityInterface) []string {
	modes := func(all []gobgp.ParameterCapabilityInterface) map[gobgp.Family]gobgp.BGPAddPathMode {
		found := map[gobgp.Family]gobgp.BGPAddPathMode{}
		for _, c := range all {
			if c, ok := c.(*gobgp.CapAddPath); ok {
				for _, t := range c.Tuples {
					found[t.Family] = t.Mode
				}
			}
		}
		return found
	}
	taken, sent := modes(to), modes(from)
	var out []string
	for _, family := range []gobgp.Family{familyIPv4, familyIPv6} {
		if taken[family]&gobgp.BGP_ADD_PATH_RECEIVE != 0 && sent[family]&gobgp.BGP_ADD_PATH_SEND != 0 {
			out = append(out, familyName(family))
		}
	}
	return out
}

// familyName is how the configuration calls a family; empty for those we do not speak.
func familyName(f gobgp.Family) string {
	switch f {
	case familyIPv4:
		return "ipv4"
	case familyIPv6:
		return "ipv6"
	default:
		return ""
	}
}

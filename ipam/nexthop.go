package ipam

import "net/netip"

// nextHopVerdict refuses what the kernel could take but no packet could follow. RFC 4271, section 5.1.3: a next
// hop must be neither ours nor semantically incorrect, and must be reachable without the route itself. An IPv4 prefix may
// have an IPv6 one where that was agreed (RFC 8950).
func (p *Plan) nextHopVerdict(c Claim, contract *Contract, extended bool) (Verdict, bool) {
	h, four := c.NextHop, c.Prefix.Addr().Is4()
	switch {
	case !h.IsValid():
		return refuse(NextHopInvalid, contract.Cluster, "%s from peer %s has no next hop", c.Prefix, c.Peer), true
	case four && h.Is6() && !h.Is4In6() && !extended:
		return refuse(NextHopFamily, contract.Cluster, "%s from peer %s has the next hop %s, which is of the other address family: that was not agreed with it (extendedNextHop, RFC 8950)",
			c.Prefix, c.Peer, h), true
	case h.Is4In6() || h.Is4() && !four:
		return refuse(NextHopFamily, contract.Cluster, "%s from peer %s has the next hop %s, which is of the other address family", c.Prefix, c.Peer, h), true
	case h.Is6() && h.IsLinkLocalUnicast() && h.Zone() == "":
		return refuse(NextHopInvalid, contract.Cluster, "%s from peer %s has the link-local next hop %s, which does not say on which link", c.Prefix, c.Peer, h), true
	case !sendable(h):
		return refuse(NextHopInvalid, contract.Cluster, "%s from peer %s has the next hop %s, to which nothing can be sent", c.Prefix, c.Peer, h), true
	}
	if _, ours := p.addresses[h]; ours {
		return refuse(NextHopOurs, contract.Cluster, "%s from peer %s has the next hop %s, which is this node's own address", c.Prefix, c.Peer, h), true
	}
	if !p.pods.Contains(h) {
		return Verdict{}, false
	}
	whose := "our own pod range"
	if s, ok := p.ranges.Lookup(h); ok {
		whose = "the pod range " + s.prefix.String() + " of cluster " + p.contracts[s.contract].Cluster
	}
	return refuse(NextHopInPodRange, contract.Cluster, "%s from peer %s has the next hop %s inside %s: reaching it would need the routes that go through it (recursion)",
		c.Prefix, c.Peer, h, whose), true
}

// sendable: unicast, not loopback, and not of the IPv4 blocks that no host may have (RFC 1122, section 3.2.1.3).
func sendable(a netip.Addr) bool {
	if a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() {
		return false
	}
	if !a.Is4() {
		return true
	}
	first := a.As4()[0]
	return first != 0 && first < 240
}

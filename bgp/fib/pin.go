package fib

import "net/netip"

// A gateway that its own address does not lead to, or not over the link that the route names, is pinned to that link:
// its address then has the link's name as zone, which IPv4 can only have as an IPv4-mapped address.

// pin is the address of a gateway that is reached over a link whatever other routes say.
func pin(a netip.Addr, link string) netip.Addr { return netip.AddrFrom16(a.As16()).WithZone(link) }

// pinned says whether the kernel has to be told not to look for a route to the gateway.
func pinned(a netip.Addr) bool { return a.Zone() != "" && !linkLocal(a) }

// linkLocal says whether a is an IPv6 link-local address, which means nothing without its link.
func linkLocal(a netip.Addr) bool { return a.Is6() && !a.Is4In6() && a.IsLinkLocalUnicast() }

// plain is an address as people know it.
func plain(a netip.Addr) netip.Addr {
	if pinned(a) {
		a = a.WithZone("")
	}
	return a.Unmap()
}

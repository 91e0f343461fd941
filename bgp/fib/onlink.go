package fib

import (
	"net/netip"
	"slices"
	"strings"
)

// NotOnLink says whether a next hop is not in use because no link leads to it directly, and no route that may be used.
// Nil is no outcome.
func (o *Outcome) NotOnLink(hop netip.Addr) bool {
	return o != nil && slices.Contains(o.OffLink, hop)
}

// whyDown says why no next hop of s can be used.
func whyDown(s *pathSet) string {
	var all []string
	for _, h := range s.hops {
		if why := h.trouble(); why != "" {
			all = append(all, why)
		}
	}
	return strings.Join(all, "; ")
}

// offLink returns those next hops of s that NotOnLink tells of.
func offLink(s *pathSet) []netip.Addr {
	var all []netip.Addr
	for _, h := range s.hops {
		if h.fault != 0 {
			all = append(all, h.addr)
		}
	}
	return all
}

package fib

import (
	"net/netip"
	"slices"
	"strings"
)

// NotOnLink says whether a next hop is not in use because no link leads to it directly. Nil is no outcome.
func (o *Outcome) NotOnLink(hop netip.Addr) bool {
	return o != nil && slices.Contains(o.OffLink, hop)
}

// whyDown says why no next hop of s can be used.
func whyDown(s *pathSet) string {
	var all []string
	for _, h := range s.hops {
		if h.problem != "" {
			all = append(all, h.problem)
		}
	}
	return strings.Join(all, "; ")
}

// offLink returns those next hops of s to which no link leads directly.
func offLink(s *pathSet) []netip.Addr {
	var all []netip.Addr
	for _, h := range s.hops {
		if h.offLink {
			all = append(all, h.addr)
		}
	}
	return all
}

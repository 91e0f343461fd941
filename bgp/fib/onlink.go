package fib

import (
	"net/netip"
	"strings"
)

// NotOnLink says whether a next hop is not in use because no link leads to it directly. Nil is no outcome.
func (o *Outcome) NotOnLink(hop netip.Addr) bool {
	return o != nil && o.Reason != "" && strings.Contains(o.Reason, hop.String()+": "+errNotOnLink.Error())
}

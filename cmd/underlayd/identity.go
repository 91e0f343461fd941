package main

import (
	"fmt"
	"net/netip"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/status"
)

// identityProblems finds BGP identifiers that are used twice within an AS, where they must be unique (RFC 6286, section
// 2.1): a peer's that is ours, with which no session comes up, and one that two peers have. Two sessions with one router
// are no fault: one over IPv4 and one over IPv6 are taken for that.
func identityProblems(sessions []bgp.Session, own netip.Addr) []status.Problem {
	var out []status.Problem
	type speaker struct {
		identifier netip.Addr
		asn        uint32
		v4         bool
	}
	seen := map[speaker]bgp.Session{}
	for _, s := range sessions {
		if s.BadIdentifier() {
			out = append(out, status.Problem{
				Severity: status.Error, Subject: "BGP identifier " + own.String(), Since: s.Since,
				Message: fmt.Sprintf("this node and peer %s (%s, AS %d) have the same one, and no session comes up: give one of them another (here it is bgp.routerID)",
					s.Peer, s.Address, s.ASN),
			})
		}
		if !s.Established || !s.RouterID.IsValid() {
			continue
		}
		id := speaker{s.RouterID, s.ASN, s.Address.Is4()}
		first, twice := seen[id]
		if !twice {
			seen[id] = s
			continue
		}
		out = append(out, status.Problem{
			// Not the identifier: subjects become labels of metrics, and a peer may send another one each time.
			Severity: status.Warning, Subject: "peer " + s.Peer,
			Message: fmt.Sprintf("has the BGP identifier %s, and so has peer %s (%s) of the same AS %d: unless they are one router, give one of them another",
				s.RouterID, first.Peer, first.Address, s.ASN),
		})
	}
	return out
}

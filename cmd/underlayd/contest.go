package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/status"
)

// neighboursPage is where the ways to live with another speaker on the node are written down.
const neighboursPage = "docs/neighbours.md"

// portTaken says of an error that the port was taken, by whom and what there is to do.
func portTaken(err error, holder string) error {
	if !errors.Is(err, unix.EADDRINUSE) {
		return err
	}
	return fmt.Errorf("%w: %s listens there; %s", err, cmp.Or(holder, "another program"), portAdvice)
}

// portAdvice is what to do about a port that is taken.
const portAdvice = "set bgp.port to -1, to connect only, or to another port, such as 1790, and see " + neighboursPage +
	" for how to share the node with another BGP speaker"

// contestProblems are the peers that close our connections, again and again.
func contestProblems(sessions []bgp.Session) []status.Problem {
	var problems []status.Problem
	for _, s := range sessions {
		if s.Contest.Closed > 0 {
			problems = append(problems, contestProblem(s))
		}
	}
	return problems
}

func contestProblem(s bgp.Session) status.Problem {
	c := s.Contest
	var b strings.Builder
	fmt.Fprintf(&b, "%s has closed %d connections since %s, and no session lasts: ", s.Address, c.Closed, c.Since.UTC().Format(time.TimeOnly))
	if !c.Rival.Local.IsValid() {
		b.WriteString("it does not take this node for the neighbour that it has configured, or it has a session already with another speaker " +
			"that uses our address, or an old one of ours until its hold time has passed (RFC 4271, section 6.8); its log says which")
		return status.Problem{Severity: status.Warning, Subject: "peer " + s.Peer, Message: b.String(), Since: c.Since}
	}
	fmt.Fprintf(&b, "%s on this node has a connection with it from the same address (%s to %s), and a neighbour keeps one session for each "+
		"pair of addresses (RFC 4271, section 6.8). Learn from that speaker instead, as a peer on this node, or give this peer a localAddress "+
		"that nobody else uses and have the neighbour know it: %s", cmp.Or(c.Rival.Program, "another program"), c.Rival.Local, c.Rival.Remote, neighboursPage)
	return status.Problem{Severity: status.Error, Subject: "peer " + s.Peer, Message: b.String(), Since: c.Since}
}

// onThisNode says whether an address is one of this node's own: a peer there is another speaker on it.
func onThisNode(address netip.Addr, facts fib.Facts) bool {
	for _, a := range facts.Addresses {
		if a.Addr() == address {
			return true
		}
	}
	return address.IsLoopback()
}

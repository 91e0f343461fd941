package status

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
)

// Gateway is what a node does as a gateway of its cluster to other networks.
type Gateway struct {
	// Networks are the other ones that it has peers in.
	Networks []string `json:"networks"`
	// Advertised is what these are told of our cluster, as a whole.
	Advertised []netip.Prefix `json:"advertised"`
	// Isolated says that nothing is advertised, since nobody in our own network can be reached.
	Isolated bool `json:"isolated,omitempty"`
	// Blackholes are the routes that discard what is for pods which are not there, as far as they are wanted.
	Blackholes []Blackhole `json:"blackholes,omitempty"`
}

// Blackhole is a route that discards packets.
type Blackhole struct {
	Prefix netip.Prefix `json:"prefix"`
	Status string       `json:"status"` // Installed, Adopted, Conflict or Failed
	Reason string       `json:"reason,omitempty"`
}

// tells says whether something is advertised to other networks.
func (g *Gateway) tells() bool { return g != nil && len(g.Advertised) > 0 }

func (g *Gateway) installed() int {
	n := 0
	for _, b := range g.Blackholes {
		if b.Status == "Installed" || b.Status == "Adopted" {
			n++
		}
	}
	return n
}

func (g *Gateway) sentence() string {
	to := cmp.Or(strings.Join(g.Networks, ", "), "no other network")
	return fmt.Sprintf("tells %s of %s, %s", to, cmp.Or(few(g.Advertised), "nothing"), count(g.installed(), "blackhole route", "blackhole routes"))
}

func (g *Gateway) problems() []Problem {
	if g == nil {
		return nil
	}
	var out []Problem
	say := func(severity Severity, format string, args ...any) {
		out = append(out, Problem{Severity: severity, Subject: "gateway", Message: fmt.Sprintf(format, args...)})
	}
	if len(g.Networks) == 0 {
		say(Warning, "this node is a gateway, but none of its peers is one of another network (bgp.peers[].network)")
	}
	if g.Isolated {
		say(Error, "nothing is advertised to other networks: none of the sessions in our own network is established")
	}
	for _, b := range g.Blackholes {
		if b.Status == "Failed" {
			say(Warning, "the blackhole route for %s is not in the kernel: %s", b.Prefix, b.Reason)
		}
	}
	return out
}

package main

import (
	"fmt"
	"strings"

	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/status"
)

// manyAnnounced is how many routes the kernel must announce for somebody to wait for it.
const manyAnnounced = 10_000

// judgeHost says what of the host's set-up matters, for pods of the families in use, and on a gateway.
func judgeHost(h fib.Host, uses families, gateway bool) []finding {
	var j judgement
	if uses.v4 {
		j.forwarding4(&h)
		j.reversePath(&h, gateway)
		j.neighbours("IPv4", h.NextHops4, h.Neighbours4)
		j.hash(&h, h.Hash4)
		j.rule("ip", h.Unruled4, h.Table)
	}
	if uses.v6 {
		j.forwarding6(&h)
		j.neighbours("IPv6", h.NextHops6, h.Neighbours6)
		j.hash(&h, h.Hash6)
		j.rule("ip -6", h.Unruled6, h.Table)
	}
	if h.CompatMode.Is(1) && h.Routes >= manyAnnounced {
		j.say("", h.CompatMode.Name, "%s is 1: the kernel announces each route of a rewritten next-hop group before it goes on, "+
			"so that failovers of many groups wait for it; if no other program needs that, %s", h.CompatMode.Name, set(h.CompatMode, 0))
	}
	return j.found
}

// judgeForward says what chains have to let through on a gateway.
func judgeForward(drops []string) []finding {
	var j judgement
	if len(drops) > 0 {
		j.say("", "forward", "what no rule accepts is dropped by %s: packets that pass through this gateway are not tracked, so that being established "+
			"does not let them through; rules have to accept them by their addresses, in both directions, as flannel's do", strings.Join(drops, ", "))
	}
	return j.found
}

type judgement struct{ found []finding }

func (j *judgement) say(severity status.Severity, key, format string, args ...any) {
	j.found = append(j.found, finding{severity: severity, key: key, message: fmt.Sprintf(format, args...)})
}

// set is the command that gives a setting another value.
func set(s fib.Setting, value int) string { return fmt.Sprintf("sysctl -w %s=%d", s.Name, value) }

func (j *judgement) forwarding4(h *fib.Host) {
	if s := h.Forwarding4; s.Is(0) {
		j.say(status.Error, s.Name, "%s is 0: this node forwards no IPv4 packets, to or from its pods; %s", s.Name, set(s, 1))
		return // and so it is for each link
	}
	for _, l := range h.Links {
		if s := l.Forwarding4; s.Is(0) {
			j.say(status.Error, s.Name, "%s is 0: IPv4 packets that come in over %s do not reach the pods; %s", s.Name, l.Name, set(s, 1))
		}
	}
}

func (j *judgement) forwarding6(h *fib.Host) {
	switch s := h.Forwarding6; {
	case !s.Known:
		j.say(status.Error, "IPv6", "this kernel runs without IPv6 (ipv6.disable=1 on its command line?): no IPv6 route can be installed")
		return
	case h.IPv6Off.Is(1):
		j.say(status.Error, h.IPv6Off.Name, "%s is 1: IPv6 is turned off on all links and no IPv6 route can be installed; %s",
			h.IPv6Off.Name, set(h.IPv6Off, 0))
		return
	case s.Is(0):
		forced := len(h.Links) > 0
		for _, l := range h.Links {
			forced = forced && l.Forwarding6.Is(1)
		}
		if !forced {
			j.say(status.Error, s.Name, "%s is 0: this node forwards no IPv6 packets, to or from its pods; %s", s.Name, set(s, 1))
		}
	}
	for _, l := range h.Links {
		if s := l.IPv6Off; s.Is(1) {
			j.say(status.Warning, s.Name, "%s is 1: no IPv6 over %s, which leads to next hops; %s", s.Name, l.Name, set(s, 0))
		}
	}
}

// reversePath: with one link the way there and the way back are the same, unless this is a gateway: nodes send it packets over
// the link that they share, and it may have a tunnel of the CNI to their pods.
func (j *judgement) reversePath(h *fib.Host, gateway bool) {
	const strict, loose = 1, 2
	if len(h.Links) < 2 && !gateway {
		return
	}
	var links, commands []string
	first := fib.Setting{}
	for _, l := range h.Links {
		s := l.ReversePath
		if max(s.Value, h.ReversePath.Value) != strict {
			continue
		}
		if s.Value != strict {
			s = h.ReversePath
		}
		if links == nil {
			first = s
		}
		links, commands = append(links, l.Name), append(commands, set(l.ReversePath, loose))
	}
	if links == nil {
		return
	}
	if gateway {
		j.say(status.Warning, "rp_filter", "%s is 1 and this node is a gateway: a packet that comes in over one of %s, while the route back to "+
			"its source leaves by another link, by a tunnel of the CNI too, is dropped without a trace; %s",
			first.Name, strings.Join(links, ", "), strings.Join(commands, "; "))
		return
	}
	j.say(status.Warning, "rp_filter", "%s is 1 and next hops are reached over %d links: a packet that comes in over one of %s, "+
		"while the route back to its source leaves by another link, is dropped without a trace; %s",
		first.Name, len(h.Links), strings.Join(links, ", "), strings.Join(commands, "; "))
}

// neighbours: the table is shared with everything else on the node, its pods included.
func (j *judgement) neighbours(family string, nextHops int, limit fib.Setting) {
	switch {
	case !limit.Known || nextHops*2 <= limit.Value:
	case nextHops > limit.Value:
		j.say(status.Error, limit.Name, "%s is %d and there are %d %s next hops: those beyond find no place in the neighbour table "+
			"and packets to them are dropped; %s", limit.Name, limit.Value, nextHops, family, set(limit, room(nextHops)))
	default:
		j.say(status.Warning, limit.Name, "%s is %d and there are %d %s next hops, and the node's pods need entries as well: "+
			"when the neighbour table is full, packets are dropped; %s", limit.Name, limit.Value, nextHops, family, set(limit, room(nextHops)))
	}
}

// room is four times as many, as a power of two.
func room(n int) int {
	limit := 1024
	for limit < 4*n {
		limit *= 2
	}
	return limit
}

func (j *judgement) hash(h *fib.Host, policy fib.Setting) {
	if h.Multipath && policy.Is(0) {
		j.say("", policy.Name, "%s is 0: all connections between the same two pods take the same of several next hops; "+
			"%s spreads them by port", policy.Name, set(policy, 1))
	}
}

func (j *judgement) rule(command string, unruled bool, table int) {
	if !unruled {
		return
	}
	j.say(status.Error, command+" rule", "no rule makes the kernel look at table %d (kernel.table): the routes there carry no traffic; "+
		"%s rule add lookup %d, or kernel.rule, adds one", table, command, table)
}

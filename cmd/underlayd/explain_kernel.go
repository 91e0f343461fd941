package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/status"
)

// nextHops tells how the next hops are reached.
func (a *account) nextHops() {
	s := status.Step{Name: status.StepNextHop, Result: status.StepOK}
	if a.route == nil || len(a.nextHopsOf()) == 0 {
		a.skip(s.Name, "there is no next hop")
		return
	}
	var said []string
	for _, hop := range a.nextHopsOf() {
		if hop.Zone() != "" {
			said = append(said, fmt.Sprintf("%s is on link %s", hop, hop.Zone()))
			continue
		}
		x := a.trace(fib.Packet{Dst: hop})
		s.NextHops = append(s.NextHops, x)
		said = append(said, hopSentence(x))
		switch {
		case x.Fate != string(fib.Forwarded):
			s.Result, s.Reason = status.StepFailed, "NextHopUnreachable"
			s.Remedy = &status.Remedy{Action: "give the node a way to the next hop, or have the peer send another one", Command: "ip route get " + hop.String(), Doc: troubleshooting + "the-next-hop"}
		case x.LinkDown:
			s.Result, s.Reason = status.StepFailed, "LinkDown"
			s.Remedy = &status.Remedy{Action: "bring the link up", Command: "ip link set " + x.Link + " up", Doc: troubleshooting + "the-next-hop"}
		case x.Neighbour == "FAILED":
			s.Result, s.Reason = status.StepFailed, "NextHopSilent"
			s.Remedy = &status.Remedy{Action: "the next hop does not answer on its link (ARP, neighbour discovery): see whether it is there, and in the right VLAN", Command: fmt.Sprintf("ip neigh show %s dev %s; ping -c 3 %s", cmp.Or(x.Gateway, hop), x.Link, hop), Doc: troubleshooting + "the-next-hop"}
		}
	}
	s.Sentence = strings.Join(said, "; ")
	a.add(s)
}

func (a *account) nextHopsOf() []netip.Addr {
	if len(a.route.NextHops) > 0 {
		return a.route.NextHops
	}
	return a.route.Kernel.NextHops
}

func hopSentence(x status.Packet) string {
	switch {
	case x.Fate != string(fib.Forwarded):
		return fmt.Sprintf("%s is not reached: %s", x.Destination, fateWords(x))
	case x.Neighbour == "FAILED":
		return fmt.Sprintf("%s does not answer on link %s", cmp.Or(x.Gateway, x.Destination), x.Link)
	case x.LinkDown:
		return fmt.Sprintf("%s is on link %s, which is down", x.Destination, x.Link)
	case x.Gateway.IsValid():
		return fmt.Sprintf("%s is reached through %s on link %s", x.Destination, x.Gateway, x.Link)
	default:
		return fmt.Sprintf("%s is on link %s", x.Destination, x.Link)
	}
}

func fateWords(x status.Packet) string {
	by := ""
	if x.Prefix.IsValid() {
		by = fmt.Sprintf(" by the route to %s in table %d (protocol %s)", x.Prefix, x.Table, x.Protocol)
	}
	switch fib.Fate(x.Fate) {
	case fib.NoRoute:
		return "no route leads there"
	case fib.Blackholed, fib.Unreachable, fib.Prohibited:
		return "the kernel drops it (" + x.Fate + ")" + by + lead(", rule ", x.Rule)
	case fib.WrongSource:
		return "the kernel refuses its source on that link (rp_filter)"
	case fib.Delivered:
		return "the address is this node's own"
	default:
		return "it is " + x.Fate + by
	}
}

// ours tells what became of our route.
func (a *account) ours() {
	s := status.Step{Name: status.StepKernel, Result: status.StepOK, Route: a.route}
	if a.route == nil {
		a.skip(s.Name, "nothing is to be installed")
		return
	}
	k := a.route.Kernel
	where := fmt.Sprintf("table %d, protocol %d, metric %d", a.config.Kernel.Table, a.config.Kernel.Protocol, a.config.Kernel.Metric)
	remedy := a.routeRemedy(a.route)
	switch k.Status {
	case status.Installed:
		s.Sentence = fmt.Sprintf("%s is installed through %s (%s)", a.route.Prefix, joined(k.NextHops, ", "), where)
	case status.Adopted:
		s.Result, s.Reason = status.StepWarning, k.Status
		s.Sentence = fmt.Sprintf("%s is kept as an earlier run left it until the peers have spoken (%s)", a.route.Prefix, where)
	case status.Conflict:
		s.Result, s.Reason, s.Remedy = status.StepFailed, k.Status, remedy
		s.Sentence = fmt.Sprintf("somebody else's route stands in the way of %s: %s", a.route.Prefix, k.Reason)
	case status.Failed:
		s.Result, s.Reason, s.Remedy = status.StepFailed, k.Status, remedy
		s.Sentence = fmt.Sprintf("%s is not in the kernel: %s", a.route.Prefix, k.Reason)
	default:
		s.Result, s.Reason, s.Remedy = status.StepFailed, "Pending", remedy
		s.Sentence = fmt.Sprintf("%s has not been written to the kernel yet", a.route.Prefix)
	}
	a.add(s)
}

// routeRemedy is what to do about a route of ours that is not in force.
func (a *account) routeRemedy(r *status.Route) *status.Remedy {
	remedy := &status.Remedy{
		Action:  "wait a moment and ask again",
		Command: fmt.Sprintf("ip route show %s table %d", r.Prefix, a.config.Kernel.Table), Doc: "docs/operations.md#kernel-and-host",
	}
	switch r.Kernel.Status {
	case status.Conflict:
		remedy.Action = "remove the other route, or have whoever writes it leave this prefix alone; underlayd never replaces it"
	case status.Failed:
		remedy.Action = "what the kernel said names the cause; it is tried again by itself (" + resolveWords(a.config) + ")"
	}
	return remedy
}

// lookup tells what the kernel does with a packet of the node, and of one of its pods.
func (a *account) lookup() {
	s := status.Step{Name: status.StepLookup, Result: status.StepOK}
	a.packets = []status.Packet{a.trace(fib.Packet{Dst: a.addr})}
	if x, ok := a.podPacket(); ok {
		a.packets = append(a.packets, a.trace(x))
	}
	s.Packets = a.packets
	var said []string
	for _, x := range s.Packets {
		who := "a packet of this node"
		if x.Source.IsValid() && x.In != "" {
			who = fmt.Sprintf("a packet of pod %s (link %s)", x.Source, x.In)
		}
		sentence, reason, remedy := a.verdictOn(x)
		said = append(said, who+" "+sentence)
		if reason != "" && s.Reason == "" {
			s.Result, s.Reason, s.Remedy = status.StepFailed, reason, remedy
		}
	}
	s.Sentence = strings.Join(said, "; ")
	a.add(s)
}

// verdictOn says whether a packet goes where it should, and if not, why and what to do.
func (a *account) verdictOn(x status.Packet) (sentence, reason string, remedy *status.Remedy) {
	leaves := fmt.Sprintf("goes to %s on %s", cmp.Or(x.Gateway, x.Destination), x.Link)
	if x.Prefix.IsValid() {
		leaves += " by the route to " + x.Prefix.String()
	}
	command := "ip route get " + x.Destination.String()
	if x.In != "" {
		command += fmt.Sprintf(" from %s iif %s", x.Source, x.In)
	}
	remedy = &status.Remedy{Command: command, Doc: troubleshooting + "the-kernel-does-something-else"}
	switch fib.Fate(x.Fate) {
	case fib.Delivered:
		return "stays on this node", "", nil
	case fib.Forwarded:
	case fib.NoRoute:
		if a.remote == nil && a.out.Fault != "" {
			return "finds no route", "", nil
		}
		remedy.Action = "there is no route at all: the steps before say why"
		return "finds no route", "NoRoute", remedy
	case fib.WrongSource:
		remedy.Action = "the way back to the pod leads over another link, and rp_filter is strict"
		remedy.Command = "sysctl -w net.ipv4.conf." + x.In + ".rp_filter=2"
		return "is dropped: " + fateWords(x), "ReversePath", remedy
	default:
		remedy.Action = "remove the route or rule that drops it"
		if !x.Prefix.IsValid() && x.Rule == "" {
			remedy.Action = "let the link forward"
			remedy.Command = "sysctl -w net.ipv4.ip_forward=1 net.ipv4.conf." + x.In + ".forwarding=1"
			return "is dropped: link " + x.In + " does not forward", "ForwardingOff", remedy
		}
		return "is dropped: " + fateWords(x), "Dropped", remedy
	}
	if a.remote == nil || a.route == nil || x.Ours {
		return leaves, "", nil
	}
	other := fmt.Sprintf("table %d, protocol %s", x.Table, x.Protocol) + lead(", rule ", x.Rule)
	if x.Table != a.config.Kernel.Table {
		remedy.Action = fmt.Sprintf("a rule has the kernel look at table %d before table %d: change the rule, or let ours go first (kernel.rule)", x.Table, a.config.Kernel.Table)
		remedy.Key = "kernel.rule"
		return leaves + " of another table (" + other + "), not by ours", "OtherTable", remedy
	}
	remedy.Action = "somebody else's route goes first: have whoever writes it leave this prefix alone"
	return leaves + ", which is not ours (" + other + ")", "ForeignRoute", remedy
}

// podPacket is a packet of a pod of this node, and the link that it comes in over; false if that is not known.
func (a *account) podPacket() (fib.Packet, bool) {
	if !a.podKnown() || !a.target.IsValid() {
		return fib.Packet{}, false
	}
	from := a.source
	if !from.IsValid() {
		at := slices.IndexFunc(a.own, func(p netip.Prefix) bool { return p.Addr().Is4() == a.addr.Is4() })
		if at < 0 {
			return fib.Packet{}, false
		}
		from = a.own[at].Addr().Next()
		for slices.ContainsFunc(a.facts.Addresses, func(p netip.Prefix) bool { return p.Addr() == from }) || from == a.addr {
			from = from.Next()
		}
	}
	back := a.trace(fib.Packet{Dst: from})
	if back.Fate != string(fib.Forwarded) || back.Gateway.IsValid() || back.Prefix.Bits() == 0 {
		return fib.Packet{}, false
	}
	return fib.Packet{Dst: a.addr, Src: from, In: back.Link}, true
}

// trace asks the kernel.
func (a *account) trace(p fib.Packet) status.Packet {
	x, err := a.kernel.Trace(p)
	if err != nil {
		return status.Packet{Destination: p.Dst, Source: p.Src, In: p.In, Fate: string(fib.Refused), Error: err.Error()}
	}
	out := status.Packet{
		Destination: p.Dst, Source: cmp.Or(p.Src, x.Source), In: p.In, Fate: string(x.Fate), Error: x.Error, Link: x.Chosen.Link,
		Gateway: x.Chosen.Gateway, Neighbour: x.Chosen.Neighbour, LinkDown: x.Chosen.Down, Prefix: x.Prefix, Table: x.Table,
		Protocol: x.Owner, Metric: x.Metric, Ours: x.Ours, Rule: x.Rule,
	}
	return out
}

package main

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/underlayd/underlayd/bgp/probe"
	"github.com/underlayd/underlayd/status"
)

// probeStatus tells what the probe knows.
func (a *agent) probeStatus() *status.Probes {
	if !a.config.Probe.Enabled {
		return nil
	}
	p := a.probing
	p.shown = p.monitor.Results()
	out := &status.Probes{Port: a.config.Probe.Port, Unauthentic: map[string]uint64{}, Limited: map[string]uint64{}}
	for i, family := range []string{"ipv4", "ipv6"} {
		if p.local[i].IsValid() {
			out.Local = append(out.Local, p.local[i])
		}
		refused := p.monitor.Refused(i == 1)
		out.Unauthentic[family], out.Limited[family] = refused.Unauthentic, refused.Limited
	}
	for i := range p.shown.Sums {
		out.Results = append(out.Results, a.probeResult(&p.shown.Sums[i]))
	}
	for _, h := range p.shown.Heard {
		out.Asked = append(out.Asked, status.Asked{Cluster: h.Cluster, ID: h.ClusterID, Node: h.Node, From: h.From, Back: h.Back.String(), Last: h.Last})
	}
	a.rememberProbes(out)
	return out
}

// beforeCounts is how long after a start what the last run said of a cluster is said on the Node, unless more is known.
const beforeCounts = time.Minute

// rememberProbes notes for the next run what is said of each cluster now, and says what the last one did where nothing is
// known yet: a restart alone makes no write of the Node.
func (a *agent) rememberProbes(p *status.Probes) {
	known := map[string]string{}
	for _, c := range a.config.Clusters {
		if state := p.Of(c.Name); state != "" {
			known[c.Name] = state
		}
	}
	if a.published.Sub(a.started) < beforeCounts {
		p.Before = maps.Clone(a.memo.Probes)
		for name, state := range a.memo.Probes {
			if _, is := known[name]; !is {
				known[name] = state
			}
		}
	}
	if !maps.Equal(known, a.memo.Probes) {
		a.memo.Probes = known
		a.remember()
	}
}

func (a *agent) probeResult(s *probe.Sum) status.Probe {
	out := status.Probe{
		Cluster: s.Cluster, Family: "ipv4", State: string(s.State), Targets: s.Targets, Judged: s.Judged, Failing: s.Failing,
		Sent: s.Sent, Lost: s.Lost, RTT: s.RTT[:], RTTSum: s.RTTSum,
	}
	if s.IPv6 {
		out.Family = "ipv6"
	}
	for _, n := range s.Nodes {
		if n.MTU > 0 && (out.PathMTU == 0 || n.MTU < out.PathMTU) {
			out.PathMTU, out.LinkMTU = n.MTU, n.LinkMTU
		}
		node := status.ProbeNode{
			Address: n.Address, Node: n.Name, NodeAddress: n.NodeAddress, State: string(n.State), Sent: n.Sent, Lost: n.Lost,
			Min: n.Min, Avg: n.Avg, P99: n.P99, Last: n.Last, Source: n.Source, Seen: n.Seen,
			Arrives: map[probe.Arrival]string{probe.Arrives: "yes", probe.DoesNotArrive: "no"}[n.Arrival], MTU: n.MTU, Problem: n.Problem,
		}
		if n.Back != probe.BackUnknown {
			node.Back = n.Back.String()
		}
		out.Nodes = append(out.Nodes, node)
	}
	out.Sentence = probeSentence(&out, a.announces(a.probing.local[index(s.IPv6)]))
	return out
}

// announces is the prefix of ours that an address is in.
func (a *agent) announces(x netip.Addr) netip.Prefix {
	for _, p := range a.advertised {
		if p.Contains(x) {
			return p
		}
	}
	return netip.Prefix{}
}

// probeSentence says what is wrong, given the prefix that we probe from.
func probeSentence(p *status.Probe, own netip.Prefix) string {
	worst := func(is func(n *status.ProbeNode) bool) *status.ProbeNode {
		if i := slices.IndexFunc(p.Nodes, func(n status.ProbeNode) bool { return is(&n) }); i >= 0 {
			return &p.Nodes[i]
		}
		return nil
	}
	in := func(state probe.State) func(n *status.ProbeNode) bool {
		return func(n *status.ProbeNode) bool { return n.State == string(state) }
	}
	switch probe.State(p.State) {
	case probe.Silent, probe.OneWay:
		return fmt.Sprintf("%d of %d nodes do not answer: %s", p.Failing, p.Judged, probeWhy(p, own))
	case probe.Loss:
		if p.Failing > 0 {
			var names []string
			for _, n := range p.Nodes {
				if unanswered(n.State) {
					names = append(names, strings.TrimSpace(n.Node+" "+n.Address.String()))
				}
			}
			return fmt.Sprintf("%d of %d nodes do not answer: %s: %s", p.Failing, p.Judged, strings.Join(names, ", "), probeWhy(p, own))
		}
		if n := worst(in(probe.Loss)); n != nil {
			return fmt.Sprintf("%d of the last %d probes of %s were lost", n.Lost, n.Sent, n.Address)
		}
	case probe.NAT:
		if n := worst(in(probe.NAT)); n != nil {
			return fmt.Sprintf("source rewritten to %s: NAT on the way", n.Seen)
		}
	case probe.MTU:
		if n := worst(in(probe.MTU)); n != nil {
			return fmt.Sprintf("packets above %d bytes do not pass, where our link carries %d", n.MTU, p.LinkMTU)
		}
	}
	return ""
}

// unanswered says whether a state is one in which no answers come.
func unanswered(state string) bool {
	return state == string(probe.Silent) || state == string(probe.OneWay)
}

// noWayBack is what keeps answers of those that fail from coming back, as far as one of them tells; empty: nothing that it knows of.
func noWayBack(p *status.Probe) string {
	for _, back := range []probe.Back{probe.BackNoContract, probe.BackRefused, probe.BackAbsent, probe.BackPending} {
		if slices.ContainsFunc(p.Nodes, func(n status.ProbeNode) bool {
			return unanswered(n.State) && n.Arrives != "" && n.Back == back.String()
		}) {
			return back.String()
		}
	}
	return ""
}

// probeWhy says why those that fail do, as far as one of them tells.
func probeWhy(p *status.Probe, own netip.Prefix) string {
	failing := func(is func(n status.ProbeNode) bool) bool {
		return slices.ContainsFunc(p.Nodes, func(n status.ProbeNode) bool { return unanswered(n.State) && is(n) })
	}
	switch back := noWayBack(p); {
	case back == probe.BackNoContract.String():
		return fmt.Sprintf("%s has no route back: its contract lacks %s", p.Cluster, own)
	case back == probe.BackRefused.String():
		return fmt.Sprintf("%s has no route back: it refuses %s", p.Cluster, own)
	case back == probe.BackAbsent.String():
		return fmt.Sprintf("%s has no route back: nobody announces %s to it", p.Cluster, own)
	case back == probe.BackPending.String():
		return fmt.Sprintf("%s has no route back: %s is not in its kernel", p.Cluster, own)
	case failing(func(n status.ProbeNode) bool { return n.Arrives == "yes" }):
		return "our packets arrive, its answers do not come back"
	case failing(func(n status.ProbeNode) bool { return n.Arrives == "no" }):
		return "our packets do not arrive"
	}
	return "whether our packets arrive is not known"
}

// probeProblems are what the probe found, in the words of status, and what keeps it from probing.
func (a *agent) probeProblems(s *status.Snapshot) []status.Problem {
	if s.Probes == nil {
		return nil
	}
	var out []status.Problem
	say := func(severity status.Severity, subject, message string) {
		out = append(out, status.Problem{Severity: severity, Subject: subject, Message: message})
	}
	if _, problem := a.probing.key.read(); problem != "" {
		say(status.Error, "probe", problem)
	}
	for _, problem := range slices.Concat(a.probing.problems, a.probing.shown.Problems) {
		say(status.Warning, "probe", problem)
	}
	for _, r := range s.Probes.Results {
		if r.Sentence == "" {
			continue
		}
		severity, up := status.Warning, ""
		if unanswered(r.State) {
			severity = status.Error
		}
		if slices.ContainsFunc(s.Clusters, func(c status.RemoteCluster) bool { return c.Name == r.Cluster && c.PeersUp > 0 }) {
			up = "session up, but "
		}
		say(severity, "probe "+r.Cluster, fmt.Sprintf("%s: %s%s (%s)", r.Cluster, up, r.Sentence, r.Family))
	}
	for _, h := range s.Probes.Asked {
		if h.Back == probe.BackNoContract.String() {
			say(status.Warning, "probe", fmt.Sprintf("nodes of cluster %s (id %d) probe this one from %s, and it has no route back: no contract here covers that", h.Cluster, h.ID, h.From))
		}
	}
	return out
}

// followProbes notes when the probe says something else of a cluster.
func (c *chronicle) followProbes(s *status.Snapshot) {
	now := map[string]string{}
	if s.Probes != nil {
		for _, r := range s.Probes.Results {
			name := r.Cluster + " " + r.Family
			now[name] = r.State
			if r.State != "" && r.State != c.probes[name] {
				c.note(status.Note{Kind: status.ProbeChanged, Cluster: r.Cluster, Cause: r.State, Detail: r.Family + optional(": ", r.Sentence, "")})
			}
		}
	}
	c.probes = now
}

// probed tells what the probe knows of the target's cluster.
func (a *account) probed() {
	s := status.Step{Name: status.StepProbe, Result: status.StepOK}
	if a.state.Probes == nil {
		a.skip(s.Name, "the probe is off (probe.enabled): whether packets pass was not tried")
		return
	}
	family := map[bool]string{true: "ipv4", false: "ipv6"}[a.addr.Is4()]
	at := slices.IndexFunc(a.state.Probes.Results, func(p status.Probe) bool { return p.Cluster == a.remote.Name && p.Family == family })
	if at < 0 {
		a.skip(s.Name, "no route to cluster %s says where its nodes answer probes over %s", a.remote.Name, family)
		return
	}
	switch p := a.state.Probes.Results[at]; {
	case p.State == "":
		a.skip(s.Name, "the probe has not seen enough of cluster %s yet", a.remote.Name)
		return
	case p.Sentence == "":
		s.Sentence = fmt.Sprintf("%d of %d nodes of cluster %s that are probed answer", p.Judged-p.Failing, p.Judged, p.Cluster)
	default:
		s.Result, s.Reason, s.Sentence = status.StepWarning, p.State, p.Sentence
		if unanswered(p.State) {
			s.Result = status.StepFailed
		}
		_, s.Remedy = probeRemedy(a.state, p.Cluster)
	}
	a.add(s)
}

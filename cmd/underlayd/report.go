package main

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/k8s"
	"github.com/underlayd/underlayd/status"
)

// publish pins a new snapshot on the board and gives the Node's part of it to Kubernetes.
func (a *agent) publish() {
	a.published, a.stale = time.Now(), false
	defer func() { a.publishTook = time.Since(a.published) }()
	var table *status.RouteTable
	if last := a.board.Snapshot(context.Background()); last != nil {
		table = last.Table
	}
	s := &status.Snapshot{
		Version: buildVersion(), Node: a.config.Node.Name,
		Cluster: status.Cluster{Name: a.config.Cluster.Name, ID: a.config.Cluster.ID, Networks: a.config.Cluster.Networks},
		Roles:   roles(a.config), Place: placeStatus(a.config),
		ASN: a.config.BGP.ASN, ASNFrom: a.config.SaidBy("bgp.asn"), RouterID: a.routerID, RouterIDFrom: a.routerIDFrom, PID: os.Getpid(), Started: a.started, Time: a.published,
		ConfigProblem: a.configProblem(), Advertised: a.advertised, AdvertisedFrom: a.advertisedFrom, Gateway: a.gatewayStatus(), Kernel: a.kernelStatus(), Kubernetes: kubernetesStatus(a.node),
		Table: a.routeTable(table), InstallLatency: a.book.latency,
	}
	for _, r := range a.refusals {
		s.NotAdvertised = append(s.NotAdvertised, status.Refusal{Prefix: r.Prefix, Reason: string(r.Reason), Detail: r.Detail})
	}
	sessions, accepted, reach := a.speaker.Sessions(), a.book.accepted(), a.reachStatus()
	for _, p := range sessions {
		session := sessionStatus(p, accepted[p.Address])
		session.Interface = a.links[p.Peer]
		session.From = saidBy(a.config, "bgp.peers["+p.Peer+"]")
		session.TTLSecurity, session.MD5 = a.protection(p.Address)
		session.BFD = reach[p.Address]
		session.RefusedTotal = a.counted.of(p.Peer)
		a.relate(&session)
		s.Sessions = append(s.Sessions, session)
	}
	exemption, exemptionProblems := a.exemptionStatus()
	s.NATExemption = exemption
	s.Problems = slices.Concat(a.drainProblems(), a.crashProblems(a.published), a.keptProblems(), a.memoProblems(), a.podProblems(),
		a.peering.problems(), a.annotationProblems(), a.members.problems(), a.secretProblems(), exemptionProblems,
		identityProblems(sessions, a.routerID), contestProblems(sessions), sessionProblems(a.config, sessions, a.keys))
	s.Clusters = a.clusterStatus(sessions)
	s.Probes = a.probeStatus()
	s.Problems = append(s.Problems, a.probeProblems(s)...)
	a.condition = a.judgeCondition(sessions)
	s.Conditions = []status.Condition{a.condition}
	s.Phase = a.phase()
	a.chronicle.followSnapshot(s)
	a.basis.Store(&basis{config: a.config, view: a.view, own: a.own, facts: a.facts})
	a.board.Publish(s)
	if a.settled() {
		a.reporter.poke()
	}
}

// settled says whether there is something to tell the Node. A restart that converges at once changes nothing on it:
// what the Node says of the run before is true until then, since its routes are still there.
func (a *agent) settled() bool {
	return a.podsKnown && a.converged || time.Since(a.started) >= a.config.BGP.GracefulRestart.Deferral
}

// routeTable applies the records that changed to the last table.
func (a *agent) routeTable(table *status.RouteTable) *status.RouteTable {
	if a.sharedChanged {
		a.sharedChanged, table = false, table.Renewed()
	}
	if len(a.book.changed) == 0 && len(a.refused.dirty) == 0 {
		return table
	}
	rows := make([]status.Row, 0, len(a.book.changed)+len(a.refused.dirty))
	var removed []netip.Prefix
	put := func(prefix netip.Prefix) {
		switch r, refused := a.book.get(prefix), a.refused.routes[prefix]; {
		case r != nil:
			r.listed, r.changed = true, false
			a.probing.aim(prefix, r)
			rows = append(rows, r.with(refused))
		case refused != nil:
			rows = append(rows, refused)
		default:
			removed = append(removed, prefix)
		}
	}
	for _, prefix := range a.book.changed {
		if a.book.get(prefix) == nil {
			a.probing.aim(prefix, nil)
		}
		put(prefix)
	}
	for prefix := range a.refused.dirty {
		put(prefix)
	}
	a.book.changed = nil
	clear(a.refused.dirty)
	return table.With(rows, removed)
}

func sessionStatus(p bgp.Session, accepted int) status.Session {
	out := status.Session{
		Peer: p.Peer, Address: p.Address, LocalAddress: p.LocalAddress, ASN: p.ASN, State: p.State, Since: p.Since,
		RouterID: p.RouterID, GracefulRestart: p.GracefulRestart, Complete: p.Complete, Flaps: p.Flaps,
		Accepted: accepted, ParkedUntil: p.ParkedUntil, ExtendedNextHop: p.ExtendedNextHop,
	}
	out.LocalPort, out.PeerPort, out.Negotiated, out.LastEnd = p.LocalPort, p.PeerPort, negotiatedStatus(p), endStatus(p.Ending)
	if unfound(p.Address) {
		out.Address = netip.Addr{}
	}
	if !p.Established {
		out.LastError = p.LastError
	}
	if p.IPv4 {
		out.Families = append(out.Families, string(config.IPv4))
	}
	if p.IPv6 {
		out.Families = append(out.Families, string(config.IPv6))
	}
	return out
}

// sessionProblems are those that the state of a session does not show: what it is in trouble with though it is
// established, and passwords that stay in force because what replaces them can't be read.
func sessionProblems(c *config.Config, sessions []bgp.Session, keys map[string]password) []status.Problem {
	var problems []status.Problem
	for _, s := range sessions {
		for _, trouble := range s.Troubles {
			problems = append(problems, status.Problem{Severity: status.Warning, Subject: "peer " + s.Peer, Message: trouble})
		}
	}
	for _, p := range c.BGP.Peers {
		if k := keys[passwordID(p)]; k.problem != "" && !k.key.IsZero() {
			problems = append(problems, status.Problem{
				Severity: status.Warning, Subject: "peer " + p.Name, Message: k.problem + "; the password read before stays in force",
			})
		}
	}
	return problems
}

func (a *agent) clusterStatus(sessions []bgp.Session) []status.RemoteCluster {
	up := make(map[string]bool, len(sessions))
	for _, s := range sessions {
		up[s.Peer] = s.Established
	}
	out := make([]status.RemoteCluster, 0, len(a.config.Clusters))
	for _, c := range a.config.Clusters {
		r := status.RemoteCluster{
			Name: c.Name, ID: c.ID, Networks: c.Networks, Gateways: a.config.ThroughGateways(c), PodCIDRs: c.PodCIDRs, MaxPrefixes: c.MaxPrefixes,
		}
		t := a.book.tally(c.Name)
		r.Accepted, r.Refused, r.Installed, r.Kept = t.accepted, t.refused, t.routable, t.kept
		for _, p := range a.config.BGP.Peers {
			if len(p.Clusters) > 0 && !slices.Contains(p.Clusters, c.Name) {
				continue
			}
			r.Peers++
			if up[p.Name] {
				r.PeersUp++
			}
		}
		r.State, _, r.Reason = clusterState(r)
		out = append(out, r)
	}
	return out
}

// clusterState says how well a cluster can be reached, and why not better: in a word for programs and in words.
func clusterState(c status.RemoteCluster) (state status.ClusterState, reason, sentence string) {
	switch {
	case c.Installed == 0 && c.PeersUp == 0:
		return status.Unreachable, k8s.ReasonNoPeersEstablished, "no session with a peer that may announce it is established"
	case c.Installed == 0 && c.Accepted == 0:
		return status.Unreachable, "NoRoutesAccepted", "no route to it was accepted"
	case c.Installed == 0:
		return status.Unreachable, k8s.ReasonInstallFailed, "none of its routes is in the kernel"
	case c.Installed < c.Accepted:
		return status.Partial, k8s.ReasonInstallFailed, "not all of its routes are in the kernel"
	case c.Kept > 0:
		return status.Partial, "RoutesKept", "routes whose sessions were lost are kept for a while"
	case c.PeersUp < c.Peers:
		return status.Partial, k8s.ReasonPartialPeers, "not all sessions with peers that may announce it are established"
	default:
		return status.Reachable, "", ""
	}
}

func (a *agent) kernelStatus() status.Kernel {
	a.kernelSeen = a.kernel.Stats()
	s, k := a.kernelSeen, a.config.Kernel
	return status.Kernel{
		Mode: string(a.kernel.Mode()), Table: k.Table, Protocol: k.Protocol, Metric: k.Metric, Routes: s.Routes,
		Operations: s.Operations, Repairs: s.Repairs, Errors: s.Errors, Conflicts: s.Conflicts,
		Installed: s.Installed, Failed: s.Failed, Adopted: s.Adopted, NextHops: s.NextHops, Groups: s.Groups,
		Fights: s.Fights, Resyncs: s.Resyncs, Overflows: s.Overflows, Interrupted: s.Interrupted, GroupRewrites: s.GroupRewrites,
	}
}

func kubernetesStatus(node *k8s.Node) status.Kubernetes {
	if node == nil {
		return status.Kubernetes{}
	}
	s := node.Stats()
	out := status.Kubernetes{
		Enabled: true, Synced: s.Synced, Writes: s.Writes,
		PodCIDRSource: string(s.Source), WaitingFor: s.WaitingFor, Disagreement: s.Disagreement,
	}
	if s.Problem != nil {
		out.LastError = s.Problem.Error()
	}
	return out
}

// conditionType is the type of the Node's condition.
const conditionType = "UnderlayRoutesReady"

// judgeCondition sums the state up as the Node's condition; type and reasons are part of the Node contract.
func (a *agent) judgeCondition(sessions []bgp.Session) status.Condition {
	c := status.Condition{Type: conditionType, Status: "True", Reason: k8s.ReasonRoutesInstalled}
	var down []string
	for _, p := range sessions {
		if !p.Established {
			down = append(down, p.Peer)
		}
	}
	stats := a.kernel.Stats()
	switch {
	case a.drain.stage != staying:
		c.Status, c.Reason, c.Message = "False", k8s.ReasonDraining, "the node is being drained"
	case len(down) == len(sessions) && (a.converged || time.Since(a.started) >= a.config.BGP.GracefulRestart.Deferral):
		c.Status, c.Reason, c.Message = "False", k8s.ReasonNoPeersEstablished, "no BGP session is established"
	case !a.converged:
		c.Status, c.Reason, c.Message = "Unknown", k8s.ReasonStarting, "waiting for the peers' routes; routes of an earlier run are kept"
	case stats.Failed+stats.Conflicts > 0:
		c.Status, c.Reason, c.Message = "False", k8s.ReasonInstallFailed, "some accepted routes are not in the kernel"
	case a.configProblem() != "":
		c.Reason, c.Message = k8s.ReasonConfigInvalid, "the last change of the configuration was refused; the old one is in force"
	case len(down) > 0:
		c.Reason, c.Message = k8s.ReasonPartialPeers, "sessions that are not established: "+strings.Join(down, ", ")
	default:
		c.Message = "the accepted routes of all remote clusters are in the kernel"
	}
	return c
}

func (a *agent) phase() status.Phase {
	switch {
	case a.drain.stage == drained:
		return status.Drained
	case a.drain.stage != staying:
		return status.Draining
	case !a.peersSet:
		return status.Starting
	case a.condition.Reason == k8s.ReasonStarting:
		return status.Learning
	case a.condition.Reason == k8s.ReasonRoutesInstalled:
		return status.Ready
	default:
		return status.Degraded
	}
}

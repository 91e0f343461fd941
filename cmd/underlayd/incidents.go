package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/underlayd/underlayd/ipam"
	"github.com/underlayd/underlayd/k8s"
	"github.com/underlayd/underlayd/status"
)

// incidents are what Events on the Node tell of a snapshot. They follow what status calls problems, one for each kind and
// party and never one for each prefix: how many there are is for us to say, not for a peer. No message holds a time or a
// number that ticks.
func incidents(s *status.Snapshot) []k8s.Incident {
	leaving := s.Phase == status.Draining || s.Phase == status.Drained
	list := []k8s.Incident{{
		Reason: "Draining", Subject: "node", Over: !leaving, Normal: true, Message: "this node is taken out of the network: its routes are withdrawn",
		End: "DrainEnded", EndMessage: "this node takes part in the network again",
	}, {
		Reason: "ConfigRejected", Subject: "configuration", Over: s.ConfigProblem == "",
		Message: "a change of the configuration was refused and the old one stays in force: " + s.ConfigProblem,
		End:     "ConfigAccepted", EndMessage: "the configuration in force is that of the file again",
	}, {
		Reason: "KernelConflict", Subject: "kernel", Over: s.Kernel.Conflicts == 0,
		Message: "somebody else's routes in the kernel stand in the way of accepted ones and are left alone; `underlayd status` names them",
	}, {
		Reason: "InstallFailed", Subject: "kernel", Over: s.Kernel.Failed == 0,
		Message: "the kernel refused accepted routes; `underlayd status` names them",
	}}
	if g := s.Gateway; g != nil {
		list = append(list, k8s.Incident{
			Reason: "GatewayIsolated", Subject: "gateway", Over: !g.Isolated,
			Message: "nothing is advertised to other networks: none of the sessions with nodes of the own cluster is established",
			End:     "GatewayConnected", EndMessage: "the gateway advertises its cluster to other networks again",
		})
	}
	for _, r := range s.NotAdvertised {
		list = append(list, k8s.Incident{
			Reason: "PodCIDRRefused", Subject: r.Prefix.String(),
			Message: fmt.Sprintf("pod CIDR %s is not advertised: %s", r.Prefix, cmp.Or(r.Detail, r.Reason)),
		})
	}
	if !leaving { // what is lost then is lost on purpose
		list = append(list, peerIncidents(s)...)
	}
	return list
}

func peerIncidents(s *status.Snapshot) []k8s.Incident {
	var list []k8s.Incident
	for i := range s.Sessions {
		p := &s.Sessions[i]
		subject := "peer " + p.Peer
		why := ""
		if p.LastError != "" {
			why = ": " + p.LastError
		}
		list = append(list, k8s.Incident{
			Reason: "PeerDown", Subject: subject, Over: p.State == status.Established, Count: uint64(max(p.Flaps, 0)),
			Message: fmt.Sprintf("the BGP session with peer %s (AS %d) is not established%s", p.Peer, p.ASN, why),
			End:     "PeerUp", EndMessage: fmt.Sprintf("the BGP session with peer %s (AS %d) is established", p.Peer, p.ASN),
		})
		for _, reason := range slices.Sorted(maps.Keys(p.RefusedTotal)) {
			list = append(list, refusalIncident(p, reason))
		}
	}
	for _, c := range s.Clusters {
		list = append(list, k8s.Incident{
			Reason: "ClusterUnreachable", Subject: "cluster " + c.Name, Over: c.State != status.Unreachable,
			Message: fmt.Sprintf("cluster %s can't be reached: %s", c.Name, c.Reason),
			End:     "ClusterReachable", EndMessage: fmt.Sprintf("cluster %s can be reached", c.Name),
		})
	}
	return list
}

// refusalIncident is that a peer's prefixes are refused for one reason. It is over each time: a count is all there is.
func refusalIncident(p *status.Session, reason string) k8s.Incident {
	incident := k8s.Incident{
		Reason: "PrefixRefused", Subject: "peer " + p.Peer + " " + reason, Over: true, Count: p.RefusedTotal[reason],
		Message: fmt.Sprintf("prefixes from peer %s are refused: %s; `underlayd routes` names them", p.Peer, reason),
	}
	if reason == string(ipam.Overlap) {
		incident.Reason = "Overlap"
		incident.Message = fmt.Sprintf("prefixes from peer %s have another origin too, which keeps them; `underlayd routes` names them", p.Peer)
	}
	return incident
}

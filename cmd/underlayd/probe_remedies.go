package main

import (
	"fmt"

	"github.com/underlayd/underlayd/bgp/probe"
	"github.com/underlayd/underlayd/status"
)

// probeDoc is where each state of the probe has its heading.
const probeDoc = "docs/probe.md#"

// probeRemedy is what to do about what the probe found of a cluster; no name is of the probe itself.
func probeRemedy(s *status.Snapshot, cluster string) (reason string, r *status.Remedy) {
	state := s.Probes.Of(cluster)
	if r := wayBackRemedy(s, cluster); r != nil {
		return "NoRouteBack", r
	}
	switch {
	case state == string(probe.Silent):
		return state, &status.Remedy{Action: "look for what drops packets between the pod ranges: a firewall, rp_filter, a fabric that does not know them", Command: "tcpdump -ni any udp port " + fmt.Sprint(s.Probes.Port), Doc: probeDoc + "silent"}
	case state == string(probe.OneWay):
		return state, &status.Remedy{Action: "look for what drops packets from the pods of cluster " + cluster + " to ours", Command: "tcpdump -ni any udp port " + fmt.Sprint(s.Probes.Port), Doc: probeDoc + "oneway"}
	case state == string(probe.NAT):
		return state, &status.Remedy{Action: "find who masquerades: on this node underlayd check says so, beyond it it is a router's", Key: "natExemption", Value: "true", Doc: probeDoc + "nat"}
	case state == string(probe.MTU):
		return state, &status.Remedy{Action: "have the way carry what the links do, or say what it carries; pods learn it from the kernel", Key: "kernel.mtu", Doc: probeDoc + "mtu"}
	case state == string(probe.Loss):
		return state, &status.Remedy{Action: "see which nodes, and whether a link or queue on the way is overloaded", Command: "underlayd status -o json", Doc: probeDoc + "loss"}
	}
	return "", &status.Remedy{Action: "see what the probe needs", Command: "underlayd status", Doc: probeDoc + "what-it-needs"}
}

// wayBackRemedy is what to do where nodes of a cluster have no route back; nil if that is not it.
func wayBackRemedy(s *status.Snapshot, cluster string) *status.Remedy {
	if s.Probes == nil {
		return nil
	}
	out := &status.Remedy{Doc: probeDoc + "no-route-back"}
	there := "on a node of cluster " + cluster + ", "
	for i := range s.Probes.Results {
		p := &s.Probes.Results[i]
		if p.Cluster != cluster {
			continue
		}
		switch noWayBack(p) {
		case probe.BackNoContract.String():
			out.Action, out.Key = there+"have its contract for us cover our pod CIDRs", "clusters["+s.Cluster.Name+"].podCIDRs, there"
		case probe.BackRefused.String():
			out.Action, out.Command = there+"see why it refuses what we announce", "underlayd routes --refused"
		case probe.BackAbsent.String():
			out.Action, out.Command = "find where what we announce gets lost on the way to cluster "+cluster+": a session that is down, or a policy of the fabric", "underlayd routes --advertised"
		case probe.BackPending.String():
			out.Action, out.Command = there+"see why its kernel does not have the route to us", "underlayd status"
		default:
			continue
		}
		return out
	}
	return nil
}

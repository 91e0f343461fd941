package main

import (
	"fmt"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/ipam"
	"github.com/underlayd/underlayd/status"
)

// keyOf is the key of the configuration that refuses a path.
func (a *account) keyOf(p status.Path) string {
	cluster, peer := "clusters[]", "bgp.peers["+p.Peer+"]"
	if a.remote != nil {
		cluster = "clusters[" + a.remote.Name + "]"
	}
	switch ipam.Reason(p.Verdict) {
	case ipam.NoContract, ipam.CoversContract:
		return cluster + ".podCIDRs"
	case ipam.PeerNotAllowed:
		return peer + ".clusters"
	case ipam.OtherNetwork:
		return cluster + ".network"
	case ipam.PrefixLength:
		return cluster + ".prefixLength"
	case ipam.OwnClusterID:
		return "cluster.id"
	case ipam.ClusterMismatch:
		return cluster + ".id"
	case ipam.NoClusterID:
		return cluster + ".requireID"
	case ipam.TooManyPrefixes:
		return cluster + ".maxPrefixes"
	case ipam.NextHopFamily:
		return peer + ".extendedNextHop"
	case ipam.NextHopNotOnLink, ipam.NextHopUnresolved:
		return "kernel.resolve"
	case ipam.Community:
		return peer + ".require"
	case ipam.ASLoop:
		return peer + ".allowOwnAS"
	case ipam.ClusterLoop:
		return "bgp.reflector.clusterID"
	case ipam.OwnPrefix:
		return "cluster.podCIDRs"
	case ipam.Reserved:
		return "cluster.reserved"
	default:
		return ""
	}
}

// verdictRemedy is what to do so that a refused prefix is accepted: here, or where it comes from.
func (a *account) verdictRemedy(r *status.Route) *status.Remedy {
	p := status.Path{Peer: "NAME", Verdict: r.Verdict}
	for _, x := range r.Paths {
		if !x.Accepted && (r.Accepted || x.Verdict == r.Verdict) {
			p = x
			break
		}
	}
	if p.Verdict == "" {
		return &status.Remedy{Action: "look at who announced it", Command: "underlayd routes " + r.Prefix.String(), Doc: troubleshooting + "nobody-announces-it"}
	}
	if q, ok := a.peer(p.Peer); ok && p.NextHop == q.Address && (p.Verdict == string(ipam.NextHopNotOnLink) || p.Verdict == string(ipam.NextHopUnresolved)) {
		return &status.Remedy{
			Action:  fmt.Sprintf("the next hop is peer %s itself, and no link of this node leads to it: bring the link up, or give it its address", p.Peer),
			Command: "ip route get " + p.NextHop.String(), Doc: troubleshooting + "the-next-hop",
		}
	}
	out := &status.Remedy{Key: a.keyOf(p), Doc: "docs/operations.md#wrong-routes"}
	if p.Verdict == string(ipam.TooManyPrefixes) || r.Verdict == string(ipam.TooManyPrefixes) {
		out.Key = a.keyOf(status.Path{Peer: p.Peer, Verdict: string(ipam.TooManyPrefixes)})
	}
	out.Action, out.Value = a.correction(r, p)
	return out
}

// correction is what to do about a verdict, and the value that the key should have, if there is one.
func (a *account) correction(r *status.Route, p status.Path) (action, value string) {
	name := a.out.Cluster
	switch ipam.Reason(p.Verdict) {
	case ipam.CoversContract:
		return fmt.Sprintf("have %s announce the ranges of cluster %s and nothing wider, or widen its contract", p.Peer, r.Cluster), ""
	case ipam.NoContract:
		return "widen the contract of the cluster whose pods these are", ""
	case ipam.PeerNotAllowed:
		if q, ok := a.peer(p.Peer); ok {
			return fmt.Sprintf("let peer %s announce cluster %s, if it should", p.Peer, name), fmt.Sprint(append(append([]string{}, q.Clusters...), name))
		}
	case ipam.OtherNetwork:
		return "say in which network the cluster is, and learn it from where it is reached: directly, or through gateways (bgp.peers[].network)", ""
	case ipam.PrefixLength:
		return fmt.Sprintf("allow the length %d, if cluster %s has such pod CIDRs", r.Prefix.Bits(), name), a.lengths(r)
	case ipam.OwnClusterID:
		return "two clusters have one id: give the other one an id of its own (its cluster.id, and its contracts everywhere)", ""
	case ipam.ClusterMismatch:
		return fmt.Sprintf("the contract of %s and what its nodes say of themselves (cluster.id there) differ: correct the one that is wrong", name), fmt.Sprint(p.ClusterIDs)
	case ipam.NoClusterID:
		return "have the routers between keep large communities (FRR: neighbor … send-community all), or do not require the id", "false"
	case ipam.NotForUs:
		return fmt.Sprintf("in the configuration of cluster %s, select these pods for us: clusters[%s].advertise", name, a.config.Cluster.Name), ""
	case ipam.TooManyPrefixes:
		return fmt.Sprintf("find out why cluster %s has so many prefixes, or allow more", name), a.morePrefixes()
	case ipam.NextHopFamily:
		return "agree with the peer on IPv6 next hops for IPv4 prefixes (RFC 8950), or have it send IPv4 ones", "true"
	case ipam.NextHopNotOnLink, ipam.NextHopUnresolved:
		return fmt.Sprintf("have %s send a next hop on a link of ours (next-hop-self), or have the next hop resolved, if the routers on the way know these pods", p.Peer), "routes"
	case ipam.NextHopOurs, ipam.NextHopInPodRange, ipam.NextHopInvalid:
		return fmt.Sprintf("have %s send a next hop that leads to the pods (next-hop-self)", p.Peer), ""
	case ipam.Community:
		return fmt.Sprintf("have %s set the community that is required, or not the one that is refused (require, refuse)", p.Peer), ""
	case ipam.ASLoop:
		return "our own AS number is in the path: allow it, if the clusters share an AS number", "1"
	case ipam.ClusterLoop:
		return "give each reflector a CLUSTER_ID of its own", ""
	case ipam.Overlap:
		return "two origins announce this prefix: have the one that does not own it stop; underlayd names both", ""
	case ipam.Blackhole:
		return fmt.Sprintf("have whoever sets the community 65535:666 stop that; %s passes it on", p.Peer), ""
	}
	return "correct what the sentence names, where it comes from", ""
}

func (a *account) lengths(r *status.Route) string {
	if a.remote == nil {
		return ""
	}
	family, l := "ipv6", a.remote.PrefixLength.IPv6
	if r.Prefix.Addr().Is4() {
		family, l = "ipv4", a.remote.PrefixLength.IPv4
	}
	return fmt.Sprintf("{%s: [%d, %d]}", family, min(l.Min, r.Prefix.Bits()), max(l.Max, r.Prefix.Bits()))
}

func (a *account) morePrefixes() string {
	if a.remote == nil {
		return ""
	}
	return fmt.Sprint(2 * max(a.remote.MaxPrefixes, 1))
}

// guardRemedy is what to do where nobody may announce the target at all.
func (a *account) guardRemedy(why ipam.Reason) *status.Remedy {
	if why == ipam.Reserved {
		return &status.Remedy{
			Action: "it is reserved for what is no pod of another cluster; take it out of the reserved ranges, if it is one all the same",
			Key:    "cluster.reserved", Value: texted(a.config.Cluster.Reserved), Doc: troubleshooting + "no-contract-covers-it",
		}
	}
	return &status.Remedy{Action: "such an address is never a pod of another cluster: ask for the address of a pod", Doc: troubleshooting + "no-contract-covers-it"}
}

// podKnown says whether a packet of a pod of this node can be asked for.
func (a *account) podKnown() bool { return a.source.IsValid() || len(a.own) > 0 }

// resolveWords say what the configuration does with next hops that are on no link.
func resolveWords(c *config.Config) string { return "kernel.resolve: " + string(c.Kernel.Resolve) }

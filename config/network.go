package config

import (
	"fmt"
	"slices"
)

// Clusters of one network reach each other's nodes directly. Those of different ones reach each other through gateways
// alone: nodes that have sessions with the gateways of another network, tell them our cluster's pod CIDRs as a whole, and
// carry the traffic. A cluster that moves is in two networks for a while, so that both ways are there.

// DefaultNetwork is the network of those who say nothing of networks.
const DefaultNetwork = "default"

// networksKey says which networks a cluster's nodes are in.
func networksKey(whose string) key {
	return key{name: "network", fallback: DefaultNetwork, filled: true, lone: true,
		doc: "the network, a DNS-1123 label, in which " + whose + " nodes are reached directly, or several; clusters without one in common exchange routes through gateways"}
}

// Direct says whether the nodes of a remote cluster are reached directly: it shares a network with us.
func (c *Config) Direct(remote RemoteCluster) bool {
	return Meet(c.Cluster.Networks, remote.Networks)
}

// Meet says whether two lists of networks have one in common.
func Meet(a, b []string) bool {
	return slices.ContainsFunc(a, func(n string) bool { return slices.Contains(b, n) })
}

// ThroughGateways says whether a remote cluster is reached through gateways: it is not in the very networks that we are in.
// During a move it may be reached directly, too.
func (c *Config) ThroughGateways(remote RemoteCluster) bool {
	return !slices.Equal(c.Cluster.Networks, remote.Networks)
}

// Border says whether a peer is a gateway of another network, with which only our gateways have sessions. While we are in
// two networks it may be one of these.
func (c *Config) Border(p Peer) bool {
	return p.Network != "" && (len(c.Cluster.Networks) != 1 || c.Cluster.Networks[0] != p.Network)
}

// reaches says whether a node has a session with a peer, as far as networks go: gateways alone have those across a border.
func (c *Config) reaches(p Peer) bool { return c.on == nil || c.Node.Gateway == True || !c.Border(p) }

// asGateway completes a peer of a gateway: what is learned of other networks is for the nodes inside.
func (c *Config) asGateway(p Peer) Peer {
	if c.on == nil || c.Node.Gateway != True || c.Border(p) || !c.BGP.Internal(p) {
		return p
	}
	p.PassOn = slices.Clone(p.PassOn)
	for _, remote := range c.Clusters {
		if c.ThroughGateways(remote) && !slices.Contains(p.PassOn, remote.Name) {
			p.PassOn = append(p.PassOn, remote.Name)
		}
	}
	slices.Sort(p.PassOn)
	return p
}

// beyond returns the names of the clusters that the gateways of a network speak for.
func (c *Config) beyond(network string) []string {
	var names []string
	for _, remote := range c.Clusters {
		if remote.Name != "" && c.ThroughGateways(remote) && slices.Contains(remote.Networks, network) {
			names = append(names, remote.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// borders checks what is said of gateways of other networks.
func (r relations) borders() {
	far := make(map[string]bool, len(r.Clusters))
	for _, remote := range r.Clusters {
		far[remote.Name] = r.ThroughGateways(remote)
	}
	for i, p := range r.BGP.Peers {
		if !r.Border(p) {
			continue
		}
		path := peerPath(i, "network")
		if len(p.Clusters) == 0 {
			r.fail(path, p.Network, "no declared cluster is reached through it: give clusters[].network of those that are"+r.otherNetworks(p.Network))
		}
		if r.BGP.ASN != 0 && r.BGP.Internal(p) {
			r.fail(path, p.Network, fmt.Sprintf("is for eBGP: a gateway of another network is of another AS, and the peer's asn is ours, %d", r.BGP.ASN))
		}
		for j, name := range p.Clusters {
			if reached, declared := far[name]; declared && !reached {
				r.fail(element(peerPath(i, "clusters"), j), name, "is of our own network, and learned without gateways")
			}
		}
		if slices.Contains(p.PassOn, r.Cluster.Name) {
			r.fail(peerPath(i, "passOn"), r.Cluster.Name, "is this cluster itself, whose pod CIDRs a gateway of another network gets as a whole; leave it out")
		}
		if p.NextHop == NextHopUnchanged {
			r.fail(peerPath(i, "nextHop"), string(p.NextHop), "can't be: what a gateway of another network gets comes through ours")
		}
	}
}

// otherNetworks names the networks of the declared clusters.
func (r relations) otherNetworks(misspelt string) string {
	var names []string
	for _, remote := range r.Clusters {
		if r.ThroughGateways(remote) {
			names = append(names, remote.Networks...)
		}
	}
	slices.Sort(names)
	return didYouMean(misspelt, slices.Compact(names))
}

package ipam

import (
	"slices"
	"strings"
)

// meet says whether two lists of networks have one in common: their nodes reach each other directly. Those who say nothing of
// networks are in one.
func meet(a, b []string) bool {
	return len(a) == 0 && len(b) == 0 || slices.ContainsFunc(a, func(n string) bool { return slices.Contains(b, n) })
}

// comesBy says whether a path of a cluster came by the way that the cluster is reached. A gateway of another network speaks
// for clusters that are reached through gateways; within our own network such routes come from our own gateways, inside our
// AS or with their mark, and anything else is taken for what a node says of itself.
func (c *Contract) comesBy(claim Claim, from *peer) bool {
	if from.border {
		return c.gateways
	}
	return c.direct || from.internal || claim.OurGateway
}

// otherNetwork is the verdict on a path that did not.
func (p *Plan) otherNetwork(c Claim, contract *Contract, from *peer) Verdict {
	if from.border {
		return refuse(OtherNetwork, contract.Cluster, "%s of cluster %s comes from %s, a gateway of another network, but the cluster is in ours (%s): its routes come directly",
			c.Prefix, contract.Cluster, c.Peer, strings.Join(p.network, ", "))
	}
	return refuse(OtherNetwork, contract.Cluster, "%s of cluster %s comes from peer %s, but the cluster is in another network (%s; ours: %s): its routes come through our gateways",
		c.Prefix, contract.Cluster, c.Peer, strings.Join(contract.Networks, ", "), strings.Join(p.network, ", "))
}

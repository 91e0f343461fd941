package lint

import (
	"fmt"
	"maps"
	"slices"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/config/mesh"
)

// networks checks that all agree about which clusters are in one network, and that there are gateways where they are not.
func (c *checker) networks() {
	for _, n := range c.Nodes {
		for i, r := range n.Config.Clusters {
			if remote := c.cluster(r.Name); remote != nil {
				c.networkDiffers(n, i, remote)
			}
		}
	}
	for _, s := range c.sessions {
		c.acrossNetworks(s)
	}
	for _, of := range c.clusters {
		c.gateways(of)
	}
}

// networkDiffers checks that a contract says of a cluster's networks what the cluster says.
func (c *checker) networkDiffers(n *mesh.Node, i int, remote *cluster) {
	said, is := n.Config.Clusters[i].Networks, remote.says().Networks
	if slices.Equal(said, is) {
		return
	}
	f := Finding{
		Code: "NetworkDiffers", Severity: Error,
		Message: fmt.Sprintf("cluster %s is in network %s, and cluster %s takes it for one in %s", remote.name, list(is), n.Config.Cluster.Name, list(said)),
		Places:  both(at(n, fmt.Sprintf("clusters[%d].network", i), list(said)), at(remote.nodes[0], "cluster.network", list(is))),
		Fix:     "write the same in both places",
	}
	if len(said) > 1 || len(is) > 1 {
		f.Severity = Warning // a step of a move
		f.Fix += ", once the move is over"
	}
	c.add(n.Config.Cluster.Name+" "+remote.name, f)
}

// acrossNetworks checks a session between nodes of two clusters that are not in one network: both sides have to take it for
// one between gateways.
func (c *checker) acrossNetworks(s mesh.Session) {
	if s.To == nil || s.From.Config.Cluster.Name == s.To.Config.Cluster.Name {
		return
	}
	p, here, there := s.Peer(), s.From.Config.Cluster.Networks, s.To.Config.Cluster.Networks
	border := s.From.Config.Border(p)
	returned := s.Back >= 0 && s.To.Config.Border(s.BackPeer())
	about := fmt.Sprint(min(c.rank[s.From], c.rank[s.To]), max(c.rank[s.From], c.rank[s.To]))
	switch {
	case border && !slices.Contains(there, p.Network):
		c.add(about, Finding{
			Code: "PeerNetwork", Severity: Error,
			Message: fmt.Sprintf("node %s takes node %s for a gateway of network %s, which is in %s", s.From.Name, s.To.Name, p.Network, list(there)),
			Places:  both(peerAt(s.From, s.Index, "network", p.Network), at(s.To, "cluster.network", list(there))),
			Fix:     "write network: " + there[0],
		})
	case border && s.Back >= 0 && !returned:
		c.add(about, Finding{
			Code: "BorderOneSided", Severity: Error,
			Message: fmt.Sprintf("node %s takes node %s for a gateway of another network, and not the other way round: one announces its cluster, the other one itself", s.From.Name, s.To.Name),
			Places:  both(peerAt(s.From, s.Index, "network", p.Network), peerAt(s.To, s.Back, "name", s.BackPeer().Name)),
			Fix:     fmt.Sprintf("write network: %s for peer %s of node %s", here[0], s.BackPeer().Name, s.To.Name),
		})
	case !border && !returned && !config.Meet(here, there):
		c.add(about, Finding{
			Code: "NetworksDoNotMeet", Severity: Error,
			Message: fmt.Sprintf("node %s is in network %s and node %s in %s: what they say of themselves is refused", s.From.Name, list(here), s.To.Name, list(there)),
			Places:  both(peerAt(s.From, s.Index, "name", p.Name), at(s.To, "cluster.network", list(there))),
			Fix:     fmt.Sprintf("write network: %s for the peer, and have both nodes be gateways; or write one network for both clusters", there[0]),
		})
	}
}

// shared says whether a file of the cluster is that of many nodes, of which some may be gateways.
func (of *cluster) shared() bool {
	return slices.ContainsFunc(of.nodes, func(n *mesh.Node) bool { return n.Shared })
}

// gateways checks that a cluster has gateways towards those that it reaches through some, and not just one.
func (c *checker) gateways(of *cluster) {
	known := map[string]*mesh.Node{} // nodes with peers in a network, the first of each
	number := map[string]int{}
	for _, n := range of.nodes {
		seen := map[string]bool{}
		for _, p := range n.Config.BGP.Peers {
			if n.Config.Border(p) && !seen[p.Network] {
				seen[p.Network] = true
				number[p.Network]++
				known[p.Network] = n
			}
		}
	}
	for _, network := range slices.Sorted(maps.Keys(number)) {
		if number[network] > 1 || of.shared() {
			continue
		}
		n := known[network]
		c.add(of.name+" "+network, Finding{
			Code: "GatewayAlone", Severity: Warning,
			Message: fmt.Sprintf("node %s is the only gateway of cluster %s to network %s: what it carries is lost with it", n.Name, of.name, network),
			Places:  []Place{at(n, "node.gateway", n.Config.Node.Gateway)},
			Fix:     "make a second node a gateway, with peers in that network",
		})
	}
}

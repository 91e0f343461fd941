package lint

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/underlayd/underlayd/config/mesh"
)

// claim is what a node says of a cluster: of its own, or in a contract.
type claim struct {
	node     *mesh.Node
	own      bool
	name     string
	id       uint32
	namePath string
	idPath   string
}

// claims lists what is said of all clusters, first by themselves.
func (c *checker) claims() []claim {
	var own, others []claim
	for _, n := range c.Nodes {
		own = append(own, claim{n, true, n.Config.Cluster.Name, n.Config.Cluster.ID, "cluster.name", "cluster.id"})
		for i, r := range n.Config.Clusters {
			path := fmt.Sprintf("clusters[%d]", i)
			others = append(others, claim{n, false, r.Name, r.ID, path + ".name", path + ".id"})
		}
	}
	return append(own, others...)
}

// identities checks what must be unique in the mesh.
func (c *checker) identities() {
	byName, byID := map[string]claim{}, map[uint32]claim{}
	for _, said := range c.claims() {
		first, known := byName[said.name]
		if !known {
			byName[said.name] = said
		} else if first.id != said.id {
			c.clusterID(first, said)
			continue
		}
		other, taken := byID[said.id]
		if !taken {
			byID[said.id] = said
		} else if other.name != said.name {
			c.add(fmt.Sprint(other.name, said.name), Finding{
				Code: "ClusterIDTwice", Severity: Error,
				Message: fmt.Sprintf("clusters %s and %s have the same id, %d: paths of one are taken for the other's", other.name, said.name, said.id),
				Places:  both(at(other.node, other.idPath, other.id), at(said.node, said.idPath, said.id)),
				Fix:     "give one of the clusters another id, in its own files and in every contract with it; if it is one cluster, one name",
			})
		}
	}
	c.nodeNames()
	c.routerIDs()
}

func (c *checker) clusterID(first, said claim) {
	f := Finding{
		Code: "ClusterID", Severity: Error,
		Message: fmt.Sprintf("cluster %s has id %d here and %d there", said.name, first.id, said.id),
		Places:  both(at(first.node, first.idPath, first.id), at(said.node, said.idPath, said.id)),
		Fix:     fmt.Sprintf("write %d in both, or two names if these are two clusters", first.id),
	}
	c.add(fmt.Sprint(first.name, said.own, said.id), f)
}

func (c *checker) nodeNames() {
	for _, cluster := range c.clusters {
		seen := map[string]*mesh.Node{}
		for _, n := range cluster.nodes {
			other, again := seen[n.Name]
			if !again {
				seen[n.Name] = n
				continue
			}
			if n.Shared || other.Shared {
				continue // names of files, not of nodes
			}
			c.add(cluster.name+n.Name, Finding{
				Code: "NodeNameTwice", Severity: Error,
				Message: fmt.Sprintf("two nodes of cluster %s are called %s", cluster.name, n.Name),
				Places:  both(at(other, "node.name", other.Name), at(n, "node.name", n.Name)),
				Fix:     "give each node a name of its own; leave node.name out where the hostname will do",
			})
		}
	}
}

// routerIDs checks the BGP identifiers that are said. Those that the daemon chooses are not known here.
func (c *checker) routerIDs() {
	seen := map[netip.Addr]*mesh.Node{}
	for _, n := range c.Nodes {
		id := n.Config.BGP.RouterID
		if !id.IsValid() {
			continue
		}
		other, taken := seen[id]
		if !taken {
			seen[id] = n
			continue
		}
		f := Finding{
			Code: "RouterIDTwice", Severity: Error,
			Message: fmt.Sprintf("nodes %s and %s have the same router id, %s: within an AS no session between them comes up, "+
				"and paths of one are dropped as the other's own (RFC 6286)", other.Name, n.Name, id),
			Places: both(at(other, "bgp.routerID", id), at(n, "bgp.routerID", id)),
			Fix:    "give each its own, or leave it to the daemon: auto",
		}
		if a, b := other.Config.BGP.ASN, n.Config.BGP.ASN; a != b {
			f.Severity = Warning
			f.Message = fmt.Sprintf("nodes %s (AS %d) and %s (AS %d) have the same router id, %s: allowed between two ASes (RFC 6286), "+
				"but not every speaker knows that", other.Name, a, n.Name, b, id)
		}
		c.add(id.String()+strconv.Itoa(c.rank[n]), f)
	}
}

// ranges checks that no address is two clusters' or two nodes'.
func (c *checker) ranges() {
	for i, a := range c.clusters {
		c.alike(a)
		for _, b := range c.clusters[i+1:] {
			c.clusterRanges(a, b)
			c.reserved(a, b)
			c.reserved(b, a)
		}
	}
	c.nodeRanges()
}

// alike checks that the nodes of a cluster agree what it is.
func (c *checker) alike(a *cluster) {
	first := a.nodes[0]
	for _, n := range a.nodes[1:] {
		if here, there := first.Config.Cluster.PodCIDRs, n.Config.Cluster.PodCIDRs; !slices.Equal(here, there) {
			c.add(a.name+fmt.Sprint(there), Finding{
				Code: "ClusterDiffers", Severity: Warning,
				Message: fmt.Sprintf("nodes of cluster %s have different pod CIDRs for it: %s and %s", a.name, list(here), list(there)),
				Places:  both(at(first, "cluster.podCIDRs", list(here)), at(n, "cluster.podCIDRs", list(there))),
				Fix:     "give all nodes of a cluster the same cluster.podCIDRs",
			})
		}
	}
}

func (c *checker) clusterRanges(a, b *cluster) {
	if a.says().ID == b.says().ID {
		return // one cluster with two names, as likely: that is a finding already
	}
	f := Finding{Code: "PodCIDRsOverlap", Severity: Error, Fix: "give one of the clusters another range"}
	if !a.declares(b.name) && !b.declares(a.name) {
		f.Severity = Warning
		f.Fix = "leave it if the two shall never reach each other, nor a third one both; else give one of them another range"
	}
	for _, p := range a.says().PodCIDRs {
		for _, q := range b.says().PodCIDRs {
			if p.Overlaps(q) {
				f.Message = fmt.Sprintf("pods of cluster %s are in %s, those of cluster %s in %s", a.name, p, b.name, q)
				f.Places = both(at(a.nodes[0], "cluster.podCIDRs", p), at(b.nodes[0], "cluster.podCIDRs", q))
				c.add(f.Message, f)
			}
		}
	}
}

// reserved checks that a does not keep free what b's pods have.
func (c *checker) reserved(a, b *cluster) {
	for _, p := range a.says().Reserved {
		for _, q := range b.says().PodCIDRs {
			if !p.Overlaps(q) || a.says().ID == b.says().ID {
				continue
			}
			severity := Error
			if !a.declares(b.name) {
				severity = Warning
			}
			c.add(a.name+p.String()+q.String(), Finding{
				Code: "PodCIDRsReserved", Severity: severity,
				Message: fmt.Sprintf("pods of cluster %s are in %s, of which cluster %s accepts nothing: %s is reserved there", b.name, q, a.name, p),
				Places:  both(at(b.nodes[0], "cluster.podCIDRs", q), at(a.nodes[0], "cluster.reserved", p)),
				Fix:     fmt.Sprintf("reserve less in %s, or move the pods of %s", a.name, b.name),
			})
		}
	}
}

func (a *cluster) declares(name string) bool {
	return slices.ContainsFunc(a.nodes, func(n *mesh.Node) bool { return contract(n, name) >= 0 })
}

// contract is the index of a node's contract with a cluster; -1: it has none.
func contract(n *mesh.Node, name string) int {
	for i, r := range n.Config.Clusters {
		if r.Name == name {
			return i
		}
	}
	return -1
}

func (c *checker) nodeRanges() {
	for i, a := range c.Nodes {
		for _, b := range c.Nodes[i+1:] {
			if a.Config.Cluster.Name != b.Config.Cluster.Name {
				continue // of two clusters: PodCIDRsOverlap
			}
			for _, p := range a.Config.Node.PodCIDRs {
				for _, q := range b.Config.Node.PodCIDRs {
					if p.Overlaps(q) {
						c.add(fmt.Sprint(p, q, c.rank[a], c.rank[b]), Finding{
							Code: "NodeCIDRsOverlap", Severity: Error,
							Message: fmt.Sprintf("pods of node %s are in %s, those of node %s in %s", a.Name, p, b.Name, q),
							Places:  both(at(a, "node.podCIDRs", p), at(b, "node.podCIDRs", q)),
							Fix:     "give each node a range of its own",
						})
					}
				}
			}
		}
	}
}

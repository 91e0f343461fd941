package lint

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/config/mesh"
)

// contracts checks what nodes let in against what the clusters are.
func (c *checker) contracts() {
	for _, n := range c.Nodes {
		for i, r := range n.Config.Clusters {
			path := fmt.Sprintf("clusters[%d]", i)
			remote := c.cluster(r.Name)
			if remote == nil {
				c.unknown("cluster %s, with which %s has a contract: no file is of it", r.Name, n.Config.Cluster.Name)
				continue
			}
			c.missing(n, path, remote)
			c.covers(n, path, r, remote)
			c.wide(n, path, r, remote)
			c.lengths(n, path, r, remote)
			c.number(n, path, r, remote)
		}
	}
}

// missing checks that the other cluster lets our pods in: without that nothing comes back.
func (c *checker) missing(n *mesh.Node, path string, remote *cluster) {
	name := n.Config.Cluster.Name
	if remote.declares(name) {
		return
	}
	c.add(name+" "+remote.name, Finding{
		Code: "ContractOneSided", Severity: Warning,
		Message: fmt.Sprintf("cluster %s learns the pods of cluster %s, but %s has no contract with %s: its pods can't answer", name, remote.name, remote.name, name),
		Places:  both(at(n, path+".name", remote.name), at(remote.nodes[0], "clusters", "")),
		Fix:     fmt.Sprintf("declare %s in clusters of %s; leave it if the way back is another one", name, remote.name),
	})
}

// covers checks that what the cluster has lies in what the contract lets in.
func (c *checker) covers(n *mesh.Node, path string, r config.RemoteCluster, remote *cluster) {
	for _, p := range remote.says().PodCIDRs {
		inside, touched, family := false, false, false
		for _, allowed := range r.PodCIDRs {
			inside = inside || allowed.Overlaps(p) && allowed.Bits() <= p.Bits()
			touched = touched || allowed.Overlaps(p)
			family = family || allowed.Addr().Is4() == p.Addr().Is4()
		}
		f := Finding{
			Code: "ContractRanges", Severity: Error,
			Places: both(at(n, path+".podCIDRs", list(r.PodCIDRs)), at(remote.nodes[0], "cluster.podCIDRs", p)),
			Fix:    fmt.Sprintf("write %s in the contract", p),
		}
		switch {
		case inside:
			continue
		case touched:
			f.Severity = Warning
			f.Message = fmt.Sprintf("cluster %s lets in only a part of what cluster %s has: of %s only %s", n.Config.Cluster.Name, remote.name, p, within(r.PodCIDRs, p))
			f.Fix += "; leave it if only that part is wanted"
		case !family:
			f.Severity = Warning
			f.Message = fmt.Sprintf("cluster %s lets in nothing of %s of cluster %s: the contract has no range of that family", n.Config.Cluster.Name, p, remote.name)
			f.Fix += "; leave it if that family is not wanted"
		default:
			f.Message = fmt.Sprintf("cluster %s refuses %s of cluster %s: the contract has %s", n.Config.Cluster.Name, p, remote.name, list(r.PodCIDRs))
		}
		c.add(f.Message, f)
	}
}

func within(ranges []netip.Prefix, p netip.Prefix) string {
	return list(slices.DeleteFunc(slices.Clone(ranges), func(r netip.Prefix) bool { return !r.Overlaps(p) }))
}

// wide checks that the contract lets in no more than the cluster has.
func (c *checker) wide(n *mesh.Node, path string, r config.RemoteCluster, remote *cluster) {
	for _, allowed := range r.PodCIDRs {
		inside, touched := false, false
		for _, p := range remote.says().PodCIDRs {
			inside = inside || p.Overlaps(allowed) && p.Bits() <= allowed.Bits()
			touched = touched || p.Overlaps(allowed)
		}
		if inside || !touched && c.refusedAltogether(r, remote) {
			continue // of two ranges that have nothing in common, covers speaks
		}
		c.add(n.Config.Cluster.Name+remote.name+allowed.String(), Finding{
			Code: "ContractWide", Severity: Warning,
			Message: fmt.Sprintf("cluster %s lets cluster %s announce %s, which has only %s", n.Config.Cluster.Name, remote.name, allowed, list(remote.says().PodCIDRs)),
			Places:  both(at(n, path+".podCIDRs", allowed), at(remote.nodes[0], "cluster.podCIDRs", list(remote.says().PodCIDRs))),
			Fix:     "write in the contract what the cluster has: what is wider lets in what is not its own",
		})
	}
}

func (c *checker) refusedAltogether(r config.RemoteCluster, remote *cluster) bool {
	return slices.ContainsFunc(remote.says().PodCIDRs, func(p netip.Prefix) bool {
		return !slices.ContainsFunc(r.PodCIDRs, func(allowed netip.Prefix) bool { return allowed.Overlaps(p) })
	})
}

// lengths checks the pod CIDRs of the cluster's nodes against the lengths of the contract.
func (c *checker) lengths(n *mesh.Node, path string, r config.RemoteCluster, remote *cluster) {
	for _, far := range remote.nodes {
		for _, p := range far.Config.Node.PodCIDRs {
			allowed, key := r.PrefixLength.IPv4, path+".prefixLength.ipv4"
			if p.Addr().Is6() {
				allowed, key = r.PrefixLength.IPv6, path+".prefixLength.ipv6"
			}
			if p.Bits() >= allowed.Min && p.Bits() <= allowed.Max {
				continue
			}
			c.add(fmt.Sprint(n.Config.Cluster.Name, remote.name, p.Addr().Is4(), p.Bits()), Finding{
				Code: "ContractLengths", Severity: Error,
				Message: fmt.Sprintf("cluster %s refuses %s of node %s: the contract lets in /%d to /%d", n.Config.Cluster.Name, p, far.Name, allowed.Min, allowed.Max),
				Places:  both(at(n, key, fmt.Sprintf("[%d, %d]", allowed.Min, allowed.Max)), at(far, "node.podCIDRs", p)),
				Fix:     fmt.Sprintf("write [%d, %d]", min(allowed.Min, p.Bits()), max(allowed.Max, p.Bits())),
			})
		}
	}
}

// number checks how many prefixes the cluster has against how many are let in.
func (c *checker) number(n *mesh.Node, path string, r config.RemoteCluster, remote *cluster) {
	count := 0
	for _, far := range remote.nodes {
		count += len(far.Config.Node.PodCIDRs)
	}
	if count <= r.MaxPrefixes {
		return
	}
	c.add(n.Config.Cluster.Name+remote.name, Finding{
		Code: "ContractMaxPrefixes", Severity: Error,
		Message: fmt.Sprintf("the nodes of cluster %s have %d pod CIDRs, and cluster %s lets in %d", remote.name, count, n.Config.Cluster.Name, r.MaxPrefixes),
		Places:  []Place{at(n, path+".maxPrefixes", r.MaxPrefixes)},
		Fix:     fmt.Sprintf("write %d or more: twice what there is leaves room", count),
	})
}

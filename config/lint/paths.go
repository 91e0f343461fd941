package lint

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/config/mesh"
)

// addresses checks that the addresses a node is to use are its own.
func (c *checker) addresses(n *mesh.Node) {
	if !n.Complete {
		return
	}
	stranger := func(a netip.Addr) bool {
		return a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !n.Has(a)
	}
	wrong := func(path string, a netip.Addr) {
		c.add(n.File+path, Finding{
			Code: "AddressNotHere", Severity: Error,
			Message: fmt.Sprintf("node %s does not have the address %s", n.Name, a),
			Places:  []Place{at(n, path, a)},
			Fix:     fmt.Sprintf("write one of its own: %s", list(n.Addresses)),
		})
	}
	for _, a := range n.Config.BGP.ListenAddresses {
		if stranger(a) {
			wrong("bgp.listenAddresses", a)
		}
	}
	for i, p := range n.Config.BGP.Peers {
		if stranger(p.LocalAddress) {
			wrong(fmt.Sprintf("bgp.peers[%d].localAddress", i), p.LocalAddress)
		}
	}
}

// distance checks that a peer which packets must not be routed to is on a link of the node.
func (c *checker) distance(s mesh.Session) {
	n, p := s.From, s.Peer()
	if !n.Complete || n.Reaches || s.To == n || !p.Address.IsValid() || p.Address.IsLinkLocalUnicast() || p.Address.IsLoopback() {
		return
	}
	subnets := slices.ContainsFunc(n.Addresses, func(a netip.Prefix) bool {
		return a.Addr().Is4() == p.Address.Is4() && a.Bits() < a.Addr().BitLen()
	})
	near := p.Hops == 1 || ttl(n.Config.BGP, p) == 1
	if !subnets || !near || n.OnLink(p.Address) {
		return
	}
	c.add(fmt.Sprint(c.rank[n], s.Index), Finding{
		Code: "PeerNotOnLink", Severity: Error,
		Message: fmt.Sprintf("peer %s of node %s is on none of its links, and hops is %d: packets that were routed are dropped", p.Name, n.Name, p.Hops),
		Places:  []Place{peerAt(n, s.Index, "address", p.Address)},
		Fix:     "write hops: N, N being how many hops it is away, on both sides; or multihop; or its address on the link",
	})
}

// paths checks that what a node may learn can come to it at all.
func (c *checker) paths() {
	byNode := map[*mesh.Node][]mesh.Session{}
	for _, s := range c.sessions {
		byNode[s.From] = append(byNode[s.From], s)
	}
	reached := map[string]map[*mesh.Node]bool{}
	for _, n := range c.Nodes {
		for i, r := range n.Config.Clusters {
			if reached[r.Name] == nil {
				reached[r.Name] = c.reached(r.Name)
			}
			var ways []mesh.Session
			for _, s := range byNode[n] {
				if brings(s, r.Name, reached[r.Name]) {
					ways = append(ways, s)
				}
			}
			if len(ways) == 0 {
				c.noPath(n, i, r.Name)
				continue
			}
			c.familyCarried(n, i, ways)
			c.looped(n, i, ways)
		}
	}
}

// reached tells the nodes that routes of a cluster come to, through others too: it asks until no node is added.
func (c *checker) reached(cluster string) map[*mesh.Node]bool {
	has := map[*mesh.Node]bool{}
	for more := true; more; {
		more = false
		for _, s := range c.sessions {
			if !has[s.From] && contract(s.From, cluster) >= 0 && brings(s, cluster, has) {
				has[s.From], more = true, true
			}
		}
	}
	return has
}

// brings says whether a session can bring routes of a cluster: its peer may be asked for them, and has them or is one
// that nothing is known of.
func brings(s mesh.Session, cluster string, reached map[*mesh.Node]bool) bool {
	if p := s.Peer(); len(p.Clusters) > 0 && !slices.Contains(p.Clusters, cluster) {
		return false
	}
	if s.To == nil || s.Back < 0 {
		return true // of a session that only one side knows of, PeerOneSided speaks
	}
	if s.To.Config.Cluster.Name == cluster {
		return s.From.Config.Border(s.Peer()) || config.Meet(s.From.Config.Cluster.Networks, s.To.Config.Cluster.Networks)
	}
	return reached[s.To] && passesOn(s.BackPeer(), cluster)
}

// passesOn says whether a peer gets what was learned of a cluster.
func passesOn(p config.Peer, cluster string) bool { return slices.Contains(p.PassOn, cluster) }

func (c *checker) noPath(n *mesh.Node, i int, name string) {
	f := Finding{
		Code: "NoPath", Severity: Error,
		Message: fmt.Sprintf("node %s has a contract with cluster %s, but none of its %d peers can bring routes of it", n.Name, name, len(n.Config.BGP.Peers)),
		Places:  both(at(n, fmt.Sprintf("clusters[%d].name", i), name), at(n, "bgp.peers", "")),
		Fix:     fmt.Sprintf("add a peer that does: a router of the fabric, or a node of %s; and look at the clusters of the peers there are", name),
	}
	c.add(n.File+name, f)
}

// familyCarried checks that what both clusters have pods in is carried to the node.
func (c *checker) familyCarried(n *mesh.Node, i int, ways []mesh.Session) {
	r := n.Config.Clusters[i]
	for _, f := range []config.Family{config.IPv4, config.IPv6} {
		in := func(p netip.Prefix) bool { return p.Addr().Is4() == (f == config.IPv4) }
		if !slices.ContainsFunc(n.Config.Cluster.PodCIDRs, in) || !slices.ContainsFunc(r.PodCIDRs, in) {
			continue
		}
		if slices.ContainsFunc(ways, func(s mesh.Session) bool { return slices.Contains(s.Peer().Families, f) }) {
			continue
		}
		c.add(fmt.Sprint(n.File, r.Name, f), Finding{
			Code: "FamilyNotCarried", Severity: Warning,
			Message: fmt.Sprintf("node %s learns no %s of cluster %s, though both have pods in it: none of its peers carries it", n.Name, f, r.Name),
			Places: both(at(n, fmt.Sprintf("clusters[%d].podCIDRs", i), list(r.PodCIDRs)),
				peerAt(n, ways[0].Index, "families", list(ways[0].Peer().Families))),
			Fix: fmt.Sprintf("add %s to the families of a peer, or take it out of the contract", f),
		})
	}
}

// looped checks that paths from a cluster with our own AS number are not taken for our own (RFC 4271, section 9.1.2): on
// their way through another AS they carry it.
func (c *checker) looped(n *mesh.Node, i int, ways []mesh.Session) {
	remote := c.cluster(n.Config.Clusters[i].Name)
	if remote == nil {
		return
	}
	for _, far := range remote.nodes {
		if far.Config.BGP.ASN != n.Config.BGP.ASN {
			continue
		}
		for _, s := range ways {
			if n.Config.BGP.Internal(s.Peer()) || s.To == far || s.Peer().AllowOwnAS > 0 || s.Back >= 0 && s.BackPeer().ASOverride {
				continue
			}
			c.add(min(n.Config.Cluster.Name, remote.name)+" "+max(n.Config.Cluster.Name, remote.name), Finding{
				Code: "ASNTwice", Severity: Warning,
				Message: fmt.Sprintf("clusters %s and %s have the same AS number, %d: what goes from one to the other through AS %d is refused as a loop",
					n.Config.Cluster.Name, remote.name, far.Config.BGP.ASN, s.Peer().ASN),
				Places: both(at(n, "bgp.asn", n.Config.BGP.ASN), at(far, "bgp.asn", far.Config.BGP.ASN)),
				Fix:    "give each cluster an AS number of its own; or write allowOwnAS: 1 for the peers; or have the fabric replace it (as-override)",
			})
			return
		}
	}
}

package config

import (
	"cmp"
	"net/netip"
	"slices"
)

// derive fills in the defaults that depend on other keys.
func (r *reader) derive(c *Config, o Overrides) {
	if c.Node.Name == "" && !r.failed["node.name"] {
		r.deriveNodeName(c, o)
	}
	for i := range c.BGP.Peers {
		r.derivePeer(c, &c.BGP.Peers[i], element("bgp.peers", i))
	}
	nodes := c.BGP.nodeDefaults()
	r.derivePeer(c, &nodes, "bgp.nodePeers.defaults")
	c.BGP.NodePeers.Defaults.Hops, c.BGP.NodePeers.Defaults.PassOn = nodes.Hops, nodes.PassOn
	c.BGP.NodePeers.Defaults.PasswordSecret = nodes.PasswordSecret
	for i := range c.Clusters {
		remote := &c.Clusters[i]
		if path := clusterPath(i, "prefixLength.ipv4"); !r.given(path) {
			remote.PrefixLength.IPv4 = fit(Lengths{16, 28}, remote.PodCIDRs, netip.Addr.Is4)
		}
		if path := clusterPath(i, "prefixLength.ipv6"); !r.given(path) {
			remote.PrefixLength.IPv6 = fit(Lengths{48, 124}, remote.PodCIDRs, netip.Addr.Is6)
		}
	}
}

// clusterNames returns the names of the remote clusters, sorted as lists are.
func clusterNames(c *Config) []string {
	var names []string
	for _, remote := range c.Clusters {
		if remote.Name != "" && !slices.Contains(names, remote.Name) {
			names = append(names, remote.Name)
		}
	}
	slices.Sort(names)
	return names
}

// derivePeer completes one peer, whose keys were given below a path.
func (r *reader) derivePeer(c *Config, p *Peer, path string) {
	if !r.given(join(path, "hops")) && p.Multihop == 0 && !c.BGP.Internal(*p) && !p.Address.IsLoopback() {
		// An eBGP peer is on-link unless said otherwise, and GTSM then costs nothing. Nothing from outside ever comes to a
		// loopback address.
		p.Hops = 1
	}
	if !r.given(join(path, "clusters")) && c.Border(*p) {
		p.Clusters = c.beyond(p.Network)
	}
	if p.PasswordSecret.Name != "" && !r.given(join(path, "passwordSecret.key")) {
		p.PasswordSecret.Key = defaultSecretKey
	}
	if !r.given(join(path, "passOn")) && p.Client {
		p.PassOn = clusterNames(c) // what a client of a reflector is there for
	}
}

func (r *reader) deriveNodeName(c *Config, o Overrides) {
	const path = "node.name"
	name, origin, err := o.nodeName()
	r.places[path] = place{source: origin}
	if err != nil {
		r.fail(path, "", "is required, and the hostname can't be told: "+err.Error())
		return
	}
	c.Node.Name = readScalar(r, path, plain(name), subdomain())
}

// fit narrows the default lengths to what a contract's own ranges allow at all, and widens them as far as
// its longest range needs.
func fit(l Lengths, ranges []netip.Prefix, family func(netip.Addr) bool) Lengths {
	shortest, longest, any := bounds(ranges, family)
	if !any {
		return l
	}
	return Lengths{Min: max(l.Min, shortest), Max: max(l.Max, longest)}
}

// bounds returns the least and the greatest length of the ranges of a family.
func bounds(ranges []netip.Prefix, family func(netip.Addr) bool) (shortest, longest int, any bool) {
	for _, p := range ranges {
		if !p.IsValid() || !family(p.Addr()) {
			continue
		}
		if !any || p.Bits() < shortest {
			shortest = p.Bits()
		}
		longest, any = max(longest, p.Bits()), true
	}
	return shortest, longest, any
}

// canonical gives lists whose order means nothing an order, so that equal configurations are equal values.
func (c *Config) canonical() {
	sortPrefixes(c.Cluster.PodCIDRs)
	sortPrefixes(c.Cluster.Reserved)
	slices.Sort(c.Cluster.Networks)
	sortPrefixes(c.Node.PodCIDRs)
	slices.Sort(c.Node.Labels)
	slices.Sort(c.Kubernetes.NodeAnnotations)
	slices.SortFunc(c.BGP.ListenAddresses, netip.Addr.Compare)
	sortWithin(c.BGP.Peers)
	sortWithin([]Peer{c.BGP.NodePeers.Defaults})
	for _, remote := range c.Clusters {
		sortPrefixes(remote.PodCIDRs)
		slices.Sort(remote.Networks)
		slices.SortFunc(remote.Advertise, netip.Prefix.Compare)
	}
}

func sortPrefixes(all []netip.Prefix) { slices.SortFunc(all, comparePrefixes) }

// comparePrefixes orders by address, and a range before those within it.
func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

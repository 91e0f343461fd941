package main

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/config"
)

// A gateway tells other networks of its cluster as a whole, and has the kernel discard what comes for pods that are not
// there. Inside, it tells of what it learned of them, as reached through itself; a node that is no gateway has no peers there.

// wholes are the ranges of our cluster that a gateway of another network is told of: what is for one of the clusters behind
// it, as far as the peer may have it. Other peers get none.
func wholes(c *config.Config, p config.Peer) []netip.Prefix {
	if c.Node.Gateway != config.True || !c.Border(p) {
		return nil
	}
	var all []netip.Prefix
	for _, remote := range c.Clusters {
		if !c.ThroughGateways(remote) || !slices.Contains(p.Clusters, remote.Name) {
			continue
		}
		for _, whole := range ranges(remote.Advertise, c.Cluster.PodCIDRs) {
			for _, part := range ranges(p.Advertise, []netip.Prefix{whole}) {
				if part.Overlaps(whole) { // the one that lies in the other
					all = append(all, slices.MaxFunc([]netip.Prefix{part, whole}, byLength))
				}
			}
		}
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	return slices.Compact(all)
}

func byLength(a, b netip.Prefix) int { return cmp.Compare(a.Bits(), b.Bits()) }

// ranges are those that a selection of own prefixes names; all stands for the given ones.
func ranges(selection, all []netip.Prefix) []netip.Prefix {
	if slices.ContainsFunc(selection, func(p netip.Prefix) bool { return !p.IsValid() }) {
		return all
	}
	return selection
}

// aggregates are the ranges of our cluster that this node, as a gateway, tells other networks of, with the clusters they are
// for: nothing is said where that is every cluster which is reached through gateways.
func aggregates(c *config.Config) []bgp.Announcement {
	var prefixes []netip.Prefix
	for _, p := range c.BGP.Peers {
		prefixes = append(prefixes, wholes(c, p)...)
	}
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	var all []bgp.Announcement
	for _, whole := range slices.Compact(prefixes) {
		var ids []uint32
		far := 0
		for _, remote := range c.Clusters {
			if !c.ThroughGateways(remote) {
				continue
			}
			far++
			if config.Selects(remote.Advertise, whole) {
				ids = append(ids, remote.ID)
			}
		}
		slices.Sort(ids)
		if len(ids) == far {
			ids = nil
		}
		all = append(all, bgp.Announcement{Prefix: whole, For: ids})
	}
	return all
}

// together are the announcements of a node and of a gateway, whose prefixes may be the same where one node has all pods: it
// is then for those whom either is for.
func together(own, whole []bgp.Announcement) []bgp.Announcement {
	all := slices.Clone(own)
	for _, a := range whole {
		i := slices.IndexFunc(own, func(b bgp.Announcement) bool { return b.Prefix == a.Prefix })
		switch {
		case i < 0:
			all = append(all, a)
		case len(own[i].For) == 0 || len(a.For) == 0:
			all[i].For = nil
		default:
			all[i].For = slices.Compact(slices.Sorted(slices.Values(slices.Concat(own[i].For, a.For))))
		}
	}
	return all
}

func announcedPrefixes(all []bgp.Announcement) []netip.Prefix {
	out := make([]netip.Prefix, len(all))
	for i := range all {
		out[i] = all[i].Prefix
	}
	return out
}

// asGateway completes the peers by what gateways of other networks get, and the others don't: the aggregates that are
// advertised, or are about to be, but for those that are a node's own prefix, too.
func asGateway(c *config.Config, advertised, own []netip.Prefix, peers []bgp.Peer) []bgp.Peer {
	var hidden []bgp.Range
	for _, whole := range slices.Concat(announcedPrefixes(aggregates(c)), advertised) {
		if exact := exactly(whole); !slices.Contains(own, whole) && !slices.Contains(hidden, exact) {
			hidden = append(hidden, exact)
		}
	}
	for i, p := range c.BGP.Peers { // the same ones
		if !c.Border(p) {
			peers[i].Withhold = hidden
			continue
		}
		peers[i].Restricted, peers[i].Advertise = true, nil
		for _, whole := range wholes(c, p) {
			peers[i].Advertise = append(peers[i].Advertise, exactly(whole))
		}
	}
	return peers
}

func exactly(p netip.Prefix) bgp.Range { return bgp.Range{Prefix: p, Min: p.Bits(), Max: p.Bits()} }

// passThrough says of what is passed on to a peer whether it leads through this node as a gateway: routes of other networks
// do, and so does all that goes to one. Inside, it carries our mark.
func passThrough(c *config.Config, p config.Peer, cluster string, passage *bgp.Passage) {
	if c.Node.Gateway != config.True {
		return
	}
	border := c.Border(p)
	far := slices.ContainsFunc(c.Clusters, func(r config.RemoteCluster) bool { return r.Name == cluster && c.ThroughGateways(r) })
	passage.Through = border || far
	if far && !border {
		passage.Communities = []string{bgp.GatewayMark(c.BGP.ASN, c.Cluster.ID)}
	}
}

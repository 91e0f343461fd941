package main

import (
	"net/netip"
	"slices"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/ipam"
)

// announcements says of own prefixes whom they are for: nothing if they are for every declared cluster. What is for none of
// them is left out.
func announcements(c *config.Config, prefixes []netip.Prefix) []bgp.Announcement {
	var all []bgp.Announcement
	for _, prefix := range prefixes {
		var ids []uint32
		for _, remote := range c.Clusters {
			if config.Selects(remote.Advertise, prefix) {
				ids = append(ids, remote.ID)
			}
		}
		slices.Sort(ids)
		switch {
		case len(ids) == len(c.Clusters):
			all = append(all, bgp.Announcement{Prefix: prefix})
		case len(ids) > 0:
			all = append(all, bgp.Announcement{Prefix: prefix, For: ids})
		}
	}
	return all
}

// selectFor says to the speaker what a peer gets of our own prefixes, with which communities, which ones its paths have to
// carry, and what they count.
func selectFor(c *config.Config, p config.Peer, peer *bgp.Peer) {
	if !slices.ContainsFunc(p.Advertise, func(prefix netip.Prefix) bool { return !prefix.IsValid() }) {
		peer.Restricted = true
		for _, prefix := range p.Advertise {
			peer.Advertise = append(peer.Advertise, bgp.Range{Prefix: prefix, Min: prefix.Bits(), Max: prefix.Addr().BitLen()})
		}
	}
	peer.LocalPref = uint32(c.LocalPref(p))
	peer.Communities, peer.Require, peer.Refuse = texts(p.Communities), texts(p.Require), texts(p.Refuse)
}

func texts(communities []config.Community) []string {
	var out []string
	for _, c := range communities {
		out = append(out, string(c))
	}
	return out
}

// conditional says whether the paths of a peer have to meet conditions on communities.
func (a *agent) conditional(peer string) bool {
	return slices.ContainsFunc(a.config.BGP.Peers, func(p config.Peer) bool {
		return p.Name == peer && len(p.Require)+len(p.Refuse) > 0
	})
}

// keptOut is the verdict on a path that does not meet them.
func (v *view) keptOut(prefix netip.Prefix, p *bgp.Path) ipam.Verdict {
	return v.plan.KeptOut(ipam.Claim{Prefix: prefix, Peer: v.names[p.Peer]})
}

package main

import (
	"net/netip"
	"slices"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/ipam"
	"github.com/underlayd/underlayd/status"
)

// passOn says to the speaker what a peer gets of what others announced, and as what.
func passOn(c *config.Config, plan *ipam.Plan, p config.Peer, peer *bgp.Peer) {
	peer.Client = p.Client
	if p.Client && slices.Contains(p.PassOn, c.Cluster.Name) {
		// It gets what our clients said, so that it is a reflector like us: what it says of them is second best.
		peer.Detour = speakerRanges(plan.PoolRanges())
	}
	peer.PassNextHop = map[config.NextHopMode]bgp.NextHopMode{
		config.NextHopSelf: bgp.NextHopSelf, config.NextHopUnchanged: bgp.NextHopUnchanged,
	}[p.NextHop]
	peer.For = audience(c, p)
	for _, name := range p.PassOn {
		ranges, id, requireID := plan.Passage(name)
		passage := bgp.Passage{Ranges: speakerRanges(ranges), ClusterID: id, RequireID: requireID, Internal: name == c.Cluster.Name}
		passThrough(c, p, name, &passage)
		peer.PassOn = append(peer.PassOn, passage)
	}
}

// audience are the ids of the clusters that a peer stands for; none if that is not known, or if it is a reflector of our own
// cluster like us: that one has others to pass it on to.
func audience(c *config.Config, p config.Peer) []uint32 {
	var ids []uint32
	for _, remote := range c.Clusters {
		if slices.Contains(p.Clusters, remote.Name) {
			ids = append(ids, remote.ID)
		}
	}
	switch internal := c.BGP.Internal(p); {
	case internal && slices.Contains(p.PassOn, c.Cluster.Name):
		return nil
	case p.Client, internal && len(ids) > 0:
		return append(ids, c.Cluster.ID)
	default:
		return ids
	}
}

func speakerRanges(ranges []ipam.Range) []bgp.Range {
	var out []bgp.Range
	for _, r := range ranges {
		out = append(out, bgp.Range{Prefix: r.Prefix, Min: r.Min, Max: r.Max})
	}
	return out
}

// asReflector completes the peers by what is known once the speaker runs: the CLUSTER_ID of our clients. A node that has
// withdrawn its own prefixes, because it leaves, passes on nothing either.
func asReflector(c *config.Config, routerID netip.Addr, silent bool, peers []bgp.Peer) []bgp.Peer {
	for i := range peers {
		if peers[i].Client {
			peers[i].Reflector = routerID
			if c.BGP.Reflector.ClusterID.IsValid() {
				peers[i].Reflector = c.BGP.Reflector.ClusterID
			}
		}
		if silent {
			peers[i].PassOn = nil
		}
	}
	return peers
}

// passedOn says of a decision that the prefix is our own cluster's and learned to be passed on alone.
func (d decision) passedOn() bool { return d.verdict.Reason == ipam.PassedOn }

// relate says of a session whether the peer is our client, of which clusters it gets what we learned, and whose routes it may
// announce.
func (a *agent) relate(s *status.Session) {
	for _, p := range a.config.BGP.Peers {
		if p.Name == s.Peer {
			s.Client, s.PassOn, s.Clusters = p.Client, p.PassOn, p.Clusters
			return
		}
	}
}

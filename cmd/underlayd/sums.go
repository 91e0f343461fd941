package main

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/status"
)

// sums are what is counted of the routes of a snapshot when somebody asks, at the cost of what changed since somebody did
// so last.
type sums struct{ digest status.Digest[*chunkSums] }

// chunkSums are those of one piece of the table.
type chunkSums struct {
	routable map[string][]netip.Prefix // by cluster: aggregated, in order
	sessions map[netip.Addr]*familySums
}

// familySums are prefixes of a peer, IPv4 and IPv6.
type familySums struct{ accepted, installed [2]int }

func sumChunk(rows []status.Row) *chunkSums {
	c := &chunkSums{routable: map[string][]netip.Prefix{}, sessions: map[netip.Addr]*familySums{}}
	for _, row := range rows {
		r := recordOf(row)
		if r == nil {
			continue // refused by the speaker
		}
		if cluster, ok := r.routable(); ok {
			c.routable[cluster] = aggregate(c.routable[cluster], r.prefix)
		}
		c.countHops(r)
	}
	for cluster, prefixes := range c.routable {
		c.routable[cluster] = slices.Clip(prefixes)
	}
	return c
}

// countHops counts a prefix for each peer that it is accepted from, and as installed where the kernel has a next hop of its.
func (c *chunkSums) countHops(r *record) {
	if r.way == nil || !r.verdict.Accepted {
		return
	}
	family := 0
	if r.prefix.Addr().Is6() {
		family = 1
	}
	for _, h := range r.way.usable {
		x := c.sessions[h.peer]
		if x == nil {
			x = &familySums{}
			c.sessions[h.peer] = x
		}
		x.accepted[family]++
		if r.status() == fib.Installed && slices.Contains(r.kernel.NextHops, h.address) {
			x.installed[family]++
		}
	}
}

// aggregate adds a prefix to a list that stays the smallest one that covers the same addresses. Prefixes come in the order
// of netip.Prefix.Compare, so that one that covers others comes before them.
func aggregate(list []netip.Prefix, p netip.Prefix) []netip.Prefix {
	if n := len(list); n > 0 && list[n-1].Bits() <= p.Bits() && list[n-1].Contains(p.Addr()) {
		return list
	}
	list = append(list, p)
	for n := len(list); n > 1; n = len(list) {
		whole := netip.PrefixFrom(list[n-2].Addr(), list[n-2].Bits()-1)
		if list[n-2].Bits() != list[n-1].Bits() || list[n-2].Bits() == 0 || whole.Masked() != whole || !whole.Contains(list[n-1].Addr()) {
			break
		}
		list = append(list[:n-2], whole)
	}
	return list
}

// withRoutable returns the clusters of a snapshot with what can be reached of each now, aggregated.
func (s *sums) withRoutable(of *status.Snapshot) []status.RemoteCluster {
	routable := map[string][]netip.Prefix{}
	for _, part := range s.digest.Of(of.Table, sumChunk) {
		for cluster, prefixes := range part.routable {
			list := routable[cluster]
			for _, p := range prefixes {
				list = aggregate(list, p)
			}
			routable[cluster] = list
		}
	}
	out := slices.Clone(of.Clusters)
	for i := range out {
		out[i].Routable = routable[out[i].Name]
	}
	return out
}

// withFamilies returns the sessions of a snapshot with how many prefixes of each family are accepted from them, and how many
// are in the kernel with a next hop of theirs.
func (s *sums) withFamilies(of *status.Snapshot) []status.Session {
	total := map[netip.Addr]*familySums{}
	for _, part := range s.digest.Of(of.Table, sumChunk) {
		for peer, x := range part.sessions {
			sum := total[peer]
			if sum == nil {
				sum = &familySums{}
				total[peer] = sum
			}
			for family := range sum.accepted {
				sum.accepted[family] += x.accepted[family]
				sum.installed[family] += x.installed[family]
			}
		}
	}
	out := slices.Clone(of.Sessions)
	for i := range out {
		x := total[out[i].Address]
		if x == nil || out[i].Prefixes == nil {
			continue
		}
		out[i].Prefixes = maps.Clone(out[i].Prefixes)
		for at, family := range []config.Family{config.IPv4, config.IPv6} {
			if c, ok := out[i].Prefixes[string(family)]; ok {
				c.Accepted, c.Installed = x.accepted[at], x.installed[at]
				out[i].Prefixes[string(family)] = c
			}
		}
	}
	return out
}

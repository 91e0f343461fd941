package main

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"

	"github.com/sirupsen/logrus"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/ipam"
)

// speakerConfig says to the speaker what the configuration says of it.
func speakerConfig(c *config.Config, routerID netip.Addr, restarting bool, log logrus.FieldLogger) bgp.Config {
	return bgp.Config{
		ASN: c.BGP.ASN, RouterID: routerID, Port: c.BGP.Port, ListenAddresses: c.BGP.ListenAddresses,
		ClusterID: c.Cluster.ID, Restarting: restarting,
		Socket: gobgpSocket(c.Runtime.Directory),
		Log:    log.WithField("component", "bgp"),
	}
}

// kernelConfig says to the kernel table what the configuration says of it.
func kernelConfig(c *config.Config, log logrus.FieldLogger) fib.Config {
	return fib.Config{
		Table: c.Kernel.Table, Protocol: c.Kernel.Protocol, Metric: c.Kernel.Metric, MaxNextHops: c.Kernel.MaxNextHops,
		Resolve: fib.Resolve(c.Kernel.Resolve), MTU: c.Kernel.MTU, Rule: c.Kernel.Rule,
		Source4: c.Kernel.Source.IPv4, Source6: c.Kernel.Source.IPv6,
		Log: log.WithField("component", "fib"),
	}
}

// newPlan makes the plan of a configuration and of what the node is at present.
func newPlan(c *config.Config, facts fib.Facts) *ipam.Plan {
	plan := ipam.Config{
		Cluster: c.Cluster.Name, ID: c.Cluster.ID, ASN: c.BGP.ASN, Networks: c.Cluster.Networks,
		PodCIDRs: c.Cluster.PodCIDRs, Reserved: c.Cluster.Reserved,
		Peers: make(map[string]ipam.Peer, len(c.BGP.Peers)),
	}
	for _, p := range c.BGP.Peers {
		plan.Peers[p.Name] = ipam.Peer{
			Address: p.Address, Clusters: p.Clusters, ExtendedNextHop: p.Address.Is6() && p.ExtendedNextHop != config.False,
			Client: p.Client, Border: c.Border(p), Internal: c.BGP.Internal(p),
		}
	}
	for _, r := range c.Clusters {
		plan.Contracts = append(plan.Contracts, ipam.Contract{
			Cluster: r.Name, ID: r.ID, Networks: r.Networks, Prefixes: r.PodCIDRs, MaxPrefixes: r.MaxPrefixes, RequireID: r.RequireID,
			IPv4: ipam.Lengths(r.PrefixLength.IPv4), IPv6: ipam.Lengths(r.PrefixLength.IPv6),
		})
	}
	known := ipam.Facts{Connected: facts.Connected}
	for _, a := range facts.Addresses {
		known.Addresses = append(known.Addresses, a.Addr())
	}
	return ipam.New(plan, known)
}

// locator finds our addresses on the link towards a peer.
type locator func(peer netip.Addr) (link string, v4, v6 netip.Addr, err error)

// speakerPeers says to the speaker what the configuration says of the peers, with what the plan lets each of
// them send and our addresses towards them.
func speakerPeers(c *config.Config, plan *ipam.Plan, locate locator, keys map[string]password) []bgp.Peer {
	peers := make([]bgp.Peer, 0, len(c.BGP.Peers))
	for _, p := range c.BGP.Peers {
		hold, _ := c.BGP.Timers(p)
		peer := bgp.Peer{Transport: bgp.Transport{
			Name: p.Name, Address: p.Address, ASN: p.ASN, Port: p.Port, LocalAddress: p.LocalAddress,
			Passive: p.Passive, Hops: p.Hops, Multihop: p.Multihop, HoldTime: hold,
			ASOverride: p.ASOverride, RemovePrivateAS: privateAS(p.RemovePrivateAS),
			GracefulRestart: bgp.GracefulRestart{
				Enabled: c.BGP.GracefulRestart.Enabled, RestartTime: c.BGP.GracefulRestart.RestartTime,
			},
			IPv4: slices.Contains(p.Families, config.IPv4), IPv6: slices.Contains(p.Families, config.IPv6),
			AddPaths: p.AddPaths,
		}, ConnectRetry: c.BGP.ConnectRetry, Deferral: c.BGP.GracefulRestart.Deferral}
		peer.MaxPrefixes = c.PrefixLimit(p)
		if id := passwordID(p); id != "" {
			key := keys[id]
			peer.Password = key.key
			if key.key.IsZero() {
				peer.Refused = cmp.Or(key.problem, "password: not read")
			}
		}
		peer.Import, peer.Marked = speakerRanges(plan.Imports(p.Name)), speakerRanges(plan.ImportsMarked(p.Name))
		selectFor(c, p, &peer)
		passOn(c, plan, p, &peer)
		if _, v4, v6, err := locate(p.Address); err == nil {
			peer.NextHop4, peer.NextHop6 = v4, v6
		}
		peer.ExtendedNextHop = extendedNextHop(p, peer.NextHop4)
		peers = append(peers, peer)
	}
	return peers
}

// extendedNextHop says whether our IPv4 prefixes go to a peer with an IPv6 next hop (RFC 8950). Left to us, they do where
// the session has no address that was configured, and where there is no IPv4 address that the peer could use.
func extendedNextHop(p config.Peer, v4 netip.Addr) bool {
	switch {
	case !p.Address.Is6():
		return false
	case p.ExtendedNextHop == config.Auto:
		return p.Address.IsLinkLocalUnicast() || !v4.IsValid()
	default:
		return p.ExtendedNextHop == config.True
	}
}

func privateAS(p config.PrivateAS) bgp.PrivateAS {
	switch p {
	case config.RemovePrivateAS:
		return bgp.RemovePrivateAS
	case config.ReplacePrivateAS:
		return bgp.ReplacePrivateAS
	default:
		return bgp.KeepPrivateAS
	}
}

// chooseRouterID picks the BGP Identifier: the configured one, our IPv4 address towards the first peer that has
// one, any IPv4 address of the node, or a hash of cluster and node that stays the same on IPv6-only nodes. It is that
// hash beside a speaker on this node, too: the node's address is the other's identifier already, as a rule, and within
// one AS no two may have the same (RFC 6286, section 2.1).
func chooseRouterID(c *config.Config, facts fib.Facts, locate locator) (netip.Addr, string) {
	if c.BGP.RouterID.IsValid() {
		return c.BGP.RouterID, c.SaidBy("bgp.routerID")
	}
	for _, p := range c.BGP.Peers {
		if onThisNode(p.Address, facts) {
			return hashedID(c), fmt.Sprintf("a hash of cluster and node, since peer %s is on this node", p.Name)
		}
	}
	for _, p := range c.BGP.Peers {
		if _, v4, _, err := locate(p.Address); err == nil && v4.IsValid() {
			return v4, fmt.Sprintf("our address towards peer %s", p.Name)
		}
	}
	for _, a := range facts.Addresses {
		if a.Addr().Is4() && !a.Addr().IsLoopback() {
			return a.Addr(), "the node's first IPv4 address"
		}
	}
	return hashedID(c), "a hash of cluster and node, for want of an IPv4 address"
}

func hashedID(c *config.Config) netip.Addr {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s/%s", c.Cluster.Name, c.Node.Name)
	sum := max(h.Sum32(), 1) // 0.0.0.0 is no identifier (RFC 6286, section 2.1)
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
}

package config

import (
	"net/netip"
	"slices"
	"time"
)

// peerChoice are the keys that say where a peer is; it needs one of them.
func peerChoice() []string { return []string{"address", "interface"} }

func peerKeys() []field[Peer] {
	keys := []field[Peer]{
		scalar(key{name: "name", required: true, doc: "the peer's name, a DNS-1123 label"},
			label(), func(p *Peer) *string { return &p.Name }),
		scalar(key{name: "address", shown: "required unless there is an interface", effect: ResetsPeer,
			doc: "the peer's IP address"},
			hostAddress().orAbsent(), func(p *Peer) *netip.Addr { return &p.Address }),
		scalar(key{name: "interface", shown: "required unless there is an address", effect: ResetsPeer,
			doc: "instead of an address: the link whose one neighbour is the peer, found by its IPv6 link-local address (unnumbered)"},
			interfaceName().orAbsent(), func(p *Peer) *string { return &p.Interface }),
		scalar(key{name: "asn", required: true, effect: ResetsPeer,
			doc: "the peer's AS number; bgp.asn makes the session iBGP"},
			asn(), func(p *Peer) *uint32 { return &p.ASN }),
		scalar(key{name: "port", fallback: "179", effect: ResetsPeer,
			doc: "the TCP port connected to"},
			number[int](1, 65535), func(p *Peer) *int { return &p.Port }),
		scalar(key{name: "localAddress", shown: "chosen by the kernel", effect: ResetsPeer,
			doc: "our address of the session"},
			hostAddress().orAbsent(), func(p *Peer) *netip.Addr { return &p.LocalAddress }),
		scalar(key{name: "passive", fallback: "false", effect: ResetsPeer,
			doc: "wait for the peer to connect"},
			boolean(), func(p *Peer) *bool { return &p.Passive }),
		scalar(key{name: "nodeSelector", shown: "every node",
			doc: "the label selector of the nodes that have this peer, as kubectl get -l takes it"},
			selector(), func(p *Peer) *string { return &p.NodeSelector }),
	}
	return slices.Concat(keys, peerRouteKeys(), peerSessionKeys())
}

// peerRouteKeys say what is learned from a peer and what it gets.
func peerRouteKeys() []field[Peer] {
	return []field[Peer]{
		list(key{name: "clusters", shown: "every one declared; with network: those in it",
			doc: "the remote clusters that may be learned from this peer"},
			text[string]("name"), func(p *Peer) *[]string { return &p.Clusters }),
		scalar(key{name: "network", shown: "ours",
			doc: "the network, another one than ours, that the peer is a gateway of: only gateways have a session with it, and it gets our cluster's pod CIDRs as a whole"},
			label().or(""), func(p *Peer) *string { return &p.Network }),
		scalar(key{name: "client", fallback: "false", effect: ResetsPeer,
			doc: "iBGP: the peer is our route reflector client (RFC 4456)"},
			boolean(), func(p *Peer) *bool { return &p.Client }),
		scalar(key{name: "region", doc: "the region the peer is in, see bgp.preference"},
			label().or(""), func(p *Peer) *string { return &p.Region }),
		scalar(key{name: "zone", doc: "the zone the peer is in"},
			label().or(""), func(p *Peer) *string { return &p.Zone }),
		list(key{name: "passOn", shown: "none; for a client: every one declared",
			doc: "the clusters whose learned routes are advertised to this peer too; this cluster's own name: those of our clients"},
			text[string]("name"), func(p *Peer) *[]string { return &p.PassOn }),
		scalar(key{name: "nextHop", fallback: string(NextHopAuto),
			doc: "the next hop of what is passed on to this peer; auto: unchanged, but self instead of a link-local one"},
			oneOf(NextHopAuto, NextHopSelf, NextHopUnchanged), func(p *Peer) *NextHopMode { return &p.NextHop }),
		list(key{name: "advertise", fallback: "all",
			doc: "which of our own prefixes this peer gets; [] for none"},
			podPrefix().or("all"), func(p *Peer) *[]netip.Prefix { return &p.Advertise }),
		list(key{name: "communities",
			doc: "communities added to all that this peer gets: 65000:100, 65000:1:2, no-export, …"},
			community(), func(p *Peer) *[]Community { return &p.Communities }),
		list(key{name: "require",
			doc: "communities of which a path of this peer must carry one"},
			community(), func(p *Peer) *[]Community { return &p.Require }),
		list(key{name: "refuse",
			doc: "communities of which a path of this peer may carry none"},
			community(), func(p *Peer) *[]Community { return &p.Refuse }),
	}
}

// peerSessionKeys say how the session is.
func peerSessionKeys() []field[Peer] {
	return []field[Peer]{
		scalar(key{name: "hops", shown: "1 for eBGP, 0 for iBGP, with multihop and on loopback", effect: ResetsPeer,
			doc: "GTSM (RFC 5082): accept packets from at most that many hops away, with TTL 256-hops or more; 0: off"},
			number[int](0, 254), func(p *Peer) *int { return &p.Hops }),
		scalar(key{name: "multihop", fallback: "0", effect: ResetsPeer,
			doc: "the TTL of an eBGP session to a peer that is not on-link, without GTSM; 0: on-link, or see hops"},
			multihop(), func(p *Peer) *int { return &p.Multihop }),
		scalar(key{name: "holdTime", shown: "bgp.holdTime", effect: ResetsPeer,
			doc: "the hold time of this session"},
			holdTime().orAbsent(), func(p *Peer) *time.Duration { return &p.HoldTime }),
		list(key{name: "families", fallback: "ipv4, ipv6", filled: true, effect: ResetsPeer,
			doc: "the address families the session carries"},
			oneOf(IPv4, IPv6), func(p *Peer) *[]Family { return &p.Families }),
		scalar(key{name: "extendedNextHop", fallback: "auto",
			doc: "whether IPv4 prefixes have IPv6 next hops (RFC 8950), on a session over IPv6; " +
				"auto: on a session with a link-local address, and where we have no IPv4 address on the link"},
			tristate(), func(p *Peer) *Tristate { return &p.ExtendedNextHop }),
		scalar(key{name: "allowOwnAS", fallback: "0",
			doc: "how often our AS number may be in a path of this peer: for clusters that share one"},
			number[int](0, 10), func(p *Peer) *int { return &p.AllowOwnAS }),
		scalar(key{name: "asOverride", fallback: "false", effect: ResetsPeer,
			doc: "replace the peer's AS number by ours in the paths that are passed on to it"},
			boolean(), func(p *Peer) *bool { return &p.ASOverride }),
		scalar(key{name: "removePrivateAS", fallback: "none", effect: ResetsPeer,
			doc: "what becomes of private AS numbers in the paths that are passed on to the peer: they stay, all go, or ours replaces each"},
			oneOf(KeepPrivateAS, RemovePrivateAS, ReplacePrivateAS), func(p *Peer) *PrivateAS { return &p.RemovePrivateAS }),
		scalar(key{name: "addPaths", fallback: "false", effect: ResetsPeer,
			doc: "take several paths for one prefix of it, as a route reflector has them, if it sends them (RFC 7911)"},
			boolean(), func(p *Peer) *bool { return &p.AddPaths }),
		scalar(key{name: "passwordFile", shown: "no password", effect: ResetsPeer,
			doc: "the absolute path of a file with the key of TCP MD5 signatures (RFC 2385), 1 to 80 bytes on one line; a change of the file resets the session"},
			file().orAbsent(), func(p *Peer) *string { return &p.PasswordFile }),
		section(key{name: "passwordSecret", doc: "instead of passwordFile: the Secret in Kubernetes that has the key of TCP MD5 signatures, in the namespace of the daemon's own Pod"},
			secretKeys(), func(p *Peer) *SecretKey { return &p.PasswordSecret }),
		scalar(key{name: "maxPrefixes", fallback: "auto",
			doc: "how many prefixes of one address family it may send, refused ones included, before the session is ended and parked; 0: any number; " +
				"auto: twice the maxPrefixes of the clusters it may announce, at least 10000"},
			prefixLimit(), func(p *Peer) *Limit { return &p.MaxPrefixes }),
		section(key{name: "bfd", doc: "Bidirectional Forwarding Detection (RFC 5880): a peer that packets do not reach is given up within milliseconds"}, bfdKeys(),
			func(p *Peer) *BFD { return &p.BFD }),
	}
}

func secretKeys() []field[SecretKey] {
	return []field[SecretKey]{
		scalar(key{name: "name", shown: "no password", effect: ResetsPeer,
			doc: "the name of the Secret; a change of what it holds resets the session"},
			subdomain().orAbsent(), func(s *SecretKey) *string { return &s.Name }),
		scalar(key{name: "key", shown: defaultSecretKey, effect: ResetsPeer,
			doc: "which of its keys"},
			secretKey().orAbsent(), func(s *SecretKey) *string { return &s.Key }),
	}
}

func preferenceKeys() []field[Preference] {
	weight := func() kind[int] { return number[int](2, 1<<32-1) } // 1 is what is about to go (RFC 8326)
	return []field[Preference]{
		scalar(key{name: "zone", fallback: "300", doc: "of a peer in our zone"},
			weight(), func(p *Preference) *int { return &p.Zone }),
		scalar(key{name: "region", fallback: "200", doc: "of another peer in our region"},
			weight(), func(p *Preference) *int { return &p.Region }),
		scalar(key{name: "other", fallback: "100", doc: "of a peer elsewhere"},
			weight(), func(p *Preference) *int { return &p.Other }),
		scalar(key{name: "hold", fallback: "5s",
			doc: "how long a path that counts more must have been there before it is used instead of one that works; 0s: at once"},
			seconds(0, time.Hour, ""), func(p *Preference) *time.Duration { return &p.Hold }),
	}
}

func reflectorKeys() []field[Reflector] {
	return []field[Reflector]{
		scalar(key{name: "clusterID", fallback: "auto", effect: ResetsPeer,
			doc: "the CLUSTER_ID (RFC 4456), written as an IPv4 address; auto: the router id"},
			routerID().or("auto"), func(r *Reflector) *netip.Addr { return &r.ClusterID }),
	}
}

func bfdKeys() []field[BFD] {
	return []field[BFD]{
		scalar(key{name: "interval", fallback: "0s",
			doc: "how often packets are to be sent, in both directions; the peer may ask for less; 0s: no BFD"},
			bfdInterval(), func(b *BFD) *time.Duration { return &b.Interval }),
		scalar(key{name: "multiplier", fallback: "3",
			doc: "how many of them in a row may get lost"},
			number[int](2, 255), func(b *BFD) *int { return &b.Multiplier }),
	}
}

// peerDefaultKeys are the keys of a peer that many peers may have in common. A change of them shows in the peers made of
// them, and has its effect there.
func peerDefaultKeys() []field[Peer] {
	var common []field[Peer]
	for _, f := range peerKeys() {
		if f.name == "name" || slices.Contains(peerChoice(), f.name) {
			continue
		}
		if f.name == "asn" {
			f = scalar(f.key, asn().orAbsent(), func(p *Peer) *uint32 { return &p.ASN })
		}
		f.required, f.effect = false, Live
		common = append(common, f)
	}
	return common
}

func nodePeersKeys() []field[NodePeers] {
	return []field[NodePeers]{
		scalar(key{name: "enabled", fallback: "false", effect: NeedsRestart,
			doc: "whether the other Nodes of this cluster are peers, as the Kubernetes API lists them"},
			boolean(), func(n *NodePeers) *bool { return &n.Enabled }),
		scalar(key{name: "selector", shown: "every Node",
			doc: "the label selector of those Nodes, as kubectl get -l takes it"},
			selector(), func(n *NodePeers) *string { return &n.Selector }),
		scalar(key{name: "hubs", shown: "none: every Node is a peer of every other",
			doc: "the label selector of the Nodes that are peers of all others, which are peers of these alone"},
			selector(), func(n *NodePeers) *string { return &n.Hubs }),
		scalar(key{name: "address", fallback: "ipv4",
			doc: "which InternalIP of a Node is the peer's address; a Node without one is no peer"},
			oneOf(IPv4, IPv6), func(n *NodePeers) *Family { return &n.Address }),
		template(key{name: "defaults", kind: "keys of bgp.peers", shown: "those of bgp.peers, and asn: bgp.asn",
			doc: "what these peers have in common: any key of bgp.peers but name and address"}, peerDefaultKeys(),
			func(n *NodePeers) *Peer { return &n.Defaults }),
	}
}

func brakeKeys() []field[Brake] {
	return []field[Brake]{
		scalar(key{name: "share", fallback: "50",
			doc: "percent of a cluster's routes; if lost sessions take more along, those without another path are kept"},
			number[int](0, 100), func(b *Brake) *int { return &b.Share }),
		scalar(key{name: "hold", fallback: "300s",
			doc: "how long after the loss they are kept; 0s for never"},
			seconds(0, 24*time.Hour, ""), func(b *Brake) *time.Duration { return &b.Hold }),
	}
}

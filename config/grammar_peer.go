package config

import (
	"net/netip"
	"slices"
	"time"
)

// peerChoice are the keys that say where a peer is; it needs one of them.
func peerChoice() []string { return []string{"address", "interface"} }

func peerKeys() []field[Peer] {
	return slices.Concat([]field[Peer]{
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
		list(key{name: "clusters", shown: "every one declared",
			doc: "the remote clusters that may be learned from this peer"},
			text[string]("name"), func(p *Peer) *[]string { return &p.Clusters }),
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
	}, peerPathKeys(), []field[Peer]{
		scalar(key{name: "passwordFile", shown: "no password", effect: ResetsPeer,
			doc: "the absolute path of a file with the key of TCP MD5 signatures (RFC 2385), 1 to 80 bytes on one line; a change of the file resets the session"},
			file().orAbsent(), func(p *Peer) *string { return &p.PasswordFile }),
		scalar(key{name: "maxPrefixes", fallback: "auto",
			doc: "how many prefixes of one address family it may send, refused ones included, before the session is ended and parked; 0: any number; " +
				"auto: twice the maxPrefixes of the clusters it may announce, at least 10000"},
			prefixLimit(), func(p *Peer) *Limit { return &p.MaxPrefixes }),
		section(key{name: "bfd", doc: "Bidirectional Forwarding Detection (RFC 5880): a peer that packets do not reach is given up within milliseconds"}, bfdKeys(),
			func(p *Peer) *BFD { return &p.BFD }),
	})
}

// peerPathKeys say what paths are exchanged with a peer.
func peerPathKeys() []field[Peer] {
	return []field[Peer]{
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
		scalar(key{name: "selector", shown: "every Node", effect: NeedsRestart,
			doc: "the label selector of those Nodes, as kubectl get -l takes it"},
			text[string]("selector"), func(n *NodePeers) *string { return &n.Selector }),
		scalar(key{name: "address", fallback: "ipv4",
			doc: "which InternalIP of a Node is the peer's address; a Node without one is no peer"},
			oneOf(IPv4, IPv6), func(n *NodePeers) *Family { return &n.Address }),
		template(key{name: "defaults", kind: "keys of bgp.peers", shown: "those of bgp.peers, and asn: bgp.asn",
			doc: "what these peers have in common: any key of bgp.peers but name and address"}, peerDefaultKeys(),
			func(n *NodePeers) *Peer { return &n.Defaults }),
	}
}

package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// passingOn checks what is said about passing on learned routes.
func (r relations) passingOn() {
	declared := clusterNames(r.Config)
	for i, p := range r.BGP.Peers {
		known := p.ASN != 0 && r.BGP.ASN != 0
		internal := known && r.BGP.Internal(p)
		if p.Client && known && !internal {
			r.fail(peerPath(i, "client"), "true", "is for iBGP (RFC 4456): the peer's asn is "+strconv.FormatUint(uint64(p.ASN), 10)+
				", ours is "+strconv.FormatUint(uint64(r.BGP.ASN), 10))
		}
		for j, name := range p.PassOn {
			path := element(peerPath(i, "passOn"), j)
			switch {
			case name == r.Cluster.Name && internal && !p.Client:
				r.fail(path, name, "is this cluster itself, whose routes go to eBGP peers and to clients: "+
					"another reflector of this cluster is a client too, and has its own bgp.reflector.clusterID")
			case name == r.Cluster.Name || slices.Contains(declared, name):
			default:
				r.fail(path, name, "is not declared in clusters"+didYouMean(name, declared))
			}
		}
		if p.NextHop == NextHopUnchanged && (p.Interface != "" || p.Address.IsLinkLocalUnicast()) {
			r.fail(peerPath(i, "nextHop"), string(p.NextHop), "can't be: the peer is addressed by its link, and shares none with the next hops of others; write self")
		}
	}
}

// peerSelections checks what is said about which of our own prefixes go to which peer, and with what.
func (r relations) peerSelections() {
	for i, p := range r.BGP.Peers {
		r.insidePool(peerPath(i, "advertise"), p.Advertise)
		for j, c := range p.Communities {
			if own := fmt.Sprintf("%d:", r.BGP.ASN); strings.HasPrefix(string(c), own+"1:") || strings.HasPrefix(string(c), own+"2:") || strings.HasPrefix(string(c), own+"3:") {
				r.fail(element(peerPath(i, "communities"), j), string(c), "is the daemon's own: "+own+"1, "+own+"2 and "+own+"3 say which cluster a prefix is of, which ones it is for, and whose gateways it leads through")
			}
		}
		for j, c := range p.Refuse {
			if slices.Contains(p.Require, c) {
				r.fail(element(peerPath(i, "refuse"), j), string(c), "is in require too: nothing of this peer could be accepted")
			}
		}
		for j, c := range p.Require {
			if c == wellKnown()["blackhole"] {
				r.fail(element(peerPath(i, "require"), j), string(c), "can't be: what carries it is refused (RFC 7999)")
			}
		}
	}
}

// selections checks which of our own prefixes are for which cluster.
func (r relations) selections() {
	for i, remote := range r.Clusters {
		r.insidePool(clusterPath(i, "advertise"), remote.Advertise)
	}
}

// insidePool reports the prefixes of a list that this cluster may not advertise.
func (r relations) insidePool(path string, list []netip.Prefix) {
	for i, p := range list {
		inside := slices.ContainsFunc(r.Cluster.PodCIDRs, func(pool netip.Prefix) bool {
			return pool.IsValid() && pool.Overlaps(p) && pool.Bits() <= p.Bits()
		})
		if p.IsValid() && !inside {
			r.fail(element(path, i), p.String(), "lies in none of cluster.podCIDRs, and only those may be advertised")
		}
	}
}

// preference checks that what is nearer counts at least as much.
func (r relations) preference() {
	p := r.BGP.Preference
	if p.Zone != 0 && p.Zone < p.Region {
		r.fail("bgp.preference.zone", strconv.Itoa(p.Zone), fmt.Sprintf("must be at least bgp.preference.region, %d: the same zone is nearer than the same region", p.Region))
	}
	if p.Region != 0 && p.Region < p.Other {
		r.fail("bgp.preference.region", strconv.Itoa(p.Region), fmt.Sprintf("must be at least bgp.preference.other, %d: the same region is nearer than any other", p.Other))
	}
}

// LocalPref returns the LOCAL_PREF of what a peer says; 0 for what it is by itself, if the place of the peer or ours is not
// known.
func (c *Config) LocalPref(p Peer) int {
	n, w := c.Node, c.BGP.Preference
	sameRegion := p.Region != "" && p.Region == n.Region
	switch {
	case p.Zone == "" && p.Region == "" || n.Zone == "" && n.Region == "":
		return 0
	case p.Zone != "" && p.Zone == n.Zone && (sameRegion || p.Region == "" || n.Region == ""):
		return w.Zone
	case sameRegion:
		return w.Region
	default:
		return w.Other
	}
}

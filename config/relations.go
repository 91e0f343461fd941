package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// report takes a rule that the value of a path breaks.
type report func(path, value, rule string)

// relations checks the rules between keys. Values that could not be read are zero and take no part.
type relations struct {
	*Config
	fail report
	pods []claim // every range that pods have
}

func checkRelations(c *Config, fail report) {
	overlaps(ranges(c), fail)
	r := relations{c, fail, podRanges(c)}
	r.clusterIdentities()
	r.contractLengths()
	r.staticPodCIDRs()
	r.nodeLabels()
	r.timers()
	r.peers()
	r.nodePeers()
	r.rule()
	r.selections()
	r.preference()
	r.probe()
}

// peers checks what is said of the peers, from the file of the configuration or from others.
func (r relations) peers() {
	r.peerIdentities()
	for i, p := range r.BGP.Peers {
		r.peerAddresses(i, p)
		r.peerDistance(i, p)
		r.peerLink(i, p)
		r.peerPaths(i, p)
		r.peerPassword(i, p)
	}
	r.peerClusters()
	r.passingOn()
	r.borders()
	r.peerSelections()
}

// rule refuses a rule for tables that the kernel looks at anyway.
func (r relations) rule() {
	if table := r.Kernel.Table; r.Kernel.Rule > 0 && (table == 253 || table == 254) {
		r.fail("kernel.rule", strconv.Itoa(r.Kernel.Rule),
			fmt.Sprintf("is for a table of our own: kernel.table is %d, which the kernel has a rule for; choose another table, such as 200", table))
	}
}

// nodePeers checks what the peers made of Nodes have in common as if it were a peer.
func (r relations) nodePeers() {
	if !r.BGP.NodePeers.Enabled {
		return
	}
	alone := *r.Config
	alone.BGP.Peers = []Peer{r.BGP.nodeDefaults()}
	fail := func(path, value, rule string) {
		rename := strings.NewReplacer("bgp.peers[0]", "bgp.nodePeers.defaults")
		r.fail(rename.Replace(path), value, rename.Replace(rule))
	}
	relations{&alone, fail, r.pods}.peers()
}

func peerPath(i int, key string) string    { return fmt.Sprintf("bgp.peers[%d].%s", i, key) }
func clusterPath(i int, key string) string { return fmt.Sprintf("clusters[%d].%s", i, key) }

// once remembers where a value was seen first.
type once map[string]string

// claim reports a value that another path has already.
func (o once) claim(path, value string, fail report) {
	if first, taken := o[value]; taken {
		fail(path, value, "is already used by "+first)
		return
	}
	o[value] = path
}

func (r relations) clusterIdentities() {
	seenNames, seenIDs := make(once), make(once)
	claim := func(name string, id uint32, namePath, idPath string) {
		if name != "" {
			seenNames.claim(namePath, name, r.fail)
		}
		if id != 0 {
			seenIDs.claim(idPath, strconv.FormatUint(uint64(id), 10), r.fail)
		}
	}
	claim(r.Cluster.Name, r.Cluster.ID, "cluster.name", "cluster.id")
	for i, remote := range r.Clusters {
		claim(remote.Name, remote.ID, clusterPath(i, "name"), clusterPath(i, "id"))
	}
}

// contractLengths refuses lengths that could let in more than the contract's ranges, or nothing of them.
func (r relations) contractLengths() {
	for i, remote := range r.Clusters {
		check := func(key string, l Lengths, family func(netip.Addr) bool) {
			shortest, longest, any := bounds(remote.PodCIDRs, family)
			value := fmt.Sprintf("[%d, %d]", l.Min, l.Max)
			switch path := clusterPath(i, "prefixLength."+key); {
			case !any:
			case l.Min < shortest:
				r.fail(path, value, fmt.Sprintf("is looser than the contract: its widest range is a /%d, so min must be at least %d", shortest, shortest))
			case l.Max < longest:
				r.fail(path, value, fmt.Sprintf("lets nothing of a range in: podCIDRs has a /%d, so max must be at least %d", longest, longest))
			}
		}
		check("ipv4", remote.PrefixLength.IPv4, netip.Addr.Is4)
		check("ipv6", remote.PrefixLength.IPv6, netip.Addr.Is6)
	}
}

func (r relations) staticPodCIDRs() {
	r.insidePool("node.podCIDRs", r.Node.PodCIDRs)
	for i, p := range r.Node.PodCIDRs {
		if !p.IsValid() {
			continue
		}
		path := element("node.podCIDRs", i)
		for j, other := range r.Node.PodCIDRs[:i] {
			if other.IsValid() && other != p && other.Overlaps(p) {
				r.fail(path, p.String(), fmt.Sprintf("overlaps %s (%s)", other, element("node.podCIDRs", j)))
			}
		}
	}
}

func (r relations) timers() {
	limit, deferral := r.BGP.StartLimit, r.BGP.GracefulRestart.Deferral
	if limit != 0 && deferral >= limit {
		r.fail("bgp.gracefulRestart.deferral", inSeconds(deferral),
			"must be shorter than bgp.startLimit, "+inSeconds(limit)+": when that ends, routes not learned again are removed")
	}
}

func (r relations) peerIdentities() {
	seenNames, seenAddresses, seenLinks := make(once), make(places), make(places)
	for i, p := range r.BGP.Peers {
		if p.Name != "" {
			seenNames.claim(peerPath(i, "name"), p.Name, r.fail)
		}
		if p.Address.IsValid() {
			seenAddresses.claim(peerPath(i, "address"), p.Address.String(), r.whose(p), r.fail)
		}
		if p.Interface != "" {
			seenLinks.claim(peerPath(i, "interface"), p.Interface, r.whose(p), r.fail)
		}
	}
}

// peerAddresses checks where a peer is against where we are and where pods are.
func (r relations) peerAddresses(i int, p Peer) {
	if !p.Address.IsValid() {
		return
	}
	path, value := peerPath(i, "address"), p.Address.String()
	if local := p.LocalAddress; local.IsValid() {
		switch at := peerPath(i, "localAddress"); {
		case local == p.Address:
			r.fail(at, local.String(), "is the address of the peer itself")
		case local.Is4() != p.Address.Is4():
			r.fail(at, local.String(), "must be of the same family as the peer's address, "+value)
		case local.Zone() != p.Address.Zone():
			r.fail(at, local.String(), "must be on the same link as the peer's address, "+value)
		}
	}
	for j, ours := range r.BGP.ListenAddresses {
		if ours == p.Address && p.Port == r.BGP.Port {
			r.fail(path, value, "is this node itself: "+element("bgp.listenAddresses", j))
		}
	}
	if len(r.BGP.ListenAddresses) == 0 && p.Address.IsLoopback() && p.Port == r.BGP.Port && !p.Passive {
		r.fail(path, value, fmt.Sprintf("is this node itself: bgp.port is %d too; set bgp.port to another one or to -1, or port to that of the speaker on this node", p.Port))
	}
	for _, o := range r.pods {
		if o.prefix.Contains(p.Address.WithZone("")) {
			r.fail(path, value, fmt.Sprintf("lies in %s (%s): a route to pods could then cut off the session it came from", o.prefix, o.path))
		}
	}
}

// peerDistance checks that one thing is said about how far away a peer is.
func (r relations) peerDistance(i int, p Peer) {
	known := p.ASN != 0 && r.BGP.ASN != 0
	where := "the peer's address, " + p.Address.String() + ", is link-local"
	if p.Interface != "" {
		where = "the peer is the neighbour on " + p.Interface
	}
	onLink := p.Interface != "" || p.Address.IsLinkLocalUnicast()
	if p.Multihop > 0 {
		path, value := peerPath(i, "multihop"), strconv.Itoa(p.Multihop)
		if p.Hops > 0 {
			r.fail(path, value, fmt.Sprintf("excludes hops, which is %d: GTSM (RFC 5082) sends with TTL 255; say how far the peer is with one of the two", p.Hops))
		}
		if known && r.BGP.Internal(p) {
			r.fail(path, value, "is for eBGP: an iBGP session is multihop anyway; leave it out")
		}
		if onLink {
			r.fail(path, value, "can't be: "+where)
		}
	}
	if p.Hops > 1 && onLink {
		r.fail(peerPath(i, "hops"), strconv.Itoa(p.Hops), "must be 0 or 1: "+where)
	}
	if p.Passive && r.BGP.Port == -1 {
		r.fail(peerPath(i, "passive"), "true", "can't be with bgp.port -1: neither side would ever connect")
	}
}

func (r relations) peerClusters() {
	declared, known := make([]string, len(r.Clusters)), make(map[string]bool)
	for i, remote := range r.Clusters {
		declared[i], known[remote.Name] = remote.Name, true
	}
	for i, p := range r.BGP.Peers {
		for j, name := range p.Clusters {
			switch path := element(peerPath(i, "clusters"), j); {
			case known[name]:
			case name == r.Cluster.Name:
				r.fail(path, name, "is this cluster itself: nothing of it is learned from a peer")
			default:
				r.fail(path, name, "is not declared in clusters"+didYouMean(name, declared))
			}
		}
	}
}

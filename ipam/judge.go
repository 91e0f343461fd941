package ipam

import (
	"fmt"
	"net/netip"
	"slices"
)

// Claim is one path of one prefix as a peer announced it.
type Claim struct {
	Prefix     netip.Prefix
	Peer       string     // the peer's name in the configuration
	NextHop    netip.Addr // unmapped; with a zone only if link-local
	OriginASN  uint32     // the last AS of the path; our own if the path is empty
	ClusterIDs []uint32   // claimed by large communities ASN:1:id (RFC 8092) whose ASN is OriginASN; may be empty
	Blackhole  bool       // it carries the community BLACKHOLE (RFC 7999)
	NotForUs   bool       // it names the clusters it is for (ASN:2:id), and ours is not among them
	OurGateway bool       // it says that it leads through a gateway of our own cluster (ASN:3:id)
}

// Verdict is the answer to a claim.
type Verdict struct {
	Accepted bool
	Cluster  string // whose range it lies in; known for refusals as well once a contract was found
	Reason   Reason
	Detail   string // one sentence for people, naming the rule and the other party; refusals also name the prefix
}

// Judge decides on one claim. It depends on nothing but the plan and the claim, in time bound by the prefix
// length, and allocates nothing when it accepts. The number of prefixes is the Ledger's affair.
func (p *Plan) Judge(c Claim) Verdict {
	if v, refused := p.guardVerdict(c); refused {
		return v
	}
	from, known := p.peers[c.Peer]
	if !known {
		return refuse(UnknownPeer, "", "%s comes from %q, which is not a configured peer", c.Prefix, c.Peer)
	}
	s, found := p.ranges.LookupPrefix(c.Prefix)
	if !found {
		return p.outsideContracts(c)
	}
	contract := &p.contracts[s.contract]
	if c.Blackhole {
		return refuse(Blackhole, contract.Cluster, "%s from peer %s (%s) carries the community BLACKHOLE (65535:666, RFC 7999): to discard traffic on request is never agreed to",
			c.Prefix, c.Peer, p.origin(c))
	}
	if !from.allowed[s.contract] {
		return refuse(PeerNotAllowed, contract.Cluster, "%s lies inside the range %s of cluster %s, which peer %s may not announce (its list of clusters does not name it)",
			c.Prefix, s.prefix, contract.Cluster, c.Peer)
	}
	if !contract.comesBy(c, from) {
		return p.otherNetwork(c, contract, from)
	}
	if l := contract.lengths(c.Prefix); !l.has(c.Prefix) && (!contract.gateways || c.Prefix != s.prefix) {
		return refuse(PrefixLength, contract.Cluster, "%s has length %d, cluster %s may send lengths %d to %d",
			c.Prefix, c.Prefix.Bits(), contract.Cluster, l.Min, l.Max)
	}
	for _, id := range c.ClusterIDs {
		if id == p.id && p.id != 0 || id != contract.ID && contract.ID != 0 {
			return p.foreignID(c, contract)
		}
	}
	if contract.RequireID && len(c.ClusterIDs) == 0 {
		return refuse(NoClusterID, contract.Cluster, "%s lies inside the range of cluster %s, whose paths must carry its id %d (requireID), and this one carries none (%s, peer %s)",
			c.Prefix, contract.Cluster, contract.ID, p.origin(c), c.Peer)
	}
	if c.NotForUs {
		return refuse(NotForUs, contract.Cluster, "%s of cluster %s names the clusters that it is for (large community %d:2:id), and ours, %s (id %d), is not among them",
			c.Prefix, contract.Cluster, c.OriginASN, p.cluster, p.id)
	}
	if v, refused := p.nextHopVerdict(c, contract, from.extended); refused {
		return v
	}
	return s.verdict
}

func refuse(r Reason, cluster, format string, args ...any) Verdict {
	return Verdict{Cluster: cluster, Reason: r, Detail: fmt.Sprintf(format, args...)}
}

func (c *Contract) lengths(p netip.Prefix) Lengths {
	if p.Addr().Is4() {
		return c.IPv4
	}
	return c.IPv6
}

// guardVerdict refuses what nobody may send. What would hit this very node or cluster is said first, since it
// is the more telling explanation when a wide prefix such as 10.0.0.0/8 covers several guarded ranges.
func (p *Plan) guardVerdict(c Claim) (Verdict, bool) {
	x := c.Prefix
	switch {
	case !x.IsValid():
		return refuse(InvalidPrefix, "", "peer %s announced something that is not a prefix", c.Peer), true
	case x.Addr().Is4In6():
		return refuse(Special, "", "%s lies inside ::ffff:0:0/96, IPv4-mapped addresses (RFC 4291)", x), true
	case x != x.Masked():
		return refuse(InvalidPrefix, "", "%s has host bits set; the prefix is %s", x, x.Masked()), true
	case x.Bits() == 0:
		return refuse(DefaultRoute, "", "%s is the default route, which is never taken from a peer", x), true
	case x.Bits() == 1:
		return refuse(DefaultRoute, "", "%s is half of the default route, which is never taken from a peer", x), true
	case !p.guarded.OverlapsPrefix(x):
		return Verdict{}, false
	}
	if r, name, ok := p.special.cover(x); ok {
		return refuse(Special, "", "%s %s %s, %s", x, relation(x, r), r, name), true
	}
	if r, name, ok := p.nodes.cover(x); ok && r == x && x.IsSingleIP() {
		return refuse(NodeAddress, "", "%s is %s", x, name), true
	}
	if r, _, ok := p.own.overlap(x); ok {
		return p.ownVerdict(c, r), true
	}
	return p.closedVerdict(x), true
}

// closedVerdict names what of the node or of the configuration a prefix runs into that is not our pods'. There is
// something.
func (p *Plan) closedVerdict(x netip.Prefix) Verdict {
	if r, name, ok := p.nodes.overlap(x); ok {
		return refuse(NodeAddress, "", "%s %s %s %s", x, relation(x, r), name, addressOrPrefix(r))
	}
	if r, name, ok := p.reserve.overlap(x); ok {
		return refuse(Reserved, "", "%s %s %s %s", x, relation(x, r), name, r)
	}
	r, name, _ := p.special.overlap(x)
	return refuse(Special, "", "%s %s %s, %s", x, relation(x, r), r, name)
}

// ownVerdict tells the harmless case, another node of ours heard through the fabric, from a foreign claim.
func (p *Plan) ownVerdict(c Claim, own netip.Prefix) Verdict {
	if from := p.peers[c.Peer]; from != nil && from.client && own.Bits() <= c.Prefix.Bits() {
		return p.passVerdict(c)
	}
	for _, id := range c.ClusterIDs {
		if id == p.id && p.id != 0 {
			return refuse(OwnPrefix, "", "%s belongs to our own cluster %s (its range %s) and carries our id %d: routes inside the cluster are not learned from peers",
				c.Prefix, p.cluster, own, id)
		}
	}
	return refuse(OwnPrefix, "", "%s %s our own pod range %s, but peer %s announces it (%s)",
		c.Prefix, relation(c.Prefix, own), own, c.Peer, p.origin(c))
}

// passVerdict is the verdict on a prefix of our own cluster that a client of ours announced. What would be refused of
// others is refused of it too.
func (p *Plan) passVerdict(c Claim) Verdict {
	x := c.Prefix
	_, _, node := p.nodes.overlap(x)
	_, _, reserved := p.reserve.overlap(x)
	if node || reserved {
		return p.closedVerdict(x)
	}
	for _, id := range c.ClusterIDs {
		if id != p.id {
			return refuse(ClusterMismatch, p.cluster, "%s lies inside the range of our own cluster %s (id %d) but carries id %d (%s, peer %s)",
				x, p.cluster, p.id, id, p.origin(c), c.Peer)
		}
	}
	if v, refused := p.nextHopVerdict(c, &Contract{Cluster: p.cluster}, p.peers[c.Peer].extended); refused {
		return v
	}
	return p.passed
}

// origin names the AS a claim comes from, and says when it is ours, which is legal but worth knowing.
func (p *Plan) origin(c Claim) string {
	if c.OriginASN == p.asn {
		return fmt.Sprintf("origin AS %d, the same as ours", c.OriginASN)
	}
	return fmt.Sprintf("origin AS %d", c.OriginASN)
}

func addressOrPrefix(r netip.Prefix) string {
	if r.IsSingleIP() {
		return r.Addr().String()
	}
	return r.String()
}

func (p *Plan) outsideContracts(c Claim) Verdict {
	for r, s := range p.ranges.Subnets(c.Prefix) {
		cluster := p.contracts[s.contract].Cluster
		return refuse(CoversContract, cluster, "%s is wider than the range %s of cluster %s, which it covers", c.Prefix, r, cluster)
	}
	if slices.Contains(c.ClusterIDs, p.id) && p.id != 0 && c.OriginASN != p.asn {
		return p.sameID(c, "", "lies in no declared cluster's range")
	}
	return refuse(NoContract, "", "%s from peer %s (%s) lies in no declared cluster's range", c.Prefix, c.Peer, p.origin(c))
}

// foreignID explains the ids of a claim, of which at least one is wrong. Our own id in somebody else's range is
// the graver finding: it means that every other cluster takes one of us for the other.
func (p *Plan) foreignID(c Claim, contract *Contract) Verdict {
	wrong := uint32(0)
	for _, id := range c.ClusterIDs {
		if id == p.id && p.id != 0 {
			return p.sameID(c, contract.Cluster, "lies inside the range of cluster "+contract.Cluster)
		}
		if id != contract.ID && contract.ID != 0 && wrong == 0 {
			wrong = id
		}
	}
	whose := "which no declared cluster has"
	if name, ok := p.names[wrong]; ok {
		whose = "the id of cluster " + name
	}
	return refuse(ClusterMismatch, contract.Cluster, "%s lies inside the range of cluster %s (id %d) but carries id %d, %s (%s, peer %s)",
		c.Prefix, contract.Cluster, contract.ID, wrong, whose, p.origin(c), c.Peer)
}

// sameID names the two parties that use our cluster's id.
func (p *Plan) sameID(c Claim, cluster, where string) Verdict {
	return refuse(OwnClusterID, cluster, "cluster id %d is that of our own cluster %s, and AS %d (peer %s) uses it too: it announces %s, which %s",
		p.id, p.cluster, c.OriginASN, c.Peer, c.Prefix, where)
}

// Unreachable is the verdict on a path whose next hop the kernel does not reach: NextHopNotOnLink or NextHopUnresolved.
func (p *Plan) Unreachable(c Claim, why Reason) Verdict {
	s, _ := p.ranges.LookupPrefix(c.Prefix)
	cluster := ""
	if s != nil {
		cluster = p.contracts[s.contract].Cluster
	}
	if why == NextHopUnresolved {
		return refuse(NextHopUnresolved, cluster, "%s from peer %s has the next hop %s, to which no route leads that may be used",
			c.Prefix, c.Peer, c.NextHop)
	}
	return refuse(NextHopNotOnLink, cluster, "%s from peer %s has the next hop %s, which is not on-link: a route through it would need another route",
		c.Prefix, c.Peer, c.NextHop)
}

// Looped is the verdict on a path that the speaker left out because our own AS is in it: its sender has our AS number, or
// it is our own announcement that came back.
func (p *Plan) Looped(c Claim) Verdict {
	return refuse(ASLoop, "", "%s from peer %s has our own AS %d in its path (%s): clusters that share an AS number hear each other only if the peer may send that (allowOwnAS)",
		c.Prefix, c.Peer, p.asn, p.origin(c))
}

// Reflected is the verdict on a path that came back to its reflector: our own CLUSTER_ID is in it.
func (p *Plan) Reflected(c Claim) Verdict {
	return refuse(ClusterLoop, "", "%s from peer %s has our own CLUSTER_ID in its CLUSTER_LIST (RFC 4456): it was reflected by us, or by another reflector with our id",
		c.Prefix, c.Peer)
}

// KeptOut is the verdict on a path that the speaker did not take in for the communities it carries, or does not carry.
func (p *Plan) KeptOut(c Claim) Verdict {
	return refuse(Community, "", "%s from peer %s does not meet the conditions on communities that the peer has (require, refuse)", c.Prefix, c.Peer)
}

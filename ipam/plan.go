package ipam

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// Lengths are the prefix lengths that a contract allows in one family, both ends included. The zero value
// allows nothing that is of use (only /0, which is never accepted).
type Lengths struct{ Min, Max int }

func (l Lengths) has(p netip.Prefix) bool { return p.Bits() >= l.Min && p.Bits() <= l.Max }

// Contract is what one remote cluster may send.
type Contract struct {
	Cluster     string
	ID          uint32   // 0: not known, any id but our own is taken
	Networks    []string // those that its nodes are in, sorted
	Prefixes    []netip.Prefix
	IPv4, IPv6  Lengths
	MaxPrefixes int  // of both families together; 0 allows none
	RequireID   bool // paths without ID are refused; with ID 0, those without any

	direct   bool // it shares a network with us
	gateways bool // its networks are not just ours: it is reached through gateways
}

// Peer is a BGP neighbour as far as the plan cares.
type Peer struct {
	Address  netip.Addr
	Clusters []string // which contracts may be learned from it; empty: all of them
	Client   bool     // it is our route reflector client: our own cluster's prefixes are learned from it, to be passed on
	Border   bool     // it is a gateway of another network
	Internal bool     // it is of our own AS
	// ExtendedNextHop says that IPv4 prefixes may come with IPv6 next hops (RFC 8950).
	ExtendedNextHop bool
}

// Config is the declared part of a plan. Contracts are expected to be disjoint; where they are not, the most
// specific range decides and, among equal ones, the first declared.
type Config struct {
	Cluster   string
	ID        uint32
	ASN       uint32
	Networks  []string       // those that our nodes are in, sorted
	PodCIDRs  []netip.Prefix // the pool: what this cluster may advertise and nobody else may send
	Reserved  []netip.Prefix
	Contracts []Contract
	Peers     map[string]Peer
}

// Facts is the part of a plan that the running node adds. Loopback, link-local and multicast entries and
// prefixes of length 0 may be present; they are skipped, because other rules stand for them.
type Facts struct {
	Addresses []netip.Addr   // the node's own
	Connected []netip.Prefix // subnets that are on-link for the node
}

// Plan answers for one Config and one set of Facts. It is immutable and safe for concurrent use; when either
// changes, a new one is made and everything is judged again.
type Plan struct {
	cluster string
	id, asn uint32
	network []string // those that our nodes are in

	// guarded is the union of special, own, nodes and reserved: one look tells the healthy case.
	guarded                      bart.Lite
	special, own, nodes, reserve *guard
	addresses                    map[netip.Addr]struct{}

	contracts []Contract
	ranges    bart.Table[*span]
	pods      bart.Lite // ours and every contract's: where no next hop may be
	names     map[uint32]string
	peers     map[string]*peer
	passed    Verdict // on what is learned to be passed on
	pool      []netip.Prefix
}

// span is one range of one contract, with the verdict for what is accepted there made in advance, so that
// accepting allocates nothing.
type span struct {
	prefix   netip.Prefix
	contract int
	verdict  Verdict
}

type peer struct {
	address  netip.Addr
	allowed  []bool // by index of the contract
	client   bool
	border   bool
	internal bool
	extended bool // IPv4 prefixes may have IPv6 next hops
}

// New makes the plan. Prefixes are masked, invalid ones skipped: saying so is the configuration's part.
// The slices and maps given are not kept.
func New(c Config, f Facts) *Plan {
	p := &Plan{
		cluster: c.Cluster, id: c.ID, asn: c.ASN, network: slices.Clone(c.Networks),
		special: newGuard(), own: newGuard(), nodes: newGuard(), reserve: newGuard(),
		addresses: make(map[netip.Addr]struct{}, len(f.Addresses)),
		names:     make(map[uint32]string, len(c.Contracts)),
		peers:     make(map[string]*peer, len(c.Peers)),
	}
	p.passed = Verdict{
		Cluster: c.Cluster, Reason: PassedOn,
		Detail: "it belongs to our own cluster " + c.Cluster + " and was learned from a client to be passed on; " +
			"inside the cluster its own network routes it",
	}
	for _, s := range specials() {
		p.guard(p.special, s.prefix, s.name)
	}
	for _, own := range c.PodCIDRs {
		p.guard(p.own, own, "our own pod range")
		p.pods.Insert(own)
		p.pool = append(p.pool, own.Masked())
	}
	for _, r := range c.Reserved {
		p.guard(p.reserve, r, "the reserved range")
	}
	p.addFacts(f)
	p.addContracts(c.Contracts)
	p.addPeers(c.Peers)
	return p
}

func (p *Plan) guard(g *guard, prefix netip.Prefix, name string) {
	if !prefix.IsValid() {
		return
	}
	g.add(prefix, name)
	p.guarded.Insert(prefix)
}

func (p *Plan) addFacts(f Facts) {
	for _, a := range f.Addresses {
		a = a.Unmap()
		if !a.IsValid() {
			continue
		}
		p.addresses[a] = struct{}{} // with its zone: fe80::1 of another link is somebody else's
		if !p.special.contains(a) {
			p.guard(p.nodes, host(a.WithZone("")), "this node's own address")
		}
	}
	for _, c := range f.Connected {
		if c.IsValid() && c.Bits() > 0 && !p.special.contains(c.Addr()) {
			p.guard(p.nodes, c, "this node's on-link subnet")
		}
	}
}

func (p *Plan) addContracts(contracts []Contract) {
	for i, c := range contracts {
		c.Prefixes = slices.Clone(c.Prefixes)
		c.direct, c.gateways = meet(p.network, c.Networks), !slices.Equal(p.network, c.Networks)
		p.contracts = append(p.contracts, c)
		if _, taken := p.names[c.ID]; !taken {
			p.names[c.ID] = c.Cluster
		}
		for _, r := range c.Prefixes {
			if _, taken := p.ranges.Get(r); taken || !r.IsValid() {
				continue
			}
			r = r.Masked()
			p.pods.Insert(r)
			p.ranges.Insert(r, &span{prefix: r, contract: i, verdict: Verdict{
				Accepted: true, Cluster: c.Cluster, Reason: Accepted,
				Detail: "it lies inside the range " + r.String() + " of cluster " + c.Cluster,
			}})
		}
	}
}

func (p *Plan) addPeers(peers map[string]Peer) {
	for name, declared := range peers {
		q := &peer{
			address: declared.Address.Unmap(), allowed: make([]bool, len(p.contracts)), extended: declared.ExtendedNextHop,
			client: declared.Client, border: declared.Border, internal: declared.Internal,
		}
		for i, c := range p.contracts {
			q.allowed[i] = len(declared.Clusters) == 0 || slices.Contains(declared.Clusters, c.Cluster)
		}
		p.peers[name] = q
	}
	for _, name := range sortedKeys(p.peers) { // sorted: of two peers with one address the first gives the name
		if a := p.peers[name].address.WithZone(""); a.IsValid() && !p.special.contains(a) {
			p.guard(p.nodes, host(a), "the address of peer "+name)
		}
	}
}

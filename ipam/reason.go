package ipam

// Reason says in one machine-readable word why a prefix was accepted or refused. The values are stable: they
// appear in JSON, in metrics' labels and in scripts.
type Reason string

// The reasons, in the order in which they are looked for; the first that applies is the one reported. Two
// refinements: a host route to an address that NodeAddress guards is that before anything else, and a prefix
// that merely covers a Special range is Special only if it covers nothing closer to home.
const (
	// Accepted is the reason of every accepted prefix, and of no other.
	Accepted Reason = "Accepted"

	// InvalidPrefix: not a prefix, or one with host bits set.
	InvalidPrefix Reason = "InvalidPrefix"
	// DefaultRoute: 0.0.0.0/0, ::/0 or one of their halves, which together are a default route in disguise.
	DefaultRoute Reason = "DefaultRoute"
	// Special: inside, or covering, a range that is never routed between clusters (loopback, link-local,
	// multicast, IPv4-mapped, …: RFC 6890).
	Special Reason = "Special"
	// OwnPrefix: overlaps this cluster's own pod ranges, in either direction.
	OwnPrefix Reason = "OwnPrefix"
	// NodeAddress: would take over an address of this node, one of its on-link subnets, or a BGP peer.
	NodeAddress Reason = "NodeAddress"
	// Reserved: overlaps a range that the configuration reserves (services, nodes, management).
	Reserved Reason = "Reserved"

	// UnknownPeer: it comes from a peer that the plan does not know.
	UnknownPeer Reason = "UnknownPeer"
	// CoversContract: it is wider than the contract's range it contains.
	CoversContract Reason = "CoversContract"
	// NoContract: no declared cluster owns it.
	NoContract Reason = "NoContract"
	// Blackhole: its sender asks for its traffic to be discarded (community 65535:666, RFC 7999). Nobody may ask that
	// of us.
	Blackhole Reason = "Blackhole"
	// PeerNotAllowed: its cluster may not be learned from this peer.
	PeerNotAllowed Reason = "PeerNotAllowed"
	// OtherNetwork: it did not come by the way that its cluster is reached: through gateways, or directly.
	OtherNetwork Reason = "OtherNetwork"
	// PrefixLength: inside its contract, but shorter or longer than the contract allows.
	PrefixLength Reason = "PrefixLength"
	// OwnClusterID: it carries our own cluster's id though it is another cluster's: two clusters use one id.
	OwnClusterID Reason = "OwnClusterID"
	// ClusterMismatch: it carries an id that is not the one of the cluster whose range it lies in.
	ClusterMismatch Reason = "ClusterMismatch"
	// NoClusterID: it carries no id, and its contract requires that of its cluster.
	NoClusterID Reason = "NoClusterID"

	// NotForUs: its origin says which clusters it is for, and ours is not among them.
	NotForUs Reason = "NotForUs"

	// NextHopInvalid: the next hop is absent, or an address nothing can be sent to.
	NextHopInvalid Reason = "NextHopInvalid"
	// NextHopFamily: the next hop is of the other address family.
	NextHopFamily Reason = "NextHopFamily"
	// NextHopOurs: the next hop is an address of this node.
	NextHopOurs Reason = "NextHopOurs"
	// NextHopInPodRange: the next hop lies in a pod range, so that reaching it would need the routes it carries.
	NextHopInPodRange Reason = "NextHopInPodRange"
	// NextHopNotOnLink: no link leads to the next hop directly. The kernel finds that out; see Unreachable.
	NextHopNotOnLink Reason = "NextHopNotOnLink"
	// NextHopUnresolved: no route of the kernel's that may be used leads to the next hop; likewise.
	NextHopUnresolved Reason = "NextHopUnresolved"

	// Overlap: other paths for the same prefix come from another origin, and that one has the better right. Only Dispute
	// says so.
	Overlap Reason = "Overlap"

	// TooManyPrefixes: the cluster already has as many prefixes as its contract allows. Only the Ledger says so.
	TooManyPrefixes Reason = "TooManyPrefixes"

	// Community: it carries a community that is refused of its peer, or none of those that are required. Only KeptOut says so.
	Community Reason = "Community"

	// PassedOn: it is our own cluster's, and was learned from a route reflector client to be passed on. It is not installed,
	// and no fault either.
	PassedOn Reason = "PassedOn"

	// ClusterLoop: our own CLUSTER_ID is in its CLUSTER_LIST (RFC 4456, section 8). Only Reflected says so.
	ClusterLoop Reason = "ClusterLoop"

	// ASLoop: our own AS is in its path (RFC 4271, section 9.1.2). Only Looped says so.
	ASLoop Reason = "ASLoop"

	// OutsidePool: a local pod CIDR outside what this cluster may advertise. Only Plan.Advertise says so.
	OutsidePool Reason = "OutsidePool"
)

// Reasons returns every reason for which a path may be refused, in the order in which they are declared: the values that
// counters by reason can have.
func Reasons() []Reason {
	return []Reason{
		InvalidPrefix, DefaultRoute, Special, OwnPrefix, NodeAddress, Reserved,
		UnknownPeer, CoversContract, NoContract, Blackhole, PeerNotAllowed, OtherNetwork, PrefixLength, OwnClusterID, ClusterMismatch, NoClusterID, NotForUs,
		NextHopInvalid, NextHopFamily, NextHopOurs, NextHopInPodRange, NextHopNotOnLink, NextHopUnresolved,
		Overlap, TooManyPrefixes, Community, ClusterLoop, ASLoop,
	}
}

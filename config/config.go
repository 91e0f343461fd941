package config

import (
	"net/netip"
	"strings"
	"time"
)

// Config is the whole configuration of one node's daemon.
//
// A Config made by Parse or Load is valid, complete (every default is filled in) and canonical: prefixes
// are masked, addresses unmapped, lists of plain values sorted and without repeats, an empty list is nil.
// It must not be changed by anyone who holds it; a reload makes a new one.
type Config struct {
	Cluster    Cluster
	Node       Node
	BGP        BGP
	Clusters   []RemoteCluster // the contracts, in the order of the file
	Kernel     Kernel
	Kubernetes Kubernetes
	Log        Log
	HTTP       HTTP
	Probe      Probe
	Runtime    Runtime

	// NATExemption is whether pods of this node keep their address on the way to the PodCIDRs of Clusters.
	NATExemption bool

	on          *nodeLabels // nil: for all nodes, as written
	annotations *annotated  // nil: of the file, with flags and variables, alone
}

// Cluster is the cluster this node belongs to.
type Cluster struct {
	Name     string         // a DNS-1123 label
	ID       uint32         // unique in the mesh, never 0
	Networks []string       // the routable networks that its nodes are in, sorted; never empty
	Region   string         // where it is, for preference; empty: not said
	Zone     string         // likewise, of all its nodes
	PodCIDRs []netip.Prefix // all that this cluster may advertise; empty: nothing
	Reserved []netip.Prefix // never accepted from anyone
}

// Node is the node the daemon runs on.
type Node struct {
	Name     string         // as Kubernetes knows it; never empty
	Labels   []string       // key=value, sorted; those of the Node in Kubernetes come on top, see ForNode
	Region   string         // where it is; empty: see ForNode
	Zone     string         // likewise
	PodCIDRs []netip.Prefix // advertised from this node; empty: taken from Kubernetes
	// What the node does for others. ForNode makes True or False of Auto, by the node's labels.
	Gateway   Tristate
	Reflector Tristate
}

// BGP is the speaker. All durations are whole seconds.
type BGP struct {
	ASN             uint32
	RouterID        netip.Addr   // IPv4; the zero Addr: chosen by the daemon
	Port            int          // TCP port listened on; -1: never listen, only connect
	ListenAddresses []netip.Addr // empty: all
	HoldTime        time.Duration
	ConnectRetry    time.Duration
	StartLimit      time.Duration // how long stale routes may wait for the peers after a start
	GracefulRestart GracefulRestart
	Brake           Brake
	Reflector       Reflector
	Preference      Preference
	Peers           []Peer // in the order of the file
	PeersFile       string // absolute path of a file with more of them, see ParsePeers; empty: none. The owner of the Config reads it
	NodePeers       NodePeers
}

// NodePeers makes peers of the other Nodes of the cluster.
type NodePeers struct {
	Enabled  bool
	Selector string // of labels; empty: every Node. See Config.NodePeersSelector
	Hubs     string // likewise, of Nodes that are peers of all, while the others are peers of these alone; empty: all are peers
	Address  Family // which of a Node's addresses is the peer's
	Defaults Peer   // the peers, but for name and address; ASN 0: that of the speaker. See BGP.NodePeer
}

// GracefulRestart is RFC 4724 for every session.
type GracefulRestart struct {
	Enabled     bool
	RestartTime time.Duration // told to the peers, at most 4095 s
	Deferral    time.Duration // Selection_Deferral_Timer; shorter than BGP.StartLimit
	StaleTime   time.Duration // how long a restarting peer's routes are kept at most
}

// Brake keeps routes that vanish in masses because sessions were lost.
type Brake struct {
	Share int           // percent of a cluster's routes; more than that must vanish
	Hold  time.Duration // since the session was lost; 0: off
}

// Preference is what paths of peers count for whose place is known: their LOCAL_PREF, by how near the peer is.
type Preference struct {
	Zone, Region, Other int           // of a peer in our zone, in our region, elsewhere
	Hold                time.Duration // how long a better path must have been there before it is used instead of a worse one
}

// Reflector is what the clients of a route reflector are told (RFC 4456).
type Reflector struct {
	ClusterID netip.Addr // written as an IPv4 address; the zero Addr: the router id
}

// Peer is one BGP neighbour. At most one of Hops and Multihop is not 0.
type Peer struct {
	Name         string     // a DNS-1123 label, unique among the peers
	NodeSelector string     // of labels, of the nodes that have this peer; empty: all
	Address      netip.Addr // the zero Addr: that of the neighbour on Interface
	Interface    string     // empty: the peer has an Address
	ASN          uint32
	Port         int
	LocalAddress netip.Addr     // the zero Addr: chosen by the kernel
	Passive      bool           // wait for the peer to connect
	Network      string         // that it is a gateway of; empty: it is none, and in ours. See Border
	Clusters     []string       // remote clusters that may be learned from it; empty: every declared one
	Client       bool           // iBGP: it is our route reflector client (RFC 4456)
	Region       string         // where it is, for preference; empty with Zone: not said
	Zone         string         // likewise
	PassOn       []string       // clusters whose learned routes it gets too; this cluster's own name: those of our clients
	NextHop      NextHopMode    // of what is passed on to it
	Advertise    []netip.Prefix // which of our own prefixes it gets: those inside, the zero Prefix for all; empty: none
	Communities  []Community    // added to all that it gets
	Require      []Community    // paths of it that carry none of these are refused; empty: none is required
	Refuse       []Community    // paths of it that carry one of these are refused
	Hops         int            // GTSM (RFC 5082): packets must have TTL 256-Hops or more; 0: off
	Multihop     int            // TTL sent on an eBGP session without GTSM; 0: not multihop
	HoldTime     time.Duration  // 0: that of the speaker; see BGP.Timers
	Families     []Family       // never empty
	// ExtendedNextHop is whether IPv4 prefixes have IPv6 next hops (RFC 8950).
	ExtendedNextHop Tristate
	AllowOwnAS      int // how often our AS number may be in a path of this peer
	ASOverride      bool
	RemovePrivateAS PrivateAS
	PasswordFile    string    // absolute path of the key of TCP MD5 (RFC 2385); empty: none. The owner of the Config reads it
	PasswordSecret  SecretKey // instead: where Kubernetes has it; the zero SecretKey: nowhere
	MaxPrefixes     Limit     // how many prefixes of one family it may send, refused ones included; see BGP.PrefixLimit
	BFD             BFD
	AddPaths        bool // take several paths for a prefix (RFC 7911)
}

// SecretKey is a key of a Secret in the namespace of the daemon's own Pod.
type SecretKey struct {
	Name string // of the Secret
	Key  string
}

// PrivateAS is what becomes of private AS numbers (RFC 6996) in what is passed on to a peer.
type PrivateAS string

// The fates of private AS numbers.
const (
	KeepPrivateAS    PrivateAS = "none"
	RemovePrivateAS  PrivateAS = "all"
	ReplacePrivateAS PrivateAS = "replace" // by ours
)

// BFD is Bidirectional Forwarding Detection (RFC 5880) towards a peer.
type BFD struct {
	Interval   time.Duration // whole milliseconds; 0: off
	Multiplier int           // so many packets may get lost
}

// NextHopMode says which next hop a peer gets with routes that are passed on.
type NextHopMode string

// The modes of a next hop.
const (
	NextHopAuto      NextHopMode = "auto"      // unchanged, and our own address instead of a link-local one
	NextHopSelf      NextHopMode = "self"      // our own address: the traffic comes through us
	NextHopUnchanged NextHopMode = "unchanged" // as it was learned: the traffic goes straight there
)

// Community is a community (RFC 1997), written high:low, or a large one (RFC 8092), written with three numbers.
type Community string

// Large says which of the two it is.
func (c Community) Large() bool { return strings.Count(string(c), ":") == 2 }

// Limit is a number that may be left to the daemon or be none.
type Limit int

// The Limits that are not numbers.
const (
	AutoLimit Limit = 0  // auto: derived
	NoLimit   Limit = -1 // 0 in the file
)

// Family is an address family, unicast.
type Family string

// The families a session can carry.
const (
	IPv4 Family = "ipv4"
	IPv6 Family = "ipv6"
)

// RemoteCluster is a contract: what may be learned of another cluster. Anything else is refused.
type RemoteCluster struct {
	Name         string
	ID           uint32
	Networks     []string       // the routable networks that its nodes are in, sorted; never empty
	PodCIDRs     []netip.Prefix // never empty
	PrefixLength PrefixLength
	MaxPrefixes  int
	RequireID    bool           // paths that do not carry ID are refused
	NodeSelector string         // of labels, of the nodes whose prefixes are for it; empty: all
	Advertise    []netip.Prefix // which of our own prefixes are for it: those inside, the zero Prefix for all; empty: none
}

// PrefixLength limits the lengths of the prefixes a cluster may send.
type PrefixLength struct {
	IPv4, IPv6 Lengths
}

// Lengths is an inclusive range of prefix lengths.
type Lengths struct {
	Min, Max int
}

// Kernel says where routes are written and how they are marked as ours.
type Kernel struct {
	Table       int // routing table, never 255 (local)
	Protocol    int // route protocol number: our mark of ownership
	Metric      int // never 0
	MaxNextHops int // paths of one route, at most 256
	Resolve     Resolve
	MTU         int // of our routes; 0: that of the link
	Source      Source
	Rule        int      // priority of the rule that leads to Table; 0: none of ours
	Blackhole   Tristate // whether a gateway discards what is for pods of its cluster that no route leads to
}

// Source are the source addresses that our routes prefer for what the node itself sends; the zero Addr: the kernel chooses.
type Source struct {
	IPv4, IPv6 netip.Addr
}

// Resolve says which next hops that are on no link are used.
type Resolve string

// The values of a Resolve.
const (
	ResolveNever  Resolve = "never"  // none
	ResolveRoutes Resolve = "routes" // those that a route of the kernel's leads to, but not a default route
	ResolveAlways Resolve = "always" // those that any route of the kernel's leads to
)

// Kubernetes says whether and how the API is reached.
type Kubernetes struct {
	Enabled    Tristate
	Kubeconfig string // empty: the service account of the pod
	// PodCIDRSource is where the node's pod CIDRs are read. Those of Node.PodCIDRs come before all.
	PodCIDRSource PodCIDRSource
	// ConfirmAfter is how long pod CIDRs that the Node no longer names are kept before it is asked again.
	ConfirmAfter time.Duration
	// StartupTaint has the taint underlayd.io/not-ready taken off the Node when the first routes are in the kernel.
	StartupTaint bool
	// NodeAnnotations are the annotations of the Node that are heeded; empty: none.
	NodeAnnotations []NodeAnnotation
}

// PodCIDRSource is one of those that k8s knows.
type PodCIDRSource string

// The values of a PodCIDRSource.
const (
	SourceAuto       PodCIDRSource = "auto"        // the first that shows something for the node: calico, cilium, ovn, kube-router, node
	SourceNode       PodCIDRSource = "node"        // Node.spec.podCIDRs
	SourceCalico     PodCIDRSource = "calico"      // Calico's block affinities
	SourceCilium     PodCIDRSource = "cilium"      // the CiliumNode
	SourceOVN        PodCIDRSource = "ovn"         // OVN-Kubernetes' annotation of the Node
	SourceKubeRouter PodCIDRSource = "kube-router" // kube-router's annotations of the Node
)

// Tristate is true, false, or decided by what is found at run time.
type Tristate string

// The values of a Tristate.
const (
	Auto  Tristate = "auto"
	True  Tristate = "true"
	False Tristate = "false"
)

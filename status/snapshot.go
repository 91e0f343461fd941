package status

import (
	"net/netip"
	"time"
)

// APIVersion of every JSON document here. Fields are added within a version, never renamed or removed.
const APIVersion = "underlayd.io/v1"

// The kinds of the JSON documents.
const (
	KindStatus      = "Status"
	KindPeerList    = "PeerList"
	KindRouteList   = "RouteList"
	KindHistoryList = "HistoryList"
	KindEvent       = "Event"
)

// Phase is where the daemon is in its life.
type Phase string

// The phases.
const (
	Starting Phase = "Starting" // reading the configuration, adopting routes from the kernel
	Learning Phase = "Learning" // peers are connecting or still sending; old routes are kept meanwhile
	Ready    Phase = "Ready"    // converged: what the peers said is what the kernel has
	Degraded Phase = "Degraded" // running, but something listed in Problems stands in the way
	Draining Phase = "Draining" // leaving on request
	Drained  Phase = "Drained"  // nothing is left: no sessions, no routes
)

// Snapshot is all that an operator may ask, at one moment. The agent fills it and publishes it; from then on it
// and everything it points to are immutable.
type Snapshot struct {
	APIVersion string  `json:"apiVersion"` // set by the server
	Kind       string  `json:"kind"`       // set by the server
	Version    string  `json:"version"`
	Node       string  `json:"node"`
	Cluster    Cluster `json:"cluster"`
	// Roles are what the node does for others: gateway, reflector.
	Roles    []string   `json:"roles,omitempty"`
	Place    *Place     `json:"place,omitempty"` // nil: nothing says where the node is
	ASN      uint32     `json:"asn"`
	RouterID netip.Addr `json:"routerID,omitzero"`
	// ASNFrom and RouterIDFrom are what says so: a key of the configuration, an annotation of the Node, or a choice in words.
	ASNFrom      string    `json:"asnFrom,omitempty"`
	RouterIDFrom string    `json:"routerIDFrom,omitempty"`
	PID          int       `json:"pid"`
	Started      time.Time `json:"started"`
	Time         time.Time `json:"time"` // when it was taken
	Phase        Phase     `json:"phase"`
	// ConfigProblem says why the last reload was refused; empty while the configuration in force is the file's.
	ConfigProblem string          `json:"configProblem,omitempty"`
	Conditions    []Condition     `json:"conditions,omitempty"`
	Sessions      []Session       `json:"sessions"`
	Clusters      []RemoteCluster `json:"clusters"`
	Advertised    []netip.Prefix  `json:"advertised"`
	Gateway       *Gateway        `json:"gateway,omitempty"` // nil: the node is none
	NotAdvertised []Refusal       `json:"notAdvertised,omitempty"`
	Kernel        Kernel          `json:"kernel"`
	NATExemption  NATExemption    `json:"natExemption"`
	Kubernetes    Kubernetes      `json:"kubernetes"`
	// Routes and Problems are derived from the rest by the server when it is asked; Problems that the agent
	// already put here come first.
	Routes   RouteSummary `json:"routes"`
	Problems []Problem    `json:"problems"`
	// AdvertisedFrom is where each of Advertised was read.
	AdvertisedFrom []Origin `json:"advertisedFrom,omitempty"`
	// Probes is what the probe found out; nil where it is off.
	Probes *Probes `json:"probes,omitempty"`
	// Table holds the routes themselves; they have an endpoint of their own because there may be 100,000.
	Table *RouteTable `json:"-"`
	// InstallLatency is for the metrics.
	InstallLatency InstallLatency `json:"-"`
}

// Cluster is the cluster this node belongs to.
type Cluster struct {
	Name     string   `json:"name"`
	ID       uint32   `json:"id"`
	Networks []string `json:"networks,omitempty"` // that its nodes are in
}

// Place is where the node is, and what says so: a key of the configuration, or a label.
type Place struct {
	Region     string `json:"region,omitempty"`
	RegionFrom string `json:"regionFrom,omitempty"`
	Zone       string `json:"zone,omitempty"`
	ZoneFrom   string `json:"zoneFrom,omitempty"`
}

// Condition is one of the Node's conditions as the daemon reports it.
type Condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"` // True, False, Unknown
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
}

// Established is the one session state in which routes flow.
const Established = "established"

// Session is the BGP session with one configured peer.
type Session struct {
	Peer         string     `json:"peer"`
	Address      netip.Addr `json:"address"`             // empty: that of an unnumbered peer is not known
	Interface    string     `json:"interface,omitempty"` // the link of an unnumbered peer
	LocalAddress netip.Addr `json:"localAddress,omitzero"`
	ASN          uint32     `json:"asn"`
	From         string     `json:"from,omitempty"` // the annotation of the Node that it is from; empty: of the configuration
	// Client says that it is our route reflector client, and PassOn of which clusters it gets what we learned.
	Client bool     `json:"client,omitempty"`
	PassOn []string `json:"passOn,omitempty"`
	// Clusters are those whose routes it may announce; empty: all.
	Clusters []string `json:"clusters,omitempty"`
	// State is the state of RFC 4271, section 8.2.2, in lower case: idle, connect, active, opensent,
	// openconfirm, established.
	State           string     `json:"state"`
	Since           time.Time  `json:"since,omitzero"` // when it came up or went down last
	RouterID        netip.Addr `json:"routerID,omitzero"`
	Families        []string   `json:"families,omitempty"`        // negotiated: ipv4, ipv6
	ExtendedNextHop bool       `json:"extendedNextHop,omitempty"` // the peer takes IPv4 prefixes with IPv6 next hops (RFC 8950)
	GracefulRestart bool       `json:"gracefulRestart"`
	Complete        bool       `json:"complete"` // all its initial routes have arrived
	Flaps           int        `json:"flaps"`    // how often it was lost
	LastError       string     `json:"lastError,omitempty"`
	// ParkedUntil is when a peer that sent too many prefixes is let in again.
	ParkedUntil time.Time `json:"parkedUntil,omitzero"`
	// Received and Advertised are absent when they could not be counted.
	Received   *int `json:"received,omitempty"`
	Accepted   int  `json:"accepted"`
	Advertised *int `json:"advertised,omitempty"`
	// RefusedTotal counts the paths refused since the start, by reason: a path that goes on being refused for one reason
	// counts once. It never decreases.
	RefusedTotal map[string]uint64 `json:"refusedTotal,omitempty"`
	BFD          *BFD              `json:"bfd,omitempty"` // nil: not configured
	// TTLSecurity is GTSM (RFC 5082), MD5 that the connection is signed (RFC 2385): both as configured.
	TTLSecurity bool   `json:"ttlSecurity"`
	MD5         bool   `json:"md5"`
	LocalPort   uint16 `json:"localPort,omitempty"`
	PeerPort    uint16 `json:"peerPort,omitempty"`
	// Negotiated and Traffic are nil unless the session is established, and LastEnd until it has ended once.
	Negotiated *Negotiated     `json:"negotiated,omitempty"`
	Traffic    *SessionTraffic `json:"traffic,omitempty"`
	LastEnd    *SessionEnd     `json:"lastEnd,omitempty"`
	// Prefixes are those of an established session by family; absent where they were not counted.
	Prefixes map[string]FamilyCounts `json:"prefixes,omitempty"`
}

// BFD is the BFD session with a peer (RFC 5880).
type BFD struct {
	State            string        `json:"state"` // AdminDown, Down, Init or Up
	Since            time.Time     `json:"since,omitzero"`
	Diagnostic       string        `json:"diagnostic,omitempty"`       // why it is not up
	RemoteDiagnostic string        `json:"remoteDiagnostic,omitempty"` // the same, in the peer's words
	Problem          string        `json:"problem,omitempty"`          // why nothing can be sent or received
	Losses           uint64        `json:"losses"`
	Interval         time.Duration `json:"intervalNanoseconds"`      // agreed for what we send
	DetectionTime    time.Duration `json:"detectionTimeNanoseconds"` // agreed: after so much silence the peer is lost
}

// ClusterState says how well a remote cluster can be reached.
type ClusterState string

// The cluster states.
const (
	Reachable   ClusterState = "Reachable"   // routes are in the kernel and all its peers are up
	Partial     ClusterState = "Partial"     // some of it
	Unreachable ClusterState = "Unreachable" // no route to it is in the kernel
)

// RemoteCluster is one declared cluster: its contract and what became of it.
type RemoteCluster struct {
	Name        string         `json:"name"`
	ID          uint32         `json:"id"`
	Networks    []string       `json:"networks,omitempty"` // that its nodes are in
	Gateways    bool           `json:"gateways,omitempty"` // these are not just ours: it is reached through gateways
	State       ClusterState   `json:"state"`
	Reason      string         `json:"reason,omitempty"` // why it is not Reachable
	PodCIDRs    []netip.Prefix `json:"podCIDRs"`         // what its contract covers
	Routable    []netip.Prefix `json:"routable"`         // what of it is in the kernel now, aggregated
	Peers       int            `json:"peers"`            // how many peers may announce it
	PeersUp     int            `json:"peersUp"`
	Accepted    int            `json:"accepted"`
	Installed   int            `json:"installed"`
	Kept        int            `json:"kept,omitempty"` // accepted ones that no session announces any more
	Refused     int            `json:"refused"`
	MaxPrefixes int            `json:"maxPrefixes"`
}

// Origin is where a prefix was read: static (the configuration), node, calico, cilium, ovn, kube-router (see the key
// kubernetes.podCIDRSource), or "last run".
type Origin struct {
	Prefix netip.Prefix `json:"prefix"`
	Source string       `json:"source"`
}

// Refusal is a pod CIDR of this node that is not advertised.
type Refusal struct {
	Prefix netip.Prefix `json:"prefix"`
	Reason string       `json:"reason"`
	Detail string       `json:"detail"`
}

// Kernel is what the daemon does in the kernel.
type Kernel struct {
	Mode       string `json:"mode"` // how next hops are written: objects or inline
	Table      int    `json:"table"`
	Protocol   int    `json:"protocol"`
	Metric     int    `json:"metric"`
	Routes     int    `json:"routes"`     // ours, now
	Operations uint64 `json:"operations"` // written since start
	Repairs    uint64 `json:"repairs"`    // routes put back after somebody removed them
	Errors     uint64 `json:"errors"`
	Conflicts  int    `json:"conflicts"` // prefixes for which somebody else's route stands in the way
	LastError  string `json:"lastError,omitempty"`

	// Prefixes by what became of them, and what they share, now.
	Installed int `json:"installed"`
	Failed    int `json:"failed"`
	Adopted   int `json:"adopted"`
	NextHops  int `json:"nextHops"`
	Groups    int `json:"groups"`
	// Since start.
	Fights        uint64 `json:"fights"`        // times that repairing was slowed down because somebody keeps undoing it
	Resyncs       uint64 `json:"resyncs"`       // complete readings of the kernel
	Overflows     uint64 `json:"overflows"`     // times the kernel dropped notifications and all was read again
	Interrupted   uint64 `json:"interrupted"`   // readings thrown away because something changed meanwhile
	GroupRewrites uint64 `json:"groupRewrites"` // sets of next hops that moved as a whole

	Notes []string `json:"notes,omitempty"` // what about the host could be better, though nothing is wrong
}

// Kubernetes is what the daemon has to do with the API server.
type Kubernetes struct {
	Enabled   bool   `json:"enabled"`
	Synced    bool   `json:"synced"` // the Node has been read
	Writes    uint64 `json:"writes"` // of the Node's status since start
	LastError string `json:"lastError,omitempty"`
	// PodCIDRSource is the source of pod CIDRs in use, as an Origin has it; empty: it is not decided yet.
	PodCIDRSource string `json:"podCIDRSource,omitempty"`
	// WaitingFor says why pod CIDRs are not known yet.
	WaitingFor string `json:"waitingFor,omitempty"`
	// Disagreement says which pods have addresses, by other sources, that are not advertised.
	Disagreement string `json:"disagreement,omitempty"`
}

package k8s

import "net/netip"

// ConditionStatus is the status of the Node's condition.
type ConditionStatus string

// The statuses Kubernetes knows.
const (
	True    ConditionStatus = "True"
	False   ConditionStatus = "False"
	Unknown ConditionStatus = "Unknown"
)

// The reasons of the condition; consumers may compare them.
const (
	ReasonRoutesInstalled    = "RoutesInstalled"
	ReasonNoPeersEstablished = "NoPeersEstablished"
	ReasonPartialPeers       = "PartialPeers"
	ReasonInstallFailed      = "InstallFailed"
	ReasonConfigInvalid      = "ConfigInvalid"
	ReasonStarting           = "Starting"
	ReasonDraining           = "Draining"
)

// Report is all that the Node is to say: a whole state, never a difference.
type Report struct {
	// Cluster is the node's own cluster, a DNS label.
	Cluster string
	// LocalCIDRs is what this node advertises.
	LocalCIDRs []netip.Prefix
	// RemoteCIDRs is what is in the kernel now, in any order; it is aggregated.
	RemoteCIDRs []netip.Prefix
	// Clusters are the remote clusters, in any order, one entry each.
	Clusters []ClusterReport
	// Ready, Reason and Message are the condition. Message is one line without
	// times and without counters that tick.
	Ready   ConditionStatus
	Reason  string
	Message string
	// Urgent asks for a write at once, as lost routes get it by themselves. It
	// outlives a later report that is not urgent, until something was written.
	Urgent bool
	// Synced says that the routes of the first sync are in the kernel: pods may start
	// on this node. Once said it stays.
	Synced bool
	// Incidents are what Events on the Node are to tell: all that are so now, and all
	// that were and may be again.
	Incidents []Incident
}

// ClusterReport is what the Node is to say of one remote cluster.
type ClusterReport struct {
	Name  string // a DNS label; an entry with any other name is left out
	CIDRs []netip.Prefix
	// PeersUp counts the established sessions that may bring its routes.
	PeersUp int
	// State and Reason are CamelCase words; anything else becomes "Unknown" or
	// is left out.
	State, Reason string
	// Probe is what the probe says of the way there, likewise; empty: nothing.
	Probe string
}

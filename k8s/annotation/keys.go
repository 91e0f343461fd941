package annotation

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
)

// The annotations of the contract; doc.go says what each holds.
const (
	Schema         = "underlayd.io/schema"
	Cluster        = "underlayd.io/cluster"
	LocalCIDRs     = "underlayd.io/local-cidrs"
	RemoteCIDRs    = "underlayd.io/remote-cidrs"
	RemoteClusters = "underlayd.io/remote-clusters"
	RoutesHash     = "underlayd.io/routes-hash"
	Truncated      = "underlayd.io/truncated"
)

const (
	// SchemaVersion is the value of the annotation Schema this package reads.
	SchemaVersion = "1"
	// FieldManager is the server-side apply manager that owns the annotations
	// and the condition.
	FieldManager = "underlayd"
	// Condition is the type of the Node condition: True when the routes to every
	// remote cluster with a session are in the kernel.
	Condition = "UnderlayRoutesReady"
	// StartupTaint is the key of the taint that a kubelet may register its Node with
	// (--register-with-taints) and that the agent removes when the node has its
	// routes.
	StartupTaint = "underlayd.io/not-ready"
	// LeaseNamespace is where the agents' Leases are unless configured otherwise.
	LeaseNamespace = "kube-system"
)

// Keys returns every annotation of the contract, sorted; the slice is the
// caller's.
func Keys() []string {
	return []string{Cluster, LocalCIDRs, RemoteCIDRs, RemoteClusters, RoutesHash, Schema, Truncated}
}

// LeaseName returns the name of the Lease that says how fresh a node's
// annotations are.
func LeaseName(node string) string { return "underlayd-" + node }

// EncodeCIDRs returns the annotation value for a list of prefixes: a JSON array
// in the order given, [] for none.
func EncodeCIDRs(prefixes []netip.Prefix) string {
	if len(prefixes) == 0 {
		return "[]"
	}
	out, err := json.Marshal(prefixes)
	if err != nil {
		return "[]" // cannot happen: a prefix marshals to text without error
	}
	return string(out)
}

// Hash returns the value of RoutesHash for a complete, aggregated and sorted list.
func Hash(complete []netip.Prefix) string {
	sum := sha256.Sum256([]byte(EncodeCIDRs(complete)))
	return "sha256:" + hex.EncodeToString(sum[:8])
}

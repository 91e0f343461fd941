package annotation

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// MaxSize is the most bytes, keys and values of this contract together, that
// Parse reads. The agent writes at most 16 KiB.
const MaxSize = 64 << 10

var (
	// ErrAbsent says that the Node carries no underlayd annotations. That is
	// "unknown", not "no routes".
	ErrAbsent = errors.New("node carries no underlayd annotations")
	// ErrSchema says that the annotations follow a contract this package does
	// not know. A consumer logs it once and treats the node as unknown.
	ErrSchema = errors.New("unknown underlayd annotation schema")
)

// State is what one node says.
type State struct {
	// Cluster is the node's own cluster.
	Cluster string
	// LocalCIDRs is what the node advertises, sorted.
	LocalCIDRs []netip.Prefix
	// RemoteCIDRs is what the node's kernel routes to other clusters: disjoint,
	// sorted; incomplete unless Complete.
	RemoteCIDRs []netip.Prefix
	// Clusters are the remote clusters, sorted by name.
	Clusters []RemoteCluster
	// Hash is of the complete RemoteCIDRs; equal hashes mean equal routable sets.
	Hash string
	// Truncated is how many entries were cut from the lists to fit the budget.
	Truncated int
	// Complete says that RemoteCIDRs is all there is. It may be true though
	// Truncated is not zero: the clusters' own lists are cut first.
	Complete bool
}

// RemoteCluster is what a node says of one remote cluster.
type RemoteCluster struct {
	Name string
	// CIDRs is the cluster's part of RemoteCIDRs, aggregated by itself.
	CIDRs []netip.Prefix
	// Omitted says that CIDRs was left out for size; then it is nil.
	Omitted bool
	// Peers is the number of established sessions that may bring this cluster's
	// routes.
	Peers int
	// State and Reason are CamelCase words for machines; Reason may be empty.
	State, Reason string
	// Probe says whether packets really pass, as the node's probe found out: Ok, Loss, MTU, NAT, OneWay or Silent; others may
	// follow. Empty: nothing is known.
	Probe string
}

// Annotated is a Node, or anything else that has a Node's annotations: *corev1.Node,
// *metav1.PartialObjectMetadata and *unstructured.Unstructured do.
type Annotated interface{ GetAnnotations() map[string]string }

// ParseNode is Parse of a Node.
func ParseNode(node Annotated) (*State, error) { return Parse(node.GetAnnotations()) }

// Parse reads a Node's annotations. Any text may stand in them, since whoever
// may patch Nodes may write it: Parse accepts nothing but what the contract
// allows, and an error comes with no State at all, which knows nothing: a nil State
// answers Unknown. ErrAbsent and ErrSchema are
// told apart with errors.Is. Other annotations are ignored.
func Parse(annotations map[string]string) (*State, error) {
	if err := admit(annotations); err != nil {
		return nil, err
	}
	s := &State{Cluster: annotations[Cluster], Hash: annotations[RoutesHash]}
	if !ValidName(s.Cluster) {
		return nil, fmt.Errorf("%s: %q is not a DNS label", Cluster, clip(s.Cluster))
	}
	if !isHash(s.Hash) {
		return nil, fmt.Errorf("%s: %q is not a hash", RoutesHash, clip(s.Hash))
	}
	var err error
	if text, ok := annotations[Truncated]; ok {
		s.Truncated, err = strconv.Atoi(text)
		if err != nil || s.Truncated < 1 || strconv.Itoa(s.Truncated) != text {
			return nil, fmt.Errorf("%s: %q is not a positive number", Truncated, clip(text))
		}
	}
	if text := annotations[LocalCIDRs]; text != "" {
		if s.LocalCIDRs, err = prefixes(strings.Split(text, ",")); err != nil {
			return nil, fmt.Errorf("%s: %w", LocalCIDRs, err)
		}
	}
	if s.RemoteCIDRs, err = remoteCIDRs(annotations[RemoteCIDRs]); err != nil {
		return nil, fmt.Errorf("%s: %w", RemoteCIDRs, err)
	}
	if s.Clusters, err = remoteClusters(annotations[RemoteClusters]); err != nil {
		return nil, fmt.Errorf("%s: %w", RemoteClusters, err)
	}
	s.Complete = s.Hash == Hash(s.RemoteCIDRs)
	if !s.Complete && s.Truncated == 0 {
		return nil, fmt.Errorf("%s: does not match %s, and nothing was cut", RoutesHash, RemoteCIDRs)
	}
	return s, nil
}

// admit checks presence, schema and size before anything is parsed.
func admit(annotations map[string]string) error {
	size, found := 0, 0
	for _, key := range Keys() {
		if value, ok := annotations[key]; ok {
			size += len(key) + len(value)
			found++
		}
	}
	if found == 0 {
		return ErrAbsent
	}
	if version, ok := annotations[Schema]; !ok {
		return fmt.Errorf("%s: missing", Schema)
	} else if version != SchemaVersion {
		return fmt.Errorf("%w %q", ErrSchema, clip(version))
	}
	if size > MaxSize {
		return fmt.Errorf("underlayd annotations: %d bytes, more than %d", size, MaxSize)
	}
	for _, key := range Keys() {
		if _, ok := annotations[key]; !ok && key != Truncated {
			return fmt.Errorf("%s: missing", key)
		}
	}
	return nil
}

// prefixes parses a sorted list without repetitions; each must be in the one
// spelling that the agent writes.
func prefixes(texts []string) ([]netip.Prefix, error) {
	list := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || prefix.String() != text || prefix.Masked() != prefix || prefix.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is not a canonical CIDR", clip(text))
		}
		if prefix.Bits() == 0 {
			return nil, fmt.Errorf("%q is a default route", text)
		}
		if n := len(list); n > 0 && compare(list[n-1], prefix) >= 0 {
			return nil, fmt.Errorf("%q is out of order", text)
		}
		list = append(list, prefix)
	}
	return list, nil
}

// disjoint parses a list in which no prefix contains another.
func disjoint(texts []string) ([]netip.Prefix, error) {
	list, err := prefixes(texts)
	if err != nil {
		return nil, err
	}
	for i := 1; i < len(list); i++ {
		if list[i-1].Overlaps(list[i]) { // sorted: only neighbours can overlap first
			return nil, fmt.Errorf("%q lies in %q", list[i], list[i-1])
		}
	}
	return list, nil
}

// compare orders IPv4 before IPv6, then by address, then the wider first.
func compare(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

// ValidName reports whether s may name a cluster: a DNS-1123 label.
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

func isHash(s string) bool {
	digits, ok := strings.CutPrefix(s, "sha256:")
	return ok && len(digits) == 16 && strings.Trim(digits, "0123456789abcdef") == ""
}

// ValidWord reports whether s may be a state or a reason: letters and digits, a
// letter first, at most 64.
func ValidWord(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i, c := range []byte(s) {
		digit := c >= '0' && c <= '9'
		if (i == 0 && digit) || (!digit && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')) {
			return false
		}
	}
	return true
}

// clip keeps hostile text out of logs beyond what helps to find it.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

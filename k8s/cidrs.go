package k8s

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// podCIDRs reads a Node's own pod CIDRs, both families, sorted and masked. The
// deprecated single field counts only where the list is empty. Entries that are
// no CIDR are named in the error; the others are returned beside it, so that one
// odd entry does not silence the node. Neither means: none assigned yet.
func podCIDRs(spec *corev1.NodeSpec) ([]netip.Prefix, error) {
	texts := spec.PodCIDRs
	if len(texts) == 0 && spec.PodCIDR != "" {
		texts = []string{spec.PodCIDR}
	}
	var found []netip.Prefix
	var errs []error
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || prefix.Addr().Is4In6() {
			errs = append(errs, fmt.Errorf("spec.podCIDRs: %q is not a CIDR", text))
			continue
		}
		// Kubernetes lets host bits pass; what it means is the network.
		found = append(found, prefix.Masked())
	}
	slices.SortFunc(found, comparePrefix)
	return slices.Compact(found), errors.Join(errs...)
}

// comparePrefix orders as the contract does: IPv4 before IPv6, ascending, the
// wider first.
func comparePrefix(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

package k8s

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// maxCIDRs is how many CIDRs of one source are taken: more than a node has pods. An object of
// the API has room for a hundred thousand.
const maxCIDRs = 1024

// podCIDRs reads a Node's own pod CIDRs, both families, sorted and masked. The
// deprecated single field counts only where the list is empty. Entries that are
// no CIDR are named in the error; the others are returned beside it, so that one
// odd entry does not silence the node. Neither means: none assigned yet.
func podCIDRs(spec *corev1.NodeSpec) ([]netip.Prefix, error) {
	texts := spec.PodCIDRs
	if len(texts) == 0 && spec.PodCIDR != "" {
		texts = []string{spec.PodCIDR}
	}
	return parseCIDRs("spec.podCIDRs", texts)
}

// parseCIDRs is podCIDRs for any list; place names it.
func parseCIDRs(place string, texts []string) ([]netip.Prefix, error) {
	var found []netip.Prefix
	var errs []error
	if more := len(texts) - maxCIDRs; more > 0 {
		errs = append(errs, fmt.Errorf("%s: %d CIDRs beyond the first %d are left out", place, more, maxCIDRs))
		texts = texts[:maxCIDRs]
	}
	odd := 0
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || prefix.Addr().Is4In6() {
			if odd++; odd <= 3 {
				errs = append(errs, fmt.Errorf("%s: %q is not a CIDR", place, shorten(text)))
			}
			continue
		}
		// Kubernetes lets host bits pass; what it means is the network.
		found = append(found, prefix.Masked())
	}
	if odd > 3 {
		errs = append(errs, fmt.Errorf("%s: %d more entries are not CIDRs", place, odd-3))
	}
	slices.SortFunc(found, comparePrefix)
	return slices.Compact(found), errors.Join(errs...)
}

// shorten cuts what others wrote down to what a message has room for.
func shorten(text string) string {
	const longest = 64
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + "…"
}

// The annotations of the Node that hold pod CIDRs.
const (
	ovnSubnets      = "k8s.ovn.org/node-subnets"
	kubeRouterCIDR  = "kube-router.io/pod-cidr" // older, and wins
	kubeRouterCIDRs = "kube-router.io/pod-cidrs"
)

// nodeEvidence is what a Node itself shows; nil when there is none.
func nodeEvidence(node *corev1.Node) map[Source]evidence {
	sources := []Source{SourceNode, SourceOVN, SourceKubeRouter}
	facts := make(map[Source]evidence, len(sources))
	if node == nil {
		for _, s := range sources {
			facts[s] = none(s, "no such Node")
		}
		return facts
	}
	put := func(s Source, cidrs []netip.Prefix, err error) {
		r := reading{source: s, cidrs: cidrs, err: err}
		if len(cidrs) == 0 && err == nil {
			r.none = "no pod CIDRs assigned yet"
		}
		facts[s] = evidence{reading: r, known: true}
	}
	cidrs, err := podCIDRs(&node.Spec)
	put(SourceNode, cidrs, err)
	cidrs, err = ovnCIDRs(node.Annotations[ovnSubnets])
	put(SourceOVN, cidrs, err)
	cidrs, err = kubeRouterCIDRsOf(node.Annotations)
	put(SourceKubeRouter, cidrs, err)
	return facts
}

// ovnCIDRs reads OVN-Kubernetes' annotation: for each network one CIDR or a list. Only that
// of the cluster's default network counts: pods of others are behind it or in no route.
func ovnCIDRs(text string) ([]netip.Prefix, error) {
	if text == "" {
		return nil, nil
	}
	var networks struct {
		Default json.RawMessage `json:"default"`
	}
	if err := json.Unmarshal([]byte(text), &networks); err != nil {
		return nil, fmt.Errorf("annotation %s: %q is not a JSON object of networks", ovnSubnets, shorten(text))
	}
	if len(networks.Default) == 0 {
		return nil, nil
	}
	var list []string
	var one string
	if json.Unmarshal(networks.Default, &one) == nil {
		list = []string{one}
	} else if json.Unmarshal(networks.Default, &list) != nil {
		return nil, fmt.Errorf("annotation %s: default: %q is neither a CIDR nor a list of them", ovnSubnets, shorten(string(networks.Default)))
	}
	return parseCIDRs("annotation "+ovnSubnets+": default", list)
}

// kubeRouterCIDRsOf reads kube-router's annotations, which people set and kube-router reads, in
// its own order.
func kubeRouterCIDRsOf(annotations map[string]string) ([]netip.Prefix, error) {
	for _, key := range []string{kubeRouterCIDR, kubeRouterCIDRs} {
		if text := annotations[key]; text != "" {
			list := strings.Split(text, ",")
			for i := range list {
				list[i] = strings.TrimSpace(list[i])
			}
			return parseCIDRs("annotation "+key, list)
		}
	}
	return nil, nil
}

// comparePrefix orders as the contract does: IPv4 before IPv6, ascending, the
// wider first.
func comparePrefix(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

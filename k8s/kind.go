package k8s

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// kind is a kind of objects, not of Kubernetes itself, that hold pod CIDRs.
type kind struct {
	source   Source
	trouble  source // which of Node.problems is about it
	resource schema.GroupVersionResource
	name     string
	// selector is the field that names the node. The API server selects by metadata.name always,
	// by others where the CRD declares them in selectableFields.
	selector string
	optional bool // the API server may refuse that selector
	// read returns the pod CIDRs of an object, false if it is not about this node.
	read func(object map[string]any, name, node string) ([]string, bool, error)
	none string // why there are none
}

// blockAffinities are Calico's: a node has a block of its addresses for each confirmed one.
func blockAffinities() kind {
	return kind{
		source: SourceCalico, trouble: calico, name: "BlockAffinity",
		resource: schema.GroupVersionResource{Group: "crd.projectcalico.org", Version: "v1", Resource: "blockaffinities"},
		selector: "spec.node", optional: true, read: readBlockAffinity, none: "no confirmed block of the Node",
	}
}

// ciliumNodes are Cilium's, one for each Node, of the same name.
func ciliumNodes() kind {
	return kind{
		source: SourceCilium, trouble: cilium, name: "CiliumNode",
		resource: schema.GroupVersionResource{Group: "cilium.io", Version: "v2", Resource: "ciliumnodes"},
		selector: "metadata.name", read: readCiliumNode, none: "no pod CIDRs in spec.ipam",
	}
}

// readBlockAffinity takes what is confirmed and not on its way out. A pending one has no pods
// yet, one that is pendingDeletion none any more; "virtual" ones are of load balancers.
func readBlockAffinity(object map[string]any, name, node string) ([]string, bool, error) {
	spec, ok := object["spec"].(map[string]any)
	if !ok || spec["node"] != node {
		return nil, false, nil
	}
	if affinity, ok := spec["type"]; ok && affinity != "" && affinity != "host" {
		return nil, false, nil
	}
	cidr, isText := spec["cidr"].(string)
	state, isState := spec["state"].(string)
	deleted, isBool := spec["deleted"].(bool)
	if text, ok := spec["deleted"].(string); ok {
		var err error
		deleted, err = strconv.ParseBool(text)
		isBool = err == nil || text == ""
	}
	if !isText || !isState || !isBool && spec["deleted"] != nil {
		return nil, true, fmt.Errorf("BlockAffinity %s: spec has no cidr, state and deleted as Calico writes them", shorten(name))
	}
	if state != "confirmed" || deleted {
		return nil, true, nil
	}
	return []string{cidr}, true, nil
}

// readCiliumNode takes the pod CIDRs of the IPAM modes that give a node whole CIDRs: kubernetes and
// cluster-pool, and multi-pool with those of all pools. The clouds' modes have none.
func readCiliumNode(object map[string]any, name, node string) ([]string, bool, error) {
	if name != node {
		return nil, false, nil
	}
	var errs []error
	odd := func(path, what string) { // what stands there may be huge
		if len(errs) < 3 {
			errs = append(errs, fmt.Errorf("CiliumNode %s: %s is not a list of %s", name, path, what))
		}
	}
	list, _, err := unstructured.NestedStringSlice(object, "spec", "ipam", "podCIDRs")
	if err != nil {
		odd("spec.ipam.podCIDRs", "CIDRs")
	}
	pools, _, err := unstructured.NestedFieldNoCopy(object, "spec", "ipam", "pools", "allocated")
	allocated, isList := pools.([]any)
	if err != nil || pools != nil && !isList {
		odd("spec.ipam.pools.allocated", "pools")
	}
	for _, entry := range allocated {
		pool, isPool := entry.(map[string]any)
		cidrs, _, err := unstructured.NestedStringSlice(pool, "cidrs")
		if err != nil || !isPool {
			odd("spec.ipam.pools.allocated[].cidrs", "CIDRs")
		}
		list = append(list, cidrs...)
	}
	return list, true, errors.Join(errs...)
}

// shown is what an object holds of this node.
type shown struct {
	cidrs []netip.Prefix
	err   error
}

// show reads an object; false if it is not about this node.
func (k *kind) show(object *unstructured.Unstructured, node string) (shown, bool) {
	name := object.GetName()
	texts, own, err := k.read(object.Object, name, node)
	if !own {
		return shown{}, false
	}
	cidrs, odd := parseCIDRs(k.name+" "+shorten(name), texts)
	return shown{cidrs, errors.Join(err, odd)}, true
}

// evidence puts together what the objects show, by name.
func (k *kind) evidence(objects map[string]shown) evidence {
	names := make([]string, 0, len(objects))
	for name := range objects {
		names = append(names, name)
	}
	slices.Sort(names)
	r := reading{source: k.source}
	var errs []error
	for _, name := range names {
		r.cidrs = append(r.cidrs, objects[name].cidrs...)
		if err := objects[name].err; err != nil && len(errs) < 3 {
			errs = append(errs, err)
		}
	}
	if more := len(r.cidrs) - maxCIDRs; more > 0 {
		errs = append(errs, fmt.Errorf("%s: %d CIDRs beyond the first %d are left out", k.source.place(), more, maxCIDRs))
		r.cidrs = r.cidrs[:maxCIDRs]
	}
	slices.SortFunc(r.cidrs, comparePrefix)
	r.cidrs, r.err = slices.Compact(r.cidrs), errors.Join(errs...)
	if len(r.cidrs) == 0 && r.err == nil {
		r.none = k.none
	}
	return evidence{reading: r, known: true}
}

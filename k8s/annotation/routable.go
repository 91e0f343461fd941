package annotation

import (
	"net/netip"
	"sort"
)

// Answer is what a Node says of one address. The zero value is Unknown.
type Answer uint8

// The answers. Only Yes may be taken as permission to send.
const (
	// Unknown: the lists were cut and the address is in none of what is left, or the
	// annotations could not be read at all.
	Unknown Answer = iota
	// No: the node has no route of underlayd's to the address.
	No
	// Yes: the node's kernel routes the address to another cluster.
	Yes
)

// String returns "unknown", "no" or "yes".
func (a Answer) String() string {
	switch a {
	case No:
		return "no"
	case Yes:
		return "yes"
	default:
		return "unknown"
	}
}

// Routable says whether the node routes addr to a remote cluster and, when it
// does and the Node says it, to which one ("" otherwise). An IPv4-mapped IPv6
// address is taken as the IPv4 address it holds; an invalid address or one with
// a zone is not routable. The node's own pods are not remote: No.
//
// A nil State, which comes with an error of Parse, answers Unknown: that a Node says
// nothing, or nothing that is understood, is not that nothing is routable.
//
// It is as fresh as the Lease says, and costs a binary search.
func (s *State) Routable(addr netip.Addr) (Answer, string) {
	if s == nil {
		return Unknown, ""
	}
	if !addr.IsValid() || addr.Zone() != "" {
		return No, ""
	}
	addr = addr.Unmap()
	if !contains(s.RemoteCIDRs, addr) {
		if s.Complete {
			return No, ""
		}
		return Unknown, ""
	}
	for _, cluster := range s.Clusters {
		if contains(cluster.CIDRs, addr) {
			return Yes, cluster.Name
		}
	}
	return Yes, ""
}

// contains searches a sorted list of disjoint prefixes: only the last one that
// begins at or before addr can hold it.
func contains(list []netip.Prefix, addr netip.Addr) bool {
	i := sort.Search(len(list), func(i int) bool { return list[i].Addr().Compare(addr) > 0 })
	return i > 0 && list[i-1].Contains(addr)
}

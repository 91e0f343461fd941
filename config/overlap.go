package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

const reserved = "reserved" // the owner of ranges that nobody's pods may have; no cluster's path is called so

// claim is a range that somebody has for themselves.
type claim struct {
	prefix netip.Prefix
	path   string
	owner  string // of several ranges
	what   string // for people
	order  int    // in the file
}

// ranges lists every range of every cluster, and the reserved ones.
func ranges(c *Config) []claim {
	var all []claim
	add := func(path, owner, what string, prefixes []netip.Prefix) {
		for i, p := range prefixes {
			if p.IsValid() {
				all = append(all, claim{p, element(path, i), owner, what, len(all)})
			}
		}
	}
	add("cluster.podCIDRs", "cluster", "of this cluster", c.Cluster.PodCIDRs)
	add("cluster.reserved", reserved, "reserved", c.Cluster.Reserved)
	for i, remote := range c.Clusters {
		path := clusterPath(i, "podCIDRs")
		add(path, path, "of cluster "+remote.Name, remote.PodCIDRs)
	}
	return all
}

// podRanges lists the ranges that pods have.
func podRanges(c *Config) []claim {
	return slices.DeleteFunc(ranges(c), func(o claim) bool { return o.owner == reserved })
}

// overlaps reports, at the later of the two, every range that has an address in common with another one.
//
// Of two prefixes that overlap one contains the other, so after sorting, the ranges around a prefix are a
// stack: one pass finds them all, however many clusters there are.
func overlaps(all []claim, fail report) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b claim) int {
		return cmp.Or(comparePrefixes(a.prefix, b.prefix), cmp.Compare(a.order, b.order))
	})
	var around []claim
	for _, inner := range all {
		around = slices.DeleteFunc(around, func(o claim) bool { return !o.prefix.Overlaps(inner.prefix) })
		for _, outer := range around {
			if outer.conflicts(inner) {
				reportOverlap(outer, inner, fail)
			}
		}
		if n := len(around); n == 0 || around[n-1].prefix != inner.prefix { // else a thousand equals, a million errors
			around = append(around, inner)
		}
	}
}

// conflicts reports whether two overlapping ranges may not be. Reserved ranges may lie in each other; that one
// list has a range twice is reported where it is read.
func (a claim) conflicts(b claim) bool {
	return a.owner != b.owner || a.owner != reserved && a.prefix != b.prefix
}

func reportOverlap(a, b claim, fail report) {
	if a.order > b.order {
		a, b = b, a
	}
	var rule string
	switch {
	case a.prefix == b.prefix:
		rule = "is the same as"
	case a.prefix.Bits() < b.prefix.Bits():
		rule = "lies in"
	default:
		rule = "contains"
	}
	fail(b.path, b.prefix.String(), fmt.Sprintf("%s %s, which is %s (%s)", rule, a.prefix, a.what, a.path))
}

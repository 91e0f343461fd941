package k8s

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"
)

// aggregate returns the fewest prefixes that cover exactly the same addresses,
// sorted, and the set itself. What is no prefix is left out.
func aggregate(prefixes []netip.Prefix) ([]netip.Prefix, *netipx.IPSet) {
	var builder netipx.IPSetBuilder
	for _, prefix := range prefixes {
		if prefix.IsValid() && !prefix.Addr().Is4In6() {
			builder.AddPrefix(prefix)
		}
	}
	set, err := builder.IPSet()
	if err != nil {
		// Only an invalid prefix makes an error, and none was added.
		return nil, &netipx.IPSet{}
	}
	list := set.Prefixes()
	for i := 0; i < len(list); i++ {
		// The contract has no default route: consumers refuse it as hostile.
		if list[i].Bits() == 0 {
			low, high := halves(list[i])
			list = slices.Replace(list, i, i+1, low, high)
		}
	}
	return list, set
}

// halves splits a prefix in two.
func halves(prefix netip.Prefix) (low, high netip.Prefix) {
	low = netip.PrefixFrom(prefix.Addr(), prefix.Bits()+1)
	raw := prefix.Addr().AsSlice()
	raw[prefix.Bits()/8] |= 0x80 >> (prefix.Bits() % 8)
	addr, _ := netip.AddrFromSlice(raw)
	return low, netip.PrefixFrom(addr, prefix.Bits()+1)
}

// exact returns the prefixes masked, sorted and without repetitions.
func exact(prefixes []netip.Prefix) []netip.Prefix {
	list := make([]netip.Prefix, 0, len(prefixes))
	for _, prefix := range prefixes {
		if prefix.IsValid() && !prefix.Addr().Is4In6() && prefix.Bits() > 0 {
			list = append(list, prefix.Masked())
		}
	}
	slices.SortFunc(list, comparePrefix)
	return slices.Compact(list)
}

// owned is a prefix and whose it is.
type owned struct {
	prefix netip.Prefix
	owner  string
}

// choose keeps as many prefixes of an aggregated list as fit into size bytes of
// JSON, the same ones each time: of each owner and family in turn, since none may
// silence another, the widest first, since they hold the most addresses. owners
// hold the same addresses before they were aggregated together; a prefix counts as
// its first address's.
func choose(list []netip.Prefix, owners []owned, size int) []netip.Prefix {
	lanes := lanesOf(list, owners)
	var kept []netip.Prefix
	size -= len("[]")
	for len(lanes) > 0 {
		rest := lanes[:0]
		for _, lane := range lanes {
			if size -= len(lane[0].String()) + len(`"",`); size < 0 {
				slices.SortFunc(kept, comparePrefix)
				return kept
			}
			kept = append(kept, lane[0])
			if lane = lane[1:]; len(lane) > 0 {
				rest = append(rest, lane)
			}
		}
		lanes = rest
	}
	slices.SortFunc(kept, comparePrefix)
	return kept
}

// lanesOf splits a list by owner and family, the widest prefixes first; the lanes
// are ordered by owner, IPv4 before IPv6, and none is empty.
func lanesOf(list []netip.Prefix, owners []owned) [][]netip.Prefix {
	slices.SortFunc(owners, func(a, b owned) int {
		return cmp.Or(comparePrefix(a.prefix, b.prefix), strings.Compare(a.owner, b.owner))
	})
	type key struct {
		owner string
		six   bool
	}
	byKey := map[key][]netip.Prefix{}
	next := 0
	for _, prefix := range list {
		for next < len(owners) && owners[next].prefix.Addr().Compare(prefix.Addr()) <= 0 {
			next++
		}
		k := key{six: prefix.Addr().Is6()}
		if next > 0 && owners[next-1].prefix.Contains(prefix.Addr()) {
			k.owner = owners[next-1].owner
		}
		byKey[k] = append(byKey[k], prefix)
	}
	keys := slices.SortedFunc(maps.Keys(byKey), func(a, b key) int {
		if a.owner != b.owner {
			return strings.Compare(a.owner, b.owner)
		}
		if a.six {
			return 1
		}
		return -1
	})
	lanes := make([][]netip.Prefix, 0, len(keys))
	for _, k := range keys {
		slices.SortStableFunc(byKey[k], func(a, b netip.Prefix) int { return a.Bits() - b.Bits() })
		lanes = append(lanes, byKey[k])
	}
	return lanes
}

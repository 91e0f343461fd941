package k8s

import (
	"net/netip"
	"slices"

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

// choose keeps as many prefixes of a sorted list as fit into size bytes of JSON,
// the same ones each time: the widest first, since they hold the most addresses,
// IPv4 and IPv6 in turn, since neither family may silence the other.
func choose(list []netip.Prefix, size int) []netip.Prefix {
	widest := func(a, b netip.Prefix) int { return a.Bits() - b.Bits() }
	split, _ := slices.BinarySearchFunc(list, netip.IPv6Unspecified(), func(p netip.Prefix, a netip.Addr) int {
		return p.Addr().Compare(a)
	})
	families := [2][]netip.Prefix{slices.Clone(list[:split]), slices.Clone(list[split:])}
	slices.SortStableFunc(families[0], widest)
	slices.SortStableFunc(families[1], widest)
	var kept []netip.Prefix
	size -= len("[]")
	for turn := 0; len(families[0])+len(families[1]) > 0; turn++ {
		family := &families[turn%2]
		if len(*family) == 0 {
			continue
		}
		next := (*family)[0]
		if size -= len(next.String()) + len(`"",`); size < 0 {
			break
		}
		kept, *family = append(kept, next), (*family)[1:]
	}
	slices.SortFunc(kept, comparePrefix)
	return kept
}

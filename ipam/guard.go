package ipam

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// guard is a set of ranges that nobody may announce into, each with the words that name it.
type guard struct{ ranges bart.Table[string] }

func newGuard() *guard { return &guard{} }

// add keeps the first name given to a range.
func (g *guard) add(p netip.Prefix, name string) {
	if _, taken := g.ranges.Get(p); !taken {
		g.ranges.Insert(p, name)
	}
}

func (g *guard) contains(a netip.Addr) bool { return g.ranges.Contains(a) }

// cover finds the most specific range that p lies in.
func (g *guard) cover(p netip.Prefix) (netip.Prefix, string, bool) {
	return g.ranges.LookupPrefixLPM(p)
}

// overlap finds the most specific range that p lies in, else the first that lies in p.
func (g *guard) overlap(p netip.Prefix) (netip.Prefix, string, bool) {
	if r, name, ok := g.ranges.LookupPrefixLPM(p); ok {
		return r, name, true
	}
	for r, name := range g.ranges.Subnets(p) {
		return r, name, true
	}
	return netip.Prefix{}, "", false
}

type special struct {
	prefix netip.Prefix
	name   string
}

// specials are the ranges that never identify a remote pod, whatever the contracts say.
func specials() []special {
	list := []struct{ prefix, name string }{
		{"0.0.0.0/8", `"this network" (RFC 791)`},
		{"127.0.0.0/8", "loopback (RFC 1122)"},
		{"169.254.0.0/16", "link-local (RFC 3927)"},
		{"224.0.0.0/4", "multicast (RFC 5771)"},
		{"240.0.0.0/4", "reserved (RFC 1112)"},
		{"::/8", "unspecified, loopback and IPv4-embedded addresses (RFC 4291)"},
		{"::1/128", "loopback (RFC 4291)"},
		{"::ffff:0:0/96", "IPv4-mapped addresses (RFC 4291)"},
		{"64:ff9b::/96", "IPv4/IPv6 translation (RFC 6052)"},
		{"100::/64", "discard-only (RFC 6666)"},
		{"fe80::/10", "link-local (RFC 4291)"},
		{"fec0::/10", "deprecated site-local (RFC 3879)"},
		{"ff00::/8", "multicast (RFC 4291)"},
	}
	out := make([]special, 0, len(list))
	for _, s := range list {
		out = append(out, special{netip.MustParsePrefix(s.prefix), s.name})
	}
	return out
}

// relation puts into words how p, which overlaps r, does so.
func relation(p, r netip.Prefix) string {
	switch {
	case p.Bits() < r.Bits():
		return "covers"
	case p.Bits() > r.Bits():
		return "lies inside"
	default:
		return "equals"
	}
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

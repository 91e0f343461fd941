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

// specials are the ranges that never identify a remote pod, whatever the contracts say: the IANA special-purpose
// registries (RFC 6890) without what private networks are made of (10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12,
// 192.168.0.0/16, fc00::/7), and multicast. The configuration knows them, too.
func specials() []special {
	list := []struct{ prefix, name string }{
		{"0.0.0.0/8", `"this network" (RFC 791)`},
		{"127.0.0.0/8", "loopback (RFC 1122)"},
		{"169.254.0.0/16", "link-local (RFC 3927)"},
		{"192.0.0.0/24", "protocol assignments (RFC 6890)"},
		{"192.0.2.0/24", "documentation (RFC 5737)"},
		{"192.88.99.0/24", "the former 6to4 relays (RFC 7526)"},
		{"198.18.0.0/15", "benchmarks (RFC 2544)"},
		{"198.51.100.0/24", "documentation (RFC 5737)"},
		{"203.0.113.0/24", "documentation (RFC 5737)"},
		{"224.0.0.0/4", "multicast (RFC 5771)"},
		{"240.0.0.0/4", "reserved (RFC 1112)"},
		{"::/8", "unspecified, loopback and IPv4-embedded addresses (RFC 4291)"},
		{"::1/128", "loopback (RFC 4291)"},
		{"::ffff:0:0/96", "IPv4-mapped addresses (RFC 4291)"},
		{"64:ff9b::/96", "IPv4/IPv6 translation (RFC 6052)"},
		{"64:ff9b:1::/48", "IPv4/IPv6 translation (RFC 8215)"},
		{"100::/64", "discard-only (RFC 6666)"},
		{"100:0:0:1::/64", "dummy (RFC 9780)"},
		{"2001::/23", "protocol assignments (RFC 2928)"},
		{"2001:db8::/32", "documentation (RFC 3849)"},
		{"2002::/16", "6to4 (RFC 3056)"},
		{"3fff::/20", "documentation (RFC 9637)"},
		{"5f00::/16", "segment routing (RFC 9602)"},
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

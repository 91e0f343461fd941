package config

import (
	"errors"
	"net/netip"
	"strings"
	"unicode"
)

// address is an IP address without a port, of either family.
func address() kind[netip.Addr] {
	return kind[netip.Addr]{
		name: "address", want: "an IP address", tags: []string{"!!str"},
		parse: func(text string) (netip.Addr, error) {
			a, err := netip.ParseAddr(text)
			switch {
			case err != nil:
				return netip.Addr{}, broken("must be an IP address, such as 192.0.2.1 or 2001:db8::1")
			case a.Is4In6():
				return a.Unmap(), broken("must not be an IPv4-mapped IPv6 address: write %s", a.Unmap())
			case a.Zone() != "" && !a.IsLinkLocalUnicast():
				return a.WithZone(""), broken("must not have a zone: only a link-local address has one")
			case a.Zone() == "" && a.Is6() && a.IsLinkLocalUnicast():
				return a, broken("must name its link: write %s%%eth0, with the interface's name", a)
			}
			return a, nil
		},
		format: netip.Addr.String,
		schema: schema{"type": "string", "pattern": "^[0-9A-Fa-f:.]+(%.+)?$"},
	}
}

// hostAddress is an address that one host can have.
func hostAddress() kind[netip.Addr] {
	return address().where(func(a netip.Addr) error {
		if a.IsUnspecified() {
			return broken("must be the address of one host, not the unspecified address")
		}
		return checkNotMany(a)
	})
}

// socketAddress is an address to listen on with its port: 127.0.0.1:9179, [::]:9179.
func socketAddress() kind[netip.AddrPort] {
	const example = "127.0.0.1:9179, or [::]:9179 for all addresses"
	return kind[netip.AddrPort]{
		name: "address:port", want: "an address with a port", tags: []string{"!!str"},
		parse: func(text string) (netip.AddrPort, error) {
			a, err := netip.ParseAddrPort(text)
			switch {
			case err != nil:
				return netip.AddrPort{}, broken("must be an IP address with a port, such as %s", example)
			case a.Port() == 0:
				return netip.AddrPort{}, broken("must have a port, 1 to 65535, such as %s", example)
			case a.Addr().Is4In6():
				v4 := netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
				return v4, broken("must not be an IPv4-mapped IPv6 address: write %s", v4)
			}
			return a, checkNotMany(a.Addr())
		},
		format: netip.AddrPort.String,
		schema: schema{"type": "string", "pattern": "^(\\[[0-9A-Fa-f:.]+(%.+)?\\]|[0-9.]+):[0-9]{1,5}$"},
	}
}

// hostPort is where one host listens.
func hostPort() kind[netip.AddrPort] {
	return socketAddress().where(func(a netip.AddrPort) error {
		if a.Addr().IsUnspecified() {
			return broken("must be the address of one host, not the unspecified address")
		}
		return nil
	})
}

// interfaceName is the name of a network interface: what the kernel allows (dev_valid_name in net/core/dev.c).
func interfaceName() kind[string] {
	const longest = 15
	k := text[string]("interface").where(func(name string) error {
		odd := func(r rune) bool {
			return r == '/' || r == ':' || r == '%' || unicode.IsSpace(r) || !unicode.IsPrint(r)
		}
		if name == "" || len(name) > longest || name == "." || name == ".." || strings.ContainsFunc(name, odd) {
			return broken("must be the name of a network interface, such as eth1: 1 to %d bytes without spaces, slashes and colons", longest)
		}
		return nil
	})
	k.schema = schema{"type": "string", "minLength": 1, "maxLength": longest}
	return k
}

// listenAddress is an address to listen on: the unspecified one stands for all of its family.
func listenAddress() kind[netip.Addr] { return address().where(checkNotMany) }

func checkNotMany(a netip.Addr) error {
	switch {
	case a.IsMulticast():
		return broken("must be a unicast address, not a multicast group")
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return broken("must be a unicast address, not the broadcast address")
	}
	return nil
}

// routerID is a BGP Identifier: any 32-bit number but 0, written as an IPv4 address (RFC 6286, section 2.1).
func routerID() kind[netip.Addr] {
	k := address()
	k.name, k.want = "router id", "an IPv4 address"
	k.parse = func(text string) (netip.Addr, error) {
		a, err := netip.ParseAddr(text)
		switch {
		case err != nil || !a.Is4():
			return netip.Addr{}, broken("must be auto, or 32 bits written as an IPv4 address (RFC 6286)")
		case a.IsUnspecified():
			return netip.Addr{}, broken("must not be zero (RFC 6286)")
		}
		return a, nil
	}
	k.schema = schema{"type": "string", "pattern": `^[0-9.]+$`}
	return k
}

// prefix is a CIDR without host bits.
func prefix() kind[netip.Prefix] {
	return kind[netip.Prefix]{
		name: "cidr", want: "a CIDR", tags: []string{"!!str"},
		parse: func(text string) (netip.Prefix, error) {
			p, err := netip.ParsePrefix(text)
			switch {
			case err != nil:
				return netip.Prefix{}, broken("must be a CIDR, such as 10.10.0.0/16 or fd00:10::/48%s", withLength(text))
			case p.Addr().Is4In6() && p.Bits() >= 96:
				v4 := netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked()
				return v4, broken("must not be an IPv4-mapped IPv6 range: write %s", v4)
			case p.Masked() != p:
				return p.Masked(), broken("has host bits set: write %s", p.Masked())
			}
			return p, nil
		},
		format: netip.Prefix.String,
		schema: schema{"type": "string", "pattern": "^[0-9A-Fa-f:.]+/[0-9]{1,3}$"},
	}
}

func withLength(text string) string {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return ""
	}
	return " (for this one address: " + netip.PrefixFrom(a, a.BitLen()).String() + ")"
}

const broadestPodRange = 8 // bits; what is wider is the Internet rather than somebody's pods

// podPrefix is a range that pods can have. One that they can't have is not compared with others: it overlaps
// half of them.
func podPrefix() kind[netip.Prefix] {
	k := prefix()
	parse := k.parse
	k.parse = func(text string) (netip.Prefix, error) {
		p, err := parse(text)
		if never := neverPods(p); never != nil {
			return netip.Prefix{}, errors.Join(err, never)
		}
		return p, err
	}
	return k
}

func neverPods(p netip.Prefix) error {
	var rules []error
	if p.IsValid() && p.Bits() < broadestPodRange {
		rules = append(rules, broken("is too wide for pods: at least /%d", broadestPodRange))
	}
	for _, s := range specialRanges() {
		if p.Overlaps(s.prefix) {
			rules = append(rules, broken("overlaps %s (%s): pods can't have such addresses", s.prefix, s.what))
		}
	}
	return errors.Join(rules...)
}

type special struct {
	prefix netip.Prefix
	what   string
}

// specialRanges are the ranges of RFC 6890 that never are pods', in any network: a route to them would be refused.
func specialRanges() []special {
	v4 := func(a, b, c byte, bits int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b, c}), bits)
	}
	v6 := func(a, b uint16, bits int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{byte(a >> 8), byte(a), byte(b >> 8), byte(b)}), bits)
	}
	return []special{
		{v4(0, 0, 0, 8), "this network"},
		{v4(127, 0, 0, 8), "loopback"},
		{v4(169, 254, 0, 16), "link-local"},
		{v4(192, 0, 0, 24), "protocol assignments"},
		{v4(192, 0, 2, 24), "documentation"},
		{v4(192, 88, 99, 24), "6to4 relays"},
		{v4(198, 18, 0, 15), "benchmarks"},
		{v4(198, 51, 100, 24), "documentation"},
		{v4(203, 0, 113, 24), "documentation"},
		{v4(224, 0, 0, 4), "multicast"},
		{v4(240, 0, 0, 4), "reserved"},
		{v6(0, 0, 8), "loopback and IPv4-mapped"},
		{v6(0x100, 0, 48), "discard-only"},
		{v6(0x2001, 0, 23), "protocol assignments"},
		{v6(0x2001, 0xdb8, 32), "documentation"},
		{v6(0x2002, 0, 16), "6to4"},
		{v6(0x3fff, 0, 20), "documentation"},
		{v6(0x5f00, 0, 16), "segment routing"},
		{v6(0xfe80, 0, 10), "link-local"},
		{v6(0xfec0, 0, 10), "deprecated site-local"},
		{v6(0xff00, 0, 8), "multicast"},
	}
}

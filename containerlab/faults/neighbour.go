package main

import (
	"fmt"
	"net/netip"
	"slices"
)

// neighbour is a peer of the node under test, with pods behind it.
type neighbour struct {
	name    string
	number  int
	asn     int
	process string // its daemon; empty: the bench
}

func neighbours() []neighbour {
	return []neighbour{
		{"frr", 1, 65001, "bgpd"}, {"bird", 2, 65002, "bird"}, {"gobgp", 3, 65003, "bash"},
		{"west-1", 4, 64513, "underlayd"}, {"raw", 5, rawASN, ""},
	}
}

func neighbourOf(name string) neighbour {
	all := neighbours()
	return all[slices.IndexFunc(all, func(p neighbour) bool { return p.name == name })]
}

// address is the neighbour's on its link with the node.
func (p neighbour) address(v6 bool) netip.Addr {
	if v6 {
		return netip.MustParseAddr(fmt.Sprintf("fd00:fab:%d::2", p.number))
	}
	return netip.AddrFrom4([4]byte{192, 168, byte(p.number), 2})
}

// node is the address of the node under test on the link with the neighbour.
func (p neighbour) node() netip.Addr { return netip.AddrFrom4([4]byte{192, 168, byte(p.number), 1}) }

// prefixes are what the neighbour announces in good times.
func (p neighbour) prefixes() []netip.Prefix {
	list := []netip.Prefix{netip.PrefixFrom(pods(p.number, false), 24).Masked(), netip.PrefixFrom(pods(p.number, true), 64).Masked()}
	if p.name == "bird" {
		list = append(list, netip.MustParsePrefix("10.30.1.0/24"))
	}
	return list
}

// pods is the address of the pod behind a neighbour; 0 is the pod of the node under test.
func pods(number int, v6 bool) netip.Addr {
	switch {
	case number == 0 && v6:
		return netip.MustParseAddr("fd00:10:0:1::10")
	case number == 0:
		return netip.MustParseAddr("10.10.1.10")
	case v6:
		return netip.MustParseAddr(fmt.Sprintf("fd00:20:0:%d::10", number))
	default:
		return netip.AddrFrom4([4]byte{10, 20, byte(number), 10})
	}
}

// contracts are the ranges of which anything may ever be in the kernel.
func contracts() []netip.Prefix {
	var list []netip.Prefix
	for _, s := range []string{"10.20.0.0/16", "fd00:20::/48", "10.30.0.0/16", "fd00:30::/48"} {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// wanted is what the node's kernel has of ours when all is well, but for what comes from neighbours left out.
func wanted(without ...string) []string {
	var routes []string
	for _, p := range neighbours() {
		if slices.Contains(without, p.name) {
			continue
		}
		for _, prefix := range p.prefixes() {
			routes = append(routes, prefix.String()+" via "+p.address(prefix.Addr().Is6()).String())
		}
	}
	slices.Sort(routes)
	return routes
}

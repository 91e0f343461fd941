package config

import "net/netip"

// routeProtocol is the number that marks routes as ours. With a number that somebody else uses we would
// delete their routes and they ours, so the well-known ones are refused (rtnetlink(7), FRR's and iproute2's
// rt_protos).
func routeProtocol() kind[int] {
	why := make(map[string]string)
	for number, owner := range map[string]string{
		"0": "nobody (unspecified)", "1": "ICMP redirects", "2": "the kernel", "3": "whoever writes no protocol (boot)",
		"4": "the administrator (static)", "8": "GateD", "9": "router advertisements", "10": "MRT", "11": "FRR's zebra",
		"12": "BIRD", "13": "DECnet routing", "14": "XORP", "15": "Netsukuku", "16": "DHCP clients",
		"17": "mrouted and kube-router", "18": "keepalived", "42": "babeld", "80": "Calico's Felix", "84": "OVN",
		"99": "Open/R", "186": "FRR's bgpd", "187": "FRR's isisd", "188": "FRR's ospfd", "189": "FRR's ripd",
		"190": "FRR's ripngd", "191": "FRR's nhrpd", "192": "FRR's eigrpd", "193": "FRR's ldpd",
		"194": "FRR's sharpd", "195": "FRR's pbrd", "196": "FRR's staticd", "197": "FRR's fabricd", "198": "FRR's pathd",
	} {
		why[number] = "belongs to " + owner + ": choose a number that nothing else on the node uses, such as 200"
	}
	return number[int](5, 255).refusing(why)
}

// routingTable is a table routes of ours may be written to.
func routingTable() kind[int] {
	return number[int](1, 1<<32-1).refusing(map[string]string{
		"255": "is the local table, which belongs to the kernel; main is 254",
	})
}

// routeMTU is the MTU of routes, 0 for none. What is below 1280 is no link for IPv6 (RFC 8200, section 5).
func routeMTU() kind[int] {
	k := number[int](1280, 65535)
	parse := k.parse
	k.parse = func(text string) (int, error) {
		if text == "0" {
			return 0, nil
		}
		n, err := parse(text)
		if err != nil {
			return 0, broken("must be 0 for none, or 1280 to 65535")
		}
		return n, nil
	}
	k.schema = schema{"anyOf": []schema{{"const": 0}, k.schema}}
	return k
}

// sourceAddress is an address of one family that packets may come from, beyond their link.
func sourceAddress(family func(netip.Addr) bool, name string) kind[netip.Addr] {
	return hostAddress().where(func(a netip.Addr) error {
		switch {
		case !family(a):
			return broken("must be auto or an %s address", name)
		case a.IsLoopback() || a.IsLinkLocalUnicast():
			return broken("must be an address that others can answer to, not a loopback or link-local one")
		}
		return nil
	})
}

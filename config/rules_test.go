package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rule is a row: a text, and the errors it gives, each without the place. None: the text is valid.
type rule struct {
	name string
	text string
	want []string
}

func (r rule) run(t *testing.T) {
	c, err := parse(r.text)
	if len(r.want) == 0 {
		require.NoError(t, err)
		require.NoError(t, c.Validate())
		return
	}
	require.Nil(t, c)
	require.Error(t, err)
	var got []string
	for _, line := range strings.Split(err.Error(), "\n") {
		_, message, _ := strings.Cut(line, ": ")
		got = append(got, message)
	}
	require.Equal(t, r.want, got)
}

func one(message string) []string { return []string{message} }

func TestNumbers(t *testing.T) {
	const (
		asn   = "an AS number, written as one whole number (asplain, RFC 5396)"
		owned = ": choose a number that nothing else on the node uses, such as 200"
	)
	withASN := func(asn string) string { return strings.Replace(minimal, "64512", asn, 1) }
	kernel := func(key string) string { return minimal + "kernel: {" + key + "}\n" }
	for _, row := range []rule{
		{"AS 0 is refused", withASN("0"), one("bgp.asn: 0: AS 0 is reserved and must not be used (RFC 7607)")},
		{"AS_TRANS is refused", withASN("23456"), one("bgp.asn: 23456: AS 23456 is AS_TRANS, the stand-in for AS numbers of four octets (RFC 6793)")},
		{"the last AS of two octets is refused", withASN("65535"), one("bgp.asn: 65535: AS 65535 is reserved (RFC 7300); private ones are 64512 to 65534")},
		{"the last AS of four octets is refused", withASN("4294967295"), one("bgp.asn: 4294967295: AS 4294967295 is reserved (RFC 7300); private ones are 4200000000 to 4294967294")},
		{"the last private AS is fine", withASN("4294967294"), nil},
		{"an AS beyond four octets is refused", withASN("4294967296"), one("bgp.asn: 4294967296: must be 1 to 4294967294")},
		{"a number beyond any machine word is refused", withASN("99999999999999999999"), one("bgp.asn: 99999999999999999999: wants " + asn + ", not a floating-point number")},
		{"a negative AS is refused", withASN("-1"), one("bgp.asn: -1: must be 1 to 4294967294")},
		{"asdot is refused", withASN("1.10"), one("bgp.asn: 1.10: wants " + asn + ", not a floating-point number")},
		{"a quoted number is refused", withASN(`"64512"`), one("bgp.asn: 64512: wants " + asn + ": write it without quotes")},
		{"a hexadecimal number is refused", withASN("0xFC00"), one("bgp.asn: 0xFC00: must be a whole number in plain decimal digits")},
		{"an octal number is refused", withASN("064512"), one("bgp.asn: 064512: must be a whole number in plain decimal digits")},
		{"a cluster id of 0 is refused", strings.Replace(minimal, "id: 1", "id: 0", 1), one("cluster.id: 0: must be 1 to 4294967295")},
		{"a cluster id beyond 32 bits is refused", strings.Replace(minimal, "id: 1", "id: 4294967296", 1), one("cluster.id: 4294967296: must be 1 to 4294967295")},
		{"port -1 means not to listen", inBGP("port: -1"), nil},
		{"port 0 is refused", inBGP("port: 0"), one("bgp.port: 0: must be 1 to 65535")},
		{"a port beyond 16 bits is refused", inBGP("port: 65536"), one("bgp.port: 65536: must be 1 to 65535")},
		{"a peer's port of -1 is refused", peer("port: -1"), one("bgp.peers[0].port: -1: must be 1 to 65535")},
		{"the local table is refused", kernel("table: 255"), one("kernel.table: 255: is the local table, which belongs to the kernel; main is 254")},
		{"table 0 is refused", kernel("table: 0"), one("kernel.table: 0: must be 1 to 4294967295")},
		{"a table beyond 8 bits is fine", kernel("table: 4294967295"), nil},
		{"the kernel's protocol is refused", kernel("protocol: 2"), one("kernel.protocol: 2: belongs to the kernel" + owned)},
		{"FRR's protocol is refused", kernel("protocol: 186"), one("kernel.protocol: 186: belongs to FRR's bgpd" + owned)},
		{"BIRD's protocol is refused", kernel("protocol: 12"), one("kernel.protocol: 12: belongs to BIRD" + owned)},
		{"a protocol beyond 8 bits is refused", kernel("protocol: 256"), one("kernel.protocol: 256: must be 5 to 255")},
		{"metric 0 is refused", kernel("metric: 0"), one("kernel.metric: 0: must be 1 to 4294967295")},
		{"no next hops at all is refused", kernel("maxNextHops: 0"), one("kernel.maxNextHops: 0: must be 1 to 256")},
		{"a word that says nothing about next hops is refused", kernel("resolve: maybe"), one("kernel.resolve: maybe: must be one of never, routes, always")},
		{"an MTU that is none to IPv6 is refused", kernel("mtu: 1279"), one("kernel.mtu: 1279: must be 0 for none, or 1280 to 65535")},
		{"no MTU at all is fine", kernel("mtu: 0"), nil},
		{"a source of the other family is refused", kernel("source: {ipv4: 2001:db9::1}"), one("kernel.source.ipv4: 2001:db9::1: must be auto or an IPv4 address")},
		{"a source that nobody can answer to is refused", kernel("source: {ipv4: 127.0.0.1}"),
			one("kernel.source.ipv4: 127.0.0.1: must be an address that others can answer to, not a loopback or link-local one")},
		{"a rule for the main table is refused", kernel("rule: 1000"),
			one("kernel.rule: 1000: is for a table of our own: kernel.table is 254, which the kernel has a rule for; choose another table, such as 200")},
		{"a rule for a table of our own is fine", kernel("table: 200, rule: 32765"), nil},
		{"a rule after that of main is refused", kernel("table: 200, rule: 32766"), one("kernel.rule: 32766: must be 0 to 32765")},
		{"257 next hops are refused", kernel("maxNextHops: 257"), one("kernel.maxNextHops: 257: must be 1 to 256")},
		{"a limit of no prefixes is refused", remote("maxPrefixes: 0"), one("clusters[0].maxPrefixes: 0: must be 1 to 1000000")},
	} {
		t.Run(row.name, row.run)
	}
}

func TestProtocolsOfOthers(t *testing.T) {
	for _, taken := range strings.Fields("0 1 2 3 4 11 12 17 18 42 80 186 187 188 189 192 196") {
		_, err := parse(minimal + "kernel: {protocol: " + taken + "}\n")
		require.ErrorContains(t, err, "kernel.protocol: "+taken+": belongs to ")
	}
}

func TestDurations(t *testing.T) {
	const hold = "must be 3s to 65535s (RFC 4271 section 4.2; 0, no keepalives, is not supported)"
	for _, row := range []rule{
		{"a hold time of 0 is refused", inBGP("holdTime: 0s"), one("bgp.holdTime: 0s: " + hold)},
		{"a hold time of 1 s is refused", inBGP("holdTime: 1s"), one("bgp.holdTime: 1s: " + hold)},
		{"a hold time of 2 s is refused", inBGP("holdTime: 2s"), one("bgp.holdTime: 2s: " + hold)},
		{"a hold time of 3 s is the shortest", inBGP("holdTime: 3s"), nil},
		{"a hold time of 65535 s is the longest", inBGP("holdTime: 65535s"), nil},
		{"a hold time beyond 16 bits is refused", inBGP("holdTime: 65536s"), one("bgp.holdTime: 65536s: " + hold)},
		{"a peer's hold time has the same limits", peer("holdTime: 0s"), one("bgp.peers[0].holdTime: 0s: " + hold)},
		{"half a second is refused", inBGP("holdTime: 3500ms"), one("bgp.holdTime: 3500ms: must be whole seconds")},
		{"a number without a unit is refused", inBGP("holdTime: 90"), one("bgp.holdTime: 90: wants a duration with its unit, such as 90s or 2m, not a whole number")},
		{"a word is refused", inBGP("holdTime: long"), one("bgp.holdTime: long: must be a duration with its unit, such as 90s or 2m")},
		{"a sign is refused", inBGP("holdTime: +90s"), one("bgp.holdTime: +90s: must be a duration with its unit, such as 90s or 2m")},
		{"a negative duration is refused", inBGP("connectRetry: -5s"), one("bgp.connectRetry: -5s: must be 1s to 65535s")},
		{"a restart time of 4095 s is the longest", inBGP("gracefulRestart: {restartTime: 4095s}"), nil},
		{"a restart time beyond 12 bits is refused", inBGP("gracefulRestart: {restartTime: 4096s}"),
			one("bgp.gracefulRestart.restartTime: 4096s: must be 1s to 4095s (12 bits, RFC 4724 section 3)")},
		{"a deferral as long as the start limit is refused", inBGP("startLimit: 10s"),
			one("bgp.gracefulRestart.deferral: 10s: must be shorter than bgp.startLimit, 10s: when that ends, routes not learned again are removed")},
	} {
		t.Run(row.name, row.run)
	}
}

func TestNames(t *testing.T) {
	const label = "must be a DNS-1123 label: 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit"
	named := func(name string) string { return strings.Replace(minimal, "east", name, 1) }
	node := func(name string) string { return minimal + "node: {name: " + name + "}\n" }
	for _, row := range []rule{
		{"a name of digits in quotes is fine", named(`"1"`), nil},
		{"a name of 63 letters is fine", named(strings.Repeat("a", 63)), nil},
		{"a name of 64 letters is refused", named(strings.Repeat("a", 64)),
			one("cluster.name: " + strings.Repeat("a", 64) + ": " + label + " (did you mean " + strings.Repeat("a", 63) + "?)")},
		{"upper case is refused with a suggestion", named("East_1"), one("cluster.name: East_1: " + label + " (did you mean east-1?)")},
		{"a dot is refused with a suggestion", named("east.example"), one("cluster.name: east.example: " + label + " (did you mean east-example?)")},
		{"a hyphen at an end is refused", named("-east-"), one("cluster.name: -east-: " + label + " (did you mean east?)")},
		{"nothing but hyphens is refused without a suggestion", named(`"---"`), one("cluster.name: ---: " + label)},
		{"an empty name is refused", named(`""`), one(`cluster.name: "": ` + label)},
		{"a number for a name is refused", named("007"), one(`cluster.name: 007: wants a string, not a whole number: write it in quotes, "007"`)},
		{"a name with a line break can't forge a line of the output", named(`"a\nb"`), one(`cluster.name: "a\nb": ` + label + " (did you mean a-b?)")},
		{"a node's name may have dots", node("ip-10-0-0-1.eu.example"), nil},
		{"a node's name may not have two dots in a row", node("a..b"),
			one("node.name: a..b: must be a DNS-1123 subdomain: at most 253 of a-z, 0-9, - and ., each part beginning and ending with a letter or digit")},
		{"two peers of one name are refused", peers("name: a, address: 192.0.2.1, asn: 1", "name: a, address: 192.0.2.2, asn: 1"),
			one("bgp.peers[1].name: a: is already used by bgp.peers[0].name")},
		{"two clusters of one name are refused", remotes("name: west, id: 2, podCIDRs: [10.20.0.0/16]", "name: west, id: 3, podCIDRs: [10.30.0.0/16]"),
			one("clusters[1].name: west: is already used by clusters[0].name")},
		{"a cluster of our own name and id is refused", remotes("name: east, id: 1, podCIDRs: [10.20.0.0/16]"),
			[]string{"clusters[0].name: east: is already used by cluster.name", "clusters[0].id: 1: is already used by cluster.id"}},
		{"two clusters of one id are refused", remotes("name: west, id: 2, podCIDRs: [10.20.0.0/16]", "name: north, id: 2, podCIDRs: [10.30.0.0/16]"),
			one("clusters[1].id: 2: is already used by clusters[0].id")},
		{"a word that is no choice is refused with a suggestion", minimal + "log: {level: infos}\n",
			one("log.level: infos: must be one of debug, info, warn, error (did you mean info?)")},
		{"a port alone is no address to listen on", minimal + "http: {listen: \":9179\"}\n",
			one("http.listen: :9179: must be an IP address with a port, such as 127.0.0.1:9179, or [::]:9179 for all addresses")},
		{"a name is no address to listen on", minimal + "http: {listen: \"localhost:9179\"}\n",
			one("http.listen: localhost:9179: must be an IP address with a port, such as 127.0.0.1:9179, or [::]:9179 for all addresses")},
		{"nobody listens on port 0", minimal + "http: {listen: \"127.0.0.1:0\"}\n",
			one("http.listen: 127.0.0.1:0: must have a port, 1 to 65535, such as 127.0.0.1:9179, or [::]:9179 for all addresses")},
		{"nor on a group", minimal + "http: {listen: \"224.0.0.1:9179\"}\n",
			one("http.listen: 224.0.0.1:9179: must be a unicast address, not a multicast group")},
		{"a fleet is of hosts", minimal + "http: {fleet: [\"192.0.2.1:9179\", \"[::]:9179\"]}\n",
			one("http.fleet[1]: [::]:9179: must be the address of one host, not the unspecified address")},
		{"a relative directory is refused", minimal + "runtime: {directory: run}\n", one("runtime.directory: run: must be an absolute path")},
		{"a crooked directory is refused", minimal + "runtime: {directory: /run/../run/}\n", one("runtime.directory: /run/../run/: must be a plain path: write /run")},
		{"a directory too long for sockets is refused", minimal + "runtime: {directory: /" + strings.Repeat("d", 80) + "}\n",
			one("runtime.directory: /" + strings.Repeat("d", 79) + "…: must have at most 80 bytes: the path of a socket in it may have 107 (unix(7))")},
	} {
		t.Run(row.name, row.run)
	}
}

func TestRanges(t *testing.T) {
	pods := func(cidrs string) string {
		return "cluster: {name: east, id: 1, podCIDRs: [" + cidrs + "]}\nbgp: {asn: 64512}\n"
	}
	const cidr = "must be a CIDR, such as 10.10.0.0/16 or fd00:10::/48"
	for _, row := range []rule{
		{"an explicit empty list advertises nothing", pods(""), nil},
		{"a word is refused", pods("pods"), one("cluster.podCIDRs[0]: pods: " + cidr)},
		{"an address without a length is refused", pods("10.10.0.1"), one("cluster.podCIDRs[0]: 10.10.0.1: " + cidr + " (for this one address: 10.10.0.1/32)")},
		{"a length beyond the family's is refused", pods("10.10.0.0/33"), one("cluster.podCIDRs[0]: 10.10.0.0/33: " + cidr)},
		{"host bits are refused with the masked form", pods("10.10.1.0/16"), one("cluster.podCIDRs[0]: 10.10.1.0/16: has host bits set: write 10.10.0.0/16")},
		{"an IPv4-mapped range is refused with the IPv4 form", pods(`"::ffff:10.10.0.0/112"`),
			one("cluster.podCIDRs[0]: ::ffff:10.10.0.0/112: must not be an IPv4-mapped IPv6 range: write 10.10.0.0/16")},
		{"the default route is refused", pods("0.0.0.0/0"), []string{
			"cluster.podCIDRs[0]: 0.0.0.0/0: is too wide for pods: at least /8",
			"cluster.podCIDRs[0]: 0.0.0.0/0: overlaps 0.0.0.0/8 (this network): pods can't have such addresses",
			"cluster.podCIDRs[0]: 0.0.0.0/0: overlaps 127.0.0.0/8 (loopback): pods can't have such addresses",
			"cluster.podCIDRs[0]: 0.0.0.0/0: overlaps 169.254.0.0/16 (link-local): pods can't have such addresses",
			"cluster.podCIDRs[0]: 0.0.0.0/0: overlaps 192.0.0.0/24 (protocol assignments): pods can't have such addresses",
			"cluster.podCIDRs[0]: 0.0.0.0/0: overlaps 192.0.2.0/24 (documentation): pods can't have such addresses",
			"cluster.podCIDRs[0]: 0.0.0.0/0: overlaps 192.88.99.0/24 (6to4 relays): pods can't have such addresses",
			"cluster.podCIDRs[0]: 0.0.0.0/0: overlaps 198.18.0.0/15 (benchmarks): pods can't have such addresses",
			"cluster.podCIDRs[0]: 0.0.0.0/0: overlaps 198.51.100.0/24 (documentation): pods can't have such addresses",
			"cluster.podCIDRs[0]: 0.0.0.0/0: overlaps 203.0.113.0/24 (documentation): pods can't have such addresses",
			"cluster.podCIDRs[0]: 0.0.0.0/0: overlaps 224.0.0.0/4 (multicast): pods can't have such addresses",
			"cluster.podCIDRs[0]: 0.0.0.0/0: overlaps 240.0.0.0/4 (reserved): pods can't have such addresses"}},
		{"half of everything is refused", pods(`"8000::/1"`), []string{
			"cluster.podCIDRs[0]: 8000::/1: is too wide for pods: at least /8",
			"cluster.podCIDRs[0]: 8000::/1: overlaps fe80::/10 (link-local): pods can't have such addresses",
			"cluster.podCIDRs[0]: 8000::/1: overlaps fec0::/10 (deprecated site-local): pods can't have such addresses",
			"cluster.podCIDRs[0]: 8000::/1: overlaps ff00::/8 (multicast): pods can't have such addresses"}},
		{"loopback is refused", pods("127.1.0.0/16"), one("cluster.podCIDRs[0]: 127.1.0.0/16: overlaps 127.0.0.0/8 (loopback): pods can't have such addresses")},
		{"a range for documentation is refused", pods("203.0.113.0/24"), one("cluster.podCIDRs[0]: 203.0.113.0/24: overlaps 203.0.113.0/24 (documentation): pods can't have such addresses")},
		{"the IPv6 range for documentation is refused", pods(`"2001:db8:10::/48"`), one("cluster.podCIDRs[0]: 2001:db8:10::/48: overlaps 2001:db8::/32 (documentation): pods can't have such addresses")},
		{"the shared range of providers is fine", pods("100.64.0.0/10"), nil},
		{"a public IPv6 range is fine", pods(`"2a00:10::/48"`), nil},
		{"link-local is refused", pods(`"fe80::/64"`), one("cluster.podCIDRs[0]: fe80::/64: overlaps fe80::/10 (link-local): pods can't have such addresses")},
		{"special ranges may be reserved", inCluster(`reserved: [169.254.0.0/16, "fe80::/10"]`), nil},
		{"reserved ranges may lie in each other", inCluster("reserved: [192.168.0.0/16, 192.168.1.0/24]"), nil},
		{"a range listed twice is refused", inCluster("reserved: [192.168.0.0/16, 192.168.0.0/16]"),
			one("cluster.reserved[1]: 192.168.0.0/16: is listed twice: also at cluster.reserved[0]")},
		{"a pod range in a reserved one is refused", inCluster("reserved: [10.0.0.0/8]"),
			one("cluster.reserved[0]: 10.0.0.0/8: contains 10.10.0.0/16, which is of this cluster (cluster.podCIDRs[0])")},
		{"a pod range within another of the same cluster is refused", pods("10.10.0.0/16, 10.10.1.0/24"),
			one("cluster.podCIDRs[1]: 10.10.1.0/24: lies in 10.10.0.0/16, which is of this cluster (cluster.podCIDRs[0])")},
		{"a remote range within ours is refused", remotes("name: west, id: 2, podCIDRs: [10.10.3.0/24]"),
			one("clusters[0].podCIDRs[0]: 10.10.3.0/24: lies in 10.10.0.0/16, which is of this cluster (cluster.podCIDRs[0])")},
		{"remote ranges that overlap are refused", remotes("name: west, id: 2, podCIDRs: [10.20.0.0/16]", `name: north, id: 3, podCIDRs: ["fd00:30::/48", 10.16.0.0/12]`),
			one("clusters[1].podCIDRs[1]: 10.16.0.0/12: contains 10.20.0.0/16, which is of cluster west (clusters[0].podCIDRs[0])")},
		{"host bits do not hide an overlap", remotes("name: west, id: 2, podCIDRs: [10.10.3.1/24]"), []string{
			"clusters[0].podCIDRs[0]: 10.10.3.1/24: has host bits set: write 10.10.3.0/24",
			"clusters[0].podCIDRs[0]: 10.10.3.0/24: lies in 10.10.0.0/16, which is of this cluster (cluster.podCIDRs[0])"}},
		{"a contract without ranges is refused", remotes("name: west, id: 2, podCIDRs: []"),
			one("clusters[0].podCIDRs: []: must not be empty: the ranges its prefixes must lie in")},
		{"a static range outside of the cluster's is refused", minimal + "node: {podCIDRs: [10.11.0.0/24]}\n",
			one("node.podCIDRs[0]: 10.11.0.0/24: lies in none of cluster.podCIDRs, and only those may be advertised")},
		{"static ranges that overlap are refused", minimal + "node: {podCIDRs: [10.10.1.0/24, 10.10.1.0/25]}\n",
			one("node.podCIDRs[1]: 10.10.1.0/25: overlaps 10.10.1.0/24 (node.podCIDRs[0])")},
	} {
		t.Run(row.name, row.run)
	}
}

func TestLengths(t *testing.T) {
	for _, row := range []rule{
		{"lengths within the contract are fine", remote("prefixLength: {ipv4: [16, 32], ipv6: [0, 0]}"), nil},
		{"a length beyond the family's is refused", remote("prefixLength: {ipv4: [16, 33]}"), one("clusters[0].prefixLength.ipv4[1]: 33: must be 0 to 32")},
		{"a minimum above the maximum is refused", remote("prefixLength: {ipv4: [28, 16]}"), one(`clusters[0].prefixLength.ipv4: [28, 16]: must be [min, max]: min is the greater one`)},
		{"one length is refused", remote("prefixLength: {ipv4: [28]}"), one("clusters[0].prefixLength.ipv4: 1 values: must be the two lengths [min, max]")},
		{"a length that is no list is refused", remote("prefixLength: {ipv4: 28}"), one("clusters[0].prefixLength.ipv4: 28: wants a list, such as [a, b], not a whole number")},
		{"nothing for a length is refused", remote("prefixLength: {ipv4: }"), one("clusters[0].prefixLength.ipv4: 0 values: must be the two lengths [min, max]")},
		{"a minimum shorter than the contract is refused", remote("prefixLength: {ipv4: [8, 24]}"),
			one("clusters[0].prefixLength.ipv4: [8, 24]: is looser than the contract: its widest range is a /16, so min must be at least 16")},
		{"a maximum that shuts a range out is refused", remotes("name: west, id: 2, podCIDRs: [10.20.0.0/16, 10.21.0.0/24], prefixLength: {ipv4: [16, 20]}"),
			one("clusters[0].prefixLength.ipv4: [16, 20]: lets nothing of a range in: podCIDRs has a /24, so max must be at least 24")},
	} {
		t.Run(row.name, row.run)
	}
}

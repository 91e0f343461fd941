package config_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPeers(t *testing.T) {
	at := func(address string) string { return peers("name: a, asn: 65000, address: " + address) }
	for _, row := range []rule{
		{"an IPv6 peer is fine", at(`"2001:db8::1"`), nil},
		{"a link-local peer with its link is fine", at("fe80::1%eth0"), nil},
		{"a link-local peer without a link is refused", at(`"fe80::1"`), one("bgp.peers[0].address: fe80::1: must name its link: write fe80::1%eth0, with the interface's name")},
		{"a zone on another address is refused", at("2001:db8::1%eth0"), one("bgp.peers[0].address: 2001:db8::1%eth0: must not have a zone: only a link-local address has one")},
		{"a name for an address is refused", at("tor-a.example"), one("bgp.peers[0].address: tor-a.example: must be an IP address, such as 192.0.2.1 or 2001:db8::1")},
		{"an IPv4-mapped address is refused", at(`"::ffff:192.0.2.1"`), one("bgp.peers[0].address: ::ffff:192.0.2.1: must not be an IPv4-mapped IPv6 address: write 192.0.2.1")},
		{"the unspecified address is refused", at("0.0.0.0"), one("bgp.peers[0].address: 0.0.0.0: must be the address of one host, not the unspecified address")},
		{"a multicast address is refused", at(`"ff02::1"`), one("bgp.peers[0].address: ff02::1: must be a unicast address, not a multicast group")},
		{"broadcast is refused", at("255.255.255.255"), one("bgp.peers[0].address: 255.255.255.255: must be a unicast address, not the broadcast address")},
		{"two peers at one address are refused", peers("name: a, address: 192.0.2.1, asn: 1", "name: b, address: 192.0.2.1, asn: 2"),
			one("bgp.peers[1].address: 192.0.2.1: is already used by bgp.peers[0].address")},
		{"a peer at an address we listen on is refused", inBGP("listenAddresses: [192.0.2.1], peers: [{name: a, address: 192.0.2.1, asn: 1}]"),
			one("bgp.peers[0].address: 192.0.2.1: is this node itself: bgp.listenAddresses[0]")},
		{"a peer at the same address but another port is another daemon", inBGP("listenAddresses: [127.0.0.1], peers: [{name: a, address: 127.0.0.1, port: 1179, asn: 1}]"), nil},
		{"a speaker on this node, with the port that we do not have, is fine", inBGP("port: -1, peers: [{name: a, address: 127.0.0.1, asn: 1}]"), nil},
		{"and with another port than ours", inBGP(`port: 1790, peers: [{name: a, address: "::1", asn: 1}]`), nil},
		{"a speaker on this node that connects to us is fine", at("127.0.0.1, passive: true"), nil},
		{"a speaker on this node with our own port is ourselves", at(`"::1"`),
			one("bgp.peers[0].address: ::1: is this node itself: bgp.port is 179 too; set bgp.port to another one or to -1, or port to that of the speaker on this node")},
		{"a peer among our pods is refused", at("10.10.0.1"),
			one("bgp.peers[0].address: 10.10.0.1: lies in 10.10.0.0/16 (cluster.podCIDRs[0]): a route to pods could then cut off the session it came from")},
		{"a peer at its own local address is refused", peer("localAddress: 192.168.0.254"), one("bgp.peers[0].localAddress: 192.168.0.254: is the address of the peer itself")},
		{"a local address of the other family is refused", peer(`localAddress: "2001:db8::1"`),
			one("bgp.peers[0].localAddress: 2001:db8::1: must be of the same family as the peer's address, 192.168.0.254")},
		{"a local address on another link is refused", peers("name: a, asn: 1, address: fe80::2%eth0, localAddress: fe80::1%eth1"),
			one("bgp.peers[0].localAddress: fe80::1%eth1: must be on the same link as the peer's address, fe80::2%eth0")},
		{"an empty local address is refused", peer(`localAddress: ""`), one(`bgp.peers[0].localAddress: "": must be an IP address, such as 192.0.2.1 or 2001:db8::1`)},
		{"GTSM over several hops is fine", peer("hops: 254"), nil},
		{"more hops than a TTL can count are refused", peer("hops: 255"), one("bgp.peers[0].hops: 255: must be 0 to 254")},
		{"hops with multihop are refused", peer("hops: 2, multihop: 4"),
			one("bgp.peers[0].multihop: 4: excludes hops, which is 2: GTSM (RFC 5082) sends with TTL 255; say how far the peer is with one of the two")},
		{"no hops with multihop is saying it twice", peer("hops: 0, multihop: 4"), nil},
		{"a multihop TTL of 1 is refused", peer("multihop: 1"),
			one("bgp.peers[0].multihop: 1: must be 0 or 2 to 255: a TTL of 1 does not leave the link; write hops: 0 for a plain session")},
		{"a multihop TTL beyond 8 bits is refused", peer("multihop: 256"), one("bgp.peers[0].multihop: 256: must be 0 to 255")},
		{"multihop on iBGP is refused", peers("name: a, address: 192.0.2.1, asn: 64512, multihop: 2"),
			one("bgp.peers[0].multihop: 2: is for eBGP: an iBGP session is multihop anyway; leave it out")},
		{"multihop to a link-local address is refused", peers("name: a, address: fe80::1%eth0, asn: 1, multihop: 2"),
			one("bgp.peers[0].multihop: 2: can't be: the peer's address, fe80::1%eth0, is link-local")},
		{"hops to a link-local address are refused", peers("name: a, address: fe80::1%eth0, asn: 1, hops: 2"),
			one("bgp.peers[0].hops: 2: must be 0 or 1: the peer's address, fe80::1%eth0, is link-local")},
		{"a passive peer of a speaker that does not listen is refused", inBGP("port: -1, peers: [{name: a, address: 192.0.2.1, asn: 1, passive: true}]"),
			one("bgp.peers[0].passive: true: can't be with bgp.port -1: neither side would ever connect")},
		{"a link instead of an address is fine", peers("name: a, asn: 1, interface: eth1.100"), nil},
		{"neither a link nor an address is refused", peers("name: a, asn: 1"), one("bgp.peers[0].address: is required, or interface in its place")},
		{"a link and an address are refused", peers("name: a, asn: 1, address: 192.0.2.1, interface: eth1"),
			one("bgp.peers[0].interface: eth1: excludes address, which is 192.0.2.1: the neighbour is found by its link, or its address is given, a link-local one as in fe80::1%eth1")},
		{"what can't be a link's name is refused", peers("name: a, asn: 1, interface: eth1/0"),
			one("bgp.peers[0].interface: eth1/0: must be the name of a network interface, such as eth1: 1 to 15 bytes without spaces, slashes and colons")},
		{"two peers on one link are refused", peers("name: a, asn: 1, interface: eth1", "name: b, asn: 1, interface: eth1"),
			one("bgp.peers[1].interface: eth1: is already used by bgp.peers[0].interface")},
		{"an address on the link of another peer is refused", peers("name: a, asn: 1, interface: eth1", `name: b, asn: 1, address: "fe80::1%eth1"`),
			one("bgp.peers[0].interface: eth1: is the link of bgp.peers[1].address, fe80::1%eth1: a link has one neighbour, or addresses")},
		{"multihop to the neighbour on a link is refused", peers("name: a, asn: 1, interface: eth1, multihop: 2"),
			one("bgp.peers[0].multihop: 2: can't be: the peer is the neighbour on eth1")},
		{"hops to the neighbour on a link are refused", peers("name: a, asn: 1, interface: eth1, hops: 2"),
			one("bgp.peers[0].hops: 2: must be 0 or 1: the peer is the neighbour on eth1")},
		{"a local address towards the neighbour on a link is refused", peers(`name: a, asn: 1, interface: eth1, localAddress: "fe80::1%eth1"`),
			one("bgp.peers[0].localAddress: fe80::1%eth1: can't be: the session with the neighbour on eth1 is between link-local addresses, and the kernel chooses ours")},
		{"IPv6 next hops without a session over IPv6 are refused", peer("extendedNextHop: true"),
			one("bgp.peers[0].extendedNextHop: true: needs a session over IPv6 (RFC 8950), and the peer's address is 192.168.0.254")},
		{"no IPv6 next hops for IPv4 are fine on any session", peer("extendedNextHop: false"), nil},
		{"our own AS in a path may be allowed", peer("allowOwnAS: 1"), nil},
		{"our own AS any number of times is refused", peer("allowOwnAS: 11"), one("bgp.peers[0].allowOwnAS: 11: must be 0 to 10")},
		{"rewriting the AS path towards an external peer is fine", peer("asOverride: true, removePrivateAS: replace"), nil},
		{"rewriting the AS path towards an internal peer is refused", peers("name: a, address: 192.0.2.1, asn: 64512, allowOwnAS: 1, asOverride: true, removePrivateAS: all"),
			[]string{
				"bgp.peers[0].allowOwnAS: 1: is for eBGP: inside an AS its number is in no path",
				"bgp.peers[0].asOverride: true: is for eBGP: inside an AS its number is in no path",
				"bgp.peers[0].removePrivateAS: all: is for eBGP: inside an AS its number is in no path",
			}},
		{"no families are refused", peer("families: []"), one("bgp.peers[0].families: []: must not be empty: the address families the session carries")},
		{"an unknown family is refused", peer("families: [ipv5]"), one("bgp.peers[0].families[0]: ipv5: must be one of ipv4, ipv6 (did you mean ipv4?)")},
		{"a family twice is refused", peer("families: [ipv4, ipv4]"), one("bgp.peers[0].families[1]: ipv4: is listed twice: also at bgp.peers[0].families[0]")},
		{"a misspelt cluster of a peer is refused", withPeerFor("wets"), one("bgp.peers[0].clusters[0]: wets: is not declared in clusters (did you mean west?)")},
		{"our own cluster at a peer is refused", withPeerFor("east"), one("bgp.peers[0].clusters[0]: east: is this cluster itself: nothing of it is learned from a peer")},
		{"the path of a password is fine, whether or not it is there", peer("passwordFile: /nowhere/tor-a"), nil},
		{"a relative path of a password is refused", peer("passwordFile: tor-a.key"), one("bgp.peers[0].passwordFile: tor-a.key: must be an absolute path")},
		{"a crooked path of a password is refused", peer("passwordFile: /etc/../tor-a"), one("bgp.peers[0].passwordFile: /etc/../tor-a: must be a plain path: write /tor-a")},
		{"an empty path of a password is refused", peer(`passwordFile: ""`), one(`bgp.peers[0].passwordFile: "": must not be empty: leave the key out for none`)},
		{"a password in place of its file is refused, and not shown", peer("password: Fabr1c"),
			one("bgp.peers[0].password: unknown key (known here: name, address, interface, asn, port, localAddress, passive, nodeSelector, clusters, network, client, region, zone, passOn, nextHop, advertise, communities, require, refuse, hops, multihop, holdTime, families, extendedNextHop, allowOwnAS, asOverride, removePrivateAS, addPaths, passwordFile, passwordSecret, maxPrefixes, bfd)")},
		{"a Secret may have the password", peer("passwordSecret: {name: fabric}"), nil},
		{"under a key of its own", peer("passwordSecret: {name: my.fabric, key: tor-a_1.key}"), nil},
		{"a Secret without a name is refused", peer("passwordSecret: {key: a}"), one("bgp.peers[0].passwordSecret.name: is required: the name of the Secret that has the key a")},
		{"a name that no Secret has is refused", peer("passwordSecret: {name: ../fabric}"), one("bgp.peers[0].passwordSecret.name: ../fabric: must be a DNS-1123 subdomain: at most 253 of a-z, 0-9, - and ., each part beginning and ending with a letter or digit (did you mean fabric?)")},
		{"a key that no Secret has is refused", peer("passwordSecret: {name: a, key: a/b}"), one("bgp.peers[0].passwordSecret.key: a/b: must be a key that a Secret can have: 1 to 253 of letters, digits, -, _ and .")},
		{"another namespace is refused", peer("passwordSecret: {name: a, namespace: b}"), one("bgp.peers[0].passwordSecret.namespace: unknown key (known here: name, key)")},
		{"a Secret beside a file is refused", peer("passwordFile: /k, passwordSecret: {name: a}"),
			one("bgp.peers[0].passwordSecret.name: a: excludes passwordFile, which is /k: the password is in the one or in the other")},
		{"a Secret without Kubernetes is refused", peer("passwordSecret: {name: a}") + "kubernetes: {enabled: false}\n",
			one("bgp.peers[0].passwordSecret.name: a: needs the Kubernetes API, and kubernetes.enabled is false: without it, put the password into a file and name that with passwordFile")},
		{"a limit of prefixes may be none", peer("maxPrefixes: 0"), nil},
		{"a limit of prefixes may be left to the daemon", peer("maxPrefixes: auto"), nil},
		{"a negative limit of prefixes is refused", peer("maxPrefixes: -1"), one("bgp.peers[0].maxPrefixes: -1: must be auto, 0 for no limit, or 1 to 10000000")},
		{"another word for a limit is refused", peer("maxPrefixes: many"), one("bgp.peers[0].maxPrefixes: many: must be auto, 0 for no limit, or 1 to 10000000")},
		{"a router id of zero is refused", inBGP("routerID: 0.0.0.0"), one("bgp.routerID: 0.0.0.0: must not be zero (RFC 6286)")},
		{"an IPv6 router id is refused", inBGP(`routerID: "::1"`), one("bgp.routerID: ::1: must be auto, or 32 bits written as an IPv4 address (RFC 6286)")},
		{"listening on a group is refused", inBGP("listenAddresses: [224.0.0.1]"), one("bgp.listenAddresses[0]: 224.0.0.1: must be a unicast address, not a multicast group")},
	} {
		t.Run(row.name, row.run)
	}
}

func withPeerFor(cluster string) string {
	return peer("clusters: ["+cluster+"]") + "clusters: [{name: west, id: 2, podCIDRs: [10.20.0.0/16]}]\n"
}

func TestPrefixLimit(t *testing.T) {
	for _, row := range []struct {
		name, more, west string
		want             int
	}{
		{"small contracts leave room for what the fabric sends besides", "clusters: []", "1000", 10000},
		{"large ones are doubled", "clusters: []", "20000", 42000},
		{"those that the peer may announce count", "clusters: [north]", "20000", 10000},
		{"a limit of its own is taken as it is", "maxPrefixes: 5", "20000", 5},
		{"0 is none", "maxPrefixes: 0", "20000", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := mustParse(t, peer(row.more)+"clusters:\n- {name: west, id: 2, podCIDRs: [10.20.0.0/16], maxPrefixes: "+row.west+"}\n"+
				"- {name: north, id: 3, podCIDRs: [10.30.0.0/16]}\n")
			require.Equal(t, row.want, c.PrefixLimit(c.BGP.Peers[0]))
			var out bytes.Buffer
			require.NoError(t, c.Print(&out))
			require.Equal(t, c, mustParse(t, out.String()), "what is printed says the same")
		})
	}
}

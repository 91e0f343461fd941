package fib

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoutesInsideAPrefixThatLeadToAnotherHost(t *testing.T) {
	for _, c := range []struct {
		name   string
		routes string // separated by commas
		want   bool
	}{
		{"none", "", false},
		{"a default route", "route add default via " + n2, false},
		{"one through a gateway", "route add 10.20.1.0/24 via " + n2, true},
		{"one of the daemon of a network plugin, in a table of its own", "route add 10.20.1.0/24 via " + n2 + " table 70001", true},
		{"one pinned to a link", "route add 10.20.1.0/24 via 10.20.1.0 dev fab0 onlink", true},
		{"one of several gateways", "route add 10.20.1.0/24 nexthop via " + n2 + " nexthop via " + n3, true},
		{"one through an IPv6 gateway", "route add 10.20.1.0/24 via inet6 " + x2, true},
		{"one that names a next-hop object", "nexthop add id 7 via " + n2 + " dev fab0,route add 10.20.1.0/24 nhid 7", true},
		{"one that names a group", "nexthop add id 7 via " + n2 + " dev fab0,nexthop add id 8 group 7,route add 10.20.1.0/24 nhid 8", true},
		{"one that names an object that leads to a pod", "nexthop add id 7 dev fab1,route add 10.20.1.7 nhid 7", false},
		{"one that names an object that drops", "nexthop add id 7 blackhole,route add 10.20.1.0/24 nhid 7", false},
		{"pods of this node", "route add 10.20.1.7 dev fab0,route add 10.20.2.0/26 dev fab1", false},
		{"a bridge with pods of this node", "addr add 10.20.1.1/24 dev br0", false},
		{"a subnet of this node through its own address, as Cilium writes it",
			"addr add 10.20.1.1/32 dev fab0,route add 10.20.1.0/24 via 10.20.1.1 dev fab0 src 10.20.1.1", false},
		{"the tunnel beside it", "addr add 10.20.1.1/32 dev fab0,route add 10.20.2.0/24 via 10.20.1.1 dev fab0 src 10.20.1.1", true},
		{"one out of a link with others on it", "route add 10.20.1.0/24 dev br0", true},
		{"one around a subnet of this node", "addr add 10.20.1.1/24 dev br0,route add 10.20.0.0/17 via " + n2, true},
		{"others that drop packets", "route add blackhole 10.20.1.0/24,route add unreachable 10.20.2.0/24,route add prohibit 10.20.3.0/24", false},
		{"a local one", "route add local 10.20.1.0/24 dev lo", false},
		{"one in the table of local ones", "route add 10.20.1.0/24 via " + n2 + " table local", false},
		{"one to the whole prefix", "route add " + pool + " via " + n2, false},
		{"one beside the prefix", "route add 10.21.0.0/24 via " + n2, false},
		{"one of ours", "route add 10.20.1.0/24 via " + n2 + " proto 200", false},
		{"one of the other family", "-6 route add fd00:20:0:1::/64 via " + x2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, compat := range []string{"1", "0"} { // the kernel then tells no gateways of routes that name an object
				l, s := newLinuxScene(t, ModeObjects)
				l.sysctl(t, "net/ipv4/nexthop_compat_mode", compat)
				l.ip(t, "link", "add", "br0", "type", "bridge")
				l.ip(t, "link", "set", "br0", "up")
				for line := range strings.SplitSeq(c.routes, ",") {
					if line != "" {
						l.ip(t, strings.Fields(line)...)
					}
				}
				got, err := s.RoutedInside(p(pool))
				require.NoError(t, err)
				require.Equal(t, c.want, got)
			}
		})
	}
}

func TestIPv6RoutesInsideAPrefixThatLeadToAnotherHost(t *testing.T) {
	l, s := newLinuxScene(t, ModeObjects)
	inside := func() bool {
		got, err := s.RoutedInside(p(pool6))
		require.NoError(t, err)
		return got
	}
	l.addAddr(t, "fab1", "fd00:20:0:5::1/64")
	l.ip(t, "-6", "route", "add", "fd00:20::7", "dev", "fab0")
	require.False(t, inside())
	l.ip(t, "-6", "route", "add", "fd00:20:0:1::/64", "via", "fe80::5", "dev", "fab0")
	require.True(t, inside())
	l.ip(t, "-6", "route", "del", "fd00:20:0:1::/64")
	l.ip(t, "nexthop", "add", "id", "7", "via", x2, "dev", "fab0")
	l.ip(t, "-6", "route", "add", "fd00:20:0:1::/64", "nhid", "7")
	require.True(t, inside())
}

// BenchmarkRoutedInside looks through 100,000 routes of others.
func BenchmarkRoutedInside(b *testing.B) {
	l := newLinux(b)
	l.link(b, "fab0", "192.0.2.1/24")
	var script strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&script, "route add 20.%d.%d.%d/32 via %s\n", i>>16, i>>8&255, i&255, n2)
	}
	batch(b, script.String())
	table := openLinux(b, Config{}, ModeObjects)
	defer func() { require.NoError(b, table.Close()) }()
	b.ReportAllocs()
	for b.Loop() {
		inside, err := table.RoutedInside(p(pool))
		require.NoError(b, err)
		require.False(b, inside)
	}
}

package kernel_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/containerlab/bench/kernel"
)

const commands = `
ip route add 16.0.0.0/24 via 172.31.0.10
ip route add 16.0.1.0/24 nexthop via 172.31.0.10 nexthop via 172.31.0.11
ip nexthop add id 1 via 172.31.0.10 dev eth1
ip nexthop add id 2 via 172.31.0.11 dev eth1
ip nexthop add id 10 group 1
ip route add 16.0.2.0/24 nhid 10
ip -6 route add fd20:0:0:1::/64 nexthop via fd00:be::a nexthop via fd00:be::b
ip route add 192.0.2.0/24 via 172.31.0.10
`

func watched(k kernel.Key) bool { return k>>60 == 1 || k>>48 == 0xfd20 }

func key(prefix string) kernel.Key { return kernel.KeyOf(netip.MustParsePrefix(prefix)) }

func hops(addresses ...string) []netip.Addr {
	var all []netip.Addr
	for _, a := range addresses {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

// node is a fresh lab's node with a monitor.
func node(t *testing.T) (*containerlab.Node, *kernel.Monitor) {
	t.Helper()
	containerlab.Require(t, "ip")
	n := containerlab.UpForTest(t, "../bench.clab.yml", containerlab.Options{}).Node("node")
	var m *kernel.Monitor
	require.NoError(t, n.Do(func() (err error) {
		m, err = kernel.Open(watched)
		return err
	}))
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return n, m
}

func sh(t *testing.T, n *containerlab.Node, script string) {
	t.Helper()
	_, err := n.Output(t.Context(), "sh", "-ec", script)
	require.NoError(t, err)
}

func await(t *testing.T, m *kernel.Monitor, goal func(*kernel.Model) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := m.Await(ctx, goal)
	require.NoError(t, err)
}

func TestRoutesAreSeenAsTheyComeWhicheverWayTheyNameNextHops(t *testing.T) {
	n, m := node(t)
	sh(t, n, commands)
	want := map[kernel.Key][]netip.Addr{
		key("16.0.0.0/24"):     hops("172.31.0.10"),
		key("16.0.1.0/24"):     hops("172.31.0.10", "172.31.0.11"),
		key("16.0.2.0/24"):     hops("172.31.0.10"),
		key("fd20:0:0:1::/64"): hops("fd00:be::a", "fd00:be::b"),
	}
	await(t, m, func(x *kernel.Model) bool {
		for k, w := range want {
			if !slices.Equal(x.NextHops(k), w) {
				return false
			}
		}
		return x.Routes() == len(want) && x.Uses(hops("172.31.0.10")[0]) == 3
	})
	require.NoError(t, m.Verify(len(want), func(k kernel.Key) []netip.Addr { return want[k] }))
	require.ErrorContains(t, m.Verify(5, nil), "has 4 routes instead of 5")
	require.ErrorContains(t, m.Verify(4, func(kernel.Key) []netip.Addr { return nil }), "has the next hops")
	require.Equal(t, 4, m.Counts().Added)
}

func TestAGroupThatIsRewrittenMovesItsRoutes(t *testing.T) {
	n, m := node(t)
	sh(t, n, commands)
	await(t, m, func(x *kernel.Model) bool { return x.Routes() == 4 })
	sh(t, n, "ip nexthop replace id 10 group 2")
	await(t, m, func(x *kernel.Model) bool {
		return slices.Equal(x.NextHops(key("16.0.2.0/24")), hops("172.31.0.11"))
	})
}

func TestRoutesThatAreReplacedOrDeletedAreCounted(t *testing.T) {
	n, m := node(t)
	sh(t, n, commands)
	await(t, m, func(x *kernel.Model) bool { return x.Routes() == 4 })
	sh(t, n, `
ip route replace 16.0.0.0/24 via 172.31.0.11
ip route append 16.0.2.0/24 via 172.31.0.11
ip route del 16.0.2.0/24 nhid 10
ip -6 route del fd20:0:0:1::/64 via fd00:be::b
ip route del 16.0.1.0/24
`)
	await(t, m, func(x *kernel.Model) bool {
		return x.Routes() == 3 && slices.Equal(x.NextHops(key("fd20:0:0:1::/64")), hops("fd00:be::a"))
	})
	await(t, m, func(x *kernel.Model) bool { return x.Uses(hops("172.31.0.11")[0]) == 2 })
	c := m.Counts()
	require.Equal(t, 1, c.Deleted)
	require.GreaterOrEqual(t, c.Rewritten, 2)
}

func TestAwaitGivesUpWithItsContext(t *testing.T) {
	_, m := node(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := m.Await(ctx, func(*kernel.Model) bool { return false })
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

package scenario

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// promptly is how long the kernel may be without a route that somebody took away.
const promptly = patience

// vandalism is what others on the node may do to our routes. (`ip route flush` is not among it: iproute2 6.1 can't flush
// routes that name next-hop objects.) No route is touched so often in this test that the daemon takes it for a fight.
func vandalism() []struct{ what, command string } {
	return []struct{ what, command string }{
		{"one route of each family is deleted", "ip route del 10.20.1.0/24 proto 200 && ip -6 route del fd00:20:0:1::/64 proto 200"},
		{"all our routes are deleted", `for f in -4 -6; do
			ip $f -o route show proto 200 | while read -r prefix _; do ip $f route del "$prefix" proto 200 || exit; done || exit
		done`},
		{"our next-hop objects are flushed", "ip nexthop flush proto 200"},
	}
}

func TestTheKernelIsRepaired(t *testing.T) {
	t.Parallel()
	c := twoClusters(t)
	n := c.Node("east-1")
	ups := c.ups(t)
	for _, v := range vandalism() {
		step(t, v.what, func(t *testing.T) {
			before := stateOf(t, n).Kernel.Repairs
			m := watchRoutes(t, n)
			output(t, n, "sh", "-c", v.command)
			becomes(t, n, promptly, want("east-1"))
			require.NotEmpty(t, m.about(t, "proto 200"))
			is(t, n, "counting repairs", func(s state) error {
				if s.Kernel.Repairs <= before {
					return errors.New("no repair was counted")
				}
				return nil
			})
		})
	}
	step(t, "a foreign route stands where ours is to be", func(t *testing.T) { foreignBefore(t, c, n) })
	step(t, "a foreign route takes the place of ours", func(t *testing.T) { foreignAfter(t, c, n) })
	step(t, "a foreign route that ours wins over is left alone", func(t *testing.T) { foreignBelow(t, c, n) })
	require.Equal(t, ups, c.ups(t), "no session was reset")
	// From here on the fabric ends the session of its own accord, as routers do when a link goes down.
	step(t, "the link goes down and comes up", func(t *testing.T) { linkFlaps(t, c, n) })
	step(t, "the neighbour's end of the link goes down and comes up", func(t *testing.T) { carrierFlaps(t, c, n) })
}

func TestWhoKeepsDeletingARouteIsGivenWayAndReported(t *testing.T) {
	t.Parallel()
	n := twoClusters(t).Node("east-1")
	until(t, patience, "the fight to be over", func(ctx context.Context) error {
		var s state
		if err := ask(ctx, n, &s, "status"); err != nil {
			return err
		}
		if err := errors.Join(says("kernel", "10.20.1.0/24")(s), hasCondition("False", "InstallFailed")(s)); err == nil {
			return nil
		}
		_, err := n.Output(ctx, "ip", "route", "del", "10.20.1.0/24", "proto", "200")
		return errors.Join(errors.New("not yet"), err)
	})
	has(t, n, want("east-1", "10.20.1.0/24"))
}

// linkFlaps takes the node's own interface down, as an operator does; the IPv6 addresses stay, as network managers
// see to it.
func linkFlaps(t *testing.T, c *clusters, n *containerlab.Node) {
	output(t, n, "sysctl", "-qw", "net.ipv6.conf.eth1.keep_addr_on_down=1")
	require.NoError(t, n.LinkDown("eth1"))
	becomes(t, n, promptly, nil)
	is(t, n, "short of routes", hasCondition("False", "InstallFailed"))
	require.NoError(t, n.LinkUp("eth1"))
	becomes(t, n, patience, want("east-1"))
	c.settled(t)
}

// carrierFlaps takes the cable out: the fabric loses its IPv6 address with its interface, unless told to keep it.
func carrierFlaps(t *testing.T, c *clusters, n *containerlab.Node) {
	fabric := c.Node("fabric")
	output(t, fabric, "sysctl", "-qw", "net.ipv6.conf.eth1.keep_addr_on_down=1")
	require.NoError(t, fabric.LinkDown("eth1"))
	until(t, patience, "the carrier to go", carrier(n, "0"))
	require.NoError(t, fabric.LinkUp("eth1"))
	until(t, patience, "the carrier to come", carrier(n, "1"))
	becomes(t, n, patience, want("east-1"))
	c.settled(t)
}

// foreign are static routes to what the other cluster is about to announce.
func foreign(metric string) [][]string {
	return [][]string{
		{"10.20.9.0/24", "via", "192.168.11.254", "dev", "eth1", "metric", metric, "proto", "static"},
		{"fd00:20:0:9::/64", "via", "fd00:fab:11::fe", "dev", "eth1", "metric", metric, "proto", "static"},
	}
}

func foreignBefore(t *testing.T, c *clusters, n *containerlab.Node) {
	for _, metric := range []string{"512", "100"} {
		for _, argv := range foreign(metric) {
			output(t, n, append([]string{"ip", "route", "add"}, argv...)...)
		}
		before := foreignRoutes(t, n)
		c.rewrite(t, "west-1", "podCIDRs: [10.20.1.0/24, ", `podCIDRs: [10.20.9.0/24, "fd00:20:0:9::/64", 10.20.1.0/24, `)
		conflicts(t, n, "10.20.9.0/24", "fd00:20:0:9::/64")
		require.Equal(t, before, foreignRoutes(t, n))
		becomes(t, c.Node("east-2"), patience, more(want("east-2"), "192.168.12.254", "fd00:fab:12::fe"))
		for _, argv := range foreign(metric) {
			output(t, n, append([]string{"ip", "route", "del"}, argv...)...)
		}
		becomes(t, n, promptly, more(want("east-1"), "192.168.11.254", "fd00:fab:11::fe"))
		is(t, n, "content", hasCondition("True", "RoutesInstalled"))
		c.rewrite(t, "west-1", `podCIDRs: [10.20.9.0/24, "fd00:20:0:9::/64", 10.20.1.0/24, `, "podCIDRs: [10.20.1.0/24, ")
		c.settled(t)
	}
}

func foreignAfter(t *testing.T, c *clusters, n *containerlab.Node) {
	ours, theirs := "10.20.2.0/24", []string{"10.20.2.0/24", "dev", "lo", "metric", "512", "proto", "static"}
	output(t, n, append([]string{"ip", "route", "replace"}, theirs...)...)
	conflicts(t, n, ours)
	has(t, n, want("east-1", ours))
	output(t, n, append([]string{"ip", "route", "del"}, theirs...)...)
	becomes(t, n, promptly, want("east-1"))
	c.settled(t)

	// Gone before anybody could look: whether that was a conflict or a repair is all the same.
	output(t, n, "sh", "-c", `ip -6 route replace fd00:20:0:2::/64 dev lo metric 512 proto static &&
		ip -6 route del fd00:20:0:2::/64 dev lo metric 512 proto static`)
	becomes(t, n, promptly, want("east-1"))
	c.settled(t)
}

func foreignBelow(t *testing.T, c *clusters, n *containerlab.Node) {
	theirs := []string{"10.20.1.0/24", "dev", "lo", "metric", "1024", "proto", "static"}
	output(t, n, append([]string{"ip", "route", "add"}, theirs...)...)
	before := foreignRoutes(t, n)
	output(t, n, "ip", "route", "del", "10.20.1.0/24", "proto", "200")
	becomes(t, n, promptly, want("east-1"))
	require.Equal(t, before, foreignRoutes(t, n))
	c.settled(t)
	output(t, n, append([]string{"ip", "route", "del"}, theirs...)...)
	c.settled(t)
}

// more adds what west-1 announces for the foreign routes to the usual routes.
func more(routes []string, via4, via6 string) []string {
	return sorted(append(routes, "10.20.9.0/24 via "+via4, "fd00:20:0:9::/64 via "+via6))
}

// conflicts waits until a node reports these prefixes, and only these, as taken by somebody else.
func conflicts(t *testing.T, n *containerlab.Node, prefixes ...string) {
	t.Helper()
	is(t, n, "in conflict", func(s state) error {
		if s.Kernel.Conflicts != len(prefixes) {
			return fmt.Errorf("%d conflicts", s.Kernel.Conflicts)
		}
		return errors.Join(hasCondition("False", "InstallFailed")(s), says("kernel conflict", prefixes...)(s))
	})
	var list routeList
	require.NoError(t, ask(t.Context(), n, &list, "routes", "--state", "conflict"))
	var got []string
	for _, r := range list.Items {
		require.True(t, r.Accepted)
		require.NotEmpty(t, r.Kernel.Reason)
		got = append(got, r.Prefix)
	}
	require.Equal(t, prefixes, got)
}

// foreignRoutes returns the routes of a node that are not ours.
func foreignRoutes(t *testing.T, n *containerlab.Node) []string {
	t.Helper()
	var lines []string
	for _, family := range []string{"-4", "-6"} {
		for line := range strings.Lines(output(t, n, "ip", "-N", "-o", family, "route", "show", "table", "all")) {
			if !strings.Contains(line, "proto 200") {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
	}
	return sorted(lines)
}

package scenario

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

const (
	greenContract = "- name: green\n  id: 3\n  podCIDRs: [10.30.0.0/16, \"fd00:30::/48\"]\n"
	blueContract  = "- name: blue\n  id: 4\n  podCIDRs: [10.40.0.0/16, \"fd00:40::/48\"]\n"
)

// spokeNets are the third bytes of the addresses of links to spokes, and the second of their pods'.
func spokeNets() map[string][2]int {
	return map[string][2]int{"red": {2, 20}, "green": {3, 30}, "blue": {4, 40}}
}

// spokeRoutes is what a spoke's kernel has when it reaches the hub and some other spokes.
func spokeRoutes(spoke string, others ...string) []string {
	link := spokeNets()[spoke][0]
	via4, via6 := fmt.Sprintf("192.168.%d.%%d", link), fmt.Sprintf("fd00:fab:%d::%%d", link)
	both4, both6 := fmt.Sprintf(via4+" "+via4, 1, 2), fmt.Sprintf(via6+" "+via6, 1, 2)
	var routes []string
	for i := 1; i <= 3; i++ {
		routes = append(routes, fmt.Sprintf("10.10.%d.0/24 via %s", i, both4), fmt.Sprintf("fd00:10:0:%d::/64 via %s", i, both6))
	}
	for _, other := range others {
		pods := spokeNets()[other][1]
		routes = append(routes, fmt.Sprintf("10.%d.1.0/24 via %s", pods, both4), fmt.Sprintf("fd00:%d:0:1::/64 via %s", pods, both6))
	}
	return sorted(routes)
}

// hubRoutes is what the kernel of the hub's node without links has.
func hubRoutes() []string {
	var routes []string
	for _, nets := range spokeNets() {
		routes = append(routes, fmt.Sprintf("10.%d.1.0/24 via 192.168.1.1 192.168.1.2", nets[1]),
			fmt.Sprintf("fd00:%d:0:1::/64 via fd00:fab:1::1 fd00:fab:1::2", nets[1]))
	}
	return sorted(routes)
}

// spokesSettle waits until all is well.
func (c *clusters) spokesSettle(t *testing.T) {
	t.Helper()
	becomes(t, c.Node("red"), patience, spokeRoutes("red", "green"))
	becomes(t, c.Node("green"), patience, spokeRoutes("green", "red"))
	becomes(t, c.Node("blue"), patience, spokeRoutes("blue"))
	becomes(t, c.Node("hub-3"), patience, hubRoutes())
	for _, name := range []string{"hub-1", "hub-2", "hub-3", "red", "green", "blue"} {
		is(t, c.Node(name), "ready with nothing wrong", func(s state) error {
			if s.Phase != "Ready" || len(s.Problems) > 0 {
				return errors.New("not yet")
			}
			return nil
		})
	}
}

// silent fails the test if a packet from a pod to an address is answered.
func silent(t *testing.T, pod *containerlab.Node, address string) {
	t.Helper()
	conn, err := pod.Dial(t.Context(), "udp", netip.AddrPortFrom(netip.MustParseAddr(address), echoPort).String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(300*time.Millisecond)))
	for range 3 {
		_, _ = conn.Write([]byte("hello"))
	}
	_, err = conn.Read(make([]byte, 64))
	var late net.Error
	require.True(t, err != nil && (!errors.As(err, &late) || late.Timeout() || errors.Is(err, syscall.EHOSTUNREACH)), "it was answered")
}

func TestHubAndSpokes(t *testing.T) {
	t.Parallel()
	containerlab.Require(t, "ip", "go")
	c := topologyLab(t, "../hub-spoke.clab.yml", "hub-spoke", []string{"hub-1", "hub-2", "hub-3", "red", "green", "blue"})
	c.spokesSettle(t)
	for _, pod := range []string{"pod-red", "pod-green", "pod-blue", "pod-hub-1", "pod-hub-3"} {
		listen(t, c.Node(pod))
	}
	streams := func(t *testing.T) []*stream {
		t.Helper()
		var all []*stream
		for _, way := range [][2]string{
			{"pod-red", "10.30.1.10"}, {"pod-red", "fd00:30:0:1::10"}, {"pod-green", "10.20.1.10"}, {"pod-blue", "10.10.3.10"},
			{"pod-hub-3", "10.40.1.10"}, {"pod-hub-3", "fd00:20:0:1::10"},
		} {
			all = append(all, startStream(t, c.Node(way[0]), way[1]))
		}
		return all
	}
	step(t, "all reach the hub, and red and green each other through it", func(t *testing.T) {
		lossless(t, streams(t), 20)
		require.Equal(t, "10.20.1.10", seenAs(t, c.Node("pod-red"), "tcp", "10.30.1.10"))
		require.Equal(t, "10.40.1.10", seenAs(t, c.Node("pod-blue"), "tcp", "10.10.1.10"))
	})
	step(t, "nobody reaches blue but the hub", func(t *testing.T) {
		silent(t, c.Node("pod-blue"), "10.20.1.10")
		silent(t, c.Node("pod-green"), "10.40.1.10")
		silent(t, c.Node("pod-red"), "fd00:40:0:1::10")
	})
	step(t, "a declaration at one end alone opens nothing", func(t *testing.T) {
		c.rewrite(t, "blue", "clusters:\n", "clusters:\n"+greenContract)
		is(t, c.Node("blue"), "through with the change", func(s state) error {
			if len(s.Clusters) != 2 {
				return errors.New("not yet")
			}
			return nil
		})
		has(t, c.Node("blue"), spokeRoutes("blue"))
	})
	step(t, "that of the hub opens what both ends want, without a reset", func(t *testing.T) { opens(t, c) })
	step(t, "what a spoke has for the hub alone stays there, and others refuse it", func(t *testing.T) { forTheHub(t, c) })
	step(t, "the hub's daemons restart unnoticed", func(t *testing.T) {
		all := streams(t)
		for _, name := range []string{"hub-1", "hub-2"} {
			require.NoError(t, c.Node(name).Process("underlayd").Kill())
			require.NoError(t, c.Node(name).Launch(t.Context()))
			c.spokesSettle(t)
		}
		lossless(t, all, 20)
	})
	step(t, "without the link to one node the other one carries all", func(t *testing.T) { linkLost(t, c) })
	step(t, "a spoke prefers the node in its zone, and returns to it once it is stable", func(t *testing.T) { nearNode(t, c) })
	step(t, "so it does when the node is gone", func(t *testing.T) {
		require.NoError(t, c.Node("hub-1").Kill())
		// The other node keeps what it heard of this one's pods for the time of a restart.
		for spoke, others := range map[string][]string{"red": {"green"}, "green": {"red"}, "blue": nil} {
			var routes []string
			for _, r := range spokeRoutes(spoke, others...) {
				prefix, via, _ := strings.Cut(r, " via ")
				routes = append(routes, prefix+" via "+strings.Fields(via)[1])
			}
			becomes(t, c.Node(spoke), patience, routes)
		}
		for _, way := range [][2]string{{"pod-red", "10.30.1.10"}, {"pod-green", "10.20.1.10"}, {"pod-blue", "10.10.3.10"}} {
			lossless(t, []*stream{startStream(t, c.Node(way[0]), way[1])}, 20)
		}
	})
}

// opens lets blue and green reach each other and takes that back.
func opens(t *testing.T, c *clusters) {
	since := map[string]string{}
	for _, name := range []string{"hub-1", "hub-2"} {
		for _, s := range stateOf(t, c.Node(name)).Sessions {
			since[name+s.Peer] = s.Since
		}
		c.rewrite(t, name, "clusters: [blue], passOn: [hub]", "clusters: [blue], passOn: [hub, green]")
		c.rewrite(t, name, "passOn: [hub, red]", "passOn: [hub, red, blue]")
	}
	becomes(t, c.Node("blue"), patience, spokeRoutes("blue", "green"))
	has(t, c.Node("green"), spokeRoutes("green", "red")) // green has not declared blue
	c.rewrite(t, "green", "clusters:\n", "clusters:\n"+blueContract)
	becomes(t, c.Node("green"), patience, spokeRoutes("green", "red", "blue"))
	lossless(t, []*stream{startStream(t, c.Node("pod-blue"), "10.30.1.10"), startStream(t, c.Node("pod-green"), "fd00:40:0:1::10")}, 20)
	silent(t, c.Node("pod-blue"), "10.20.1.10")
	for _, name := range []string{"hub-1", "hub-2"} {
		c.rewrite(t, name, "clusters: [blue], passOn: [hub, green]", "clusters: [blue], passOn: [hub]")
		c.rewrite(t, name, "passOn: [hub, red, blue]", "passOn: [hub, red]")
	}
	c.rewrite(t, "blue", greenContract, "") // a declared cluster that is not there is a problem
	c.rewrite(t, "green", blueContract, "")
	c.spokesSettle(t)
	for _, name := range []string{"hub-1", "hub-2"} {
		for _, s := range stateOf(t, c.Node(name)).Sessions {
			require.Equal(t, since[name+s.Peer], s.Since, "%s, peer %s", name, s.Peer)
		}
	}
}

// forTheHub has red's pods be for the hub alone: green does not hear of them, and refuses them where the hub does not know
// whom it speaks to.
func forTheHub(t *testing.T, c *clusters) {
	heard := func(n int, verdict string) {
		t.Helper()
		until(t, patience, fmt.Sprintf("%d prefixes of red", n), func(ctx context.Context) error {
			var list routeList
			if err := ask(ctx, c.Node("green"), &list, "routes", "--cluster", "red"); err != nil {
				return err
			}
			if len(list.Items) != n || n > 0 && list.Items[0].Verdict != verdict {
				return fmt.Errorf("%+v", list.Items)
			}
			return nil
		})
	}
	heard(2, "Accepted")
	c.rewrite(t, "red", "- name: green\n", "- name: green\n  advertise: []\n")
	becomes(t, c.Node("green"), patience, spokeRoutes("green"))
	heard(0, "")
	for _, name := range []string{"hub-1", "hub-2"} {
		c.rewrite(t, name, "asn: 64514, clusters: [green],", "asn: 64514,")
	}
	heard(2, "NotForUs")
	has(t, c.Node("green"), spokeRoutes("green"))
	becomes(t, c.Node("hub-3"), patience, hubRoutes())
	for _, name := range []string{"hub-1", "hub-2"} {
		c.rewrite(t, name, "asn: 64514,", "asn: 64514, clusters: [green],")
	}
	c.rewrite(t, "red", "  advertise: []\n", "")
	heard(2, "Accepted")
	c.spokesSettle(t)
}

// linkLost cuts the link between hub-1 and red.
func linkLost(t *testing.T, c *clusters) {
	link := slices.IndexFunc([]string{"eth2", "eth3", "eth4"}, func(name string) bool {
		return strings.Contains(output(t, c.Node("hub-1"), "ip", "-4", "addr", "show", "dev", name), "192.168.2.1")
	})
	require.Zero(t, link, "the link to red")
	require.NoError(t, c.Node("hub-1").LinkDown("eth2"))
	until(t, patience, "red to use hub-2", func(ctx context.Context) error {
		got, err := kernelRoutes(ctx, c.Node("red"))
		if err == nil && slices.ContainsFunc(got, func(r string) bool { return strings.Contains(r, "192.168.2.1") }) {
			err = errors.New(strings.Join(got, ", "))
		}
		return err
	})
	becomesPart(t, c.Node("hub-1"), "10.20.1.0/24 via 192.168.1.2", "fd00:20:0:1::/64 via fd00:fab:1::2")
	lossless(t, []*stream{
		startStream(t, c.Node("pod-red"), "10.30.1.10"), startStream(t, c.Node("pod-green"), "10.20.1.10"),
		startStream(t, c.Node("pod-hub-1"), "10.20.1.10"), startStream(t, c.Node("pod-hub-3"), "fd00:20:0:1::10"),
	}, 20)
	require.NoError(t, c.Node("hub-1").LinkUp("eth2"))
	output(t, c.Node("hub-1"), "ip", "-6", "addr", "replace", "fd00:fab:2::1/64", "dev", "eth2", "nodad")
	c.spokesSettle(t)
}

// nearNode puts hub-1 and red into one zone, and hub-2 into another one, and takes that back.
func nearNode(t *testing.T, c *clusters) {
	const hold = 4 * time.Second
	before, err := os.ReadFile(c.config("red"))
	require.NoError(t, err)
	c.write(t, "red", strings.NewReplacer("  id: 2\n", "  id: 2\n  zone: a\n", "  peers:\n", "  preference: {hold: 4s}\n  peers:\n",
		"{name: hub-1,", "{name: hub-1, zone: a,", "{name: hub-2,", "{name: hub-2, zone: b,").Replace(string(before)))
	through := func(node string) []string {
		var routes []string
		for _, r := range spokeRoutes("red", "green") {
			prefix, via, _ := strings.Cut(r, " via ")
			routes = append(routes, prefix+" via "+strings.Fields(via)[map[string]int{"hub-1": 0, "hub-2": 1}[node]])
		}
		return routes
	}
	becomes(t, c.Node("red"), patience, through("hub-1"))
	require.NoError(t, c.Node("hub-1").LinkDown("eth2"))
	becomes(t, c.Node("red"), patience, through("hub-2"))
	require.NoError(t, c.Node("hub-1").LinkUp("eth2"))
	output(t, c.Node("hub-1"), "ip", "-6", "addr", "replace", "fd00:fab:2::1/64", "dev", "eth2", "nodad")
	is(t, c.Node("red"), "connected with it again", func(s state) error { return connectedTo(s, "hub-1") })
	back, s := time.Now(), startStream(t, c.Node("pod-red"), "10.30.1.10")
	has(t, c.Node("red"), through("hub-2"))
	becomes(t, c.Node("red"), patience, through("hub-1"))
	require.Greater(t, time.Since(back), hold-time.Second)
	lossless(t, []*stream{s}, 20)
	c.write(t, "red", string(before))
	c.spokesSettle(t)
}

// becomesPart waits until a node's kernel has these routes among others.
func becomesPart(t *testing.T, n *containerlab.Node, routes ...string) {
	t.Helper()
	until(t, patience, "routes of "+n.Name(), func(ctx context.Context) error {
		got, err := kernelRoutes(ctx, n)
		for _, r := range routes {
			if err == nil && !slices.Contains(got, r) {
				err = fmt.Errorf("want %q among %q", r, got)
			}
		}
		return err
	})
}

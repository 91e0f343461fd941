package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// gatewayLab is the lab of two networks, with configurations that the test may change: one of each cluster.
func gatewayLab(t *testing.T) *clusters {
	t.Helper()
	c := &clusters{configs: emptyFolder(t)}
	sources := map[string]string{"../bin/underlayd": built(t).underlayd}
	for _, name := range []string{"east", "west", "north"} {
		require.NoError(t, os.CopyFS(filepath.Join(c.configs, name), os.DirFS(filepath.Join("../gateways", name))))
		sources["gateways/"+name] = filepath.Join(c.configs, name)
	}
	c.Lab = containerlab.UpForTest(t, "../gateways.clab.yml", containerlab.Options{Sources: sources})
	return c
}

// gatewayNodes are the nodes of a cluster, in the order of their pods.
func gatewayNodes(cluster string) []string {
	return map[string][]string{
		"east": {"east-gw-1", "east-gw-2", "east-1"}, "west": {"west-gw-1", "west-gw-2", "west-1"}, "north": {"north-1"},
	}[cluster]
}

func podNet(cluster string) int { return map[string]int{"east": 10, "west": 20, "north": 30}[cluster] }

// wholeOf is the route to all pods of a cluster, of both families, through hosts of a segment.
func wholeOf(cluster string, segment int, hosts ...int) []string {
	var via4, via6 []string
	for _, h := range hosts {
		via4, via6 = append(via4, fmt.Sprintf("192.168.%d.%d", segment, h)), append(via6, fmt.Sprintf("fd00:fab:%d::%d", segment, h))
	}
	slices.Sort(via4)
	slices.Sort(via6)
	return []string{
		fmt.Sprintf("10.%d.0.0/16 via %s", podNet(cluster), strings.Join(via4, " ")),
		fmt.Sprintf("fd00:%d::/48 via %s", podNet(cluster), strings.Join(via6, " ")),
	}
}

// directTo are the routes to the pods of a cluster's nodes, each through the node itself, which is on a segment.
func directTo(cluster string, segment int, hosts ...int) []string {
	var routes []string
	for i, h := range hosts {
		routes = append(routes, fmt.Sprintf("10.%d.%d.0/24 via 192.168.%d.%d", podNet(cluster), i+1, segment, h),
			fmt.Sprintf("fd00:%d:0:%d::/64 via fd00:fab:%d::%d", podNet(cluster), i+1, segment, h))
	}
	return routes
}

func blackholes(cluster string) []string {
	return []string{fmt.Sprintf("blackhole 10.%d.0.0/16", podNet(cluster)), fmt.Sprintf("blackhole fd00:%d::/48", podNet(cluster))}
}

// bordered is what each node's kernel has when all is well.
func bordered() map[string][]string {
	north := directTo("north", 1, 30)
	routes := map[string][]string{
		"east-1": slices.Concat(wholeOf("west", 1, 1, 2), north), "west-1": wholeOf("east", 2, 1, 2), "north-1": directTo("east", 1, 1, 2, 3),
	}
	for i := 1; i <= 2; i++ {
		routes[fmt.Sprintf("east-gw-%d", i)] = slices.Concat(wholeOf("west", 9, 21, 22), north, blackholes("east"))
		routes[fmt.Sprintf("west-gw-%d", i)] = slices.Concat(wholeOf("east", 9, 11, 12), blackholes("west"))
	}
	return routes
}

func (c *clusters) all(t *testing.T, routes map[string][]string) {
	t.Helper()
	for name, want := range routes {
		becomes(t, c.Node(name), patience, sorted(want))
		is(t, c.Node(name), "ready with nothing wrong", func(s state) error {
			if s.Phase != "Ready" || len(s.Problems) > 0 || s.ConfigProblem != "" {
				return fmt.Errorf("%s: %v %s", s.Phase, s.Problems, s.ConfigProblem)
			}
			return nil
		})
	}
}

// across starts streams between the networks, in both directions and both families.
func (c *clusters) across(t *testing.T) []*stream {
	t.Helper()
	var all []*stream
	for _, way := range [][2]string{
		{"pod-east-1", "10.20.3.10"}, {"pod-east-1", "fd00:20:0:3::10"}, {"pod-west-1", "10.10.3.10"}, {"pod-west-1", "10.10.1.10"},
		{"pod-east-gw-2", "10.20.2.10"}, {"pod-east-1", "fd00:20:0:1::10"}, {"pod-north-1", "10.10.3.10"},
	} {
		all = append(all, startStream(t, c.Node(way[0]), way[1]))
	}
	return all
}

// losing waits for more packets of each stream and returns how many were sent and lost in all.
func losing(t *testing.T, streams []*stream) (sent, lost uint64) {
	t.Helper()
	for _, s := range streams {
		s.flows(t, 20)
	}
	for _, s := range streams {
		n, gone := s.lost(t)
		sent, lost = sent+n, lost+gone
	}
	return sent, lost
}

func TestGateways(t *testing.T) {
	t.Parallel()
	containerlab.Require(t, "ip", "go")
	c := gatewayLab(t)
	c.all(t, bordered())
	for _, cluster := range []string{"east", "west", "north"} {
		for _, node := range gatewayNodes(cluster) {
			listen(t, c.Node("pod-"+node))
		}
	}
	step(t, "west moves into the network of east and back out", func(t *testing.T) { moves(t, c) })
	step(t, "packets keep their addresses across networks, and north knows no way to west", func(t *testing.T) {
		lossless(t, c.across(t), 20)
		require.Equal(t, "10.10.3.10", seenAs(t, c.Node("pod-east-1"), "tcp", "10.20.3.10"))
		require.Equal(t, "fd00:20:0:3::10", seenAs(t, c.Node("pod-west-1"), "tcp", "fd00:10:0:3::10"))
		silent(t, c.Node("pod-north-1"), "10.20.3.10")
	})
	step(t, "a gateway discards what is for pods that are not there", func(t *testing.T) {
		_, err := c.Node("west-gw-1").Output(t.Context(), "ip", "route", "get", "10.20.77.1", "from", "10.10.3.10", "iif", "eth3")
		require.ErrorContains(t, err, "Invalid argument", "which is how a blackhole answers")
		silent(t, c.Node("pod-east-1"), "10.20.77.1")
	})
	step(t, "somebody removes a blackhole route", func(t *testing.T) {
		output(t, c.Node("west-gw-1"), "ip", "route", "del", "blackhole", "10.20.0.0/16", "proto", "200")
		c.all(t, bordered())
	})
	step(t, "the daemons of a gateway on each side are killed and started again", func(t *testing.T) {
		streams := c.across(t)
		for _, name := range []string{"east-gw-1", "west-gw-2"} {
			require.NoError(t, c.Node(name).Process("underlayd").Kill())
			require.NoError(t, c.Node(name).Launch(t.Context()))
		}
		c.all(t, bordered())
		lossless(t, streams, 20)
	})
	step(t, "a gateway is drained and stays after all", func(t *testing.T) { leavesAndStays(t, c) })
	step(t, "a gateway loses its way to the other network", func(t *testing.T) { cutOutside(t, c) })
	step(t, "a gateway is cut off from its cluster", func(t *testing.T) { cutInside(t, c) })
	step(t, "a gateway dies", func(t *testing.T) {
		var streams []*stream // enough of them for some to lead through the one that dies
		for i := 1; i <= 3; i++ {
			streams = append(streams, startStream(t, c.Node("pod-east-1"), fmt.Sprintf("10.20.%d.10", i)),
				startStream(t, c.Node("pod-east-1"), fmt.Sprintf("fd00:20:0:%d::10", i)))
		}
		for i := 2; i <= 3; i++ {
			streams = append(streams, startStream(t, c.Node("pod-west-1"), fmt.Sprintf("10.10.%d.10", i)))
		}
		for _, link := range []string{"eth1", "eth3"} { // a dead kernel forwards nothing
			require.NoError(t, c.Node("east-gw-1").LinkDown(link))
		}
		require.NoError(t, c.Node("east-gw-1").Kill())
		becomesPart(t, c.Node("east-1"), wholeOf("west", 1, 2)...)
		for _, name := range []string{"west-gw-1", "west-gw-2"} {
			becomesPart(t, c.Node(name), wholeOf("east", 9, 12)...)
		}
		sent, lost := losing(t, streams)
		t.Logf("of %d packets %d were lost", sent, lost)
		lossless(t, []*stream{startStream(t, c.Node("pod-east-1"), "10.20.3.10"), startStream(t, c.Node("pod-west-1"), "10.10.3.10")}, 20)
	})
}

// leavesAndStays drains a gateway under traffic and takes that back.
func leavesAndStays(t *testing.T, c *clusters) {
	streams := c.across(t)[:3] // its own pods go with it
	output(t, c.Node("east-gw-1"), "underlayd", "drain", "--wait", "--grace", "1s")
	becomes(t, c.Node("east-gw-1"), patience, nil)
	becomesPart(t, c.Node("east-1"), wholeOf("west", 1, 2)...)
	becomesPart(t, c.Node("west-gw-1"), wholeOf("east", 9, 12)...)
	lossless(t, streams, 20)
	output(t, c.Node("east-gw-1"), "underlayd", "drain", "--cancel")
	c.all(t, bordered())
}

// cutOutside cuts the link between a gateway and the others.
func cutOutside(t *testing.T, c *clusters) {
	gateway := c.Node("east-gw-1")
	require.NoError(t, gateway.LinkDown("eth3"))
	becomesPart(t, c.Node("east-1"), wholeOf("west", 1, 2)...)
	for _, name := range []string{"west-gw-1", "west-gw-2"} { // what comes back takes either of them
		becomesPart(t, c.Node(name), wholeOf("east", 9, 12)...)
	}
	becomesPart(t, gateway, wholeOf("west", 1, 2)...) // its own pods use the other gateway
	lossless(t, []*stream{startStream(t, c.Node("pod-east-gw-1"), "10.20.3.10"), startStream(t, c.Node("pod-east-1"), "fd00:20:0:3::10")}, 20)
	require.NoError(t, gateway.LinkUp("eth3"))
	output(t, gateway, "ip", "-6", "addr", "replace", "fd00:fab:9::11/64", "dev", "eth3", "nodad")
	c.all(t, bordered())
}

// cutInside cuts the link between a gateway and its cluster: it takes back what it told the other network, and says so.
func cutInside(t *testing.T, c *clusters) {
	gateway := c.Node("east-gw-1")
	require.NoError(t, gateway.LinkDown("eth1"))
	for _, name := range []string{"west-gw-1", "west-gw-2"} {
		becomesPart(t, c.Node(name), wholeOf("east", 9, 12)...)
	}
	is(t, gateway, "isolated, and said to be", func(s state) error {
		named := slices.ContainsFunc(s.Problems, func(p problem) bool {
			return p.Subject == "gateway" && strings.Contains(p.Message, "in our own network")
		})
		if s.Gateway == nil || !s.Gateway.Isolated || len(s.Gateway.Advertised) > 0 || !named {
			return fmt.Errorf("%+v, %+v", s.Gateway, s.Problems)
		}
		return nil
	})
	lossless(t, []*stream{startStream(t, c.Node("pod-west-1"), "10.10.3.10"), startStream(t, c.Node("pod-west-gw-1"), "fd00:10:0:3::10")}, 20)
	require.NoError(t, gateway.LinkUp("eth1"))
	output(t, gateway, "ip", "-6", "addr", "replace", "fd00:fab:1::1/64", "dev", "eth1", "nodad")
	for _, pods := range []int{2, 3} { // the cluster's own network
		output(t, gateway, "ip", "route", "replace", fmt.Sprintf("10.10.%d.0/24", pods), "via", fmt.Sprintf("192.168.1.%d", pods))
		output(t, gateway, "ip", "-6", "route", "replace", fmt.Sprintf("fd00:10:0:%d::/64", pods), "via", fmt.Sprintf("fd00:fab:1::%d", pods))
	}
	c.all(t, bordered())
}

// moves has west join the network of east, a step at a time, and takes that back. No packet is lost.
func moves(t *testing.T, c *clusters) {
	dc1, dc2 := c.Node("dc1"), c.Node("dc2")
	require.NoError(t, dc1.Do(func() error { // in its network, but among our processes
		return exec.Command("ip", "link", "add", "join", "type", "veth", "peer", "name", "join", "netns", fmt.Sprint(dc2.PID())).Run()
	}))
	for n, bridge := range map[*containerlab.Node]string{dc1: "dc1", dc2: "dc2"} {
		output(t, n, "ip", "link", "set", "join", "master", bridge, "up")
	}
	for i, name := range gatewayNodes("west") {
		output(t, c.Node(name), "ip", "addr", "add", fmt.Sprintf("192.168.1.%d/24", 41+i), "dev", "eth1")
		output(t, c.Node(name), "ip", "-6", "addr", "add", fmt.Sprintf("fd00:fab:1::%d/64", 41+i), "dev", "eth1", "nodad")
	}
	before := map[string]string{}
	for _, cluster := range []string{"east", "west"} {
		text, err := os.ReadFile(c.config(cluster))
		require.NoError(t, err)
		before[cluster] = string(text)
	}
	streams := c.across(t)
	since := c.sessionsSince(t)

	// Sessions first, then both ways, then the direct one alone: nobody has to do a step at the same moment as another.
	mesh := map[string]int{"east": 41, "west": 1}
	for cluster, other := range map[string]string{"east": "west", "west": "east"} {
		asn := map[string]int{"east": 64512, "west": 64513}[other]
		var peers []string
		for i, name := range gatewayNodes(other) {
			peers = append(peers, fmt.Sprintf("  - {name: direct-%s, address: 192.168.1.%d}\n", name, mesh[cluster]+i))
		}
		c.appendPeers(t, cluster, fmt.Sprintf("- cluster: %s\n  defaults: {asn: %d, holdTime: 9s, bfd: {interval: 300ms}}\n  peers:\n%s", other, asn, strings.Join(peers, "")))
	}
	for _, name := range slices.Concat(gatewayNodes("east"), gatewayNodes("west")) {
		is(t, c.Node(name), "connected with all", func(s state) error {
			if slices.ContainsFunc(s.Sessions, func(p session) bool { return p.State != "established" }) {
				return errors.New("not yet")
			}
			return nil
		})
	}
	has(t, c.Node("east-1"), sorted(bordered()["east-1"]))
	isRefused(t, c.Node("east-1"), "10.20.3.0/24", "OtherNetwork")

	c.rewrite(t, "west", "network: dc2\n", "network: [dc1, dc2]\n")
	has(t, c.Node("east-1"), sorted(bordered()["east-1"]))
	c.rewrite(t, "east", "network: dc2, podCIDRs", "network: [dc1, dc2], podCIDRs")
	both := slices.Concat(bordered()["east-1"], directTo("west", 1, 41, 42, 43))
	becomes(t, c.Node("east-1"), patience, sorted(both))
	becomesPart(t, c.Node("west-1"), slices.Concat(wholeOf("east", 2, 1, 2)[:1], directTo("east", 1, 1, 2, 3))...)
	becomesPart(t, c.Node("west-gw-1"), slices.Concat(wholeOf("east", 9, 11, 12), directTo("east", 1, 1, 2, 3), blackholes("west"))...)

	c.write(t, "east", withoutBorder(strings.Replace(before["east"], "network: dc2, podCIDRs", "network: dc1, podCIDRs", 1)))
	becomes(t, c.Node("east-1"), patience, sorted(slices.Concat(directTo("west", 1, 41, 42, 43), directTo("north", 1, 30))))
	becomes(t, c.Node("east-gw-1"), patience, sorted(slices.Concat(directTo("west", 1, 41, 42, 43), directTo("north", 1, 30))))
	c.write(t, "west", withoutBorder(strings.Replace(before["west"], "network: dc2\n", "network: dc1\n", 1)))
	for _, name := range gatewayNodes("west") {
		becomes(t, c.Node(name), patience, sorted(directTo("east", 1, 1, 2, 3)))
	}
	lossless(t, streams, 20)
	after := c.sessionsSince(t)
	for name, was := range since {
		if now, stays := after[name]; stays { // those across the border are gone
			require.Equal(t, was, now, "session %s was reset", name)
		}
	}

	// And back: in the other order.
	streams = c.across(t)
	c.write(t, "west", strings.Replace(before["west"], "network: dc2\n", "network: [dc1, dc2]\n", 1))
	c.write(t, "east", strings.Replace(before["east"], "network: dc2, podCIDRs", "network: [dc1, dc2], podCIDRs", 1))
	becomes(t, c.Node("east-1"), patience, sorted(both))
	becomesPart(t, c.Node("west-1"), slices.Concat(wholeOf("east", 2, 1, 2)[:1], directTo("east", 1, 1, 2, 3))...)
	for cluster, text := range before {
		c.write(t, cluster, text)
	}
	for name, want := range bordered() {
		if name != "west-1" { // whose gateways have two IPv6 addresses on the link, and either will do as next hop
			becomes(t, c.Node(name), patience, sorted(want))
		}
	}
	becomesPart(t, c.Node("west-1"), wholeOf("east", 2, 1, 2)[:1]...)
	lossless(t, streams, 20)
	for _, cluster := range []string{"east", "west"} {
		require.NoError(t, os.CopyFS(filepath.Join(c.configs, cluster+"-old"), os.DirFS(filepath.Join("../gateways", cluster))))
		require.NoError(t, os.Rename(filepath.Join(c.configs, cluster+"-old", "peers.yaml"), filepath.Join(c.configs, cluster, "peers.yaml")))
	}
	for i, name := range gatewayNodes("west") {
		output(t, c.Node(name), "ip", "addr", "del", fmt.Sprintf("192.168.1.%d/24", 41+i), "dev", "eth1")
		output(t, c.Node(name), "ip", "-6", "addr", "del", fmt.Sprintf("fd00:fab:1::%d/64", 41+i), "dev", "eth1")
	}
	c.all(t, bordered())
}

// sessionsSince says of each session of the nodes of east and west since when it is up.
func (c *clusters) sessionsSince(t *testing.T) map[string]string {
	t.Helper()
	since := map[string]string{}
	for _, name := range slices.Concat(gatewayNodes("east"), gatewayNodes("west")) {
		for _, s := range stateOf(t, c.Node(name)).Sessions {
			since[name+" with "+s.Peer] = s.Since
		}
	}
	return since
}

// withoutBorder is a configuration without the peers of another network.
func withoutBorder(text string) string {
	return strings.Join(slices.DeleteFunc(strings.SplitAfter(text, "\n"), func(line string) bool { return strings.Contains(line, "-gw-") }), "")
}

func (c *clusters) appendPeers(t *testing.T, cluster, group string) {
	t.Helper()
	path := filepath.Join(c.configs, cluster, "peers.yaml")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path+".new", append(text, group...), 0o644))
	require.NoError(t, os.Rename(path+".new", path))
}

// isRefused waits until a node refuses a prefix for a reason.
func isRefused(t *testing.T, n *containerlab.Node, prefix, reason string) {
	t.Helper()
	until(t, patience, prefix+" to be refused: "+reason, func(ctx context.Context) error {
		var list routeList
		if err := ask(ctx, n, &list, "routes", prefix); err != nil {
			return err
		}
		if !slices.ContainsFunc(list.Items, func(r route) bool { return r.Prefix == prefix && r.Verdict == reason }) {
			return fmt.Errorf("%+v", list.Items)
		}
		return nil
	})
}

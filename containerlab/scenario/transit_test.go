package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// flannel is what flannel has on a gateway: it masquerades what leaves its cluster, and what comes into it. IPT, CLUSTER, POD
// and MULTICAST stand for what is different.
const flannel = `
	IPT -t nat -N FLANNEL-POSTRTG
	IPT -t nat -A FLANNEL-POSTRTG -s POD -d CLUSTER -j RETURN
	IPT -t nat -A FLANNEL-POSTRTG -s CLUSTER -d POD -j RETURN
	IPT -t nat -A FLANNEL-POSTRTG ! -s CLUSTER -d POD -j RETURN
	IPT -t nat -A FLANNEL-POSTRTG -s CLUSTER ! -d MULTICAST -j MASQUERADE --random-fully
	IPT -t nat -A FLANNEL-POSTRTG ! -s CLUSTER -d CLUSTER -j MASQUERADE --random-fully
	IPT -t nat -A POSTROUTING -j FLANNEL-POSTRTG`

// drops is what kube-proxy has there: what connection tracking makes no sense of is not forwarded.
const drops = `
	IPT -N KUBE-FORWARD
	IPT -A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
	IPT -A FORWARD -j KUBE-FORWARD`

// crossing is the lab of two networks in which what goes from pod-east-1 to pod-west-1 takes the first gateway of each cluster, and
// what comes back the second.
type crossing struct{ *clusters }

func crossed(t *testing.T) *crossing {
	t.Helper()
	c := &crossing{gatewayLab(t)}
	c.all(t, bordered())
	for _, leg := range []struct {
		node    string
		pods    string
		segment int
		via     int
	}{
		{"east-1", "20", 1, 1}, {"east-gw-1", "20", 9, 21}, {"west-1", "10", 2, 2}, {"west-gw-2", "10", 9, 12},
	} {
		output(t, c.Node(leg.node), "ip", "route", "add", "10."+leg.pods+".3.0/24", "via", fmt.Sprintf("192.168.%d.%d", leg.segment, leg.via))
		output(t, c.Node(leg.node), "ip", "-6", "route", "add", "fd00:"+leg.pods+":0:3::/64", "via", fmt.Sprintf("fd00:fab:%d::%d", leg.segment, leg.via))
	}
	for _, pod := range []string{"pod-east-1", "pod-west-1"} {
		listen(t, c.Node(pod))
	}
	return c
}

func crossingGateways() []string { return []string{"east-gw-1", "east-gw-2", "west-gw-1", "west-gw-2"} }

// each runs a script of rules on every gateway, for each family.
func (c *crossing) each(t *testing.T, script string) {
	t.Helper()
	for _, name := range crossingGateways() {
		net, pods := podNet(name[:4]), name[len(name)-1:]
		for _, words := range [][]string{
			{"IPT", "iptables-nft", "CLUSTER", fmt.Sprintf("10.%d.0.0/16", net), "POD", fmt.Sprintf("10.%d.%s.0/24", net, pods), "MULTICAST", "224.0.0.0/4"},
			{"IPT", "ip6tables-nft", "CLUSTER", fmt.Sprintf("fd00:%d::/48", net), "POD", fmt.Sprintf("fd00:%d:0:%s::/64", net, pods), "MULTICAST", "ff00::/8"},
		} {
			output(t, c.Node(name), "sh", "-ec", strings.NewReplacer(words...).Replace(script))
		}
	}
}

// exempting turns it on or off in both clusters.
func (c *crossing) exempting(t *testing.T, on bool) {
	t.Helper()
	before, after, state := "natExemption: false\nbgp:\n", "bgp:\n", "Active"
	if !on {
		before, after, state = after, before, "Off"
	}
	for _, cluster := range []string{"east", "west"} {
		c.rewrite(t, cluster, before, after)
		for _, name := range gatewayNodes(cluster) {
			require.NoError(t, c.Node(name).Process("underlayd").Signal(syscall.SIGHUP))
		}
	}
	for _, name := range crossingGateways() {
		is(t, c.Node(name), state, exemption(state))
		if !on {
			until(t, patience, "the table to go", gone(c.Node(name)))
		}
	}
}

// sees checks as what pods are seen across networks, if at all.
func (c *crossing) sees(t *testing.T, east, west [2]string) {
	t.Helper()
	for i, to := range []string{"10.20.3.10", "fd00:20:0:3::10"} {
		back := []string{"10.10.3.10", "fd00:10:0:3::10"}[i]
		for _, network := range []string{"udp", "tcp"} {
			require.Equal(t, east[i], seenAs(t, c.Node("pod-east-1"), network, to), "%s to %s", network, to)
			require.Equal(t, west[i], seenAs(t, c.Node("pod-west-1"), network, back), "%s to %s", network, back)
		}
	}
}

// hangs says whether no answer comes over a TCP connection.
func hangs(t *testing.T, pod *containerlab.Node, to string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	conn, err := pod.Dial(ctx, "tcp", netip.AddrPortFrom(netip.MustParseAddr(to), echoPort).String())
	if err == nil {
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(time.Second)))
		_, err = io.ReadFull(conn, make([]byte, 16))
	}
	var late net.Error
	return errors.As(err, &late) && late.Timeout()
}

// TestTransit: gateways beside a CNI and kube-proxy, with the two directions of all connections over different ones.
func TestTransit(t *testing.T) {
	t.Parallel()
	containerlab.Require(t, "ip", "nft", "iptables-nft", "ip6tables-nft", "go")
	c := crossed(t)
	east, west := [2]string{"10.10.3.10", "fd00:10:0:3::10"}, [2]string{"10.20.3.10", "fd00:20:0:3::10"}
	c.each(t, drops)
	step(t, "without the exemption pods see gateways", func(t *testing.T) {
		c.exempting(t, false)
		c.each(t, flannel)
		c.sees(t, [2]string{"192.168.2.1", "fd00:fab:2::1"}, [2]string{"192.168.1.2", "fd00:fab:1::2"})
	})
	step(t, "and without a masquerade connections hang", func(t *testing.T) {
		c.each(t, "IPT -t nat -F FLANNEL-POSTRTG; IPT -t nat -D POSTROUTING -j FLANNEL-POSTRTG; IPT -t nat -X FLANNEL-POSTRTG")
		for i := range east {
			require.True(t, hangs(t, c.Node("pod-east-1"), west[i]))
			require.True(t, hangs(t, c.Node("pod-west-1"), east[i]))
		}
	})
	step(t, "with it pods see pods, and no connection hangs", func(t *testing.T) {
		c.each(t, flannel)
		c.exempting(t, true)
		c.sees(t, east, west)
		s := stateOf(t, c.Node("east-gw-1"))
		require.Empty(t, s.Problems)
		require.Equal(t, "{Active underlayd-200 2 4 8 2 0}", fmt.Sprint(s.NATExemption))
		require.Contains(t, output(t, c.Node("east-gw-1"), "underlayd", "status"), "; what passes through to 2 ranges of other networks is not tracked")
		for _, name := range []string{"east-1", "north-1"} {
			require.NotContains(t, output(t, c.Node(name), "nft", "list", "ruleset"), "notrack", "it is no gateway")
		}
	})
	step(t, "a gateway says that packets are too large, and the other one lets that pass", func(t *testing.T) {
		output(t, c.Node("west-gw-1"), "ip", "link", "set", "eth1", "mtu", "1400")
		for _, to := range west {
			c.learns(t, to)
		}
	})
	step(t, "what may stand in the way on a gateway is said", func(t *testing.T) {
		c.obstructed(t)
		c.sees(t, east, west)
	})
	step(t, "the daemon of a gateway is killed and started again", func(t *testing.T) {
		n := c.Node("east-gw-1")
		before := handles(output(t, n, "nft", "-a", "list", "table", "inet", "underlayd-200"))
		require.NoError(t, n.Process("underlayd").Kill())
		c.sees(t, east, west)
		c.returns(t, n)
		c.sees(t, east, west)
		require.Equal(t, before, handles(output(t, n, "nft", "-a", "list", "table", "inet", "underlayd-200")), "taken over as it was")
	})
	step(t, "a gateway leaves", func(t *testing.T) {
		output(t, c.Node("east-gw-2"), "underlayd", "drain", "--wait", "--grace", "1s")
		require.NotContains(t, tables(t, c.Node("east-gw-2")), "underlayd")
		output(t, c.Node("east-gw-2"), "underlayd", "drain", "--cancel", "--wait")
		is(t, c.Node("east-gw-2"), "Active", exemption("Active"))
		c.sees(t, east, west)
	})
}

// obstructed sets up one gateway so that packets may not pass, and takes back what would stop them.
func (c *crossing) obstructed(t *testing.T) {
	t.Helper()
	n := c.Node("west-gw-1")
	output(t, n, "iptables-nft", "-A", "FORWARD", "-j", "ACCEPT")
	output(t, n, "iptables-nft", "-P", "FORWARD", "DROP")
	output(t, n, "sysctl", "-qw", "net.ipv4.conf.eth1.rp_filter=1") // towards its own nodes: no next hop of ours is there
	is(t, n, "complaining", says("host, rp_filter", "net.ipv4.conf.eth1.rp_filter is 1 and this node is a gateway"))
	require.Contains(t, output(t, n, "underlayd", "status"), "what no rule accepts is dropped by ip filter FORWARD: ")
	output(t, n, "sysctl", "-qw", "net.ipv4.conf.eth1.rp_filter=0")
	is(t, n, "content", func(s state) error {
		if why := s.blames("host, rp_filter"); why != "" {
			return errors.New(why)
		}
		return nil
	})
}

// returns starts a daemon again and waits until it has converged.
func (c *crossing) returns(t *testing.T, n *containerlab.Node) {
	t.Helper()
	require.NoError(t, n.Launch(t.Context()))
	is(t, n, "converged", func(s state) error {
		if s.Phase != "Ready" {
			return errors.New("the phase is " + s.Phase)
		}
		return hasCondition("True", "RoutesInstalled")(s)
	})
}

// learns sends large packets until it is known how large they may be.
func (c *crossing) learns(t *testing.T, to string) {
	t.Helper()
	pod := c.Node("pod-east-1")
	require.Eventually(t, func() bool {
		conn, err := pod.Dial(t.Context(), "udp", netip.AddrPortFrom(netip.MustParseAddr(to), echoPort).String())
		require.NoError(t, err)
		_, _ = conn.Write(make([]byte, 1440)) // an error is what is asked for
		require.NoError(t, conn.Close())
		return strings.Contains(output(t, pod, "ip", "route", "get", to), "mtu 1400")
	}, patience, 10*time.Millisecond)
}

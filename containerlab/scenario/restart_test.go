package scenario

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// restarted starts a node's daemon, which has ended, and waits until the node and the fabric are as before.
func (c *clusters) restarted(t *testing.T, node string) {
	t.Helper()
	require.NoError(t, c.Node(node).Launch(t.Context()))
	is(t, c.Node(node), "converged", func(s state) error {
		if s.Phase != "Ready" {
			return errors.New("the phase is " + s.Phase)
		}
		return hasCondition("True", "RoutesInstalled")(s)
	})
	c.stale(t, node, false)
}

// lose waits until the fabric has noticed that the session with east-1 is gone.
func (c *clusters) lose(t *testing.T) {
	t.Helper()
	c.stale(t, "east-1", true)
}

func TestARestartIsNotNoticed(t *testing.T) {
	t.Parallel()
	c := twoClusters(t)
	for _, pod := range []string{"pod-west-1", "pod-west-2"} {
		listen(t, c.Node(pod))
	}
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		step(t, "by "+signal.String(), func(t *testing.T) { unnoticed(t, c, signal) })
	}
	step(t, "a prefix that was withdrawn meanwhile is pruned, and nothing else", func(t *testing.T) { withdrawnMeanwhile(t, c) })
	step(t, "routes stay as long as no peer came up", func(t *testing.T) {
		daemon, bgpd := c.Node("east-1").Process("underlayd"), c.Node("fabric").Process("bgpd")
		require.NoError(t, daemon.Kill())
		require.NoError(t, bgpd.Kill())
		require.NoError(t, c.Node("east-1").Launch(t.Context()))
		is(t, c.Node("east-1"), "without peers, on its old routes", hasCondition("False", "NoPeersEstablished"))
		has(t, c.Node("east-1"), want("east-1"))
		require.NoError(t, c.Node("fabric").Launch(t.Context()))
		c.settled(t)
	})
	step(t, "a restart while the fabric has nothing to tell prunes everything", func(t *testing.T) {
		daemon := c.Node("east-1").Process("underlayd")
		require.NoError(t, daemon.Kill())
		c.configure(t, "neighbor west-ipv4 shutdown")
		c.configure(t, "neighbor west-ipv6 shutdown")
		becomes(t, c.Node("east-2"), patience, nil)
		has(t, c.Node("east-1"), want("east-1"))
		require.NoError(t, c.Node("east-1").Launch(t.Context()))
		becomes(t, c.Node("east-1"), patience, nil)
		c.configure(t, "no neighbor west-ipv4 shutdown")
		c.configure(t, "no neighbor west-ipv6 shutdown")
		c.settled(t)
	})
}

// unnoticed ends east-1's daemon and starts it again: no packet is lost, and no kernel changes a route.
func unnoticed(t *testing.T, c *clusters, signal syscall.Signal) {
	here, fabric, far := watchRoutes(t, c.Node("east-1")), watchRoutes(t, c.Node("fabric")), watchRoutes(t, c.Node("west-1"))
	streams := map[string]*stream{}
	for _, address := range []string{"10.20.1.10", "10.20.2.10", "fd00:20:0:1::10", "fd00:20:0:2::10"} {
		streams[address] = startStream(t, c.Node("pod-east-1"), address)
	}
	daemon := c.Node("east-1").Process("underlayd")
	require.NoError(t, daemon.Signal(signal))
	<-daemon.Done()
	if signal == syscall.SIGTERM {
		require.NoError(t, daemon.Err(), "exit code 0")
	}
	c.lose(t)
	for _, s := range streams {
		s.flows(t, 50)
	}
	has(t, c.Node("east-1"), want("east-1"))
	c.restarted(t, "east-1")
	for address, s := range streams {
		s.flows(t, 50)
		sent, lost := s.lost(t)
		require.Zero(t, lost, "of %d packets to %s", sent, address)
	}
	has(t, c.Node("east-1"), want("east-1"))
	here.quiet(t, "proto 200", "10.20.", "fd00:20:")
	fabric.quiet(t, "10.10.1.0", "fd00:10:0:1:")
	far.quiet(t, "proto 200")
}

// withdrawnMeanwhile takes one prefix of west-1 away while east-1's daemon is down.
func withdrawnMeanwhile(t *testing.T, c *clusters) {
	here := watchRoutes(t, c.Node("east-1"))
	daemon := c.Node("east-1").Process("underlayd")
	require.NoError(t, daemon.Kill())
	c.lose(t)
	c.rewrite(t, "west-1", "10.20.1.0/24, ", "")
	becomes(t, c.Node("east-2"), patience, want("east-2", "10.20.1.0/24"))
	has(t, c.Node("east-1"), want("east-1"))
	c.restarted(t, "east-1")
	becomes(t, c.Node("east-1"), patience, want("east-1", "10.20.1.0/24"))
	events := here.about(t, "10.20.", "fd00:20:")
	require.Len(t, events, 1)
	require.True(t, strings.HasPrefix(events[0], "Deleted 10.20.1.0/24 "), events[0])
	c.rewrite(t, "west-1", `podCIDRs: ["fd00:20:0:1::/64"]`, `podCIDRs: [10.20.1.0/24, "fd00:20:0:1::/64"]`)
	c.settled(t)
}

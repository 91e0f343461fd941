package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// communities returns those that the fabric has with a prefix, empty if there are none, and an error without a path.
func (c *clusters) communities(ctx context.Context, prefix string) (string, error) {
	var entry struct {
		Paths []struct{ Community struct{ String string } }
	}
	if err := vtysh(ctx, c.Node("fabric"), &entry, "show bgp ipv4 unicast "+prefix); err != nil {
		return "", err
	}
	if len(entry.Paths) != 1 {
		return "", fmt.Errorf("%s: %d paths", prefix, len(entry.Paths))
	}
	return entry.Paths[0].Community.String, nil
}

func TestANodeLeavesOnPurpose(t *testing.T) {
	t.Parallel()
	c := twoClusters(t)
	east, others := c.Node("east-1"), watchRoutes(t, c.Node("east-2"))
	step(t, "it says that its prefixes go while they still work", func(t *testing.T) {
		output(t, east, "underlayd", "drain", "--reason", "a new board", "--grace", "5s")
		until(t, patience, "the fabric to be told", func(ctx context.Context) error {
			got, err := c.communities(ctx, "10.10.1.0/24")
			if err == nil && got != "graceful-shutdown" {
				err = errors.New("communities: " + got)
			}
			return err
		})
		is(t, east, "leaving", func(s state) error {
			if s.Phase != "Draining" {
				return errors.New("the phase is " + s.Phase)
			}
			return says("drain", "a new board", "about to go")(s)
		})
		has(t, east, want("east-1"))
		has(t, c.Node("west-1"), want("west-1"))
	})
	step(t, "then nothing is left of it", func(t *testing.T) {
		output(t, east, "underlayd", "drain", "--wait", "--reason", "a new board", "--grace", "5s")
		has(t, east, nil)
		becomes(t, c.Node("west-1"), patience, want("west-1", "10.10.1.0/24", "fd00:10:0:1::/64"))
		s := stateOf(t, east)
		require.Equal(t, condition{"UnderlayRoutesReady", "False", "Draining", "the node is being drained"}, s.condition())
		require.NoError(t, says("drain", "a new board", "--cancel")(s))
		require.Empty(t, s.Sessions)
		require.Empty(t, s.Advertised)
		require.Contains(t, output(t, c.Node("fabric"), "vtysh", "-c", "show bgp neighbors 192.168.11.1"), "Cease/Administrative Shutdown")
	})
	step(t, "a restart does not bring it back", func(t *testing.T) {
		require.NoError(t, east.Process("underlayd").Kill())
		require.NoError(t, east.Launch(t.Context()))
		is(t, east, "drained", func(s state) error {
			if s.Phase != "Drained" || len(s.Sessions) > 0 || len(s.Advertised) > 0 {
				return errors.New("the phase is " + s.Phase)
			}
			return nil
		})
	})
	step(t, "it comes back when told to", func(t *testing.T) {
		output(t, east, "underlayd", "drain", "--cancel", "--wait")
		c.settled(t)
		got, err := c.communities(t.Context(), "10.10.1.0/24")
		require.NoError(t, err)
		require.Empty(t, got)
	})
	others.quiet(t, "10.20.", "fd00:20:")
	require.Contains(t, refused(t, east, 1, "underlayd", "drain", "--socket", "/run/nobody/underlayd.sock"), "not running")
}

// TestMassesOfRoutesAreKept: when the only sessions are lost, the routes stay for a while; not when they are closed.
func TestMassesOfRoutesAreKept(t *testing.T) {
	t.Parallel()
	c := twoClusters(t)
	n := c.Node("east-1")
	m := watchRoutes(t, n)
	step(t, "the fabric's BGP daemon is killed", func(t *testing.T) {
		require.NoError(t, c.Node("fabric").Process("bgpd").Kill())
		is(t, n, "without peers, on the routes it has", func(s state) error {
			return errors.Join(says("cluster west", "4 of its 4 routes have lost every session", "bgp.brake")(s),
				hasCondition("False", "NoPeersEstablished")(s))
		})
		var list routeList
		require.NoError(t, ask(t.Context(), n, &list, "routes", "--state", "stale"))
		require.Len(t, list.Items, 4)
		require.NoError(t, c.Node("fabric").Launch(t.Context()))
		c.settled(t)
		has(t, n, want("east-1"))
		m.quiet(t, "10.20.", "fd00:20:")
	})
	step(t, "some of them are not announced again", func(t *testing.T) {
		require.NoError(t, c.Node("fabric").Process("bgpd").Kill())
		is(t, n, "on the routes it has", says("cluster west", "4 of its 4 routes"))
		require.NoError(t, c.Node("west-1").Process("underlayd").Kill())
		require.NoError(t, c.Node("fabric").Launch(t.Context()))
		becomes(t, n, patience, want("east-1", "10.20.1.0/24", "fd00:20:0:1::/64"))
		require.NoError(t, c.Node("west-1").Launch(t.Context()))
		c.settled(t)
	})
	step(t, "the time is over", func(t *testing.T) {
		c.rewrite(t, "east-1", "bgp:\n", "bgp:\n  brake: {hold: 3s}\n")
		require.NoError(t, c.Node("fabric").Process("bgpd").Kill())
		becomes(t, n, patience, nil)
		require.NoError(t, c.Node("fabric").Launch(t.Context()))
		c.settled(t)
	})
}

// TestACrashDoesNotRepeatItself: the peer that was let in last when the daemon ended by a fault is kept out.
func TestACrashDoesNotRepeatItself(t *testing.T) {
	t.Parallel()
	c := twoClusters(t)
	n := c.Node("west-1")
	crash := func(t *testing.T) {
		daemon := n.Process("underlayd")
		output(t, n, "kill", "-QUIT", fmt.Sprint(stateOf(t, n).PID))
		<-daemon.Done()
		has(t, n, want("west-1"))
		require.NoError(t, n.Launch(t.Context()))
	}
	step(t, "once: nobody is blamed", func(t *testing.T) {
		crash(t)
		is(t, n, "back", func(s state) error {
			return errors.Join(says("crash", "once", "crash-last.txt")(s), connectedTo(s, "fabric-ipv4", "fabric-ipv6"))
		})
		is(t, n, "done with letting peers in", func(s state) error {
			if strings.Contains(s.blames("crash"), "one after the other") {
				return errors.New("not yet")
			}
			return nil
		})
		require.Contains(t, output(t, n, "cat", "/run/underlayd/crash-last.txt"), "SIGQUIT")
		has(t, n, want("west-1"))
	})
	step(t, "again, after the first peer was let in", func(t *testing.T) {
		crash(t)
		is(t, n, "with its first peer", func(s state) error { return connectedTo(s, "fabric-ipv4") })
		crash(t)
		is(t, n, "back, without that one", func(s state) error {
			return errors.Join(says("peer fabric-ipv4", "quarantine")(s), connectedTo(s, "fabric-ipv6"))
		})
		require.False(t, slices.ContainsFunc(stateOf(t, n).Sessions, func(p session) bool { return p.Peer == "fabric-ipv4" }))
		is(t, n, "with the routes of the other", func(s state) error {
			got, err := kernelRoutes(t.Context(), n)
			if err == nil && !slices.Contains(got, "fd00:10:0:1::/64 via "+placeOf("west-1").fabric6) {
				err = errors.New(strings.Join(got, ", "))
			}
			return err
		})
	})
}

// connectedTo says which of some peers have no session.
func connectedTo(s state, peers ...string) error {
	for _, peer := range peers {
		if !slices.ContainsFunc(s.Sessions, func(p session) bool { return p.Peer == peer && p.State == "established" }) {
			return errors.New("no session with " + peer)
		}
	}
	return nil
}

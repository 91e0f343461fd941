package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// neighbor is what the fabric says of one of its sessions.
type neighbor struct {
	BgpState               string
	BgpTimerHoldTimeMsecs  int
	ConnectionsEstablished int
}

func (c *clusters) neighbors(t *testing.T) map[string]neighbor {
	t.Helper()
	var all map[string]neighbor
	require.NoError(t, json.Unmarshal([]byte(output(t, c.Node("fabric"), "vtysh", "-c", "show bgp neighbors json")), &all))
	return all
}

// ups returns how often each of the fabric's sessions has come up: a session that was reset counts one more.
func (c *clusters) ups(t *testing.T) map[string]int {
	t.Helper()
	ups := map[string]int{}
	for address, n := range c.neighbors(t) {
		require.Equal(t, "Established", n.BgpState, address)
		ups[address] = n.ConnectionsEstablished
	}
	return ups
}

// fabricPath is one of the fabric's paths.
type fabricPath struct{ Stale bool }

// fabricPaths returns what the fabric knows of a prefix.
func (c *clusters) fabricPaths(ctx context.Context, family, prefix string) ([]fabricPath, error) {
	out, err := c.Node("fabric").Output(ctx, "vtysh", "-c", "show bgp "+family+" unicast "+prefix+" json")
	if err != nil {
		return nil, err
	}
	var entry struct{ Paths []fabricPath }
	if err := json.Unmarshal([]byte(out), &entry); err != nil {
		return nil, fmt.Errorf("%s: %w", out, err)
	}
	return entry.Paths, nil
}

// stale waits until the fabric has exactly one path to each of a node's pod CIDRs, which awaits confirmation or not.
func (c *clusters) stale(t *testing.T, node string, stale bool) {
	t.Helper()
	p := placeOf(node)
	until(t, patience, fmt.Sprintf("fabric to have %s's prefixes, stale: %t", node, stale), func(ctx context.Context) error {
		for family, prefix := range map[string]string{"ipv4": p.pods4, "ipv6": p.pods6} {
			paths, err := c.fabricPaths(ctx, family, prefix)
			if err != nil {
				return err
			}
			if !slices.Equal(paths, []fabricPath{{Stale: stale}}) {
				return fmt.Errorf("%s: %+v", prefix, paths)
			}
		}
		return nil
	})
}

// peersOf names the sessions of a node.
func peersOf(node string) []string {
	if placeOf(node).cluster == "west" {
		return []string{"fabric-ipv4", "fabric-ipv6"}
	}
	return []string{"fabric"}
}

func TestTheFabricIsLostAndComesBack(t *testing.T) {
	t.Parallel()
	c := twoClusters(t)
	for _, p := range places() {
		c.rewrite(t, p.name, "bgp:\n", "bgp:\n  brake: {hold: 0s}\n") // see TestMassesOfRoutesAreKept
	}
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		step(t, "its BGP daemon ends by "+signal.String(), func(t *testing.T) {
			bgpd := c.Node("fabric").Process("bgpd")
			require.NoError(t, bgpd.Signal(signal))
			<-bgpd.Done()
			for _, p := range places() {
				n := c.Node(p.name)
				becomes(t, n, patience, nil)
				is(t, n, "without peers", func(s state) error {
					for _, peer := range peersOf(p.name) {
						if err := says("peer "+peer, "not established")(s); err != nil {
							return err
						}
					}
					if s.Phase != "Degraded" {
						return errors.New("the phase is " + s.Phase)
					}
					return hasCondition("False", "NoPeersEstablished")(s)
				})
			}
			require.NoError(t, c.Node("fabric").Launch(t.Context()))
			c.settled(t)
		})
	}
	step(t, "it falls silent for longer than the hold time", func(t *testing.T) {
		bgpd := c.Node("fabric").Process("bgpd")
		require.NoError(t, bgpd.Signal(syscall.SIGSTOP))
		for _, p := range places() {
			becomes(t, c.Node(p.name), patience, nil)
			is(t, c.Node(p.name), "without peers", hasCondition("False", "NoPeersEstablished"))
		}
		require.NoError(t, bgpd.Signal(syscall.SIGCONT))
		c.settled(t)
	})
	step(t, "one of two sessions ends", func(t *testing.T) {
		n, here := c.Node("west-1"), placeOf("west-1")
		other := stateOf(t, n).Sessions[0]
		require.Equal(t, "fabric-ipv4", other.Peer)
		c.configure(t, "neighbor fd00:fab:21::1 shutdown")
		becomes(t, n, patience, want("west-1", "fd00:10:0:1::/64", "fd00:10:0:2::/64"))
		is(t, n, "without one peer", func(s state) error {
			if !reflect.DeepEqual(s.Sessions[0], other) {
				return errors.New("the other session was touched")
			}
			return errors.Join(hasCondition("True", "PartialPeers")(s), says("peer fabric-ipv6", here.fabric6, "65000")(s))
		})
		c.configure(t, "no neighbor fd00:fab:21::1 shutdown")
		c.settled(t)
	})
}

// configure gives a line of the BGP configuration to the fabric.
func (c *clusters) configure(t *testing.T, line string) {
	t.Helper()
	output(t, c.Node("fabric"), "vtysh", "-c", "configure terminal", "-c", "router bgp 65000", "-c", line)
}

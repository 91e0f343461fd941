package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// racks is a running leaf-spine lab.
type racks struct{ *containerlab.Lab }

func rackNodes() []string { return []string{"east-1", "east-2", "west-1", "west-2"} }

func leafSpine(t *testing.T, variant string) *racks {
	t.Helper()
	containerlab.Require(t, "zebra", "bgpd", "bfdd", "vtysh", "bird", "ip", "go")
	lab := containerlab.UpForTest(t, "../"+variant+".clab.yml", containerlab.Options{
		Sources: map[string]string{"../bin/underlayd": built(t).underlayd},
	})
	return &racks{lab}
}

// nextHopCounts are how many next hops the daemon's routes have, by prefix.
func nextHopCounts(ctx context.Context, n *containerlab.Node) (map[string]int, error) {
	counts := map[string]int{}
	for _, family := range []string{"-4", "-6"} {
		out, err := n.Output(ctx, "ip", "-j", family, "route", "show", "proto", "200")
		if err != nil {
			return nil, err
		}
		var list []struct {
			Dst      string
			Nexthops []json.RawMessage
		}
		if out = strings.TrimSpace(out); out != "" {
			if err := json.Unmarshal([]byte(out), &list); err != nil {
				return nil, fmt.Errorf("%s: %w", out, err)
			}
		}
		for _, r := range list {
			counts[r.Dst] = max(1, len(r.Nexthops))
		}
	}
	return counts, nil
}

// leads waits until the routes of some nodes to the other cluster's four prefixes have so many next hops.
func (r *racks) leads(t *testing.T, count int, nodes ...string) {
	t.Helper()
	for _, name := range nodes {
		until(t, patience, fmt.Sprintf("routes of %s through %d leaves", name, count), func(ctx context.Context) error {
			counts, err := nextHopCounts(ctx, r.Node(name))
			if err != nil || len(counts) != 4 {
				return errors.Join(err, fmt.Errorf("%v", counts))
			}
			for prefix, n := range counts {
				if n != count {
					return fmt.Errorf("%s has %d", prefix, n)
				}
			}
			return nil
		})
	}
}

// flowing is traffic between all pods of one cluster and all of the other, of both families.
func (r *racks) flowing(t *testing.T) map[string]*stream {
	t.Helper()
	streams := map[string]*stream{}
	for _, from := range []string{"pod-east-1", "pod-east-2"} {
		for _, to := range []string{"10.20.1.10", "10.20.2.10", "fd00:20:0:1::10", "fd00:20:0:2::10"} {
			streams[from+" to "+to] = startStream(t, r.Node(from), to)
		}
	}
	return streams
}

// off is a router without power: its programs are gone, and its links have no carrier at the other end.
func (r *racks) off(t *testing.T, name string) {
	t.Helper()
	n := r.Node(name)
	for _, iface := range []string{"eth1", "eth2", "eth3", "eth4"} {
		require.NoError(t, n.LinkDown(iface))
	}
	for _, p := range n.Processes() {
		if p.Running() {
			require.NoError(t, p.Kill())
		}
	}
}

// on gives it power again. A link that was down has lost its IPv6 addresses.
func (r *racks) on(t *testing.T, name string) {
	t.Helper()
	n := r.Node(name)
	for _, iface := range []string{"eth1", "eth2", "eth3", "eth4"} {
		require.NoError(t, n.LinkUp(iface))
	}
	r.address(t, name)
	require.NoError(t, n.Launch(t.Context()))
}

func (r *racks) address(t *testing.T, name string) {
	t.Helper()
	n := r.Node(name)
	for _, argv := range n.Spec().Exec {
		_, _ = n.Output(t.Context(), argv...) // some are there
	}
}

// outage is what a fault of the fabric may cost.
type outage struct {
	what       string
	fail, mend func(t *testing.T, r *racks)
	legs       int // how many next hops the routes of the nodes below have meanwhile
	nodes      []string
}

// outages are faults that leave another way. Nearly all of what they cost is the time until the routers have noticed and
// found it; a router that comes back may get packets before it knows where to.
func outages() []outage {
	power := func(name string) (fail, mend func(*testing.T, *racks)) {
		return func(t *testing.T, r *racks) { r.off(t, name) }, func(t *testing.T, r *racks) { r.on(t, name) }
	}
	cable := func(name, iface string) (fail, mend func(*testing.T, *racks)) {
		fail = func(t *testing.T, r *racks) { require.NoError(t, r.Node(name).LinkDown(iface)) }
		return fail, func(t *testing.T, r *racks) {
			require.NoError(t, r.Node(name).LinkUp(iface))
			r.address(t, name)
		}
	}
	program := func(name, program string) (fail, mend func(*testing.T, *racks)) {
		fail = func(t *testing.T, r *racks) { require.NoError(t, r.Node(name).Process(program).Kill()) }
		return fail, func(t *testing.T, r *racks) { require.NoError(t, r.Node(name).Launch(t.Context())) }
	}
	var list []outage
	add := func(o outage, fail, mend func(*testing.T, *racks)) {
		o.fail, o.mend = fail, mend
		list = append(list, o)
	}
	fail, mend := cable("leaf-1a", "eth1")
	add(outage{what: "the link between a node and a leaf goes", legs: 1, nodes: []string{"east-1"}}, fail, mend)
	fail, mend = power("leaf-1a")
	add(outage{what: "a leaf with FRR dies", legs: 1, nodes: []string{"east-1", "east-2"}}, fail, mend)
	fail, mend = power("leaf-2b")
	add(outage{what: "a leaf with BIRD dies", legs: 1, nodes: []string{"west-1", "west-2"}}, fail, mend)
	fail, mend = program("leaf-1b", "bird")
	add(outage{what: "the BGP of a leaf dies, and its links stay", legs: 1, nodes: []string{"east-1", "east-2"}}, fail, mend)
	fail, mend = power("spine-1")
	add(outage{what: "a spine with FRR dies", legs: 2}, fail, mend)
	fail, mend = power("spine-2")
	add(outage{what: "a spine with BIRD dies", legs: 2}, fail, mend)
	fail, mend = cable("spine-1", "eth1")
	add(outage{what: "the link between a leaf and a spine goes", legs: 2}, fail, mend)
	return list
}

// TestLeafSpine: two clusters in two racks, each node with two leaves. Whatever one thing of the fabric dies, traffic goes
// on another way, and comes back when it does. It takes longest, and is a test for each variant and not one of both, which would begin
// after all others.
func TestLeafSpine(t *testing.T) { fabricOutages(t, "leaf-spine") }

func TestLeafSpineUnnumbered(t *testing.T) { fabricOutages(t, "leaf-spine-unnumbered") }

func fabricOutages(t *testing.T, variant string) {
	t.Parallel()
	started := time.Now()
	r := leafSpine(t, variant)
	step(t, "every node has routes through both leaves", func(t *testing.T) { r.leads(t, 2, rackNodes()...) })
	t.Logf("all routes after %s", time.Since(started).Round(time.Millisecond))
	step(t, "nothing is wrong", func(t *testing.T) {
		for _, name := range rackNodes() {
			is(t, r.Node(name), "ready", func(s state) error {
				if s.Phase != "Ready" || len(s.Problems) > 0 {
					return errors.New("not yet")
				}
				return nil
			})
		}
	})
	listen(t, r.Node("pod-west-1"))
	listen(t, r.Node("pod-west-2"))
	for _, o := range outages() {
		step(t, o.what, func(t *testing.T) { r.survives(t, o) })
	}
}

// survives brings an outage about and ends it, with traffic all the time.
func (r *racks) survives(t *testing.T, o outage) {
	r.steady(t)
	streams := r.flowing(t)
	o.fail(t, r)
	if len(o.nodes) > 0 {
		r.leads(t, o.legs, o.nodes...)
	}
	for _, s := range streams {
		s.flows(t, 100)
	}
	down := counted(streams)
	o.mend(t, r)
	r.steady(t)
	for _, s := range streams {
		s.flows(t, 100)
	}
	worst, total := uint64(0), uint64(0)
	for name, s := range streams {
		_, lost := s.lost(t)
		total, worst = total+lost, max(worst, lost)
		require.LessOrEqual(t, lost, uint64(300), "%s: 100 a second are sent", name)
	}
	t.Logf("%d of 8 streams at 100 a second lost packets: %d while it was away, %d in all, the worst stream %d",
		len(down), sum(down), total, worst)
}

// counted are the streams that have lost packets by now, with how many; those on their way among them.
func counted(streams map[string]*stream) map[string]uint64 {
	out := map[string]uint64{}
	for name, s := range streams {
		if sent, answered := s.counts(); sent > answered+2 {
			out[name] = sent - answered
		}
	}
	return out
}

func sum(counts map[string]uint64) (total uint64) {
	for _, n := range counts {
		total += n
	}
	return total
}

// steady waits until all nodes and routers have all ways again.
func (r *racks) steady(t *testing.T) {
	t.Helper()
	r.leads(t, 2, rackNodes()...)
	east := []string{"10.10.1.0/24", "10.10.2.0/24", "fd00:10:0:1::/64", "fd00:10:0:2::/64"}
	west := []string{"10.20.1.0/24", "10.20.2.0/24", "fd00:20:0:1::/64", "fd00:20:0:2::/64"}
	for router, prefixes := range map[string][]string{
		"leaf-1a": west, "leaf-1b": west, "leaf-2a": east, "leaf-2b": east,
		"spine-1": slices.Concat(east, west), "spine-2": slices.Concat(east, west),
	} {
		for _, prefix := range prefixes {
			family := "-4"
			if strings.Contains(prefix, ":") {
				family = "-6"
			}
			until(t, patience, router+" to have two ways to "+prefix, func(ctx context.Context) error {
				out, err := r.Node(router).Output(ctx, "ip", family, "route", "show", prefix)
				if err == nil && strings.Count(out, "nexthop") != 2 {
					err = errors.New(out)
				}
				return err
			})
		}
	}
}

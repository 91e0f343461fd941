package main

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/ipam"
	"github.com/underlayd/underlayd/status"
)

var (
	west1 = netip.MustParsePrefix("10.20.1.0/24")
	peerA = netip.MustParseAddr("192.168.0.2")
	peerB = netip.MustParseAddr("192.168.0.3")
)

func accepted(prefix netip.Prefix, peers ...netip.Addr) *record {
	r := &record{prefix: prefix, verdict: ipam.Verdict{Accepted: true, Cluster: "west", Reason: ipam.Accepted}}
	for _, p := range peers {
		r.paths = append(r.paths, bgp.Path{Peer: p, NextHop: p})
		r.verdicts = append(r.verdicts, r.verdict)
		r.hops = append(r.hops, p)
	}
	return r
}

func refusedAs(prefix netip.Prefix, reason ipam.Reason, peer netip.Addr) *record {
	v := ipam.Verdict{Cluster: "west", Reason: reason}
	return &record{prefix: prefix, paths: []bgp.Path{{Peer: peer}}, verdicts: []ipam.Verdict{v}, verdict: v}
}

// world renders the sums of a book.
func (b *book) world() string {
	t := b.clusters["west"]
	if t == nil {
		t = &tally{}
	}
	return fmt.Sprintf("%d records, west %d accepted %d refused, peers %d %d, routable %d, fallen %d",
		len(b.records), t.accepted, t.refused, b.accepted[peerA], b.accepted[peerB], t.routable, len(b.fallen))
}

// TestBookKeepsItsSums applies one event after the other to one book and looks at the whole of it each time.
func TestBookKeepsItsSums(t *testing.T) {
	b := newBook()
	state := func(s fib.Status) fib.State { return fib.State{Dst: west1, Outcome: &fib.Outcome{Status: s}} }
	steps := []struct {
		what string
		do   func()
		want string
	}{
		{"an adopted route is routable before anybody announced it",
			func() { b.observe(state(fib.Adopted), "west") },
			"1 records, west 0 accepted 0 refused, peers 0 0, routable 1, fallen 0"},
		{"a peer announces it",
			func() { r := accepted(west1, peerA); r.kernel = *state(fib.Adopted).Outcome; b.put(r) },
			"1 records, west 1 accepted 0 refused, peers 1 0, routable 1, fallen 0"},
		{"the kernel has it as wanted",
			func() { b.observe(state(fib.Installed), "west") },
			"1 records, west 1 accepted 0 refused, peers 1 0, routable 1, fallen 0"},
		{"a second peer announces it too",
			func() { r := accepted(west1, peerA, peerB); r.kernel = *state(fib.Installed).Outcome; b.put(r) },
			"1 records, west 1 accepted 0 refused, peers 1 1, routable 1, fallen 0"},
		{"the kernel loses it",
			func() { b.observe(state(fib.Failed), "west") },
			"1 records, west 1 accepted 0 refused, peers 1 1, routable 0, fallen 0"},
		{"its only path left is refused",
			func() { r := refusedAs(west1, ipam.NextHopOurs, peerB); r.fallback = true; b.put(r) },
			"1 records, west 0 accepted 1 refused, peers 0 0, routable 0, fallen 1"},
		{"it is withdrawn while the kernel still has it",
			func() { b.put(&record{prefix: west1, kernel: *state(fib.Installed).Outcome}) },
			"1 records, west 0 accepted 0 refused, peers 0 0, routable 0, fallen 0"},
		{"the kernel forgets it",
			func() { b.observe(state(fib.Absent), "west") },
			"0 records, west 0 accepted 0 refused, peers 0 0, routable 0, fallen 0"},
		{"the end of an unknown prefix is no news",
			func() { b.observe(state(fib.Absent), "west") },
			"0 records, west 0 accepted 0 refused, peers 0 0, routable 0, fallen 0"},
	}
	for _, step := range steps {
		step.do()
		require.Equal(t, step.want, b.world(), step.what)
	}
	require.Contains(t, b.changed, west1, "a prefix that is gone is news for the snapshot")
}

// TestRoutableIsWhatTheKernelHas: the union of each cluster, aggregated, and nothing that does not carry packets.
func TestRoutableIsWhatTheKernelHas(t *testing.T) {
	row := func(prefix, cluster, kernel string, accepted bool, paths int) *status.Route {
		return &status.Route{Prefix: netip.MustParsePrefix(prefix), Cluster: cluster, Accepted: accepted,
			Kernel: status.KernelRoute{Status: kernel}, Paths: make([]status.Path, paths)}
	}
	s := &status.Snapshot{
		Clusters: []status.RemoteCluster{{Name: "west"}, {Name: "north"}, {Name: "south"}},
		Table: (*status.RouteTable)(nil).With([]*status.Route{
			row("10.20.0.0/25", "west", status.Installed, true, 1),
			row("10.20.0.128/25", "west", status.Installed, true, 1),
			row("10.20.2.0/24", "west", status.Adopted, false, 0),
			row("10.20.3.0/24", "west", status.Adopted, false, 1), // refused: it will go
			row("10.20.4.0/24", "west", status.Failed, true, 1),
			row("10.20.5.0/24", "west", status.Conflict, true, 1),
			row("10.20.6.0/24", "", status.Adopted, false, 0), // of no cluster
			row("fd00:30::/64", "north", status.Installed, true, 1),
			row("fd00:30:0:1::/64", "north", status.Installed, true, 1),
		}, nil),
	}
	out := withRoutable(s)
	require.Equal(t, "[10.20.0.0/24 10.20.2.0/24]", fmt.Sprint(out[0].Routable))
	require.Equal(t, "[fd00:30::/63]", fmt.Sprint(out[1].Routable))
	require.Empty(t, out[2].Routable)
	require.Nil(t, s.Clusters[0].Routable, "the snapshot itself is immutable")
}

func TestBrief(t *testing.T) {
	one := errors.New("one")
	require.Equal(t, one, brief(one))
	require.EqualError(t, brief(errors.Join(one, one, one, one, one)), "one\none\none; and 2 more")
}

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

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

var (
	west  = &ipam.Verdict{Accepted: true, Cluster: "west", Reason: ipam.Accepted}
	owner = func(netip.Prefix) *ipam.Verdict { return &ipam.Verdict{Cluster: "west"} }
)

// paths are those of some peers that are their own next hops.
func paths(peers ...netip.Addr) *bgp.PathSet {
	var all []bgp.Path
	for _, p := range peers {
		all = append(all, bgp.Path{Peer: p, NextHop: p})
	}
	return bgp.NewPathSet(all)
}

func (b *book) accept(prefix netip.Prefix, peers ...netip.Addr) {
	set := paths(peers...)
	b.put(prefix, b.get(prefix), decision{way: b.way(judged{best: set, paths: set}), verdict: west}, time.Now())
}

func (b *book) refuse(prefix netip.Prefix, reason ipam.Reason, peer netip.Addr) {
	set := paths(peer)
	way := b.way(judged{best: set, paths: set, refused: appendRefused(nil, 0)})
	b.put(prefix, b.get(prefix), decision{way: way, verdict: &ipam.Verdict{Cluster: "west", Reason: reason}}, time.Now())
}

// world renders the sums of a book.
func (b *book) world() string {
	t := b.clusters["west"]
	if t == nil {
		t = &tally{}
	}
	peers := b.accepted()
	return fmt.Sprintf("%d records, %d ways, west %d accepted %d refused, peers %d %d, routable %d, fallen %d",
		b.records.Len(), len(b.ways), t.accepted, t.refused, peers[peerA], peers[peerB], t.routable, len(b.fallen))
}

// TestBookKeepsItsSums applies one event after the other to one book and looks at the whole of it each time.
func TestBookKeepsItsSums(t *testing.T) {
	b := newBook()
	observe := func(s fib.Status) {
		b.observe(fib.State{Dst: west1, Outcome: &fib.Outcome{Status: s}}, owner, time.Now())
	}
	steps := []struct {
		what string
		do   func()
		want string
	}{
		{"an adopted route is routable before anybody announced it",
			func() { observe(fib.Adopted) },
			"1 records, 0 ways, west 0 accepted 0 refused, peers 0 0, routable 1, fallen 0"},
		{"a peer announces it",
			func() { b.accept(west1, peerA) },
			"1 records, 1 ways, west 1 accepted 0 refused, peers 1 0, routable 1, fallen 0"},
		{"the kernel has it as wanted",
			func() { observe(fib.Installed) },
			"1 records, 1 ways, west 1 accepted 0 refused, peers 1 0, routable 1, fallen 0"},
		{"a second peer announces it too",
			func() { b.accept(west1, peerA, peerB) },
			"1 records, 1 ways, west 1 accepted 0 refused, peers 1 1, routable 1, fallen 0"},
		{"the kernel loses it",
			func() { observe(fib.Failed) },
			"1 records, 1 ways, west 1 accepted 0 refused, peers 1 1, routable 0, fallen 0"},
		{"its only path left is refused",
			func() { b.refuse(west1, ipam.NextHopOurs, peerB) },
			"1 records, 1 ways, west 0 accepted 1 refused, peers 0 0, routable 0, fallen 1"},
		{"it is withdrawn while the kernel still has it",
			func() {
				observe(fib.Installed)
				b.put(west1, b.get(west1), decision{verdict: owner(west1)}, time.Now())
			},
			"1 records, 0 ways, west 0 accepted 0 refused, peers 0 0, routable 0, fallen 0"},
		{"the kernel forgets it",
			func() { observe(fib.Absent) },
			"0 records, 0 ways, west 0 accepted 0 refused, peers 0 0, routable 0, fallen 0"},
		{"the end of an unknown prefix is no news",
			func() { observe(fib.Absent) },
			"0 records, 0 ways, west 0 accepted 0 refused, peers 0 0, routable 0, fallen 0"},
	}
	for _, step := range steps {
		step.do()
		require.Equal(t, step.want, b.world(), step.what)
	}
	require.Contains(t, b.changed, west1, "a prefix that is gone is news for the snapshot")
}

func TestWhatIsOnTheBoardIsNotChangedAnyMore(t *testing.T) {
	b := newBook()
	b.accept(west1, peerA)
	pinned := b.get(west1)
	b.accept(west1, peerB)
	require.Same(t, pinned, b.get(west1), "nobody has seen it yet")
	pinned.listed, pinned.changed = true, false
	b.changed = nil
	b.accept(west1, peerA, peerB)
	require.NotSame(t, pinned, b.get(west1))
	require.Equal(t, []netip.Addr{peerB}, pinned.hops())
	require.Equal(t, []netip.Addr{peerA, peerB}, b.get(west1).hops())
	require.Equal(t, []netip.Prefix{west1}, b.changed)
}

func TestPrefixesWithTheSamePathsShareTheirWay(t *testing.T) {
	b := newBook()
	set, spare := paths(peerA, peerB), paths(peerB)
	one := b.way(judged{best: set, paths: set, spare: spare})
	require.Same(t, one, b.way(judged{best: set, paths: set, spare: spare}))
	require.NotSame(t, one, b.way(judged{best: set, paths: set}), "what comes next is part of it")
	part := b.way(judged{best: set, paths: set, spare: spare, refused: appendRefused(nil, 0)})
	require.NotSame(t, one, part)
	require.Equal(t, []netip.Addr{peerA, peerB}, one.hops)
	require.Equal(t, []netip.Addr{peerB}, part.hops)
	require.Equal(t, []netip.Addr{peerB}, one.without([]netip.Addr{peerA}))
	require.Empty(t, one.without([]netip.Addr{peerA, peerB}))
	require.Empty(t, b.way(judged{best: set, paths: set, spare: spare, refused: appendRefused(nil, 2)}).backup, "a spare path may be refused too")
}

// TestAFailoverIsAnticipatedOnlyWhereAllAgree: a set of next hops is moved as a whole or not at all.
func TestAFailoverIsAnticipatedOnlyWhereAllAgree(t *testing.T) {
	second, third := netip.MustParsePrefix("10.20.2.0/24"), netip.MustParsePrefix("10.20.3.0/24")
	for name, row := range map[string]struct {
		fill func(*book)
		want string
	}{
		"one of two equal paths": {func(b *book) { b.accept(west1, peerA, peerB) },
			"[{[192.168.0.2 192.168.0.3] [192.168.0.3]}]"},
		"the only path, and nothing is known of another": {func(b *book) { b.accept(west1, peerA) }, "[]"},
		"a path of another peer":                         {func(b *book) { b.accept(west1, peerB) }, "[]"},
		"all prefixes have the same next best path": {func(b *book) {
			set, spare := paths(peerA), paths(peerB)
			for _, p := range []netip.Prefix{west1, second} {
				b.put(p, nil, decision{way: b.way(judged{best: set, paths: set, spare: spare}), verdict: west}, time.Now())
			}
		}, "[{[192.168.0.2] [192.168.0.3]}]"},
		"one of the prefixes has none": {func(b *book) {
			set, spare := paths(peerA), paths(peerB)
			b.put(west1, nil, decision{way: b.way(judged{best: set, paths: set, spare: spare}), verdict: west}, time.Now())
			b.put(second, nil, decision{way: b.way(judged{best: set, paths: set}), verdict: west}, time.Now())
			b.accept(third, peerA, peerB)
		}, "[{[192.168.0.2 192.168.0.3] [192.168.0.3]}]"},
		"another peer names the same next hop": {func(b *book) {
			b.accept(west1, peerA)
			set := bgp.NewPathSet([]bgp.Path{{Peer: peerB, NextHop: peerA}})
			b.put(second, nil, decision{way: b.way(judged{best: set, paths: set}), verdict: west}, time.Now())
		}, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook()
			row.fill(b)
			require.Equal(t, row.want, fmt.Sprint(b.moves([]netip.Addr{peerA})))
		})
	}
}

// TestRoutableIsWhatTheKernelHas: the union of each cluster, aggregated, and nothing that does not carry packets.
func TestRoutableIsWhatTheKernelHas(t *testing.T) {
	row := func(prefix, cluster string, kernel fib.Status, accepted bool, n int) status.Row {
		r := &record{prefix: netip.MustParsePrefix(prefix), verdict: &ipam.Verdict{Cluster: cluster, Accepted: accepted}}
		r.kernel = &fib.Outcome{Status: kernel}
		if n > 0 {
			r.way = &way{}
		}
		return r
	}
	s := &status.Snapshot{
		Clusters: []status.RemoteCluster{{Name: "west"}, {Name: "north"}, {Name: "south"}},
		Table: (*status.RouteTable)(nil).With([]status.Row{
			row("10.20.0.0/25", "west", fib.Installed, true, 1),
			row("10.20.0.128/25", "west", fib.Installed, true, 1),
			row("10.20.2.0/24", "west", fib.Adopted, false, 0),
			row("10.20.3.0/24", "west", fib.Adopted, false, 1), // refused: it will go
			row("10.20.4.0/24", "west", fib.Failed, true, 1),
			row("10.20.5.0/24", "west", fib.Conflict, true, 1),
			row("10.20.6.0/24", "", fib.Adopted, false, 0),                                // of no cluster
			&status.Route{Prefix: netip.MustParsePrefix("10.20.7.0/24"), Cluster: "west"}, // refused by the speaker
			row("fd00:30::/64", "north", fib.Installed, true, 1),
			row("fd00:30:0:1::/64", "north", fib.Installed, true, 1),
		}, nil),
	}
	out := (&sums{}).withRoutable(s)
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

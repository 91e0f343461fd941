package main

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/ipam"
	"github.com/underlayd/underlayd/status"
)

// deciding returns an agent without speaker and kernel: what it decides is left in the batch.
func deciding(limit int) *agent {
	c := &config.Config{
		Cluster:  config.Cluster{Name: "east", ID: 1},
		BGP:      config.BGP{ASN: 64512, Peers: []config.Peer{{Name: "tor-a", Address: peerA}, {Name: "tor-b", Address: peerB}}},
		Clusters: []config.RemoteCluster{{Name: "west", ID: 2, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/7")}, MaxPrefixes: limit}},
	}
	c.Clusters[0].PrefixLength.IPv4.Min, c.Clusters[0].PrefixLength.IPv4.Max = 8, 28
	a := &agent{
		config: c, ledger: ipam.NewLedger(), book: newBook(), counted: newCounted(), chronicle: newChronicle(&status.History{}),
		losses: map[netip.Addr]bgp.Loss{}, away: &away{}, gone: map[string]gone{}, through: &gateways{},
		hesitating: map[netip.Prefix]hesitation{}, verdicts: map[string]*ipam.Verdict{}, owners: map[string]*ipam.Verdict{},
	}
	a.takePlan(fib.Facts{})
	return a
}

// announced are n prefixes of some nodes, each its own next hop.
func announced(n, nodes int) []bgp.Change {
	sets := make([]*bgp.PathSet, nodes)
	for i := range sets {
		sets[i] = bgp.NewPathSet([]bgp.Path{{
			Peer: peerA, NextHop: netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)}),
			ASPath: []uint32{65000, 64513}, ClusterIDs: []uint32{2}, LocalPref: 100,
		}})
	}
	changes := make([]bgp.Change, n)
	for i := range changes {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], 10<<24|uint32(i)<<8)
		changes[i] = bgp.Change{Prefix: netip.PrefixFrom(netip.AddrFrom4(b), 24), Paths: sets[i%nodes]}
	}
	return changes
}

func TestWhatIsDecidedAgainAsksForNothing(t *testing.T) {
	a, changes := deciding(1000), announced(100, 10)
	b := a.newBatch(len(changes))
	for _, c := range changes {
		b.decide(c)
	}
	require.Len(t, b.routes, 100)
	require.Len(t, a.book.ways, 10)
	require.Equal(t, changes[0].Paths.All()[0].NextHop, b.routes[0].NextHops[0])

	again := a.newBatch(len(changes))
	require.Zero(t, testing.AllocsPerRun(10, func() {
		for _, c := range changes {
			again.decide(c)
		}
	}))
	require.Empty(t, again.routes)

	for _, c := range changes {
		again.decide(bgp.Change{Prefix: c.Prefix})
	}
	require.Len(t, again.routes, 100)
	require.Empty(t, again.routes[0].NextHops)
	require.Empty(t, a.book.ways)
	require.Zero(t, a.ledger.Usage("west").Admitted)
}

// TestTheSparePathIsNoNewsForTheKernel: it only says what a failover may anticipate.
func TestTheSparePathIsNoNewsForTheKernel(t *testing.T) {
	a, c := deciding(1000), announced(1, 1)[0]
	b := a.newBatch(2)
	b.decide(c)
	c.Spare = bgp.NewPathSet([]bgp.Path{{Peer: peerB, NextHop: peerB, ClusterIDs: []uint32{2}}})
	b.decide(c)
	require.Len(t, b.routes, 1)
	require.Equal(t, []netip.Addr{peerB}, a.book.get(c.Prefix).way.without([]netip.Addr{peerA}))
	c.Spare = bgp.NewPathSet([]bgp.Path{{Peer: peerB, NextHop: peerB, ClusterIDs: []uint32{3}}})
	b.decide(c)
	require.Empty(t, a.book.get(c.Prefix).way.backup, "the plan judges it like any other path")
}

// TestAFallbackStands: looking again for something better neither takes the route away meanwhile nor makes any news.
func TestAFallbackStands(t *testing.T) {
	a, c := deciding(1000), announced(1, 1)[0]
	wrong := bgp.Path{Peer: peerA, NextHop: peerA, ClusterIDs: []uint32{3}}
	right := bgp.Path{Peer: peerB, NextHop: peerB, ClusterIDs: []uint32{2}, ASPath: []uint32{1, 2, 3}}
	c.Paths = bgp.NewPathSet([]bgp.Path{wrong})
	all := map[netip.Prefix][]bgp.Path{c.Prefix: {wrong, right}}

	b := a.newBatch(1)
	b.decide(c)
	require.Empty(t, b.routes)
	require.Nil(t, a.book.get(c.Prefix), "nothing is decided before the other paths are known")
	b.raise(all, true)
	require.Equal(t, []fib.Route{{Dst: c.Prefix, NextHops: []netip.Addr{peerB}}}, b.routes)
	a.book.observe(fib.State{Dst: c.Prefix, Outcome: &fib.Outcome{Status: fib.Installed}}, a.owner, time.Now())
	before := *a.book.get(c.Prefix)
	require.Equal(t, []netip.Prefix{c.Prefix}, a.book.fallbacks(10))

	for _, known := range []bool{true, false} {
		again := a.newBatch(1)
		again.again(c.Prefix)
		if known {
			again.raise(all, true)
		} else {
			again.raise(nil, false) // the speaker did not answer
		}
		require.Empty(t, again.routes)
		require.Equal(t, before, *a.book.get(c.Prefix))
	}

	gone := a.newBatch(1)
	gone.again(c.Prefix)
	gone.raise(map[netip.Prefix][]bgp.Path{c.Prefix: {wrong}}, true)
	require.Equal(t, []fib.Route{{Dst: c.Prefix}}, gone.routes)
	require.Equal(t, ipam.ClusterMismatch, a.book.get(c.Prefix).verdict.Reason)
}

func TestWhoHasNoSeatWaitsAndTakesTheNextFreeOne(t *testing.T) {
	a, changes := deciding(2), announced(3, 1)
	b := a.newBatch(3)
	for _, c := range changes {
		b.decide(c)
	}
	require.Len(t, b.routes, 2)
	require.Equal(t, ipam.TooManyPrefixes, a.book.get(changes[2].Prefix).verdict.Reason)
	b.decide(bgp.Change{Prefix: changes[0].Prefix})
	for _, prefix := range a.ledger.Again() {
		b.again(prefix)
	}
	require.Equal(t, ipam.Accepted, a.book.get(changes[2].Prefix).verdict.Reason)
	require.Equal(t, ipam.Usage{Admitted: 2, Limit: 2}, a.ledger.Usage("west"))
	require.Equal(t, changes[2].Prefix, b.routes[len(b.routes)-1].Dst)
}

func BenchmarkDecide(b *testing.B) {
	changes := announced(100_000, 4000)
	for name, fresh := range map[string]bool{"new": true, "the same again": false} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			a := deciding(len(changes))
			batch := a.newBatch(len(changes))
			for i := range b.N {
				if fresh && i%len(changes) == 0 {
					a = deciding(len(changes))
					batch = a.newBatch(len(changes))
				}
				batch.decide(changes[i%len(changes)])
			}
		})
	}
}

func BenchmarkRender(b *testing.B) {
	a, c := deciding(1), announced(1, 1)[0]
	batch := a.newBatch(1)
	batch.decide(c)
	a.book.observe(fib.State{Dst: c.Prefix, Outcome: &fib.Outcome{Status: fib.Installed}}, a.owner, time.Now())
	r := a.book.get(c.Prefix)
	b.ReportAllocs()
	for b.Loop() {
		r.Route()
	}
}

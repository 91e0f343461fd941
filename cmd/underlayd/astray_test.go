package main

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
)

// farPath is a path that a peer announces with a next hop on no link.
func farPath(peer netip.Addr, asn uint32, ids ...uint32) bgp.Path {
	p := path(peer, asn, ids...)
	p.NextHop = farHop()
	return p
}

func farHop() netip.Addr { return netip.MustParseAddr("198.51.100.9") }

// longer is a path that lost the selection.
func longer(p bgp.Path) bgp.Path {
	p.ASPath = append([]uint32{65000}, p.ASPath...)
	return p
}

// TestAWorsePathIsTakenWhileTheBestHasNoWay: what the kernel cannot resolve takes no part in the selection.
func TestAWorsePathIsTakenWhileTheBestHasNoWay(t *testing.T) {
	a := deciding(10)
	a.astray = map[netip.Addr]fib.Fault{farHop(): fib.Unresolved}
	far, near := farPath(peerA, 64513), longer(path(peerB, 64513))
	best := bgp.Change{Prefix: disputed, Paths: bgp.NewPathSet([]bgp.Path{far})}
	all := map[netip.Prefix][]bgp.Path{disputed: {far, near}}

	b := a.newBatch(1)
	b.decide(best)
	require.Empty(t, b.routes, "not before other paths have been looked for")
	b.raise(all, true)
	require.Equal(t, []fib.Route{{Dst: disputed, NextHops: []netip.Addr{peerB}}}, b.routes)
	r := a.book.get(disputed)
	require.True(t, r.verdict.Accepted)
	require.Equal(t, []string{"tor-a NextHopNotOnLink"}, refusedOf(r.Route()))
	require.Contains(t, a.book.fallbacks(10), disputed, "looked at again")

	b = a.newBatch(1)
	b.decide(best)
	b.raise(all, true)
	require.Empty(t, b.routes, "decided again as it was")
	require.Equal(t, map[string]uint64{"NextHopNotOnLink": 1}, a.counted.of("tor-a"))

	a.astray = nil // a route leads there by now
	b = a.newBatch(1)
	b.decide(best)
	require.Equal(t, []fib.Route{{Dst: disputed, NextHops: []netip.Addr{farHop()}}}, b.routes)
	require.Empty(t, a.book.fallbacks(10))
	require.Len(t, a.book.ways, 1)
}

// TestWhatHasNoOtherPathStaysAskedFor: the kernel tries it again by itself, and another path may turn up.
func TestWhatHasNoOtherPathStaysAskedFor(t *testing.T) {
	a := deciding(10)
	far := farPath(peerA, 64513)
	best := bgp.Change{Prefix: disputed, Paths: bgp.NewPathSet([]bgp.Path{far})}
	b := a.newBatch(1)
	b.decide(best)
	require.Len(t, b.routes, 1, "nobody knows yet")
	a.astray = map[netip.Addr]fib.Fault{farHop(): fib.NotOnLink}
	b = a.newBatch(1)
	b.decide(best)
	b.raise(map[netip.Prefix][]bgp.Path{disputed: {far}}, true)
	require.Empty(t, b.routes, "it has been asked for")
	require.Equal(t, []netip.Addr{farHop()}, a.book.get(disputed).hops())
	require.Equal(t, []netip.Prefix{disputed}, a.book.fallbacks(10))
	require.Len(t, a.book.ways, 1)

	b = a.newBatch(1)
	b.again(disputed)
	b.raise(map[netip.Prefix][]bgp.Path{disputed: {far, longer(path(peerB, 64513))}}, true)
	require.Equal(t, []fib.Route{{Dst: disputed, NextHops: []netip.Addr{peerB}}}, b.routes)
	a.astray = nil
	b = a.newBatch(1)
	b.again(disputed)
	require.Equal(t, []fib.Route{{Dst: disputed, NextHops: []netip.Addr{farHop()}}}, b.routes)
	require.Len(t, a.book.ways, 1)
}

// TestOneOfSeveralNextHopsIsNoReasonToLookElsewhere: the kernel leaves it out by itself.
func TestOneOfSeveralNextHopsIsNoReasonToLookElsewhere(t *testing.T) {
	a := deciding(10)
	a.astray = map[netip.Addr]fib.Fault{farHop(): fib.NotOnLink}
	b := a.newBatch(1)
	b.announce(disputed, farPath(peerA, 64513), path(peerB, 64513))
	require.Empty(t, b.fallen)
	require.Len(t, b.routes[0].NextHops, 2)
}

// TestADisputeIsNotWonByWhatHasNoWay: the path that can be used is, whoever else claims the prefix with a better right.
func TestADisputeIsNotWonByWhatHasNoWay(t *testing.T) {
	a := deciding(10)
	a.astray = map[netip.Addr]fib.Fault{farHop(): fib.NotOnLink}
	far, near := farPath(peerA, 64513, 2), longer(path(peerB, 64600))
	b := a.newBatch(1)
	b.announce(disputed, far)
	b.raise(map[netip.Prefix][]bgp.Path{disputed: {far, near}}, true)
	require.Equal(t, []fib.Route{{Dst: disputed, NextHops: []netip.Addr{peerB}}}, b.routes)
	require.Equal(t, []string{"tor-a NextHopNotOnLink"}, refusedOf(a.book.get(disputed).Route()))
}

// TestGatewaysAreToldWhereTheyAreNotTheNextHops, for all next hops of a route or none.
func TestGatewaysAreToldWhereTheyAreNotTheNextHops(t *testing.T) {
	a := deciding(10)
	b := a.newBatch(1)
	b.announce(disputed, farPath(peerA, 64513), path(peerB, 64513))
	a.observe([]fib.State{{Dst: disputed, Outcome: &fib.Outcome{Status: fib.Installed, NextHops: []netip.Addr{peerB, farHop()}}}})
	require.Empty(t, a.book.get(disputed).Route().Kernel.Gateways)
	a.through.Store(&map[netip.Addr][]netip.Addr{farHop(): {peerA, peerB}})
	require.Equal(t, []netip.Addr{peerA, peerB}, a.book.get(disputed).Route().Kernel.Gateways)
}

package main

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/config"
)

// near and far are paths of two peers to one prefix.
func nearAndFar() (prefix netip.Prefix, near, far bgp.Path) {
	c := announced(1, 1)[0]
	near = c.Paths.All()[0]
	far = near
	near.LocalPref, near.NextHop = 300, peerA
	far.LocalPref, far.Peer, far.NextHop = 100, peerB, peerB
	return c.Prefix, near, far
}

// holding is an agent that uses the far path and hears of the near one.
func holding(t *testing.T) (*agent, bgp.Change, []bgp.Path) {
	a := deciding(1000)
	a.hold, a.converged = 5*time.Second, true
	prefix, near, far := nearAndFar()
	b := a.newBatch(1)
	b.decide(bgp.Change{Prefix: prefix, Paths: bgp.NewPathSet([]bgp.Path{far})})
	require.Equal(t, []fib.Route{{Dst: prefix, NextHops: []netip.Addr{peerB}}}, b.routes)
	return a, bgp.Change{Prefix: prefix, Paths: bgp.NewPathSet([]bgp.Path{near})}, []bgp.Path{near, far}
}

// decideAfter decides when some time has passed, with all paths there are then.
func (a *agent) decideAfter(d time.Duration, c bgp.Change, all []bgp.Path) []fib.Route {
	b := a.newBatch(1)
	b.now = b.now.Add(d)
	b.decide(c)
	b.stay(map[netip.Prefix][]bgp.Path{c.Prefix: all})
	return b.routes
}

func TestABetterPathIsUsedOnceItWasStable(t *testing.T) {
	a, c, all := holding(t)
	require.Empty(t, a.decideAfter(0, c, all))
	require.Empty(t, a.decideAfter(4*time.Second, c, all))
	r := a.book.get(c.Prefix)
	require.Equal(t, []netip.Addr{peerB}, r.hops())
	require.Equal(t, []netip.Addr{peerA}, r.way.without([]netip.Addr{peerB}), "should the session of the one in use end, it follows at once")
	require.Equal(t, []fib.Route{{Dst: c.Prefix, NextHops: []netip.Addr{peerA}}}, a.decideAfter(6*time.Second, c, all))
	require.Empty(t, a.hesitating)
}

func TestABetterPathThatChangesStartsAnew(t *testing.T) {
	a, c, all := holding(t)
	require.Empty(t, a.decideAfter(0, c, all))
	all[0].MED = 5
	c.Paths = bgp.NewPathSet(all[:1])
	require.Empty(t, a.decideAfter(4*time.Second, c, all))
	require.Empty(t, a.decideAfter(8*time.Second, c, all))
	require.Len(t, a.decideAfter(10*time.Second, c, all), 1)
}

func TestABetterPathThatGoesAgainChangedNothing(t *testing.T) {
	a, c, all := holding(t)
	require.Empty(t, a.decideAfter(0, c, all))
	require.Empty(t, a.decideAfter(2*time.Second, bgp.Change{Prefix: c.Prefix, Paths: bgp.NewPathSet(all[1:])}, all[1:]))
	require.Empty(t, a.hesitating)
	require.Empty(t, a.decideAfter(8*time.Second, c, all), "and is as new as before when it returns")
}

func TestABetterPathIsUsedAtOnce(t *testing.T) {
	for name, change := range map[string]func(a *agent, all []bgp.Path) []bgp.Path{
		"when the other one is gone":        func(_ *agent, all []bgp.Path) []bgp.Path { return all[:1] },
		"when nothing is near or far":       func(a *agent, all []bgp.Path) []bgp.Path { a.hold = 0; return all },
		"while the peers have not all sent": func(a *agent, all []bgp.Path) []bgp.Path { a.converged = false; return all },
	} {
		t.Run(name, func(t *testing.T) {
			a, c, all := holding(t)
			all = change(a, all)
			require.Equal(t, []fib.Route{{Dst: c.Prefix, NextHops: []netip.Addr{peerA}}}, a.decideAfter(0, c, all))
			require.Empty(t, a.hesitating)
		})
	}
}

func TestAWorsePathIsUsedAtOnce(t *testing.T) {
	a, c, all := holding(t)
	require.Empty(t, a.decideAfter(0, c, all))
	require.Len(t, a.decideAfter(6*time.Second, c, all), 1)
	require.Equal(t, []fib.Route{{Dst: c.Prefix, NextHops: []netip.Addr{peerB}}},
		a.decideAfter(7*time.Second, bgp.Change{Prefix: c.Prefix, Paths: bgp.NewPathSet(all[1:])}, all[1:]))
}

func TestHoldTime(t *testing.T) {
	c := parse(t, sample)
	require.Zero(t, holdTime(c), "no place is known of anybody")
	c.Node.Region, c.BGP.Peers[0].Region = "eu", "us"
	require.Equal(t, 5*time.Second, holdTime(c))
	require.Equal(t, 100, c.LocalPref(c.BGP.Peers[0]))
	require.Zero(t, c.LocalPref(config.Peer{}))
}

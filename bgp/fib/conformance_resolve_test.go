package fib

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	far4, far5 = "203.0.113.9", "203.0.113.10" // behind gateways
	far6       = "2001:db8:99::9"
	behind     = "203.0.113.0/24"
	behind6    = "2001:db8:99::/64"
)

func (s *scene) resolving(how Resolve) {
	s.cfg.Resolve = how
	s.reopen()
}

// staticTo is a route of the administrator's.
func staticTo(dst, via string) spec { return spec{dst: dst, via: via, protocol: static, metric: 1024} }

// through is what NextHops tells of one address.
func (s *scene) through(addr string) (NextHop, bool) {
	for _, n := range s.NextHops() {
		if n.Addr == netip.MustParseAddr(addr) {
			return n, true
		}
	}
	return NextHop{}, false
}

var resolving = []conformanceCase{
	{name: "resolves next hops of both families through a route, and says what they are and where they go", body: func(s *scene) {
		s.resolving(ResolveRoutes)
		s.add(s.t, staticTo(behind, n2))
		s.add(s.t, staticTo(behind6, y2))
		want := []Route{to(pods, far4), to(pods2, far4, n3), to(pods6, far6)}
		s.ensure(want...)
		s.wantRoutes(ours4+n2, pods2+" metric 512 via "+n2+" "+n3, ours6+y2)
		require.Equal(s.t, State{p(pods), &Outcome{Status: Installed, NextHops: addrs(far4)}}, must(s.Lookup(p(pods))))
		require.Equal(s.t, []NextHop{
			{Addr: netip.MustParseAddr(far4), Gateways: addrs(n2)}, {Addr: netip.MustParseAddr(far6), Gateways: addrs(y2)},
		}, s.NextHops())
		routes, objects := s.quiet(func() { s.ensure(want...) })
		require.Zero(s.t, routes+objects)
		s.ensure(to(pods), to(pods2), to(pods6))
		require.Empty(s.t, s.objects(s.t, ourMark))
		require.Empty(s.t, s.NextHops())
	}},
	{name: "resolves nothing unless it is to", body: func(s *scene) {
		s.add(s.t, staticTo(behind, n2))
		err := s.Ensure(s.t.Context(), []Route{to(pods, far4)})
		require.ErrorContains(s.t, err, far4+": next hop not on-link (its route leads through "+n2+")")
		s.wantRoutes()
		require.Equal(s.t, []NextHop{{Addr: netip.MustParseAddr(far4), Fault: NotOnLink}}, s.NextHops())
	}},
	{name: "resolves through a default route only when told so, and stops when told so", body: func(s *scene) {
		s.resolving(ResolveRoutes)
		s.run()
		s.add(s.t, staticTo("0.0.0.0/0", n2))
		s.add(s.t, staticTo("::/0", x2))
		err := s.Ensure(s.t.Context(), []Route{to(pods, far4), to(pods6, far6)})
		require.ErrorContains(s.t, err, far4+": next hop unresolved (only the default route leads to it, through "+n2+")")
		require.Equal(s.t, addrs(far6), must(s.Lookup(p(pods6))).OffLink)
		s.SetResolve(ResolveAlways, nil)
		s.eventually(ours4+n2, ours6+x2)
		s.eventuallyStatus(pods, Installed)
		s.SetResolve(ResolveNever, nil)
		s.eventually()
		s.eventuallyStatus(pods, Failed)
		require.Contains(s.t, s.reason(pods), "not on-link")
	}},
	{name: "follows a route that changes, goes and comes back, and touches no other", body: func(s *scene) {
		s.resolving(ResolveRoutes)
		s.run()
		s.add(s.t, staticTo(behind, n2))
		s.ensure(to(pods, far4), to(pods2, n4))
		rest := pods2 + " metric 512 via " + n4
		s.wantRoutes(ours4+n2, rest)
		s.replace(s.t, staticTo(behind, n3))
		s.eventually(ours4+n3, rest)
		s.add(s.t, staticTo(far4+"/32", m2)) // a closer one
		s.eventually(ours4+m2, rest)
		s.remove(s.t, staticTo(far4+"/32", m2))
		s.eventually(ours4+n3, rest)
		require.Equal(s.t, Installed, s.status(pods))
		s.remove(s.t, staticTo(behind, n3))
		s.eventually(rest)
		s.eventuallyStatus(pods, Failed)
		require.Contains(s.t, s.reason(pods), far4+": next hop unresolved (no route leads to it)")
		s.add(s.t, staticTo(behind, n2))
		s.eventually(ours4+n2, rest)
		s.eventuallyStatus(pods, Installed)
	}},
	{name: "writes no route when a gateway changes, only the objects", only: ModeObjects, body: func(s *scene) {
		s.resolving(ResolveRoutes)
		s.add(s.t, staticTo(behind, n2))
		s.ensure(append(block(40, far4), to(pods2, n3))...)
		s.Drain()
		s.run()
		routes, _ := s.quiet(func() {
			s.replace(s.t, staticTo(behind, n4))
			within(s.t, func() bool { return s.Stats().GroupRewrites == 1 }, "the group to be rewritten")
		})
		s.wantRoutes(with(blockText(40, n4), pods2+" metric 512 via "+n3)...)
		require.LessOrEqual(s.t, routes, 2, "the administrator's own")
		require.Empty(s.t, s.Drain(), "nothing is to be said of any prefix")
		n, _ := s.through(far4)
		require.Equal(s.t, addrs(n4), n.Gateways)
		within(s.t, func() bool { return len(s.objects(s.t, ourMark)) == 4 }, "the object of %s to go", n2)
	}},
	{name: "spreads over all gateways of a multipath route, and over those that are left", body: func(s *scene) {
		s.resolving(ResolveRoutes)
		s.run()
		s.add(s.t, spec{dst: behind, via: n2, also: m2, protocol: static, metric: 1024})
		s.ensure(to(pods, far4), to(pods2, far4, far5, n2))
		s.wantRoutes(ours4+n2+" "+m2, pods2+" metric 512 via "+n2+" "+m2)
		require.Equal(s.t, addrs(far4), must(s.Lookup(p(pods))).NextHops)
		require.Equal(s.t, addrs(n2, far4, far5), must(s.Lookup(p(pods2))).NextHops)
		s.setUp(s.t, "fab1", false)
		s.eventually(ours4+n2, pods2+" metric 512 via "+n2)
		s.setUp(s.t, "fab1", true)
		s.replace(s.t, spec{dst: behind, via: n2, also: m2, protocol: static, metric: 1024})
		s.eventually(ours4+n2+" "+m2, pods2+" metric 512 via "+n2+" "+m2)
	}},
	{name: "spreads over all gateways of an IPv6 multipath route", body: func(s *scene) {
		s.resolving(ResolveRoutes)
		s.run()
		r := spec{dst: behind6, via: x2, also: y2, protocol: static, metric: 1024}
		s.add(s.t, r)
		s.ensure(to(pods6, far6))
		s.wantRoutes(ours6 + x2 + " " + y2)
		s.remove(s.t, r)
		s.eventually()
		s.add(s.t, staticTo(behind6, x3))
		s.eventually(ours6 + x3)
	}},
	{name: "loses what lies behind a link that goes down, and has it back", body: func(s *scene) {
		s.resolving(ResolveRoutes)
		s.run()
		s.add(s.t, staticTo(behind, m2))
		s.ensure(to(pods, far4), to(pods2, n2))
		s.setCarrier(s.t, "fab1", false)
		s.eventually(pods2 + " metric 512 via " + n2)
		s.eventuallyStatus(pods, Failed)
		s.setCarrier(s.t, "fab1", true)
		s.eventually(ours4+m2, pods2+" metric 512 via "+n2)
		s.setUp(s.t, "fab1", false) // and with it goes the route, of which IPv4 does not tell
		s.eventually(pods2 + " metric 512 via " + n2)
		s.setUp(s.t, "fab1", true)
		s.add(s.t, staticTo(behind, m2))
		s.eventually(ours4+m2, pods2+" metric 512 via "+n2)
	}},
	{name: "does not resolve through a route of its own", body: func(s *scene) {
		s.resolving(ResolveAlways)
		s.run()
		s.add(s.t, staticTo("0.0.0.0/0", n3))
		s.ensure(to(behind, n2))
		err := s.Ensure(s.t.Context(), []Route{to(pods, far4), to(behind6, x2)})
		require.ErrorContains(s.t, err, far4+": next hop unresolved (a route of our own leads to it)")
		err = s.Ensure(s.t.Context(), []Route{to(pods6, far6)})
		require.ErrorContains(s.t, err, "a route of our own leads to it")
		s.wantRoutes(with([]string{behind + " metric 512 via " + n2}, behind6+" metric 512 via "+x2)...)
		s.ensure(to(behind))
		s.ensure(to(pods, far4))
		s.wantRoutes(ours4+n3, behind6+" metric 512 via "+x2)
	}},
	{name: "does not resolve through what drops packets", body: func(s *scene) {
		s.resolving(ResolveAlways)
		s.run()
		s.add(s.t, staticTo("0.0.0.0/0", n3))
		s.ensure(to(pods, far4))
		for _, drops := range []string{"blackhole", "unreachable", "prohibit"} {
			r := spec{dst: behind, drops: drops, protocol: static, metric: 1024}
			s.add(s.t, r)
			s.eventually()
			s.eventuallyStatus(pods, Failed)
			require.Contains(s.t, s.reason(pods), "next hop unresolved (a")
			s.remove(s.t, r)
			s.eventually(ours4 + n3)
		}
	}},
	{name: "does not resolve through a gateway among pods", body: func(s *scene) {
		s.resolving(ResolveAlways)
		s.addAddr(s.t, "fab1", "10.10.1.1/24")
		s.add(s.t, staticTo(behind, "10.10.1.7"))
		s.SetResolve(ResolveAlways, []netip.Prefix{p("10.10.0.0/16")})
		err := s.Ensure(s.t.Context(), []Route{to(pods, far4)})
		require.ErrorContains(s.t, err, "its route leads through 10.10.1.7, which is in the pod range 10.10.0.0/16")
	}},
	{name: "uses a gateway that only its route says to be a neighbour", body: func(s *scene) {
		s.resolving(ResolveAlways)
		s.add(s.t, spec{dst: "0.0.0.0/0", via: "172.31.1.1", link: "fab1", pinned: true, protocol: static, metric: 1024})
		s.ensure(to(pods, far4), to(pods2, far4, n2))
		want := []string{ours4 + "172.31.1.1", pods2 + " metric 512 via 172.31.1.1 " + n2}
		s.wantRoutes(want...)
		n, _ := s.through(far4)
		require.Equal(s.t, addrs("172.31.1.1"), n.Gateways)
		s.reopen()
		routes, objects := s.quiet(func() {
			_, err := s.Adopt(s.t.Context())
			require.NoError(s.t, err)
			s.ensure(to(pods, far4), to(pods2, far4, n2))
		})
		require.Zero(s.t, routes+objects)
		s.wantRoutes(want...)
	}},
	{name: "adopts after a restart without a write", body: func(s *scene) {
		s.resolving(ResolveRoutes)
		s.add(s.t, spec{dst: behind, via: n2, also: m2, protocol: static, metric: 1024})
		s.add(s.t, staticTo(behind6, y2))
		want := []Route{to(pods, far4), to(pods2, far5), to("10.20.2.0/24", n2), to(pods6, far6)}
		s.ensure(want...)
		before := s.routes(s.t, ourMark)
		s.reopen()
		routes, objects := s.quiet(func() {
			n, err := s.Adopt(s.t.Context())
			require.NoError(s.t, err)
			require.Equal(s.t, 4, n)
			s.ensure(want...)
			_, err = s.Prune(s.t.Context())
			require.NoError(s.t, err)
		})
		require.Zero(s.t, routes+objects)
		require.Equal(s.t, before, s.routes(s.t, ourMark))
		require.Equal(s.t, addrs(far4), must(s.Lookup(p(pods))).NextHops)
	}},
	{name: "looks after a next hop that no route names", body: func(s *scene) {
		s.resolving(ResolveRoutes)
		s.run()
		s.Follow(addrs(far4, far4))
		news := func(want NextHop) {
			within(s.t, func() bool {
				<-s.NextHopsChanged()
				got, _ := s.through(far4)
				return fmt.Sprint(got) == fmt.Sprint(want)
			}, "%v", want)
		}
		news(NextHop{Addr: netip.MustParseAddr(far4), Fault: Unresolved})
		s.add(s.t, staticTo(behind, n2))
		news(NextHop{Addr: netip.MustParseAddr(far4), Gateways: addrs(n2)})
		require.Empty(s.t, s.objects(s.t, ourMark))
		s.Follow(nil)
		require.Empty(s.t, s.NextHops())
	}},
	{name: "tells of a next hop that can be used when it is asked for", body: func(s *scene) {
		s.resolving(ResolveRoutes)
		s.run()
		s.Follow(addrs(far4))
		<-s.NextHopsChanged()
		require.NotEmpty(s.t, s.NextHops(), "it can't be used")
		s.Follow(nil)
		s.addAddr(s.t, "fab1", "203.0.113.1/25")
		s.Follow(addrs(far4))
		within(s.t, func() bool { <-s.NextHopsChanged(); return len(s.NextHops()) == 0 }, "that it can")
		s.ensure(to(pods, n2))
		s.Follow(addrs(n2))
		<-s.NextHopsChanged()
	}},
	{name: "becomes on-link, and far again", body: func(s *scene) {
		s.resolving(ResolveRoutes)
		s.run()
		s.add(s.t, staticTo(behind, n2))
		s.ensure(to(pods, far4))
		s.addAddr(s.t, "fab1", "203.0.113.1/25")
		s.eventually(ours4 + far4)
		require.Empty(s.t, s.NextHops())
		s.deleteAddr(s.t, "fab1", "203.0.113.1/25")
		s.eventually(ours4 + n2)
	}},
	{name: "resolves through the next-hop objects of others, and follows them", only: ModeObjects, body: func(s *scene) {
		s.resolving(ResolveRoutes)
		s.run()
		s.addNextHop(s.t, 77, n2, "fab0", static)
		s.addNextHop(s.t, 78, m2, "fab1", static)
		s.replaceGroup(s.t, 79, static, 77)
		s.add(s.t, spec{dst: behind, nextHop: 79, protocol: static, metric: 1024})
		s.ensure(to(pods, far4))
		s.wantRoutes(ours4 + n2)
		s.compat(s.t, false) // then the kernel does not tell of the route
		s.replaceGroup(s.t, 79, static, 77, 78)
		s.compat(s.t, true)
		s.eventually(ours4 + n2 + " " + m2)
		s.compat(s.t, false)
		s.addNextHop(s.t, 77, n3, "fab0", static)
		s.compat(s.t, true)
		s.eventually(ours4 + n3 + " " + m2)
	}},
	{name: "fails over to a resolved next hop, and back", only: ModeObjects, body: func(s *scene) {
		s.resolving(ResolveRoutes)
		s.run()
		s.add(s.t, staticTo(behind, m2))
		s.ensure(append(block(20, n2), to(pods2, far4))...)
		s.failover(via(n2), via(far4))
		s.wantRoutes(with(blockText(20, m2), pods2+" metric 512 via "+m2)...)
		s.replace(s.t, staticTo(behind, m3))
		s.eventually(with(blockText(20, m3), pods2+" metric 512 via "+m3)...)
		s.failover(via(n2), via(n2))
		s.wantRoutes(with(blockText(20, n2), pods2+" metric 512 via "+m3)...)
	}},
}

// TestAChangeOfGatewaysCostsItsNextHops: 10,000 routes over 50 next hops whose gateway changes.
func TestAChangeOfGatewaysCostsItsNextHops(t *testing.T) {
	const routes, hops = 10_000, 50
	for name, world := range map[string]func(t *testing.T) world{
		"model": func(*testing.T) world { return newFake() },
		"linux": func(t *testing.T) world { return newLinux(t) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, world(t), ModeObjects)
			s.resolving(ResolveRoutes)
			s.add(t, staticTo(behind, n2))
			all := []Route{to(pods2, n4)}
			for i := range routes {
				hop := netip.AddrFrom4([4]byte{203, 0, 113, byte(100 + i%hops)})
				all = append(all, Route{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 64 + byte(i>>8), byte(i), 0}), 24), []netip.Addr{hop}})
			}
			s.ensure(all...)
			require.Len(t, s.Drain(), len(all))
			s.run()
			s.quiet(func() {}) // the news of before
			before := s.Stats()
			routesWritten, objects := s.quiet(func() {
				s.replace(t, staticTo(behind, n3))
				within(t, func() bool { return s.Stats().GroupRewrites-before.GroupRewrites == hops }, "the groups to be rewritten")
				within(t, func() bool { return len(s.objects(t, ourMark)) == hops+3 }, "the old gateway's object to go")
			})
			s.mu.Lock()
			require.Empty(t, s.told)
			s.mu.Unlock()
			operations := s.Stats().Operations - before.Operations
			t.Logf("%d routes, %d next hops: %d requests, %d routes and %d objects written by anybody", routes, hops, operations, routesWritten, objects)
			require.EqualValues(t, hops+2, operations, "a group for each, the new gateway and the old one")
			require.LessOrEqual(t, routesWritten, 2, "the administrator's")
			require.Equal(t, hops+2, objects)
			require.Len(t, s.routes(t, ourMark), len(all))
			require.Contains(t, s.routes(t, ourMark), "10.64.0.0/24 metric 512 via "+n3)
		})
	}
}

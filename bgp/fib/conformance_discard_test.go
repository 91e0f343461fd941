package fib

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
)

const (
	pool  = "10.20.0.0/16" // which pods is inside
	pool6 = "fd00:20::/48"
	drop  = " metric 4294967295 blackhole"
)

func (s *scene) discard(all ...string) {
	s.t.Helper()
	require.NoError(s.t, s.Discard(s.t.Context(), pools(all...)))
}

func pools(all ...string) []netip.Prefix {
	list := []netip.Prefix{}
	for _, a := range all {
		list = append(list, p(a))
	}
	return list
}

// discards returns what Discards says: "10.20.0.0/16 Installed", with "foreign" at the end.
func (s *scene) discards() []string {
	list := []string{}
	for _, d := range s.Discards() {
		list = append(list, fmt.Sprintf("%s %s", d.Prefix, d.Status)+map[bool]string{true: " foreign"}[d.Foreign])
	}
	return list
}

func (s *scene) wantDiscards(want ...string) {
	s.t.Helper()
	if want == nil {
		want = []string{}
	}
	require.Equal(s.t, want, s.discards())
}

func (s *scene) eventuallyDiscards(want ...string) {
	s.t.Helper()
	got := []string{}
	patient(soon, func() bool { got = s.discards(); return slices.Equal(got, want) })
	require.Equal(s.t, append([]string{}, want...), got)
}

var discarding = []conformanceCase{
	{name: "writes discard routes of both families, and is silent when nothing changes", body: func(s *scene) {
		s.discard(pool, pool6)
		s.wantRoutes(pool+drop, pool6+drop)
		s.wantDiscards(pool+" Installed", pool6+" Installed")
		require.Equal(s.t, 2, s.Stats().Discards)
		routes, objects := s.quiet(func() { s.discard(pool6, pool, pool); s.discard(pool, pool6) })
		require.Zero(s.t, routes+objects)
		s.discard(pool6)
		s.wantRoutes(pool6 + drop)
		s.discard()
		s.wantRoutes()
		s.wantDiscards()
		require.Zero(s.t, s.Stats().Discards)
	}},
	{name: "keeps discard routes out of what is told of routes", body: func(s *scene) {
		s.discard(pool, pool6)
		s.ensure(to(pods, n2))
		require.Len(s.t, s.Drain(), 1)
		require.Len(s.t, s.All(), 1)
		require.Equal(s.t, 1, s.Stats().Routes)
		_, known := s.Lookup(p(pool))
		require.False(s.t, known)
		s.discard()
		require.Empty(s.t, s.Drain())
	}},
	{name: "refuses what is no prefix and discards the others", body: func(s *scene) {
		err := s.Discard(s.t.Context(), []netip.Prefix{p("10.20.0.1/16"), p(pool), {}, p(pool6)})
		require.ErrorContains(s.t, err, "discard route 10.20.0.1/16: not a prefix without host bits")
		require.Len(s.t, strings.Split(err.Error(), "\n"), 2)
		s.wantRoutes(pool+drop, pool6+drop)
	}},
	{name: "writes no option of routes to a discard route", body: func(s *scene) {
		s.cfg.MTU, s.cfg.Source4, s.cfg.Source6 = 1400, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8:1::1")
		s.reopen()
		s.discard(pool, pool6)
		s.wantRoutes(pool+drop, pool6+drop)
	}},
	{name: "lets a discard route and a route to one prefix stand beside each other, in any order", body: func(s *scene) {
		both := []string{pool + drop, pool + " metric 512 via " + n2, pool6 + drop, pool6 + " metric 512 via " + x2}
		route := func() { s.ensure(to(pool, n2), to(pool6, x2)) }
		drops := func() { s.discard(pool, pool6) }
		unroute := func() { s.ensure(to(pool), to(pool6)) }
		undrop := func() { s.discard() }
		for _, first := range []bool{true, false} {
			for _, last := range []bool{true, false} {
				steps := []func(){route, drops, unroute, undrop}
				if first {
					steps[0], steps[1] = drops, route
				}
				if last {
					steps[2], steps[3] = undrop, unroute
				}
				steps[0]()
				steps[1]()
				s.wantRoutes(both...)
				require.Equal(s.t, Installed, s.status(pool))
				s.wantDiscards(pool+" Installed", pool6+" Installed")
				s.ensure(to(pool, n3), to(pool6, x3))
				s.wantRoutes(pool+drop, pool+" metric 512 via "+n3, pool6+drop, pool6+" metric 512 via "+x3)
				route()
				steps[2]()
				if last {
					s.wantRoutes(both[1], both[3])
				} else {
					s.wantRoutes(both[0], both[2])
				}
				steps[3]()
				s.wantRoutes()
			}
		}
	}},
	{name: "leaves a foreign route to the prefix alone, whether it was there or comes", body: func(s *scene) {
		s.run()
		s.add(s.t, spec{dst: pool, via: n4, protocol: static})
		s.add(s.t, spec{dst: pool6, via: x3, protocol: static}) // 1024
		s.discard(pool, pool6)
		s.wantRoutes(pool+drop, pool6+drop)
		s.eventuallyDiscards(pool+" Installed foreign", pool6+" Installed foreign")
		s.wantRoutesOf(static, pool+" metric 0 via "+n4, pool6+" metric 1024 via "+x3)
		s.remove(s.t, spec{dst: pool, protocol: static})
		s.remove(s.t, spec{dst: pool6, protocol: static})
		s.eventuallyDiscards(pool+" Installed", pool6+" Installed")
		s.add(s.t, spec{dst: pool, drops: "blackhole", protocol: static, metric: 1024})
		s.add(s.t, spec{dst: pool6, drops: "blackhole", protocol: static})
		s.eventuallyDiscards(pool+" Installed foreign", pool6+" Installed foreign")
		s.discard()
		s.wantRoutes()
		s.wantRoutesOf(static, pool+" metric 1024 blackhole", pool6+" metric 1024 blackhole")
	}},
	{name: "yields to a foreign route that has its very place, and takes it when that goes", body: func(s *scene) {
		s.add(s.t, spec{dst: pool, via: n4, metric: DiscardMetric, protocol: static})
		s.add(s.t, spec{dst: pool6, via: x3, metric: DiscardMetric, protocol: static})
		s.discard(pool, pool6)
		s.wantRoutes()
		s.wantDiscards(pool+" Conflict foreign", pool6+" Conflict foreign")
		require.Zero(s.t, s.Stats().Errors, "it was not even tried")
		require.Contains(s.t, s.Discards()[0].Reason, "a foreign route (protocol 4, static) has the same prefix and metric 4294967295")
		s.run()
		s.remove(s.t, spec{dst: pool, metric: DiscardMetric, protocol: static})
		s.remove(s.t, spec{dst: pool6, metric: DiscardMetric, protocol: static})
		s.eventually(pool+drop, pool6+drop)
		s.eventuallyDiscards(pool+" Installed", pool6+" Installed")
		s.replace(s.t, spec{dst: pool, via: n4, metric: DiscardMetric, protocol: static})
		s.replace(s.t, spec{dst: pool6, via: x3, metric: DiscardMetric, protocol: static})
		s.eventuallyDiscards(pool+" Conflict foreign", pool6+" Conflict foreign")
		s.wantRoutes()
		s.setUp(s.t, "fab0", false) // of the IPv4 route the kernel does not tell
		s.eventually(pool+drop, pool6+drop)
		require.Zero(s.t, s.Stats().Fights)
	}},
	{name: "notices a foreign route in its place that it was not told of", body: func(s *scene) {
		s.ensure(to(pods, n2))
		s.add(s.t, spec{dst: pool, drops: "blackhole", metric: DiscardMetric, protocol: static})
		s.add(s.t, spec{dst: pool6, drops: "blackhole", metric: DiscardMetric, protocol: static})
		s.discard(pool, pool6)
		s.wantRoutes(ours4 + n2)
		s.wantDiscards(pool+" Conflict foreign", pool6+" Conflict foreign")
		s.discard()
		s.wantRoutesOf(static, pool+drop, pool6+drop)
	}},
	{name: "repairs discard routes that others delete, one by one and all at once", body: func(s *scene) {
		s.run()
		s.discard(pool, pool6)
		s.ensure(to(pool, n2), to(pods6, x2))
		full := []string{pool + " metric 512 via " + n2, pool + drop, pool6 + drop, ours6 + x2}
		slices.Sort(full)
		s.remove(s.t, spec{dst: pool, metric: DiscardMetric, protocol: ourMark})
		s.eventually(full...)
		s.remove(s.t, spec{dst: pool6, metric: DiscardMetric, protocol: ourMark})
		s.eventually(full...)
		s.wipe(s.t, ourMark)
		s.eventually(full...)
		within(s.t, func() bool { return s.Stats().Repairs >= 6 }, "repairs to be counted")
		s.setUp(s.t, "fab0", false)
		s.setUp(s.t, "fab0", true)
		s.addAddr(s.t, "fab0", "2001:db8:1::1/64")
		s.eventually(full...)
	}},
	{name: "repairs what others put in the place of a discard route under our mark", body: func(s *scene) {
		s.run()
		s.discard(pool, pool6)
		s.replace(s.t, spec{dst: pool, via: n4, metric: DiscardMetric, protocol: ourMark})
		s.eventually(pool+drop, pool6+drop)
		s.replace(s.t, spec{dst: pool6, via: x3, metric: DiscardMetric, protocol: ourMark})
		s.eventually(pool+drop, pool6+drop)
		within(s.t, func() bool { return len(s.All()) == 0 }, "the others to be forgotten")
	}},
	{name: "makes room in the place of a discard route for what an earlier run never wrote", body: func(s *scene) {
		s.add(s.t, spec{dst: pool, via: n4, metric: DiscardMetric, protocol: ourMark})
		s.add(s.t, spec{dst: pool6, via: x3, metric: DiscardMetric, protocol: ourMark})
		_, err := s.Adopt(s.t.Context())
		require.NoError(s.t, err)
		s.ensure(to(pool6, x2))
		s.discard(pool, pool6)
		s.wantRoutes(pool+drop, pool6+drop, pool6+" metric 512 via "+x2)
		require.Len(s.t, s.All(), 1)
		s.add(s.t, spec{dst: pods2, via: n4, metric: DiscardMetric, protocol: ourMark}) // not told of
		s.discard(pods2)
		s.wantRoutes(pods2+drop, pool6+" metric 512 via "+x2)
	}},
	{name: "gives way after five repairs of a discard route within a minute and says so", body: func(s *scene) {
		s.run()
		s.discard(pool, pool6)
		for range fightRepairs {
			s.remove(s.t, spec{dst: pool, protocol: ourMark})
			s.eventually(pool+drop, pool6+drop)
		}
		s.remove(s.t, spec{dst: pool, protocol: ourMark})
		s.eventuallyDiscards(pool+" Failed", pool6+" Installed")
		require.Contains(s.t, s.Discards()[0].Reason, "another program keeps removing or changing the discard route")
		s.wantRoutes(pool6 + drop)
		require.EqualValues(s.t, 1, s.Stats().Fights)
		require.ErrorContains(s.t, s.Discard(s.t.Context(), pools(pool, pool6)), "discard route 10.20.0.0/16: another program")
		s.discard(pool6)
		s.discard(pool, pool6) // newly wanted
		s.wantRoutes(pool+drop, pool6+drop)
	}},
	{name: "adopts discard routes without counting them, and prunes those that nobody asks for", body: func(s *scene) {
		s.discard(pool, pool6, pods2)
		s.ensure(to(pods2, n2))
		s.reopen()
		s.run()
		routes, objects := s.quiet(func() {
			n, err := s.Adopt(s.t.Context())
			require.NoError(s.t, err)
			require.Equal(s.t, 1, n, "a discard route carries no traffic")
			s.wantDiscards(pool+" Adopted", pods2+" Adopted", pool6+" Adopted")
			s.discard(pool)
			s.ensure(to(pods2, n2))
			s.wantDiscards(pool+" Installed", pods2+" Adopted", pool6+" Adopted")
		})
		require.Zero(s.t, routes+objects)
		s.remove(s.t, spec{dst: pods2, metric: DiscardMetric, protocol: ourMark})
		s.eventuallyDiscards(pool+" Installed", pool6+" Adopted") // and not repaired
		routes, _ = s.quiet(func() {
			n, err := s.Prune(s.t.Context())
			require.NoError(s.t, err)
			require.Equal(s.t, 1, n)
		})
		require.Equal(s.t, 1, routes)
		s.wantRoutes(pool+drop, pods2+" metric 512 via "+n2)
		s.wantDiscards(pool + " Installed")
	}},
	{name: "keeps adopted discard routes, without a gap, when they are asked for again", body: func(s *scene) {
		s.discard(pool, pool6)
		s.reopen()
		s.run()
		routes, objects := s.quiet(func() {
			n, err := s.Adopt(s.t.Context())
			require.NoError(s.t, err)
			require.Zero(s.t, n)
			s.discard()
			s.discard(pool6, pool)
			n, err = s.Prune(s.t.Context())
			require.NoError(s.t, err)
			require.Zero(s.t, n)
		})
		require.Zero(s.t, routes+objects)
		s.wantDiscards(pool+" Installed", pool6+" Installed")
		s.remove(s.t, spec{dst: pool, protocol: ourMark})
		s.eventually(pool+drop, pool6+drop)
	}},
	{name: "leaves a discard route standing when the route to its prefix loses its link", body: func(s *scene) {
		s.run()
		s.ensure(to(pool, n2), to(pool6, x2))
		s.discard(pool, pool6)
		s.setUp(s.t, "fab0", false)
		s.eventually(pool+drop, pool6+drop)
		s.eventuallyStatus(pool, Failed)
		s.wantDiscards(pool+" Installed", pool6+" Installed")
	}},
	{name: "removes discard routes with cleanup, and does not bring them back", body: func(s *scene) {
		s.run()
		s.discard(pool, pool6)
		s.ensure(to(pool, n2))
		s.add(s.t, spec{dst: pool, drops: "blackhole", protocol: static, metric: 77})
		s.reopenless(func(other *Table) {
			n, err := other.Cleanup(s.t.Context())
			require.NoError(s.t, err)
			require.Equal(s.t, 3, n)
		})
		s.eventually(pool+drop, pool+" metric 512 via "+n2, pool6+drop) // the daemon still wants them
		n, err := s.Cleanup(s.t.Context())
		require.NoError(s.t, err)
		require.Equal(s.t, 3, n)
		s.wantRoutes()
		s.wantDiscards()
		s.wantRoutesOf(static, pool+" metric 77 blackhole")
	}},
	{name: "catches up on what happened to discard routes before Run", body: func(s *scene) {
		s.discard(pool, pool6)
		s.wipe(s.t, ourMark)
		s.run()
		s.eventually(pool+drop, pool6+drop)
	}},
	{name: "removes a discard route that a late notification called gone", body: func(s *scene) {
		s.discard(pool, pool6)
		s.remove(s.t, spec{dst: pool, protocol: ourMark})
		s.add(s.t, spec{dst: pool, drops: "blackhole", metric: DiscardMetric, protocol: ourMark})
		s.run()
		s.discard()
		s.eventually()
		s.eventuallyDiscards()
	}},
	{name: "says whether others have routes to parts of a prefix", body: func(s *scene) {
		inside := func(prefix string) bool {
			yes, err := s.RoutedInside(p(prefix))
			require.NoError(s.t, err)
			return yes
		}
		s.addAddr(s.t, "fab1", "10.20.7.1/24")
		s.add(s.t, spec{dst: "10.20.8.5/32", link: "fab1", protocol: static}) // a pod of this node
		s.add(s.t, spec{dst: "10.20.9.0/24", drops: "blackhole", protocol: static})
		s.add(s.t, spec{dst: pool, via: n2, protocol: static}) // it is as long itself
		s.add(s.t, spec{dst: "10.0.0.0/8", via: n2, protocol: static})
		s.add(s.t, spec{dst: "fd00:20:1::/48", via: x2, protocol: static})
		s.ensure(to(pods, n2), to(pods6, x2))
		require.False(s.t, inside(pool))
		require.False(s.t, inside(pool6))
		require.True(s.t, inside("10.0.0.0/8"))
		s.add(s.t, spec{dst: "10.20.10.0/24", via: n3, protocol: static})
		s.add(s.t, spec{dst: "fd00:20:0:9::/64", via: x3, protocol: static})
		require.True(s.t, inside(pool))
		require.True(s.t, inside(pool6))
		_, err := s.RoutedInside(p("10.20.0.1/16"))
		require.ErrorIs(s.t, err, errNotPrefix)
	}},
}

package fib

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestConformance runs the same bodies against the model and Linux, in both modes.
func TestConformance(t *testing.T) {
	worlds := []struct {
		name string
		make func(t *testing.T) world
	}{
		{"model", func(*testing.T) world { return newFake() }},
		{"linux", func(t *testing.T) world { return newLinux(t) }},
	}
	cases := slices.Concat(writing, owning, sharing, losing, resolving, optional, discarding)
	for _, c := range diverting {
		c.only = ModeObjects
		cases = append(cases, c)
	}
	for _, w := range worlds {
		for _, mode := range []Mode{ModeObjects, ModeInline} {
			for _, c := range cases {
				if c.only != "" && c.only != mode {
					continue
				}
				t.Run(w.name+"/"+string(mode)+"/"+c.name, func(t *testing.T) {
					c.body(newScene(t, w.make(t), mode))
				})
			}
		}
	}
}

type conformanceCase struct {
	name string
	only Mode // empty: both
	body func(s *scene)
}

const (
	n2, n3, n4 = "192.0.2.2", "192.0.2.3", "192.0.2.4"
	m2, m3     = "198.51.100.2", "198.51.100.3" // over fab1
	x2, x3     = "2001:db8:1::2", "2001:db8:1::3"
	y2         = "2001:db8:2::2" // over fab1
	pods       = "10.20.0.0/24"
	pods2      = "10.20.1.0/24"
	pods6      = "fd00:20::/64"
	ours4      = pods + " metric 512 via "
	ours6      = pods6 + " metric 512 via "
)

var writing = []conformanceCase{
	{name: "writes routes of both families, and is silent when nothing changes", body: func(s *scene) {
		want := []Route{to(pods, n3, n2, n2), to(pods2, n2), to(pods6, x2, y2)}
		s.ensure(want...)
		s.wantRoutes(ours4+n2+" "+n3, pods2+" metric 512 via "+n2, ours6+x2+" "+y2)
		require.Equal(s.t, State{p(pods), &Outcome{Status: Installed, NextHops: addrs(n2, n3)}}, must(s.Lookup(p(pods))))
		require.Len(s.t, s.Drain(), 3)
		routes, objects := s.quiet(func() { s.ensure(want...); s.ensure(want[0]) })
		require.Zero(s.t, routes+objects)
		require.Empty(s.t, s.Drain())
	}},
	{name: "follows a change of next hops by one, by all, and back", body: func(s *scene) {
		for _, via := range [][]string{{n2}, {n2, n3}, {n3}, {m2}, {n2, m2}, {n2}} {
			s.ensure(to(pods, via...))
			s.wantRoutes(ours4 + strings.Join(via, " "))
		}
		for _, via := range [][]string{{x2}, {x2, x3}, {x3, y2}, {y2}, {x2}} {
			s.ensure(to(pods6, via...))
			s.wantRoutes(ours4+n2, ours6+strings.Join(via, " "))
		}
		s.ensure(to(pods), to(pods6))
		require.Empty(s.t, s.objects(s.t, ourMark))
	}},
	{name: "leaves unmentioned prefixes alone and removes those said to have no next hops", body: func(s *scene) {
		s.ensure(to(pods, n2), to(pods6, x2))
		s.ensure(to(pods2, n2))
		s.ensure(to(pods), to("10.99.0.0/24"))
		s.wantRoutes(pods2+" metric 512 via "+n2, ours6+x2)
		require.Equal(s.t, Absent, s.Drain()[0].Status)
		_, known := s.Lookup(p(pods))
		require.False(s.t, known)
		s.ensure(to(pods)) // twice is no error
	}},
	{name: "uses the lowest addresses of too many next hops", body: func(s *scene) {
		s.ensure(to(pods, "192.0.2.9", m3, n4, n3, "192.0.2.7", n2))
		s.wantRoutes(ours4 + strings.Join([]string{n2, n3, n4, "192.0.2.7"}, " "))
	}},
	{name: "reports a next hop that is not on-link and writes the others", body: func(s *scene) {
		err := s.Ensure(s.t.Context(), []Route{to(pods, "203.0.113.9"), to(pods2, n2), to(pods6, x2, "2001:db8:99::1")})
		require.ErrorContains(s.t, err, "route 10.20.0.0/24: 203.0.113.9: next hop not on-link")
		s.wantRoutes(pods2+" metric 512 via "+n2, ours6+x2)
		require.Equal(s.t, Failed, s.status(pods))
		require.Equal(s.t, Installed, s.status(pods6))
		require.Contains(s.t, s.reason(pods6), "1 of 2 next hops in use: 2001:db8:99::1: next hop not on-link")
		require.Equal(s.t, addrs("2001:db8:99::1"), must(s.Lookup(p(pods6))).OffLink)
		require.Equal(s.t, addrs("203.0.113.9"), must(s.Lookup(p(pods))).OffLink)
		require.Empty(s.t, must(s.Lookup(p(pods2))).OffLink)
	}},
	{name: "refuses the node's own address as a next hop", body: func(s *scene) {
		require.ErrorContains(s.t, s.Ensure(s.t.Context(), []Route{to(pods, "192.0.2.1")}), "own addresses")
		require.Empty(s.t, must(s.Lookup(p(pods))).OffLink, "that is another trouble")
		s.wantRoutes()
	}},
	{name: "refuses what is no prefix or no next hop and writes the others", body: func(s *scene) {
		err := s.Ensure(s.t.Context(), []Route{
			{Dst: p("10.20.0.1/24"), NextHops: addrs(n2)}, to("10.30.0.0/24", "0.0.0.0"), to("10.31.0.0/24", "224.0.0.1"),
			to("10.32.0.0/24", "127.0.0.1"), to(pods6, n2), to("fd00:21::/64", "fe80::1"), {NextHops: addrs(n2)}, to(pods, n2),
		})
		require.Len(s.t, strings.Split(err.Error(), "\n"), 7, "%v", err)
		s.wantRoutes(ours4 + n2)
	}},
	{name: "replaces the next hops of a withdrawn path although the new ones cannot be reached", body: func(s *scene) {
		s.ensure(to(pods, n2))
		require.Error(s.t, s.Ensure(s.t.Context(), []Route{to(pods, "203.0.113.9")}))
		s.wantRoutes()
	}},
	{name: "writes an IPv4 route through an IPv6 next hop", body: func(s *scene) {
		s.ensure(to(pods, x2))
		s.wantRoutes(ours4 + x2)
		s.ensure(to(pods, x2, n2))
		s.wantRoutes(ours4 + n2 + " " + x2)
	}},
}

var owning = []conformanceCase{
	{name: "adopts after a restart without a write, and prunes only what nobody wants", body: func(s *scene) {
		want := []Route{to(pods, n2, n3), to(pods6, x2)}
		s.ensure(append(want, to(pods2, n4))...)
		s.add(s.t, spec{dst: "10.77.0.0/16", via: n2, protocol: static})
		s.reopen()
		routes, objects := s.quiet(func() {
			n, err := s.Adopt(s.t.Context())
			require.NoError(s.t, err)
			require.Equal(s.t, 3, n)
			require.Equal(s.t, State{p(pods), &Outcome{Status: Adopted, NextHops: addrs(n2, n3)}}, must(s.Lookup(p(pods))))
			s.ensure(want...)
			require.Equal(s.t, Installed, s.status(pods))
			require.Equal(s.t, Adopted, s.status(pods2))
		})
		require.Zero(s.t, routes+objects)
		n, err := s.Prune(s.t.Context())
		require.NoError(s.t, err)
		require.Equal(s.t, 1, n)
		s.wantRoutes(ours4+n2+" "+n3, ours6+x2)
		s.wantRoutesOf(static, "10.77.0.0/16 metric 0 via "+n2)
		for _, o := range s.objects(s.t, ourMark) {
			require.NotEqual(s.t, "via "+n4, o, "its next hop went with it")
		}
		n, err = s.Prune(s.t.Context())
		require.NoError(s.t, err)
		require.Zero(s.t, n, "a second prune finds nothing")
	}},
	{name: "uses again the group that a crash left without a route", only: ModeObjects, body: func(s *scene) {
		s.addNextHop(s.t, firstID+100, n4, "fab0", ourMark)
		s.replaceGroup(s.t, firstID+101, ourMark, firstID+100)
		routes, objects := s.quiet(func() {
			_, err := s.Adopt(s.t.Context())
			require.NoError(s.t, err)
			s.ensure(to(pods, n4))
		})
		require.Equal(s.t, []int{1, 0}, []int{routes, objects})
	}},
	{name: "does not touch an adopted multipath route because a next hop cannot be resolved yet", body: func(s *scene) {
		s.ensure(to(pods, n2, m2))
		require.NoError(s.t, s.Close())
		s.deleteAddr(s.t, "fab1", "198.51.100.1/24")
		s.addAddr(s.t, "fab1", "203.0.113.1/24") // the link keeps an IPv4 address, and so the kernel its routes
		s.reopen()
		routes, objects := s.quiet(func() {
			_, err := s.Adopt(s.t.Context())
			require.NoError(s.t, err)
		})
		require.Zero(s.t, routes+objects)
		s.ensure(to(pods, n2, m2))
		s.wantRoutes(ours4 + n2)
	}},
	{name: "keeps adopted routes until pruned, whatever the events", body: func(s *scene) {
		s.ensure(to(pods, n2), to(pods6, x2))
		s.reopen()
		s.run()
		_, err := s.Adopt(s.t.Context())
		require.NoError(s.t, err)
		s.addLink(s.t, "fab2", "203.0.113.1/24")
		s.remove(s.t, spec{dst: pods6, protocol: ourMark})
		patient(soon, func() bool { _, known := s.Lookup(p(pods6)); return !known })
		s.wantRoutes(ours4 + n2)
		require.Equal(s.t, Adopted, s.status(pods))
	}},
	{name: "takes over routes of another mode and another metric", body: func(s *scene) {
		other := map[Mode]Mode{ModeObjects: ModeInline, ModeInline: ModeObjects}[s.mode]
		s.ensure(to(pods, n2, n3), to(pods6, x2, x3), to(pods2, n2))
		s.mode, s.cfg.Metric = other, 600
		s.reopen()
		if s.mode == ModeInline {
			s.t.Log("routes that name objects are read as they are")
		}
		_, err := s.Adopt(s.t.Context())
		require.NoError(s.t, err)
		s.ensure(to(pods, n2, n3), to(pods6, x2, x3))
		_, err = s.Prune(s.t.Context())
		require.NoError(s.t, err)
		s.wantRoutes(pods+" metric 600 via "+n2+" "+n3, pods6+" metric 600 via "+x2+" "+x3)
	}},
	{name: "removes with cleanup all that has our mark and nothing else", body: func(s *scene) {
		s.run()
		s.ensure(to(pods, n2, n3), to(pods6, x2, y2), to(pods2, m2))
		s.add(s.t, spec{dst: "10.77.0.0/16", via: n2, protocol: static, metric: 512})
		s.add(s.t, spec{dst: "fd00:77::/48", via: x2, protocol: static})
		s.reopenless(func(other *Table) { // as the cleanup command does it
			n, err := other.Cleanup(s.t.Context())
			require.NoError(s.t, err)
			require.Equal(s.t, 3, n)
		})
		s.eventually(ours4+n2+" "+n3, pods2+" metric 512 via "+m2, ours6+x2+" "+y2) // the daemon still wants them
		n, err := s.Cleanup(s.t.Context())
		require.NoError(s.t, err)
		require.Equal(s.t, 3, n)
		s.wantRoutes()
		require.Empty(s.t, s.objects(s.t, ourMark))
		require.Empty(s.t, s.All())
		s.wantRoutesOf(static, "10.77.0.0/16 metric 512 via "+n2, "fd00:77::/48 metric 1024 via "+x2)
	}},
	{name: "never replaces a foreign route of the same metric, and takes its place when it goes", body: func(s *scene) {
		s.add(s.t, spec{dst: pods, via: n4, metric: 512, protocol: static})
		s.add(s.t, spec{dst: pods6, via: x3, metric: 512, protocol: static})
		s.ensure(to(pods, n2), to(pods6, x2), to(pods2, n2))
		s.wantRoutes(pods2 + " metric 512 via " + n2)
		s.wantRoutesOf(static, ours4+n4, ours6+x3)
		for _, dst := range []string{pods, pods6} {
			require.Equal(s.t, Conflict, s.status(dst))
			require.Contains(s.t, s.reason(dst), "foreign route (protocol 4, static) has the same prefix and metric 512")
		}
		s.run()
		s.remove(s.t, spec{dst: pods, metric: 512, protocol: static})
		s.remove(s.t, spec{dst: pods6, metric: 512, protocol: static})
		s.eventually(ours4+n2, pods2+" metric 512 via "+n2, ours6+x2)
		s.eventuallyStatus(pods, Installed)
		s.eventuallyStatus(pods6, Installed)
	}},
	{name: "notices a foreign route it was not told of when it writes", body: func(s *scene) {
		s.ensure(to(pods2, n2))
		s.add(s.t, spec{dst: pods, via: n4, metric: 512, protocol: static})
		s.add(s.t, spec{dst: pods6, via: x3, metric: 512, protocol: static})
		s.ensure(to(pods, n2), to(pods6, x2), to("10.20.2.0/24", n2))
		require.Equal(s.t, Conflict, s.status(pods))
		require.Equal(s.t, Conflict, s.status(pods6))
		s.wantRoutes(pods2+" metric 512 via "+n2, "10.20.2.0/24 metric 512 via "+n2)
		s.wantRoutesOf(static, ours4+n4, ours6+x3)
		n, err := s.Prune(s.t.Context())
		require.NoError(s.t, err)
		require.Zero(s.t, n)
	}},
	{name: "waits until the last of several foreign routes alike is gone", body: func(s *scene) {
		s.run()
		s.add(s.t, spec{dst: pods, via: n4, metric: 512, protocol: static})
		s.appendTo(s.t, spec{dst: pods, via: n3, metric: 512, protocol: static})
		s.ensure(to(pods, n2), to(pods2, n2))
		s.remove(s.t, spec{dst: pods, metric: 512, protocol: static})
		s.remove(s.t, spec{dst: pods2, protocol: ourMark})
		s.eventually(pods2 + " metric 512 via " + n2) // by then the other has been seen as well
		s.wantRoutesOf(static, ours4+n3)
		require.Equal(s.t, Conflict, s.status(pods))
		s.remove(s.t, spec{dst: pods, metric: 512, protocol: static})
		s.eventually(ours4+n2, pods2+" metric 512 via "+n2)
	}},
	{name: "lets a foreign route that comes later win or lose by its metric", body: func(s *scene) {
		s.run()
		s.ensure(to(pods, n2), to(pods2, n2), to(pods6, x2))
		s.add(s.t, spec{dst: pods, via: n4, metric: 100, protocol: static})
		s.add(s.t, spec{dst: pods2, via: n4, metric: 9000, protocol: static})
		s.add(s.t, spec{dst: pods6, via: x3, protocol: static}) // 1024
		s.eventuallyStatus(pods, Conflict)
		require.Contains(s.t, s.reason(pods), "wins with metric 100")
		require.Equal(s.t, Installed, s.status(pods2))
		require.Equal(s.t, Installed, s.status(pods6))
		s.wantRoutes(ours4+n2, pods2+" metric 512 via "+n2, ours6+x2) // beneath, ready to take over
		s.remove(s.t, spec{dst: pods, metric: 100, protocol: static})
		s.eventuallyStatus(pods, Installed)
		s.wantRoutesOf(static, pods2+" metric 9000 via "+n4, pods6+" metric 1024 via "+x3)
	}},
	{name: "does not fight a foreign program that replaces our route by its own", body: func(s *scene) {
		s.run()
		s.ensure(to(pods, n2))
		s.replace(s.t, spec{dst: pods, via: n4, metric: 512, protocol: static})
		s.eventuallyStatus(pods, Conflict)
		s.ensure(to(pods, n3))
		s.wantRoutes()
		s.wantRoutesOf(static, ours4+n4)
		s.remove(s.t, spec{dst: pods, metric: 512, protocol: static})
		s.eventually(ours4 + n3)
	}},
	{name: "does not become part of a foreign IPv6 multipath route", body: func(s *scene) {
		s.add(s.t, spec{dst: pods6, via: x3, metric: 512, protocol: static})
		s.ensure(to(pods6, x2))
		s.ensure(to(pods6, x2, y2))
		s.ensure(to(pods6))
		s.wantRoutes()
		s.wantRoutesOf(static, ours6+x3)
	}},
}

func (s *scene) reopenless(f func(*Table)) {
	other := s.open(s.t, s.cfg, s.mode)
	f(other)
	require.NoError(s.t, other.Close())
}

func must(st State, ok bool) State {
	if !ok {
		panic(fmt.Sprintf("no state: %+v", st))
	}
	return st
}

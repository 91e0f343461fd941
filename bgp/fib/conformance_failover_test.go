package fib

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
)

// block is n routes through the same next hops.
func block(n int, via ...string) (all []Route) {
	for i := range n {
		all = append(all, to(fmt.Sprintf("10.21.%d.0/24", i), via...))
	}
	return all
}

func blockText(n int, via ...string) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("10.21.%d.0/24 metric 512 via %s", i, strings.Join(via, " ")))
	}
	slices.Sort(all)
	return all
}

// with is a block and a route to pods, sorted.
func with(blocks []string, more ...string) []string {
	all := append(slices.Clone(blocks), more...)
	slices.Sort(all)
	return all
}

func (s *scene) failover(from, to []string) {
	s.t.Helper()
	require.NoError(s.t, s.Failover(s.t.Context(), []Move{{From: addrs(from...), To: addrs(to...)}}))
}

// silent does f and wants the kernel to be asked for nothing.
func (s *scene) silent(f func()) {
	s.t.Helper()
	before := s.Stats().Operations
	f()
	require.Equal(s.t, before, s.Stats().Operations, "requests to the kernel")
}

func via(hops ...string) []string { return hops }

var diverting = []conformanceCase{
	{name: "takes a dead next hop out of a set with one message, and Ensure finds it done", body: func(s *scene) {
		s.ensure(append(block(40, n2, n3), to(pods, n2))...) // pods keeps the object of n2 in use
		s.Drain()
		routes, objects := s.quiet(func() { s.failover(via(n2, n3), via(n3)) })
		require.Equal(s.t, []int{0, 1}, []int{routes, objects})
		s.wantRoutes(with(blockText(40, n3), ours4+n2)...)
		require.Empty(s.t, s.Drain(), "what is desired has not changed")
		s.silent(func() { s.failover(via(n3, n2), via(n3)) })
		s.silent(func() { s.ensure(block(40, n3)...) })
		s.wantRoutes(with(blockText(40, n3), ours4+n2)...)
		require.Len(s.t, s.Drain(), 40)
		require.Equal(s.t, State{p("10.21.7.0/24"), &Outcome{Status: Installed, NextHops: addrs(n3)}}, must(s.Lookup(p("10.21.7.0/24"))))
		require.Len(s.t, s.objects(s.t, ourMark), 4, "two next hops, two groups")
		before := s.Stats().Operations
		s.ensure(to(pods, n3))
		require.EqualValues(s.t, 4, s.Stats().Operations-before, "an add, a delete, and the group and object of n2")
		s.ensure(append(block(40), to(pods))...)
		require.Empty(s.t, s.objects(s.t, ourMark))
	}},
	{name: "sends a set over its backup, and Ensure finds it done in halves", body: func(s *scene) {
		s.ensure(append(block(40, n2), to(pods, n2, n3))...)
		routes, objects := s.quiet(func() { s.failover(via(n2), via(m2)) })
		require.Equal(s.t, []int{0, 2}, []int{routes, objects}, "an object and a group")
		s.wantRoutes(with(blockText(40, m2), ours4+n2+" "+n3)...)
		s.silent(func() {
			s.ensure(block(20, m2)...)
			s.wantRoutes(with(blockText(40, m2), ours4+n2+" "+n3)...)
			s.ensure(block(40, m2)...)
		})
		s.wantRoutes(with(blockText(40, m2), ours4+n2+" "+n3)...)
		require.Len(s.t, s.objects(s.t, ourMark), 5, "three next hops, two groups")
		require.Equal(s.t, addrs(m2), must(s.Lookup(p("10.21.30.0/24"))).NextHops)
		s.ensure(append(block(40), to(pods))...)
		require.Empty(s.t, s.objects(s.t, ourMark))
	}},
	{name: "sends a set over a backup that serves others already", body: func(s *scene) {
		s.ensure(append(block(40, n2), to(pods, m2), to(pods2, n2, n3))...)
		s.failover(via(n2), via(m2))
		s.wantRoutes(with(blockText(40, m2), ours4+m2, pods2+" metric 512 via "+n2+" "+n3)...)
		s.silent(func() { s.ensure(block(40, m2)...) })
		s.wantRoutes(with(blockText(40, m2), ours4+m2, pods2+" metric 512 via "+n2+" "+n3)...)
	}},
	{name: "has both families fail over", body: func(s *scene) {
		s.ensure(to(pods6, x2, x3), to(pods, n2))
		require.NoError(s.t, s.Failover(s.t.Context(), []Move{{addrs(x2, x3), addrs(x3)}, {addrs(n2), addrs(n3)}}))
		s.wantRoutes(ours4+n3, ours6+x3)
		s.ensure(to(pods6, x3), to(pods, n3))
		s.wantRoutes(ours4+n3, ours6+x3)
		require.Len(s.t, s.objects(s.t, ourMark), 4)
	}},
	{name: "returns for all when Ensure wants the moved set anew for one", body: func(s *scene) {
		s.ensure(block(40, n2, n3)...)
		s.failover(via(n2, n3), via(m2))
		s.ensure(block(10, m2)...)
		s.ensure(to(pods, n2, n3))
		want := with(blockText(10, m2), ours4+n2+" "+n3)
		for _, r := range blockText(40, n2, n3) {
			if !slices.ContainsFunc(blockText(10, ""), func(gone string) bool { return strings.HasPrefix(r, gone) }) {
				want = append(want, r)
			}
		}
		slices.Sort(want)
		s.wantRoutes(want...)
		require.Equal(s.t, addrs(n2, n3), must(s.Lookup(p("10.21.30.0/24"))).NextHops)
		require.Equal(s.t, addrs(m2), must(s.Lookup(p("10.21.3.0/24"))).NextHops)
		require.Zero(s.t, s.Stats().Repairs)
		require.Len(s.t, s.objects(s.t, ourMark), 5, "three next hops, two groups")
		s.ensure(block(40, n2, n3)...)
		s.wantRoutes(with(blockText(40, n2, n3), ours4+n2+" "+n3)...)
		require.Len(s.t, s.objects(s.t, ourMark), 3)
	}},
	{name: "returns when the set is moved to itself", body: func(s *scene) {
		s.ensure(block(40, n2, n3)...)
		s.failover(via(n2, n3), via(m2))
		s.ensure(block(5, m2)...)
		s.failover(via(n3, n2), via(n2, n3))
		require.Len(s.t, s.routes(s.t, ourMark), 40)
		require.Contains(s.t, s.routes(s.t, ourMark), "10.21.7.0/24 metric 512 via "+n2+" "+n3)
		require.Contains(s.t, s.routes(s.t, ourMark), "10.21.4.0/24 metric 512 via "+m2)
		s.ensure(block(5, n2, n3)...)
		s.wantRoutes(blockText(40, n2, n3)...)
		require.Len(s.t, s.objects(s.t, ourMark), 3, "what the detour needed is gone")
	}},
	{name: "takes along what was sent to a set that is moved itself", body: func(s *scene) {
		s.ensure(append(block(40, n2), to(pods, n3), to(pods2, n2, n3))...)
		s.failover(via(n2), via(n3))
		s.ensure(block(20, n3)...)
		routes, objects := s.quiet(func() { s.failover(via(n3), via(m2)) })
		require.Equal(s.t, []int{0, 3}, []int{routes, objects}, "an object and two groups")
		s.wantRoutes(with(blockText(40, m2), ours4+m2, pods2+" metric 512 via "+n2+" "+n3)...)
		s.silent(func() { s.ensure(append(block(40, m2), to(pods, m2))...) })
		s.wantRoutes(with(blockText(40, m2), ours4+m2, pods2+" metric 512 via "+n2+" "+n3)...)
		s.ensure(append(block(40), to(pods), to(pods2))...)
		require.Empty(s.t, s.objects(s.t, ourMark))
	}},
	{name: "sends each where it belongs when the moved set is moved again", body: func(s *scene) {
		s.ensure(block(40, n2)...)
		s.failover(via(n2), via(n3))
		s.ensure(block(10, n3)...)
		s.failover(via(n2), via(m2))
		require.Contains(s.t, s.routes(s.t, ourMark), "10.21.30.0/24 metric 512 via "+m2)
		require.Contains(s.t, s.routes(s.t, ourMark), "10.21.3.0/24 metric 512 via "+n3)
		s.ensure(block(40, m2)...)
		s.wantRoutes(blockText(40, m2)...)
		_, err := s.Prune(s.t.Context())
		require.NoError(s.t, err)
		require.Len(s.t, s.objects(s.t, ourMark), 2)
	}},
	{name: "writes nothing when everything is read in the middle of a detour", body: func(s *scene) {
		s.run()
		s.ensure(block(40, n2, n3)...)
		s.failover(via(n2, n3), via(n3, m2))
		s.ensure(block(10, n3, m2)...)
		repairs := s.Stats().Repairs
		s.silent(func() {
			_, err := s.Adopt(s.t.Context())
			require.NoError(s.t, err)
			n, err := s.Prune(s.t.Context())
			require.NoError(s.t, err)
			require.Zero(s.t, n)
		})
		require.Equal(s.t, repairs, s.Stats().Repairs)
		s.wantRoutes(blockText(40, n3, m2)...)
	}},
	{name: "rebuilds a group that others delete or change in the middle of a detour", body: func(s *scene) {
		s.run()
		s.ensure(append(block(40, n2), to(pods2, m2))...)
		s.failover(via(n2), via(n3))
		s.ensure(block(10, n3)...)
		want := with(blockText(40, n3), pods2+" metric 512 via "+m2)
		s.deleteNextHop(s.t, s.id(groupText([]uint32{s.id("via " + n3)})))
		s.eventually(want...)
		s.replaceGroup(s.t, s.id(groupText([]uint32{s.id("via " + n3)})), ourMark, s.id("via "+m2))
		s.eventually(want...)
		s.deleteNextHop(s.t, s.id("via "+n3))
		s.eventually(want...)
		s.ensure(block(40, n3)...)
		s.wantRoutes(want...)
	}},
	{name: "takes a next hop out that dies in the middle of a detour, and back in", body: func(s *scene) {
		s.run()
		s.ensure(append(block(20, n2), to(pods2, n3))...)
		s.failover(via(n2), via(n3, m2))
		s.failover(via(n3), via(m3))
		s.wantRoutes(with(blockText(20, n3, m2), pods2+" metric 512 via "+m3)...)
		s.setUp(s.t, "fab1", false)
		s.eventually(blockText(20, n3)...)
		s.eventuallyStatus(pods2, Failed)
		within(s.t, func() bool { return strings.Contains(s.reason("10.21.3.0/24"), "1 of 2 next hops in use") }, "the reason")
		s.setUp(s.t, "fab1", true)
		s.eventually(with(blockText(20, n3, m2), pods2+" metric 512 via "+m3)...)
		s.eventuallyStatus(pods2, Installed)
		s.ensure(append(block(20, n3, m2), to(pods2, m3))...)
		s.wantRoutes(with(blockText(20, n3, m2), pods2+" metric 512 via "+m3)...)
	}},
	{name: "is adopted for what it is by a process that starts in the middle of a detour", body: func(s *scene) {
		s.ensure(block(40, n2, n3)...)
		s.failover(via(n2, n3), via(n3))
		s.reopen()
		routes, objects := s.quiet(func() {
			n, err := s.Adopt(s.t.Context())
			require.NoError(s.t, err)
			require.Equal(s.t, 40, n)
			require.Equal(s.t, addrs(n3), must(s.Lookup(p("10.21.7.0/24"))).NextHops)
			s.ensure(block(40, n3)...)
		})
		require.Zero(s.t, routes+objects)
		_, err := s.Prune(s.t.Context())
		require.NoError(s.t, err)
		s.wantRoutes(blockText(40, n3)...)
		require.Len(s.t, s.objects(s.t, ourMark), 2)
	}},
	{name: "moves a set that was adopted and that nobody has asked for yet", body: func(s *scene) {
		s.ensure(block(40, n2, n3)...)
		s.reopen()
		_, err := s.Adopt(s.t.Context())
		require.NoError(s.t, err)
		s.failover(via(n2, n3), via(n3))
		s.wantRoutes(blockText(40, n3)...)
		s.silent(func() { s.ensure(block(30, n3)...) })
		n, err := s.Prune(s.t.Context())
		require.NoError(s.t, err)
		require.Equal(s.t, 10, n)
		s.wantRoutes(blockText(30, n3)...)
		require.Len(s.t, s.objects(s.t, ourMark), 2)
	}},
	{name: "makes no move to next hops that cannot be used, and the others", body: func(s *scene) {
		s.ensure(append(block(20, n2), to(pods2, n3))...)
		err := s.Failover(s.t.Context(), []Move{
			{addrs(n2), addrs("203.0.113.9")}, {addrs(n4), addrs(m2)}, {addrs(n3), addrs(m2, "203.0.113.9")}, {addrs(n2), nil}, {nil, nil}, {addrs(n2), addrs("0.0.0.0")},
		})
		require.ErrorContains(s.t, err, "failover from 192.0.2.2 to 203.0.113.9: 203.0.113.9: next hop not on-link")
		require.ErrorContains(s.t, err, "failover from 192.0.2.2: no next hops")
		require.ErrorContains(s.t, err, "not the address of a node")
		require.Len(s.t, strings.Split(err.Error(), "\n"), 3)
		s.wantRoutes(with(blockText(20, n2), pods2+" metric 512 via "+m2)...)
		s.ensure(append(block(20), to(pods2))...)
		require.Empty(s.t, s.objects(s.t, ourMark))
	}},
	{name: "chooses the lowest of too many next hops on both sides of a move", body: func(s *scene) {
		six := via(n2, n3, n4, m2, m3, "192.0.2.9")
		s.ensure(to(pods, six...))
		s.failover(six, via(m3, n2, n3, n4, "192.0.2.7", m2))
		s.wantRoutes(ours4 + strings.Join(via(n2, n3, n4, "192.0.2.7"), " "))
		s.ensure(to(pods, n2, n3, n4, "192.0.2.7", m3))
		s.wantRoutes(ours4 + strings.Join(via(n2, n3, n4, "192.0.2.7"), " "))
		require.Len(s.t, s.objects(s.t, ourMark), 5)
	}},
}

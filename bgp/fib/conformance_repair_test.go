package fib

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"
)

// id returns the id of the object with this text, or of the only group.
func (s *scene) id(text string) uint32 {
	s.t.Helper()
	for id, o := range s.objects(s.t, ourMark) {
		if o == text || text == "group" && strings.HasPrefix(o, text) {
			return id
		}
	}
	require.Fail(s.t, "no such object", "%s in %v", text, s.objects(s.t, ourMark))
	return 0
}

var sharing = []conformanceCase{
	{name: "shares one group among all prefixes of a path set and counts them", only: ModeObjects, body: func(s *scene) {
		s.ensure(to(pods, n2, n3), to(pods2, n3, n2), to(pods6, x2))
		require.Len(s.t, s.objects(s.t, ourMark), 5, "three next hops, two groups")
		for id := range s.objects(s.t, ourMark) {
			require.True(s.t, ours(id))
		}
		s.ensure(to(pods))
		require.Len(s.t, s.objects(s.t, ourMark), 5)
		s.ensure(to(pods2))
		require.Len(s.t, s.objects(s.t, ourMark), 2)
	}},
	{name: "moves all prefixes of a group by rewriting the group", only: ModeObjects, body: func(s *scene) {
		many := func(via ...string) (all []Route) {
			for i := range 40 {
				all = append(all, to(fmt.Sprintf("10.21.%d.0/24", i), via...))
			}
			return all
		}
		s.ensure(many(n2, n3)...)
		for _, via := range [][]string{{n3}, {m2}, {m2, m3}} { // a member less, the backup, more
			routes, objects := s.quiet(func() { s.ensure(many(via...)...) })
			require.Zero(s.t, routes)
			require.LessOrEqual(s.t, objects, 4)
			require.Len(s.t, s.routes(s.t, ourMark), 40)
			require.Contains(s.t, s.routes(s.t, ourMark), "10.21.7.0/24 metric 512 via "+strings.Join(via, " "))
		}
		// The backup already serves others: still no route is touched.
		s.ensure(to(pods, n4))
		routes, _ := s.quiet(func() { s.ensure(many(n4)...) })
		require.Zero(s.t, routes)
		// Only some move: those are rewritten.
		routes, _ = s.quiet(func() { s.ensure(many(n2)[:10]...) })
		require.Equal(s.t, 20, routes, "an add and a delete each")
		s.ensure(append(many()[:40], to(pods))...)
		s.wantRoutes()
		require.Empty(s.t, s.objects(s.t, ourMark))
	}},
	{name: "steps over ids of our range that belong to others", only: ModeObjects, body: func(s *scene) {
		s.addNextHop(s.t, firstID, n4, "fab0", static)
		s.addNextHop(s.t, firstID+1, n4, "fab0", static)
		s.ensure(to(pods, n2))
		s.addNextHop(s.t, firstID+4, n4, "fab0", static) // taken without our having read it
		s.ensure(to(pods, n2, n3))
		s.wantRoutes(ours4 + n2 + " " + n3)
		_, err := s.Prune(s.t.Context())
		require.NoError(s.t, err)
		_, err = s.Cleanup(s.t.Context())
		require.NoError(s.t, err)
		require.Equal(s.t, []uint32{firstID, firstID + 1, firstID + 4}, slices.Sorted(maps.Keys(s.objects(s.t, static))))
	}},
	{name: "leaves objects with our protocol outside our range alone", only: ModeObjects, body: func(s *scene) {
		s.addNextHop(s.t, 77, n4, "fab0", ourMark)
		s.ensure(to(pods, n2))
		_, err := s.Cleanup(s.t.Context())
		require.NoError(s.t, err)
		require.Equal(s.t, map[uint32]string{77: "via " + n4}, s.objects(s.t, ourMark))
	}},
	{name: "prunes objects of ours that no route needs", only: ModeObjects, body: func(s *scene) {
		s.addNextHop(s.t, firstID+100, n4, "fab0", ourMark)
		s.addNextHop(s.t, firstID+101, n4, "fab0", ourMark)
		s.replaceGroup(s.t, firstID+102, ourMark, firstID+100, firstID+101) // not of our making: one address twice
		s.replaceGroup(s.t, firstID+103, ourMark, firstID+100)
		s.ensure(to(pods, n2))
		_, err := s.Prune(s.t.Context())
		require.NoError(s.t, err)
		require.Len(s.t, s.objects(s.t, ourMark), 2)
		s.wantRoutes(ours4 + n2)
	}},
	{name: "repairs next-hop objects and groups that others delete or change", only: ModeObjects, body: func(s *scene) {
		s.run()
		s.ensure(to(pods, n2, n3), to(pods2, n4), to(pods6, x2))
		full := []string{ours4 + n2 + " " + n3, pods2 + " metric 512 via " + n4, ours6 + x2}
		s.deleteNextHop(s.t, s.id("via "+x2)) // takes group and route along
		s.eventually(full...)
		s.deleteNextHop(s.t, s.id("via "+n3))
		s.eventually(full...)
		s.deleteNextHop(s.t, s.id(groupText([]uint32{s.id("via " + n4)})))
		s.eventually(full...)
		two := []uint32{s.id("via " + n2), s.id("via " + n3)}
		slices.Sort(two)
		s.replaceGroup(s.t, s.id(groupText(two)), ourMark, s.id("via "+n4))
		s.eventually(full...)
		s.addNextHop(s.t, s.id("via "+n2), m2, "fab1", ourMark)
		s.eventually(full...)
		require.NotZero(s.t, s.Stats().Repairs)
	}},
}

var losing = []conformanceCase{
	{name: "repairs what others delete, one by one and all at once", body: func(s *scene) {
		s.run()
		s.ensure(to(pods, n2, n3), to(pods2, n2), to(pods6, x2, x3))
		full := []string{ours4 + n2 + " " + n3, pods2 + " metric 512 via " + n2, ours6 + x2 + " " + x3}
		s.remove(s.t, spec{dst: pods, protocol: ourMark})
		s.eventually(full...)
		s.remove(s.t, spec{dst: pods6, protocol: ourMark})
		s.eventually(full...)
		s.wipe(s.t, ourMark)
		s.eventually(full...)
		within(s.t, func() bool { return s.Stats().Repairs >= 5 }, "repairs to be counted")
	}},
	{name: "repairs what others change under our mark", body: func(s *scene) {
		s.run()
		s.ensure(to(pods, n2), to(pods6, x2))
		s.replace(s.t, spec{dst: pods, via: n4, metric: 512, protocol: ourMark})
		s.eventually(ours4+n2, ours6+x2)
		s.replace(s.t, spec{dst: pods6, via: x3, metric: 512, protocol: ourMark})
		s.eventually(ours4+n2, ours6+x2)
		s.appendTo(s.t, spec{dst: pods, via: n4, metric: 512, protocol: ourMark})
		s.eventually(ours4+n2, ours6+x2)
		s.add(s.t, spec{dst: pods6, via: x3, metric: 300, protocol: ourMark})
		s.eventually(ours4+n2, ours6+x2)
	}},
	{name: "gives way after five repairs within a minute and says so", body: func(s *scene) {
		s.run()
		s.ensure(to(pods, n2), to(pods2, n2))
		full := []string{ours4 + n2, pods2 + " metric 512 via " + n2}
		for range fightRepairs {
			s.remove(s.t, spec{dst: pods, protocol: ourMark})
			s.eventually(full...)
		}
		s.remove(s.t, spec{dst: pods, protocol: ourMark})
		s.eventuallyStatus(pods, Failed)
		require.Contains(s.t, s.reason(pods), "another program keeps removing or changing the route")
		s.wantRoutes(full[1])
		require.EqualValues(s.t, 1, s.Stats().Fights)
		s.ensure(to(pods, n3)) // what is newly wanted is written at once
		s.eventually(ours4+n3, full[1])
	}},
	{name: "has everything back after a link was down", body: func(s *scene) {
		s.run()
		s.ensure(to(pods, n2), to(pods2, m2), to(pods6, x2))
		s.setUp(s.t, "fab0", false)
		s.eventuallyStatus(pods, Failed)
		s.eventually(pods2 + " metric 512 via " + m2)
		s.setUp(s.t, "fab0", true)
		s.addAddr(s.t, "fab0", "2001:db8:1::1/64") // the kernel forgets IPv6 addresses of a link that goes down
		s.eventually(ours4+n2, pods2+" metric 512 via "+m2, ours6+x2)
		s.setUp(s.t, "fab0", false) // a flap faster than we look
		s.setUp(s.t, "fab0", true)
		s.addAddr(s.t, "fab0", "2001:db8:1::1/64")
		s.eventually(ours4+n2, pods2+" metric 512 via "+m2, ours6+x2)
		require.Zero(s.t, s.Stats().Fights)
	}},
	{name: "takes a link without carrier out of its multipath routes and back in", body: func(s *scene) {
		s.run()
		s.ensure(to(pods, n2, m2), to(pods6, x2, y2), to(pods2, n2))
		s.setCarrier(s.t, "fab0", false)
		s.eventually(ours4+m2, ours6+y2)
		s.eventuallyStatus(pods2, Failed)
		require.Contains(s.t, s.reason(pods2), errLinkDown.Error())
		within(s.t, func() bool { return strings.Contains(s.reason(pods), "1 of 2 next hops in use") }, "the reason")
		s.setCarrier(s.t, "fab0", true)
		s.eventually(ours4+n2+" "+m2, pods2+" metric 512 via "+n2, ours6+x2+" "+y2)
		within(s.t, func() bool { return s.reason(pods) == "" }, "no reason")
	}},
	{name: "follows a link that is made anew with another index", body: func(s *scene) {
		s.run()
		s.ensure(to(pods, n2, m2), to(pods2, n2), to(pods6, x2))
		s.deleteLink(s.t, "fab0")
		s.eventually(ours4 + m2)
		s.addLink(s.t, "fab3") // takes the next index
		s.addLink(s.t, "fab0", "192.0.2.1/24", "2001:db8:1::1/64")
		s.eventually(ours4+n2+" "+m2, pods2+" metric 512 via "+n2, ours6+x2)
	}},
	{name: "moves with an address from one link to another", body: func(s *scene) {
		s.run()
		s.ensure(to(pods, n2))
		s.deleteAddr(s.t, "fab0", "192.0.2.1/24")
		s.eventually()
		s.addAddr(s.t, "fab1", "192.0.2.1/24")
		s.eventually(ours4 + n2)
		s.eventuallyStatus(pods, Installed)
	}},
	{name: "has its routes back after the last address of a link was away for a moment", body: func(s *scene) {
		s.run()
		s.ensure(to(pods, n2), to(pods2, m2))
		for range 3 {
			s.deleteAddr(s.t, "fab0", "192.0.2.1/24")
			s.addAddr(s.t, "fab0", "192.0.2.1/24")
			s.eventually(ours4+n2, pods2+" metric 512 via "+m2)
		}
		s.deleteAddr(s.t, "fab0", "192.0.2.1/24")
		s.eventually(pods2 + " metric 512 via " + m2)
		s.addAddr(s.t, "fab0", "192.0.2.1/24")
		s.eventually(ours4+n2, pods2+" metric 512 via "+m2)
		s.eventuallyStatus(pods, Installed)
	}},
	{name: "installs a route when its next hop becomes on-link", body: func(s *scene) {
		s.run()
		require.Error(s.t, s.Ensure(s.t.Context(), []Route{to(pods, "203.0.113.9")}))
		s.addLink(s.t, "fab2", "203.0.113.1/24")
		s.eventually(ours4 + "203.0.113.9")
	}},
	{name: "notices when a foreign route goes silently with its link", body: func(s *scene) {
		s.run()
		s.add(s.t, spec{dst: pods, via: m2, metric: 512, protocol: static})
		s.ensure(to(pods, n2))
		require.Equal(s.t, Conflict, s.status(pods))
		s.setUp(s.t, "fab1", false)
		s.eventually(ours4 + n2)
	}},
	{name: "catches up on what happened before Run and between two", body: func(s *scene) {
		s.ensure(to(pods, n2), to(pods6, x2))
		s.wipe(s.t, ourMark)
		stop := runTable(s.t, s.Table)
		s.eventually(ours4+n2, ours6+x2)
		require.ErrorIs(s.t, s.Run(s.t.Context()), ErrRunning)
		stop()
		s.wipe(s.t, ourMark)
		stop = runTable(s.t, s.Table)
		defer stop()
		s.eventually(ours4+n2, ours6+x2)
	}},
}

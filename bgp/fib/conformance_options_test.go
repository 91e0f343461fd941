package fib

import (
	"net/netip"

	"github.com/stretchr/testify/require"
)

const look = " lookup 70000"

var optional = []conformanceCase{
	{name: "writes the MTU and the source of each family, and adopts routes that have them without a write", body: func(s *scene) {
		s.cfg.MTU, s.cfg.Source4, s.cfg.Source6 = 1400, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8:2::1")
		s.reopen()
		want := []string{ours4 + n2 + " src 192.0.2.1 mtu 1400", ours6 + x2 + " " + x3 + " src 2001:db8:2::1 mtu 1400"}
		s.ensure(to(pods, n2), to(pods6, x2, x3))
		s.wantRoutes(want...)
		s.reopen()
		routes, objects := s.quiet(func() {
			_, err := s.Adopt(s.t.Context())
			require.NoError(s.t, err)
			s.ensure(to(pods, n2), to(pods6, x2, x3))
		})
		require.Zero(s.t, routes+objects)
		s.run()
		s.remove(s.t, spec{dst: pods, protocol: ourMark})
		s.eventually(want...)
		s.ensure(to(pods, n3), to(pods6))
		s.wantRoutes(ours4 + n3 + " src 192.0.2.1 mtu 1400")
		s.ensure(to(pods))
		s.wantRoutes()
	}},
	{name: "rewrites what an earlier run wrote with other options, there and back", body: func(s *scene) {
		all := []Route{to(pods, n2), to(pods2, n2, m2), to(pods6, x2), to("fd00:21::/64", x2, y2)}
		bare := []string{ours4 + n2, pods2 + " metric 512 via " + n2 + " " + m2, ours6 + x2, "fd00:21::/64 metric 512 via " + x2 + " " + y2}
		var full []string
		for i, r := range bare {
			full = append(full, r+map[bool]string{true: " src 192.0.2.1", false: ""}[i < 2]+" mtu 1400")
		}
		s.ensure(all...)
		for _, c := range []struct {
			mtu    int
			source string
			want   []string
		}{{1400, "192.0.2.1", full}, {0, "", bare}} {
			s.cfg.MTU, s.cfg.Source4 = c.mtu, netip.Addr{}
			if c.source != "" {
				s.cfg.Source4 = netip.MustParseAddr(c.source)
			}
			s.reopen()
			_, err := s.Adopt(s.t.Context())
			require.NoError(s.t, err)
			s.ensure(all...)
			_, err = s.Prune(s.t.Context())
			require.NoError(s.t, err)
			s.wantRoutes(c.want...)
			require.Equal(s.t, Installed, s.status(pods6))
		}
		n, err := s.Cleanup(s.t.Context())
		require.NoError(s.t, err)
		require.Equal(s.t, 4, n)
		s.wantRoutes()
	}},
	{name: "waits for a source that is not the node's, and notices when it goes", body: func(s *scene) {
		s.cfg.Source4 = netip.MustParseAddr("198.51.100.50") // on a link that no next hop is on
		s.reopen()
		s.run()
		err := s.Ensure(s.t.Context(), []Route{to(pods, n2), to(pods6, x2)})
		require.ErrorContains(s.t, err, "route 10.20.0.0/24: source address 198.51.100.50: invalid argument")
		s.wantRoutes(ours6 + x2)
		s.addAddr(s.t, "fab1", "198.51.100.50/24")
		s.eventually(ours4+n2+" src 198.51.100.50", ours6+x2)
		s.deleteAddr(s.t, "fab1", "198.51.100.50/24") // and with it goes the route, silently
		s.eventuallyStatus(pods, Failed)
		s.addAddr(s.t, "fab1", "198.51.100.50/24")
		s.eventually(ours4+n2+" src 198.51.100.50", ours6+x2)
	}},
	{name: "has a rule for its table in both families, repairs it, and leaves other rules alone", body: func(s *scene) {
		s.cfg.Rule, s.cfg.Table = 1000, 70000
		s.reopen()
		require.Empty(s.t, s.ruleTexts(s.t), "opening writes nothing")
		_, err := s.Adopt(s.t.Context())
		require.NoError(s.t, err)
		want := []string{"-4 1000" + look, "-6 1000" + look}
		require.Equal(s.t, want, s.ruleTexts(s.t))
		_, err = s.Adopt(s.t.Context())
		require.NoError(s.t, err)
		require.Equal(s.t, want, s.ruleTexts(s.t), "once")
		s.run()
		for _, family := range []string{"-4", "-6"} {
			s.dropRule(s.t, family, 1000, 70000)
			within(s.t, func() bool { return len(s.ruleTexts(s.t)) == 2 }, "the rule to be back")
		}
		s.putRule(s.t, "-4", 900, 70001) // an earlier run's
		_, err = s.Prune(s.t.Context())
		require.NoError(s.t, err)
		require.Equal(s.t, want, s.ruleTexts(s.t))
		_, err = s.Cleanup(s.t.Context())
		require.NoError(s.t, err)
		require.Empty(s.t, s.ruleTexts(s.t))
		s.addLink(s.t, "fab2", "203.0.113.1/24")
		s.putRule(s.t, "-6", 900, 70001)
		s.dropRule(s.t, "-6", 900, 70001)
		within(s.t, func() bool { return len(s.queue.ready) == 0 }, "the news to be taken in")
		require.Empty(s.t, s.ruleTexts(s.t), "cleaned up for good")
	}},
	{name: "removes the rule of an earlier run when none is wanted", body: func(s *scene) {
		s.putRule(s.t, "-4", 900, 70001)
		_, err := s.Adopt(s.t.Context())
		require.NoError(s.t, err)
		require.Len(s.t, s.ruleTexts(s.t), 1, "not before what is wanted is known")
		_, err = s.Prune(s.t.Context())
		require.NoError(s.t, err)
		require.Empty(s.t, s.ruleTexts(s.t))
	}},
	{name: "gives way to a program that keeps removing the rule", body: func(s *scene) {
		s.cfg.Rule, s.cfg.Table = 1000, 70000
		s.reopen()
		_, err := s.Adopt(s.t.Context())
		require.NoError(s.t, err)
		s.run()
		for range fightRepairs {
			s.dropRule(s.t, "-4", 1000, 70000)
			within(s.t, func() bool { return len(s.ruleTexts(s.t)) == 2 }, "the rule to be back")
		}
		s.dropRule(s.t, "-4", 1000, 70000)
		within(s.t, func() bool { return s.Stats().Fights == 1 }, "the fight to be seen")
		require.Equal(s.t, []string{"-6 1000" + look}, s.ruleTexts(s.t))
	}},
}

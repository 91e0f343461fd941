package fib

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What of resolving only Linux can show.

func newResolvingScene(t *testing.T, m Mode) (*linux, *scene) {
	l, s := newLinuxScene(t, m)
	s.resolving(ResolveAlways)
	s.run()
	return l, s
}

func TestAGatewayIsReachedOverTheLinkThatItsRouteNames(t *testing.T) {
	for _, mode := range []Mode{ModeObjects, ModeInline} {
		t.Run(string(mode), func(t *testing.T) {
			for _, c := range []struct{ name, route, dst, hop, want string }{
				{"a link-local one of IPv6, as router advertisements say", "-6 route add default via fe80::5 dev fab1", pods6, far6, "via fe80::5 dev fab1"},
				{"an IPv6 one of an IPv4 route", "route add " + behind + " via inet6 fe80::5 dev fab1", pods, far4, "via inet6 fe80::5 dev fab1"},
				{"one that is on another link by its address", "route add " + behind + " via 192.0.2.7 dev fab1 onlink", pods, far4, "via 192.0.2.7 dev fab1"},
				{"one on two links, by the same address", "route add " + behind + " nexthop via 169.254.0.1 dev fab0 onlink nexthop via 169.254.0.1 dev fab1 onlink",
					pods, far4, "nexthop via 169.254.0.1 dev fab1"},
				{"none at all, on a link beside a gateway", "route add " + behind + " nexthop dev fab1 nexthop via " + n2, pods, far4, "via " + far4 + " dev fab1"},
			} {
				t.Run(c.name, func(t *testing.T) {
					l, s := newResolvingScene(t, mode)
					l.ip(t, strings.Fields(c.route)...)
					s.ensure(to(c.dst, c.hop))
					shown := func() string { return strings.Join(strings.Fields(l.ip(t, "route", "show", c.dst)), " ") }
					if strings.Contains(c.dst, ":") {
						shown = func() string { return strings.Join(strings.Fields(l.ip(t, "-6", "route", "show", c.dst)), " ") }
					}
					require.Contains(t, shown(), c.want)
					require.Equal(t, addrs(c.hop), must(s.Lookup(p(c.dst))).NextHops)
					before := shown()
					s.reopenless(func(other *Table) {
						routes, objects := s.quiet(func() {
							_, err := other.Adopt(t.Context())
							require.NoError(t, err)
							require.NoError(t, other.Ensure(t.Context(), []Route{to(c.dst, c.hop)}))
							_, err = other.Prune(t.Context())
							require.NoError(t, err)
						})
						require.Zero(t, routes+objects)
					})
					require.Equal(t, before, shown())
				})
			}
		})
	}
}

// TestResolvingGoesByTheRulesOfTheHost: the kernel's rules say which tables lead to a next hop.
func TestResolvingGoesByTheRulesOfTheHost(t *testing.T) {
	l, s := newResolvingScene(t, ModeObjects)
	l.ip(t, "route", "add", "default", "via", n2)
	l.ip(t, "route", "add", behind, "via", m2, "table", "100")
	s.ensure(to(pods, far4))
	s.wantRoutes(ours4 + n2)
	l.ip(t, "rule", "add", "pref", "1000", "lookup", "100")
	s.eventually(ours4 + m2)
	l.ip(t, "route", "replace", behind, "via", m3, "table", "100")
	s.eventually(ours4 + m3)
	l.ip(t, "route", "add", far4+"/32", "via", n3) // closer, but in a table that comes later
	l.ip(t, "rule", "del", "pref", "1000")
	s.eventually(ours4 + n3)
}

// TestTheLoopbackLinkIsNoWay although a route may lead there.
func TestTheLoopbackLinkIsNoWay(t *testing.T) {
	l, s := newResolvingScene(t, ModeObjects)
	l.ip(t, "route", "add", behind, "dev", "lo")
	err := s.Ensure(t.Context(), []Route{to(pods, far4)})
	require.ErrorContains(t, err, "next hop unresolved (its route leads to the loopback link)")
	l.ip(t, "route", "del", behind)
	l.ip(t, "route", "add", behind, "via", n2)
	s.eventually(ours4 + n2)
}

// TestRoutesThatConcernNoNextHopCostNoLookUp: a default route that changes says nothing about what is on-link.
func TestRoutesThatConcernNoNextHopCostNoLookUp(t *testing.T) {
	for _, c := range []struct {
		dst   string
		table uint32
		want  []string
	}{
		{"0.0.0.0/0", DefaultTable, nil},
		{"203.0.0.0/16", DefaultTable, nil},
		{behind, DefaultTable, []string{far4}},
		{far4 + "/32", DefaultTable, []string{far4}},
		{"192.0.2.0/24", DefaultTable, []string{n2, n3}},
		{"0.0.0.0/0", 100, []string{n2, n3, far4}},
	} {
		f := newFake()
		s := newScene(t, f, ModeObjects)
		s.resolving(ResolveRoutes)
		s.add(t, staticTo(behind, n3))
		s.ensure(to(pods, n2), to(pods2, far4))
		s.mu.Lock()
		s.doubtWithin(p(c.dst), c.table)
		var got []string
		for _, h := range s.stale {
			got = append(got, h.addr.String())
		}
		s.mu.Unlock()
		require.ElementsMatch(t, c.want, got, "%s in %d", c.dst, c.table)
	}
}

package fib

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// chaos does anything in any order, and at the end wants the kernel to be exactly as desired.
type chaos struct {
	*scene
	rng     *rand.Rand
	desired map[netip.Prefix][]netip.Addr
	dropped map[netip.Prefix]bool
	foreign map[string]spec // by prefix and metric
	broken  map[string]bool // links that are down
	mischief,
	budget int
	stop func()
	wait func(ok func() bool) bool
}

var chaosHops = map[bool][]netip.Addr{
	true:  addrs(n2, n3, n4, m2, m3, far4, far5),
	false: addrs(x2, x3, y2, "2001:db8:2::3", far6),
}

func (c *chaos) prefix() netip.Prefix {
	if c.rng.IntN(3) == 0 {
		return p(fmt.Sprintf("fd00:20:0:%d::/64", c.rng.IntN(6)))
	}
	return p(fmt.Sprintf("10.20.%d.0/24", c.rng.IntN(12)))
}

func (c *chaos) hops(v4 bool) []netip.Addr {
	all := slices.Clone(chaosHops[v4])
	c.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:1+c.rng.IntN(3)]
}

func (c *chaos) say(routes ...Route) {
	for _, r := range routes {
		if len(r.NextHops) == 0 {
			delete(c.desired, r.Dst)
		} else {
			c.desired[r.Dst] = slices.SortedFunc(slices.Values(r.NextHops), netip.Addr.Compare)
		}
	}
	_ = c.Ensure(c.t.Context(), routes) // links may be down just now
}

func (c *chaos) step() {
	switch c.rng.IntN(17) {
	case 0, 1, 2:
		dst := c.prefix()
		c.say(Route{dst, c.hops(dst.Addr().Is4())})
	case 3:
		c.say(Route{Dst: c.prefix()})
	case 4: // many prefixes move together
		via := map[bool][]netip.Addr{true: c.hops(true), false: c.hops(false)}
		var all []Route
		for dst := range c.desired {
			all = append(all, Route{dst, via[dst.Addr().Is4()]})
		}
		c.say(all...)
	case 5:
		c.interfere()
	case 6:
		c.addForeign()
	case 7:
		c.removeForeign()
	case 8, 9:
		c.flap()
	case 10:
		_, err := c.Prune(c.t.Context())
		require.NoError(c.t, err)
	case 11:
		if c.rng.IntN(3) == 0 {
			c.restart()
		}
	case 12:
		c.divert()
	case 13, 14:
		c.reroute([]string{n2, m2}[c.rng.IntN(2)], []string{x2, y2}[c.rng.IntN(2)])
	case 15, 16:
		dst := c.prefix()
		c.dropped[dst] = !c.dropped[dst]
		c.sayDropped()
	}
}

func (c *chaos) sayDropped() {
	var all []netip.Prefix
	for dst, yes := range c.dropped {
		if yes {
			all = append(all, dst)
		}
	}
	_ = c.Discard(c.t.Context(), all) // somebody may fight
}

// reroute leads the next hops behind gateways another way.
func (c *chaos) reroute(via4, via6 string) {
	if len(c.broken) == 0 {
		c.replace(c.t, staticTo(behind, via4))
		c.replace(c.t, staticTo(behind6, via6))
	}
}

// divert has the traffic of a set go another way until further notice.
func (c *chaos) divert() {
	for dst, from := range c.desired {
		_ = c.Failover(c.t.Context(), []Move{{from, c.hops(dst.Addr().Is4())}})
		return
	}
}

// comeBack ends all detours.
func (c *chaos) comeBack() {
	var all []Move
	for _, hops := range c.desired {
		all = append(all, Move{hops, hops})
	}
	require.NoError(c.t, c.Failover(c.t.Context(), all))
}

// interfere has another program delete a route of ours, or an object.
func (c *chaos) interfere() {
	if c.mischief >= c.budget {
		return
	}
	c.mischief++
	if c.mode == ModeObjects && c.rng.IntN(2) == 0 {
		for id := range c.objects(c.t, ourMark) {
			c.steal("", id)
			return
		}
	}
	if all := c.routes(c.t, ourMark); len(all) > 0 {
		c.steal(strings.Fields(all[c.rng.IntN(len(all))])[0], 0)
	}
}

func (c *chaos) addForeign() {
	r := spec{dst: c.prefix().String(), via: n4, metric: []int{100, 512, 9000, DiscardMetric}[c.rng.IntN(4)], protocol: static}
	if strings.Contains(r.dst, ":") {
		r.via = x3
	}
	key := fmt.Sprint(r.dst, r.metric)
	place := fmt.Sprintf("%s metric %d ", r.dst, r.metric)
	ours := slices.ContainsFunc(c.routes(c.t, ourMark), func(o string) bool { return strings.HasPrefix(o, place) })
	if _, there := c.foreign[key]; there || c.broken["fab0"] || ours {
		return // Linux would refuse
	}
	if r.metric == DiscardMetric && c.dropped[p(r.dst)] {
		return // as below
	}
	if _, wanted := c.desired[p(r.dst)]; wanted && r.metric == 512 {
		return // a race between ours and theirs, which either may win
	}
	c.foreign[key] = r
	c.add(c.t, r)
}

func (c *chaos) removeForeign() {
	for key, r := range c.foreign {
		delete(c.foreign, key)
		c.remove(c.t, r)
		return
	}
}

func (c *chaos) flap() {
	name := []string{"fab0", "fab1"}[c.rng.IntN(2)]
	if c.broken[name] {
		c.mend(name)
		return
	}
	if c.broken[name] = true; name == "fab0" {
		clear(c.foreign) // goes with its link
	}
	c.setUp(c.t, name, false)
}

func (c *chaos) mend(name string) {
	delete(c.broken, name)
	c.setUp(c.t, name, true)
	c.addAddr(c.t, name, map[string]string{"fab0": "2001:db8:1::1/64", "fab1": "2001:db8:2::1/64"}[name])
}

func (c *chaos) restart() {
	c.stop()
	c.reopen()
	c.stop = runTable(c.t, c.Table)
	_, err := c.Adopt(c.t.Context())
	require.NoError(c.t, err)
	var all []Route
	for dst, via := range c.desired {
		all = append(all, Route{dst, via})
	}
	c.say(all...)
	c.sayDropped()
}

func (c *chaos) run(steps int) {
	c.dropped = map[netip.Prefix]bool{}
	c.desired, c.foreign, c.broken = map[netip.Prefix][]netip.Addr{}, map[string]spec{}, map[string]bool{}
	c.resolving(ResolveRoutes)
	c.reroute(n2, x2)
	c.stop = runTable(c.t, c.Table)
	defer func() { c.stop() }()
	for range steps {
		c.step()
	}
	for name := range c.broken {
		c.mend(name)
	}
	for len(c.foreign) > 0 {
		c.removeForeign()
	}
	c.reroute(n3, x3)
	c.comeBack()
	want, sets, hops := []string{}, map[string]bool{}, map[string]bool{}
	for dst, via := range c.desired {
		var text []string
		for _, a := range via {
			leg := map[string]string{far4: n3, far5: n3, far6: x3}[a.String()]
			if leg == "" {
				leg = a.String()
			}
			text = append(text, leg)
			hops[leg] = true
		}
		slices.Sort(text)
		text = slices.Compact(text)
		sets[fmt.Sprint(via)] = true
		want = append(want, fmt.Sprintf("%s metric 512 via %s", dst, strings.Join(text, " ")))
	}
	routes := len(want)
	for dst, yes := range c.dropped {
		if yes {
			want = append(want, dst.String()+drop)
		}
	}
	slices.Sort(want)
	var got []string
	ok := c.wait(func() bool { got = c.routes(c.t, ourMark); return slices.Equal(want, got) })
	require.True(c.t, ok, "want %v\n got %v", want, got)
	_, err := c.Prune(c.t.Context())
	require.NoError(c.t, err)
	require.Equal(c.t, want, c.routes(c.t, ourMark))
	if c.mode == ModeObjects {
		objects := c.objects(c.t, ourMark)
		groups := 0
		for _, o := range objects {
			if strings.HasPrefix(o, "group") {
				groups++
			}
		}
		require.Equal(c.t, len(hops), len(objects)-groups, "one object for each next hop in use: %v", objects)
		require.GreaterOrEqual(c.t, groups, len(sets))
		require.LessOrEqual(c.t, groups, routes)
	}
	for _, d := range c.Discards() {
		require.Equal(c.t, Installed, d.Status, "%s: %s", d.Prefix, d.Reason)
	}
	for dst := range c.desired {
		require.True(c.t, c.wait(func() bool { return c.status(dst.String()) == Installed }), "%s is %s: %s", dst, c.status(dst.String()), c.reason(dst.String()))
	}
}

func TestAnythingInAnyOrderEndsAsDesired(t *testing.T) {
	for _, mode := range []Mode{ModeObjects, ModeInline} {
		for seed := range uint64(100) {
			t.Run(fmt.Sprintf("model/%s/%d", mode, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := &chaos{scene: newScene(t, newFake(), mode), rng: rand.New(rand.NewPCG(seed, 1)), budget: 1000}
					c.wait = func(ok func() bool) bool { after(3 * time.Minute); return ok() }
					c.run(150)
				})
			})
		}
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("linux/%s/%d", mode, seed), func(t *testing.T) {
				// Few interferences: who fights waits a minute.
				c := &chaos{scene: newScene(t, newLinux(t), mode), rng: rand.New(rand.NewPCG(seed, 1)), budget: fightRepairs}
				c.wait = func(ok func() bool) bool { return patient(fightPause+fightWindow/2, ok) }
				c.run(100)
			})
		}
	}
}

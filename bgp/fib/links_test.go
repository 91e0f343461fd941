package fib

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// happening is something that happens to the links of a node: what is left of the routes over fab0 meanwhile, and how
// it ends. The routes over fab1 are not touched.
type happening struct {
	name  string
	mode  Mode // empty: both
	does  func(t *testing.T, l *linux)
	left  []string // nil: as before
	undo  func(t *testing.T, l *linux)
	after []string // nil: as before
}

const (
	pods3  = "10.20.3.0/24" // over fab1
	stays  = pods3 + " metric 512 via " + m2
	pods6b = "fd00:21::/64" // over fab1
	stays6 = pods6b + " metric 512 via " + y2
	fab0v6 = "2001:db8:1::1/64"
	fab0v4 = "192.0.2.1/24"
)

func (l *linux) set(t *testing.T, args string) { l.ip(t, strings.Fields(args)...) }

var happenings = []happening{
	{name: "the link is set down and up, and its IPv6 address comes back",
		does: func(t *testing.T, l *linux) { l.set(t, "link set fab0 down") }, left: []string{},
		undo: func(t *testing.T, l *linux) {
			l.set(t, "link set fab0 up")
			l.addAddr(t, "fab0", fab0v6)
		}},
	{name: "the cable is pulled and put back",
		does: func(t *testing.T, l *linux) { l.setCarrier(t, "fab0", false) }, left: []string{},
		undo: func(t *testing.T, l *linux) { l.setCarrier(t, "fab0", true) }},
	{name: "the link flaps faster than anybody looks",
		does: func(t *testing.T, l *linux) {
			l.set(t, "link set fab0 down")
			l.set(t, "link set fab0 up")
			l.addAddr(t, "fab0", fab0v6)
		}},
	{name: "the link gets another name, which needs it down",
		does: func(t *testing.T, l *linux) {
			l.set(t, "link set fab0 down")
			l.set(t, "link set fab0 name uplink")
			l.set(t, "link set uplink up")
			l.addAddr(t, "uplink", fab0v6)
		}},
	{name: "the link gets another name while it is up",
		does: func(t *testing.T, l *linux) { l.set(t, "link set fab0 name uplink") }},
	{name: "the link is deleted and another one takes its place and name",
		does: func(t *testing.T, l *linux) { l.set(t, "link del fab0") }, left: []string{},
		undo: func(t *testing.T, l *linux) {
			l.addLink(t, "other0")
			l.addLink(t, "fab0", fab0v4, fab0v6)
		}},
	{name: "the MTU changes, which is nobody's business",
		does: func(t *testing.T, l *linux) { l.set(t, "link set fab0 mtu 1400") }},
	{name: "the IPv4 address goes and comes back",
		does: func(t *testing.T, l *linux) { l.set(t, "addr del "+fab0v4+" dev fab0") }, left: []string{ours6 + x2},
		undo: func(t *testing.T, l *linux) { l.addAddr(t, "fab0", fab0v4) }},
	{name: "the IPv4 address becomes another one of the same subnet",
		does: func(t *testing.T, l *linux) {
			l.addAddr(t, "fab0", "192.0.2.77/24")
			l.set(t, "addr del "+fab0v4+" dev fab0") // takes the other one, its secondary, along
			l.set(t, "addr replace 192.0.2.77/24 dev fab0")
		}},
	{name: "the IPv6 address goes and comes back",
		does: func(t *testing.T, l *linux) { l.set(t, "addr del "+fab0v6+" dev fab0") }, left: []string{ours4 + n2},
		undo: func(t *testing.T, l *linux) { l.addAddr(t, "fab0", fab0v6) }},
	{name: "IPv6 is turned off on the link and on again",
		does: func(t *testing.T, l *linux) { l.sysctl(t, "net/ipv6/conf/fab0/disable_ipv6", "1") }, left: []string{ours4 + n2},
		undo: func(t *testing.T, l *linux) {
			l.sysctl(t, "net/ipv6/conf/fab0/disable_ipv6", "0")
			l.addAddr(t, "fab0", fab0v6)
		}},
	{name: "the subnet moves to the other link",
		does: func(t *testing.T, l *linux) {
			l.set(t, "addr del "+fab0v4+" dev fab0")
			l.addAddr(t, "fab1", fab0v4)
		}},
	{name: "a second link gets the same subnet, and then the first one goes",
		does: func(t *testing.T, l *linux) {
			l.addLink(t, "fab9", "192.0.2.9/24", "2001:db8:1::9/64")
			l.set(t, "link del fab0")
		}},
	{name: "the next hop becomes an address of this node and ceases to be",
		does: func(t *testing.T, l *linux) { l.set(t, "addr add "+n2+"/32 dev lo") }, left: []string{ours6 + x2},
		undo: func(t *testing.T, l *linux) { l.set(t, "addr del "+n2+"/32 dev lo") }},
	{name: "a narrower subnet on another link takes the next hop",
		does: func(t *testing.T, l *linux) { l.addLink(t, "fab8", "192.0.2.3/30") }},
	{name: "somebody routes the next hop through a gateway for a while",
		does: func(t *testing.T, l *linux) { l.set(t, "route add 192.0.2.2/32 via "+n4) }, left: []string{ours6 + x2},
		undo: func(t *testing.T, l *linux) { l.set(t, "route del 192.0.2.2/32 via "+n4) }},
}

func TestWhateverHappensToLinksIsFollowedWithinASecond(t *testing.T) {
	for _, h := range happenings {
		for _, mode := range []Mode{ModeObjects, ModeInline} {
			if h.mode != "" && h.mode != mode {
				continue
			}
			t.Run(string(mode)+"/"+h.name, func(t *testing.T) { h.run(t, mode) })
		}
	}
}

func (h happening) run(t *testing.T, mode Mode) {
	l, s := newLinuxScene(t, mode)
	s.run()
	s.ensure(to(pods, n2), to(pods6, x2), to(pods3, m2), to(pods6b, y2))
	full := []string{ours4 + n2, stays, ours6 + x2, stays6}
	s.wantRoutes(full...)
	with := func(some []string) []string {
		if some == nil {
			return full
		}
		all := append(slices.Clone(some), stays, stays6)
		slices.Sort(all)
		return all
	}
	s.writes(t)
	touched := l.touches(stays, stays6)
	h.does(t, l)
	s.promptly(with(h.left)...)
	if h.undo != nil {
		h.undo(t, l)
		s.promptly(with(h.after)...)
	}
	s.writes(t) // all that was written has been seen
	require.Equal(t, touched, l.touches(stays, stays6), "what was not concerned was not touched")
	s.eventuallyStatus(pods, Installed)
	s.eventuallyStatus(pods6, Installed)
	l.reached(t, pods, n2)
}

// promptly wants the routes without another look at everything: long before that is due. The log says how long it took.
func (s *scene) promptly(want ...string) {
	s.t.Helper()
	begin := time.Now()
	s.eventually(want...)
	s.t.Logf("as it should be after %s", time.Since(begin).Round(time.Millisecond))
}

// reached wants the route's packets to leave where its next hop is.
func (l *linux) reached(t *testing.T, dst, via string) {
	t.Helper()
	dev := func(addr string) string {
		f := strings.Fields(l.ip(t, "-o", "route", "get", addr))
		return f[slices.Index(f, "dev")+1]
	}
	within(t, func() bool { return dev(p(dst).Addr().Next().String()) == dev(via) }, "%s to leave where %s is", dst, via)
}

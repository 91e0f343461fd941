package neighbor

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// step is something that happens at a time, in tenths of a second.
type step struct {
	at     int
	router string // advertises itself
	host   string // answers a ping
	link   *state // what the host says of the link from now on
	is     string // what the neighbour is then; empty for none
	why    string // why there is none
}

func at(index int) *state {
	return &state{index: index, own: []netip.Addr{netip.MustParseAddr("fe80::1")}}
}

func TestLink(t *testing.T) {
	const none = "no neighbour has been heard on eth1"
	for name, steps := range map[string][]step{
		"a router is the neighbour at once": {
			{at: 0, link: at(2), why: none},
			{at: 1, router: "fe80::a", is: "fe80::a%eth1"},
		},
		"what only answers a ping is the neighbour when nobody else has answered for half a second": {
			{at: 0, link: at(2), why: none},
			{at: 1, host: "fe80::a", why: none},
			{at: 6, is: "fe80::a%eth1"},
		},
		"a router counts before what only answers": {
			{at: 0, link: at(2), why: none},
			{at: 1, host: "fe80::a", why: none},
			{at: 2, router: "fe80::b", is: "fe80::b%eth1"},
		},
		"a neighbour stays beside two others that come": {
			{at: 0, link: at(2), why: none},
			{at: 1, router: "fe80::a", is: "fe80::a%eth1"},
			{at: 2, link: at(3), is: "fe80::a%eth1"},
			{at: 3, router: "fe80::b", is: "fe80::a%eth1"},
			{at: 4, router: "fe80::c", is: "fe80::a%eth1"},
		},
		"two that answer at the same time are none": {
			{at: 0, link: at(2), why: none},
			{at: 1, host: "fe80::a", why: none},
			{at: 2, host: "fe80::b", why: "2 neighbours on eth1: fe80::a, fe80::b: give the address of one, as in fe80::a%eth1"},
			{at: 20, why: "2 neighbours on eth1: fe80::a, fe80::b: give the address of one, as in fe80::a%eth1"},
		},
		"we are not our own neighbour": {
			{at: 0, link: at(2), why: none},
			{at: 1, router: "fe80::1", why: none},
		},
		"a neighbour stays while it is silent": {
			{at: 0, link: at(2), why: none},
			{at: 1, router: "fe80::a", is: "fe80::a%eth1"},
			{at: 6000, is: "fe80::a%eth1"},
		},
		"a neighbour stays while the link is down": {
			{at: 0, link: at(2), why: none},
			{at: 1, router: "fe80::a", is: "fe80::a%eth1"},
			{at: 2, link: &state{problem: "link eth1 is down"}, is: "fe80::a%eth1"},
		},
		"a neighbour stays beside another one as long as it is heard": {
			{at: 0, link: at(2), why: none},
			{at: 1, router: "fe80::a", is: "fe80::a%eth1"},
			{at: 90, router: "fe80::b", is: "fe80::a%eth1"},
			{at: 101, router: "fe80::a", is: "fe80::a%eth1"},
			{at: 130, is: "fe80::a%eth1"},
		},
		"a neighbour is replaced when another one is heard and it is not": {
			{at: 0, link: at(2), why: none},
			{at: 1, router: "fe80::a", is: "fe80::a%eth1"},
			{at: 90, router: "fe80::b", is: "fe80::a%eth1"},
			{at: 120, router: "fe80::b", is: "fe80::a%eth1"},
			{at: 130, is: "fe80::b%eth1"},
		},
		"a link that comes back may lead elsewhere": {
			{at: 0, link: at(2), why: none},
			{at: 1, router: "fe80::a", is: "fe80::a%eth1"},
			{at: 2, link: &state{problem: "there is no link eth1"}, is: "fe80::a%eth1"},
			{at: 50, link: at(7), is: "fe80::a%eth1"},
			{at: 51, router: "fe80::b", is: "fe80::a%eth1"},
			{at: 65, is: "fe80::a%eth1"},
			{at: 67, is: "fe80::b%eth1"},
		},
		"without a link there is no neighbour": {
			{at: 0, link: &state{problem: "there is no link eth1"}, why: "there is no link eth1"},
			{at: 1, router: "fe80::a", why: "there is no link eth1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, start := newLink("eth1"), time.Now()
			for _, s := range steps {
				now := start.Add(time.Duration(s.at) * time.Second / 10)
				if s.link != nil {
					l.place(*s.link)
				}
				if s.router != "" {
					l.hear(netip.MustParseAddr(s.router), true, now)
				}
				if s.host != "" {
					l.hear(netip.MustParseAddr(s.host), false, now)
				}
				l.judge(now)
				got, why := l.answer(now)
				if s.is == "" {
					require.Zero(t, got, "%d", s.at)
					require.Equal(t, s.why, why, "%d", s.at)
					continue
				}
				require.Equal(t, s.is, got.Neighbor.String(), "%d", s.at)
				require.Equal(t, "fe80::1%eth1", got.Local.String(), "%d", s.at)
			}
		})
	}
}

func TestHowOftenIsAsked(t *testing.T) {
	l, now := newLink("eth1"), time.Now()
	pause := func() time.Duration { return l.wants(now).Sub(now) }
	require.Equal(t, askFast, pause(), "without a link it is looked for")
	l.place(*at(2))
	l.asked = now
	require.Equal(t, askFast, pause(), "nobody is known")
	l.hear(netip.MustParseAddr("fe80::a"), true, now)
	l.judge(now)
	require.Equal(t, askFast, pause(), "the neighbour may not have been listening")
	l.eager = 0
	require.Equal(t, askSlow, pause(), "the neighbour is known")
	l.hear(netip.MustParseAddr("fe80::b"), false, now)
	require.Equal(t, askFast, pause(), "somebody else is heard")
}

func TestStrangersAreBounded(t *testing.T) {
	l := newLink("eth1")
	l.place(*at(2))
	for i := range 10 * maxSeen {
		l.hear(netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 14: byte(i >> 8), 15: byte(i)}), true, time.Now())
	}
	require.LessOrEqual(t, len(l.seen), maxSeen)
}

func TestPackets(t *testing.T) {
	from, global := netip.MustParseAddr("fe80::a"), netip.MustParseAddr("2001:db8::1")
	for name, row := range map[string]struct {
		packet
		neighbor, router, asks bool
	}{
		"an answer to our ping is a neighbour's":         {packet{from, 1, 64, []byte{129, 0, 0, 0, 0, 7, 0, 0}}, true, false, false},
		"an answer to somebody else's ping is not":       {packet{from, 1, 64, []byte{129, 0, 0, 0, 0, 8, 0, 0}}, false, false, false},
		"an advertisement is a router's":                 {packet{from, 1, 255, advertisement()}, true, true, false},
		"an advertisement that was forwarded is nothing": {packet{from, 1, 254, advertisement()}, false, false, false},
		"one cut short is nothing":                       {packet{from, 1, 255, advertisement()[:12]}, false, false, false},
		"one from a global address is nothing":           {packet{global, 1, 255, advertisement()}, false, false, false},
		"a solicitation is a neighbour's, and asks":      {packet{from, 1, 255, solicitation()}, true, false, true},
		"an empty packet is nothing":                     {packet{from, 1, 255, nil}, false, false, false},
	} {
		neighbor, router, asks := row.use(7)
		require.Equal(t, row.neighbor, neighbor, name)
		require.Equal(t, row.router, router, name)
		require.Equal(t, row.asks, asks, name)
	}
	require.Len(t, ping(7), 8)
	require.Len(t, solicitation(), 8)
	require.Len(t, advertisement(), 16)
}

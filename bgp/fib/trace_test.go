package fib

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// traced is a trace in a line: what decides, by which rule, and where it leads.
func traced(x Trace) string {
	text := string(x.Fate)
	if x.Prefix.IsValid() {
		text += fmt.Sprintf(" by %s of table %d", x.Prefix, x.Table)
		if x.Ours {
			text += ", ours"
		}
	}
	for _, w := range x.Ways {
		text += fmt.Sprintf(", %s over %s", w.Gateway, w.Link)
		if w.Down {
			text += " (down)"
		}
	}
	return text
}

// asIPSays fails the test unless ip route get says of the same packet what the trace does.
func (l *linux) asIPSays(t *testing.T, x Trace) {
	t.Helper()
	args := []string{"-j", "route", "get", x.Dst.String()}
	if x.Src.IsValid() {
		args = append(args, "from", x.Src.String())
	}
	if x.In != "" {
		args = append(args, "iif", x.In)
	}
	out, err := exec.Command("ip", args...).Output()
	if x.Error != "" && x.Dst.Is4() || x.Fate == NoRoute || x.Fate == Unreachable && !x.Prefix.IsValid() {
		require.Error(t, err, "ip route get %s says %s, and the trace %+v", x.Dst, out, x)
		return
	}
	var list []struct {
		Type, Dev, Gateway, PrefSrc string
		Via                         struct{ Host string }
	}
	if err != nil && x.Error == "" { // ip(8) fails for IPv6 routes that drop
		require.NoError(t, err)
	}
	if json.Unmarshal(out, &list) != nil || len(list) == 0 {
		require.NotEmpty(t, x.Error)
		return
	}
	gateway := list[0].Gateway + list[0].Via.Host
	if x.Chosen.Gateway.IsValid() || gateway != "" {
		require.Equal(t, gateway, x.Chosen.Gateway.WithZone("").String())
	}
	if x.Error == "" {
		require.Equal(t, list[0].Dev, x.Chosen.Link)
	}
	if list[0].Type != "" {
		require.Equal(t, list[0].Type, string(x.Fate))
	}
	if list[0].PrefSrc != "" && x.In == "" {
		require.Equal(t, list[0].PrefSrc, x.Source.String())
	}
}

func TestAPacketIsFollowedAsTheKernelWould(t *testing.T) {
	const inside, inside6 = "10.20.0.7", "fd00:20::7"
	for _, c := range []struct{ name, setup, dst, want, rule string }{
		{"a route of ours", "", inside, "unicast by 10.20.0.0/24 of table 254, ours, 192.0.2.2 over fab0", "32766: from all lookup main"},
		{"likewise, IPv6", "", inside6, "unicast by fd00:20::/64 of table 254, ours, 2001:db8:1::2 over fab0", "32766: from all lookup main"},
		{"a longer one of somebody else", "route add 10.20.0.0/25 via " + m2 + " proto bird", inside,
			"unicast by 10.20.0.0/25 of table 254, 198.51.100.2 over fab1", "32766: from all lookup main"},
		{"likewise, IPv6", "-6 route add fd00:20::/80 via " + y2, inside6,
			"unicast by fd00:20::/80 of table 254, 2001:db8:2::2 over fab1", "32766: from all lookup main"},
		{"one beside it with a lower metric", "route add 10.20.0.0/24 via " + m2 + " metric 7", inside,
			"unicast by 10.20.0.0/24 of table 254, 198.51.100.2 over fab1", "32766: from all lookup main"},
		{"a table that a rule looks at first", "route add default via " + m2 + " table 77000,rule add to 10.20.0.0/16 pref 100 lookup 77000", inside,
			"unicast by 0.0.0.0/0 of table 77000, 198.51.100.2 over fab1", "100: from all to 10.20.0.0/16 lookup 77000"},
		{"a rule for what comes from elsewhere does not count", "route add default via " + m2 + " table 77,rule add iif fab1 pref 100 lookup 77", inside,
			"unicast by 10.20.0.0/24 of table 254, ours, 192.0.2.2 over fab0", "32766: from all lookup main"},
		{"a blackhole", "route add blackhole 10.20.0.0/28", inside, "blackhole by 10.20.0.0/28 of table 254", "32766: from all lookup main"},
		{"the closer of two", "route add blackhole 10.20.0.0/28,route add blackhole 10.20.0.0/27", inside,
			"blackhole by 10.20.0.0/28 of table 254", "32766: from all lookup main"},
		{"an unreachable one", "route add unreachable 10.20.0.0/28", inside, "unreachable by 10.20.0.0/28 of table 254", "32766: from all lookup main"},
		{"a prohibit one", "route add prohibit 10.20.0.0/28", inside, "prohibit by 10.20.0.0/28 of table 254", "32766: from all lookup main"},
		{"a blackhole, IPv6", "-6 route add blackhole fd00:20::/80", inside6, "blackhole by fd00:20::/80 of table 254", "32766: from all lookup main"},
		{"a rule that prohibits", "rule add to 10.20.0.0/16 pref 100 prohibit", inside, "prohibit", "100: from all to 10.20.0.0/16 prohibit"},
		{"several gateways", "route add 10.20.0.0/28 nexthop via " + n2 + " nexthop via " + m2, inside,
			"unicast by 10.20.0.0/28 of table 254, 192.0.2.2 over fab0, 198.51.100.2 over fab1", "32766: from all lookup main"},
		{"several gateways, IPv6", "-6 route add fd00:20::/80 nexthop via " + x2 + " nexthop via " + y2, inside6,
			"unicast by fd00:20::/80 of table 254, 2001:db8:1::2 over fab0, 2001:db8:2::2 over fab1", "32766: from all lookup main"},
		{"an IPv6 gateway of an IPv4 route", "route add 10.20.0.0/28 via inet6 fe80::5 dev fab1", inside,
			"unicast by 10.20.0.0/28 of table 254, fe80::5%fab1 over fab1", "32766: from all lookup main"},
		{"no route at all", "", "10.99.0.1", "none", ""},
		{"likewise, IPv6", "", "fd99::1", "none", ""},
		{"a default route", "route add default via " + n3, "10.99.0.1", "unicast by 0.0.0.0/0 of table 254, 192.0.2.3 over fab0", "32766: from all lookup main"},
		{"an address of the node, with rules of somebody's", "rule add iif fab1 pref 100 lookup 77", "192.0.2.1", "local by 192.0.2.1/32 of table 255", "0: from all lookup local"},
		{"a neighbour", "", n4, "unicast by 192.0.2.0/24 of table 254, invalid IP over fab0", "32766: from all lookup main"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, s := newLinuxScene(t, ModeObjects)
			s.ensure(to("10.20.0.0/24", n2), to("fd00:20::/64", x2))
			for line := range strings.SplitSeq(c.setup, ",") {
				if line != "" {
					l.ip(t, strings.Fields(line)...)
				}
			}
			x, err := s.Trace(Packet{Dst: netip.MustParseAddr(c.dst)})
			require.NoError(t, err)
			require.Equal(t, c.want, strings.TrimSpace(traced(x)), "%+v", x)
			require.Equal(t, c.rule, x.Rule)
			l.asIPSays(t, x)
		})
	}
}

func TestAPacketOfAPodIsFollowedAsTheKernelWould(t *testing.T) {
	const pod, far = "10.10.1.10", "10.20.0.7"
	for _, c := range []struct{ name, setup, want, rule string }{
		{"it is forwarded", "", "unicast by 10.20.0.0/24 of table 254, ours, 192.0.2.2 over fab0", "32766: from all lookup main"},
		{"a rule for pods leads elsewhere", "ip route add default via " + m2 + " table 77,ip rule add from 10.10.0.0/16 pref 100 lookup 77",
			"unicast by 0.0.0.0/0 of table 77, 198.51.100.2 over fab1", "100: from 10.10.0.0/16 lookup 77"},
		{"one for their link, too", "ip route add default via " + m2 + " table 77,ip rule add iif pods pref 100 lookup 77",
			"unicast by 0.0.0.0/0 of table 77, 198.51.100.2 over fab1", "100: from all iif pods lookup 77"},
		{"the link does not forward", "sysctl -qw net.ipv4.conf.pods.forwarding=0", "unreachable", ""},
		{"its source is expected on another link", "sysctl -qw net.ipv4.conf.pods.rp_filter=1,ip route add " + pod + "/32 via " + m2, "source", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, s := newLinuxScene(t, ModeObjects)
			l.link(t, "pods", "10.10.1.1/24")
			l.sysctl(t, "net/ipv4/ip_forward", "1")
			s.ensure(to("10.20.0.0/24", n2))
			for line := range strings.SplitSeq(c.setup, ",") {
				if f := strings.Fields(line); len(f) > 0 {
					out, err := exec.Command(f[0], f[1:]...).CombinedOutput()
					require.NoError(t, err, "%s", out)
				}
			}
			x, err := s.Trace(Packet{Dst: netip.MustParseAddr(far), Src: netip.MustParseAddr(pod), In: "pods"})
			require.NoError(t, err)
			require.Equal(t, c.want, traced(x), "%+v", x)
			require.Equal(t, c.rule, x.Rule)
			l.asIPSays(t, x)
		})
	}
}

func TestATraceTellsOfNeighboursAndLinks(t *testing.T) {
	l, s := newLinuxScene(t, ModeObjects)
	s.ensure(to(pods, n2), to(pods6, x2))
	trace := func(dst string) Trace {
		x, err := s.Trace(Packet{Dst: netip.MustParseAddr(dst)})
		require.NoError(t, err)
		return x
	}
	inside, inside6 := p(pods).Addr().Next().String(), p(pods6).Addr().Next().String()
	require.Empty(t, trace(inside).Chosen.Neighbour, "nobody has asked for it")
	for _, state := range []string{"failed", "stale", "permanent"} {
		mac := []string{"lladdr", "02:00:00:00:00:02"}
		if state == "failed" {
			mac = nil
		}
		l.ip(t, append(append([]string{"neigh", "replace", n2, "dev", "fab0"}, mac...), "nud", state)...)
		l.ip(t, append(append([]string{"neigh", "replace", x2, "dev", "fab0"}, mac...), "nud", state)...)
		require.Equal(t, strings.ToUpper(state), trace(inside).Chosen.Neighbour)
		require.Equal(t, strings.ToUpper(state), trace(inside6).Chosen.Neighbour)
	}
	l.ip(t, "-6", "route", "add", "fd00:20::/80", "via", y2)
	s.setCarrier(t, "fab0", false)
	within(t, func() bool { return strings.Contains(l.ip(t, "link", "show", "fab0"), "NO-CARRIER") }, "the carrier to go")
	down := trace(n4)
	require.True(t, down.Chosen.Down, "%+v", down)
	require.Equal(t, "unicast by 192.0.2.0/24 of table 254, invalid IP over fab0 (down)", traced(down))
}

func TestATraceOfNonsenseIsRefused(t *testing.T) {
	_, s := newLinuxScene(t, ModeObjects)
	for _, packet := range []Packet{
		{}, {Dst: netip.MustParseAddr("10.20.0.7"), Src: netip.MustParseAddr("fd00::1")}, {Dst: netip.MustParseAddr("10.20.0.7"), In: "fab0"},
		{Dst: netip.MustParseAddr("10.20.0.7"), Src: netip.MustParseAddr("10.10.0.7"), In: "none0"},
	} {
		_, err := s.Trace(packet)
		require.Error(t, err, packet)
	}
}

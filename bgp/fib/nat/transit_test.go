package nat

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"

	"github.com/underlayd/underlayd/containerlab"
)

// TestErrorsAboutWhatPassesThroughAGateway: routers on the way say that packets are too large, for connections of which
// connection tracking knows nothing.
func TestErrorsAboutWhatPassesThroughAGateway(t *testing.T) {
	t.Parallel()
	containerlab.Require(t, "iptables-nft", "nft")
	w := newGateway(t)
	for _, f := range families() {
		w.sh(t, w.node, f.write(kubeProxy, "iptables-nft"))
	}
	w.sh(t, w.far, `
		sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
		ip link add deep type veth peer name end; ip link set deep mtu 1280 up; ip link set end up
		ip route add 10.21.0.0/16 dev deep; ip -6 route add fd00:20:1::/64 dev deep`)
	w.sh(t, w.other, `
		ip link add deep type veth peer name end; ip link set deep mtu 1280 up; ip link set end up
		ip route add 10.10.2.128/25 dev deep; ip -6 route add fd00:10:0:2:1::/80 dev deep
		ip route add 10.20.0.0/16 via 192.168.7.1 src 192.168.7.2; ip -6 route add fd00:20::/64 via fd00:7::1 src fd00:7::2`)
	x := w.open(t, Config{})
	sides := passing()
	sides.Far = append(sides.Far, prefixes("10.21.0.0/16")...)
	for _, side := range []struct {
		ns     netns.NsHandle
		ways   [2][2]string
		bypass string // the packets themselves take the other gateway, and the errors alone come by
	}{
		{w.other, [2][2]string{{other4, "10.21.0.1"}, {other6, "fd00:20:1::1"}}, "ip route OP 10.21.0.0/16 via 192.168.8.2; ip -6 route OP fd00:20:1::/64 via fd00:8::2"},
		{w.far, [2][2]string{{farPod4, "10.10.2.200"}, {farPod6, "fd00:10:0:2:1::1"}}, "ip route OP 10.10.2.0/24 via 192.168.8.1; ip -6 route OP fd00:10:0:2::/64 via fd00:8::1"},
	} {
		require.NoError(t, x.Set(t.Context(), sides))
		for _, way := range side.ways {
			w.learns(t, side.ns, way[0], way[1])
		}
		w.sh(t, side.ns, strings.ReplaceAll(side.bypass, "OP", "add"))
		require.NoError(t, x.Set(t.Context(), Sides{Local: locals(), Remote: remotes()}))
		for _, way := range side.ways {
			before := w.dropped(t)
			until(t, "an error that is dropped", func() bool {
				w.large(t, side.ns, way[0], way[1])
				return w.dropped(t) > before
			})
			require.NotContains(t, w.sh(t, side.ns, "ip route get "+way[1]), "mtu 1280", "what this is about")
		}
		require.NoError(t, x.Set(t.Context(), sides))
		for _, way := range side.ways {
			w.learns(t, side.ns, way[0], way[1])
		}
		w.sh(t, side.ns, strings.ReplaceAll(side.bypass, "OP", "del"))
	}
}

// learns sends large packets until it is known how large they may be.
func (w *gateway) learns(t *testing.T, ns netns.NsHandle, from, to string) {
	t.Helper()
	until(t, "an error from the way to "+to, func() bool {
		w.large(t, ns, from, to)
		return strings.Contains(w.sh(t, ns, "ip route get "+to), "mtu 1280")
	})
}

func (w *gateway) large(t *testing.T, ns netns.NsHandle, from, to string) {
	t.Helper()
	do(t, ns, func() error {
		conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)),
			net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(to), 7)))
		if err != nil {
			return err
		}
		_, _ = conn.Write(make([]byte, 1400)) // an error is what is asked for
		return conn.Close()
	})
}

// dropped is how many packets kube-proxy's rules have dropped.
func (w *gateway) dropped(t *testing.T) (sum int) {
	t.Helper()
	for _, line := range strings.Split(w.sh(t, w.node, "iptables-nft -nvxL KUBE-FORWARD; ip6tables-nft -nvxL KUBE-FORWARD"), "\n") {
		var n int
		if _, err := fmt.Sscan(line, &n); err == nil && strings.Contains(line, "INVALID") {
			sum += n
		}
	}
	return sum
}

// TestOfAGateway: what there is only on a gateway comes and goes with what passes, and outlives the daemon.
func TestOfAGateway(t *testing.T) {
	t.Parallel()
	w := newMasqueraded(t)
	x := w.open(t, Config{})
	require.NoError(t, x.Set(t.Context(), Sides{Local: locals(), Remote: remotes(), Transit: transits(), Own: locals()}), "no far ones")
	require.True(t, w.has(t, x))
	for _, none := range []string{"prerouting", "transit4", "notrack"} {
		require.NotContains(t, w.ruleset(t), none)
	}
	require.NoError(t, x.Set(t.Context(), passing()))
	require.True(t, w.has(t, x))
	require.Equal(t, State{Table: "underlayd-200", Active: true, Local: 2, Remote: 2, Transit: 6, Far: 2}, x.State())
	before := w.ruleset(t)

	next := w.open(t, Config{})
	left, err := next.Adopt()
	require.NoError(t, err)
	require.Equal(t, remotes(), left.Far)
	require.NotContains(t, left.Transit, locals()[0])
	left.Own = locals()
	left.Transit = append(left.Transit, transits()...)
	require.NoError(t, next.Set(t.Context(), left))
	require.Equal(t, before, w.ruleset(t), "not even written")

	wider := passing()
	wider.Far = append(wider.Far, prefixes("10.40.0.0/16")...)
	require.NoError(t, next.Set(t.Context(), wider))
	require.True(t, w.has(t, next))
	require.Equal(t, strings.Count(before, "handle"), strings.Count(w.ruleset(t), "handle"))
	require.NoError(t, next.Set(t.Context(), Sides{Transit: transits(), Far: remotes(), Own: locals()}), "a gateway without pods to exempt")
	require.True(t, next.State().Active)
	require.True(t, w.has(t, next))
	require.NoError(t, next.Set(t.Context(), Sides{Local: locals(), Remote: remotes()}))
	require.NotContains(t, w.ruleset(t), "prerouting")
	require.NoError(t, next.Set(t.Context(), Sides{}))
	require.NotContains(t, w.ruleset(t), "underlayd")
}

// TestPodsOfThisNodeAreNotInTransit, be they exempt or not.
func TestPodsOfThisNodeAreNotInTransit(t *testing.T) {
	c, err := unite(Sides{
		Local: prefixes("10.10.1.0/24"), Own: prefixes("10.10.4.0/23", "fd00:10:0:1::/64"), Remote: remotes(),
		Transit: prefixes("10.10.0.0/21", "10.20.0.0/16", "fd00:10::/62"), Far: remotes(),
	})
	require.NoError(t, err)
	require.Equal(t, prefixes("10.10.0.0/24", "10.10.2.0/23", "10.10.6.0/23", "10.20.0.0/16", "fd00:10::/64", "fd00:10:0:2::/63", "fd00:20::/48"), c.prefixes().Transit)
	c, err = unite(Sides{Transit: prefixes("10.10.1.0/24"), Own: prefixes("10.0.0.0/8"), Far: prefixes("10.20.0.0/16")})
	require.NoError(t, err)
	require.Equal(t, contents{}, c, "there are no others")
	_, err = unite(Sides{Own: []netip.Prefix{{}}})
	require.ErrorContains(t, err, "must be a valid IPv4 or IPv6 prefix")
}

// TestAFirewallOnAGateway: what is not tracked is not established, and who drops by default has to know the addresses.
func TestAFirewallOnAGateway(t *testing.T) {
	t.Parallel()
	containerlab.Require(t, "iptables-nft", "nft")
	w := newGateway(t)
	x := w.open(t, Config{})
	require.NoError(t, x.Set(t.Context(), passing()))
	require.Empty(t, x.Drops())
	w.sh(t, w.node, `
		for ipt in iptables-nft ip6tables-nft; do
			$ipt -P FORWARD DROP; $ipt -A FORWARD -i inside -j ACCEPT; $ipt -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
		done
		nft 'table inet filter { chain forward { type filter hook forward priority 10; policy accept; }; chain FORWARD { type filter hook input priority 10; policy accept; }; }'`)
	require.Equal(t, []string{"ip filter FORWARD", "ip6 filter FORWARD"}, x.Drops())
	for i, f := range families() {
		require.True(t, w.hangs(t, w.other, []string{other4, other6}[i], f.far), "the answers are not established")
	}
	w.sh(t, w.node, `
		for pair in "10.10.0.0/16 10.20.0.0/16" "10.20.0.0/16 10.10.0.0/16"; do set -- $pair; iptables-nft -I FORWARD -s $1 -d $2 -j ACCEPT; done
		for pair in "fd00:10::/48 fd00:20::/48" "fd00:20::/48 fd00:10::/48"; do set -- $pair; ip6tables-nft -I FORWARD -s $1 -d $2 -j ACCEPT; done
		nft 'chain inet filter forward { policy drop; }; add rule inet filter forward accept'`)
	require.Equal(t, []string{"ip filter FORWARD", "ip6 filter FORWARD", "inet filter forward"}, x.Drops())
	for i, f := range families() {
		require.Equal(t, []string{other4, other6}[i], w.seen(t, "tcp", "other", f.far))
	}
	require.True(t, w.has(t, x))
}

package nat

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"
)

// gateway is a world whose node is a gateway: behind it is another node of its cluster with a pod, which has a second way to
// the other cluster, and the other cluster to it, over another gateway; both begin with this one.
type gateway struct {
	*world
	other netns.NsHandle // the other node, with its pod
}

const other4, other6 = "10.10.2.10", "fd00:10:0:2::10"

func newGateway(t testing.TB) *gateway {
	w := &gateway{world: newWorld(t), other: newNamespace(t)}
	w.sh(t, w.other, `
		sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 net.ipv4.conf.default.rp_filter=0 net.ipv4.conf.all.rp_filter=0
		sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1`)
	w.sh(t, w.node, `
		ip link add inside type veth peer name eth0 netns `+w.path(w.other)+`
		ip addr add 192.168.7.1/24 dev inside; ip addr add fd00:7::1/64 dev inside nodad; ip link set inside up
		sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.uplink.rp_filter=0 net.ipv4.conf.inside.rp_filter=0`)
	w.sh(t, w.other, `
		sysctl -qw net.ipv4.conf.eth0.rp_filter=0; ip link set lo up; ip link set eth0 up
		ip link add bypass type veth peer name bypass netns `+w.path(w.far)+`
		ip addr add 192.168.8.1/24 dev bypass; ip addr add fd00:8::1/64 dev bypass nodad; ip link set bypass up
		ip addr add 192.168.7.2/24 dev eth0; ip addr add fd00:7::2/64 dev eth0 nodad
		ip addr add 10.10.2.10/32 dev lo; ip addr add fd00:10:0:2::10/128 dev lo nodad
		ip route add default via 192.168.7.1 src 10.10.2.10; ip -6 route add default via fd00:7::1 src fd00:10:0:2::10`)
	w.sh(t, w.far, `
		sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.fabric.rp_filter=0 net.ipv4.conf.bypass.rp_filter=0
		ip addr add 2001:db8::9/128 dev lo nodad
		ip addr add 192.168.8.2/24 dev bypass; ip addr add fd00:8::2/64 dev bypass nodad; ip link set bypass up`)
	w.sh(t, w.node, `ip route add 10.10.2.0/24 via 192.168.7.2; ip -6 route add fd00:10:0:2::/64 via fd00:7::2`)
	w.listen(t, w.other)
	return w
}

func transits() []netip.Prefix { return append(prefixes("10.10.0.0/16", "fd00:10::/48"), remotes()...) }

// passing is what a gateway asks for.
func passing() Sides {
	return Sides{Local: locals(), Remote: remotes(), Transit: transits(), Far: remotes(), Own: locals()}
}

// TestWhoSeesWhomThroughAGateway is the table of the package's documentation.
func TestWhoSeesWhomThroughAGateway(t *testing.T) {
	for _, kind := range []string{"iptables-legacy", "iptables-nft"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			need(t, "nft", kind)
			w := newGateway(t)
			w.sh(t, w.node, masquerades)
			for _, f := range families() {
				w.sh(t, w.node, f.write(kubeProxy, kind))
			}
			x := w.open(t, Config{})
			for _, with := range []bool{false, true, false} {
				want := Sides{}
				if with {
					want = passing()
				}
				require.NoError(t, x.Set(t.Context(), want))
				for _, f := range families() {
					w.table(t, f, with)
				}
			}
			require.NotContains(t, w.ruleset(t), "underlayd")
		})
	}
}

// table checks who is seen as what.
func (w *gateway) table(t *testing.T, f family, with bool) {
	t.Helper()
	if f.name == "IPv4" {
		w.rows(t, f, with, other4, "10.96.0.", "10.10.1.1", "192.168.7.1")
	} else {
		w.rows(t, f, with, other6, "fd00:96::", "fd00:10:0:1::1", "fd00:7::1")
	}
}

func (w *gateway) rows(t *testing.T, f family, with bool, addresses ...string) {
	t.Helper()
	other, services, pods, inside := addresses[0], addresses[1], addresses[2], addresses[3]
	either := func(without, within string) string {
		if with {
			return within
		}
		return without
	}
	service := func(n int) string { return net.JoinHostPort(services+fmt.Sprint(n), "80") }
	nodePort := func(n int) string { return net.JoinHostPort(f.node, fmt.Sprint(30000+n)) }
	for _, row := range []struct {
		what, from, to, seen string
	}{
		{"a pod of another node to a remote pod", "other", f.far, either(f.node, other)},
		{"a pod of another node to the internet", "other", f.out, f.node},
		{"a pod of another node to one of this node", "other", f.pod, other},
		{"a pod of this node to a remote pod", "pod", f.far, either(f.node, f.pod)},
		{"a pod of this node to one of another node", "pod", other, f.pod},
		{"the node to a remote pod", "node", f.far, f.node},
		{"the node to a pod of another node", "node", other, inside},
		{"a remote pod to a pod of another node", f.far, other, f.far},
		{"a remote pod to a pod of this node", f.far, f.pod, f.far},
		{"the internet to a pod of another node", f.out, other, f.out},

		{"a pod of this node to a service with a remote pod", "pod", service(1), either(f.node, f.pod)},
		{"a pod of this node to a service with itself", "pod", service(2), pods},
		{"a pod of this node to a service with a pod of another node", "pod", service(3), inside},
		{"a pod of this node to a node port with a remote pod", "pod", nodePort(1), either(f.node, f.pod)},
		{"a pod of another node to a service with a remote pod", "other", service(1), f.node},
		{"a pod of another node to a node port with a remote pod", "other", nodePort(1), f.node},
		{"a pod of another node to a node port with a pod of this node", "other", nodePort(2), pods},
		{"a pod of another node to a node port with itself", "other", nodePort(3), inside},
		{"a remote pod to a node port with a remote pod", f.far, nodePort(1), f.node},
		{"a remote pod to a node port with a pod of this node", f.far, nodePort(2), pods},
		{"a remote pod to a node port with a pod of another node", f.far, nodePort(3), inside},
		{"the internet to a node port with a remote pod", f.out, nodePort(1), f.node},
		{"the internet to a node port with a pod of this node", f.out, nodePort(2), pods},
		{"the internet to a node port with a pod of another node", f.out, nodePort(3), inside},
	} {
		for _, network := range []string{"tcp", "udp"} {
			if network == "udp" && withPort(row.to) == row.to {
				continue // services are TCP alone
			}
			require.Equal(t, row.seen, w.seen(t, network, row.from, row.to), "%s, with us %t, %s", row.what, with, network)
		}
	}
}

// seen is as what somebody is seen, who is a namespace or has an address beyond the node.
func (w *gateway) seen(t *testing.T, network, from, to string) string {
	t.Helper()
	if ns, is := map[string]netns.NsHandle{"other": w.other, "pod": w.pod, "node": w.node}[from]; is {
		return w.seenAs(t, ns, network, to)
	}
	return w.dialFrom(t, network, from, to)
}

// hangs says whether no answer comes over a connection.
func (w *gateway) hangs(t *testing.T, ns netns.NsHandle, from, to string) bool {
	t.Helper()
	var conn net.Conn
	var err error
	do(t, ns, func() error {
		d := &net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		conn, err = d.Dial("tcp", withPort(to))
		return nil
	})
	if err != nil {
		return true
	}
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Second)))
	_, err = conn.Read(make([]byte, 16))
	return err != nil
}

// TestHalfOfAConnectionPassesThroughAGateway: the other half takes another one, and kube-proxy drops what makes no sense to
// connection tracking.
func TestHalfOfAConnectionPassesThroughAGateway(t *testing.T) {
	const there = `ip route add 10.20.0.0/16 via 192.168.8.2 src 10.10.2.10; ip -6 route add fd00:20::/64 via fd00:8::2 src fd00:10:0:2::10`
	const back = `ip route add 10.10.2.0/24 via 192.168.8.1; ip -6 route add fd00:10:0:2::/64 via fd00:8::1`
	for _, row := range []struct{ what, other, far string }{
		{"from the other cluster", there, ""},
		{"to the other cluster", "", back},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			need(t, "iptables-nft")
			w := newGateway(t)
			w.sh(t, w.other, "true; "+row.other)
			w.sh(t, w.far, "true; "+row.far)
			for _, f := range families() {
				w.sh(t, w.node, f.write(kubeProxy, "iptables-nft"))
			}
			x := w.open(t, Config{})
			require.NoError(t, x.Set(t.Context(), Sides{Local: locals(), Remote: remotes()}))
			for i, f := range families() {
				other := []string{other4, other6}[i]
				require.True(t, w.hangs(t, w.other, other, f.far), "%s: what this is about", f.name)
				require.True(t, w.hangs(t, w.far, f.far, other), "%s: and the other way round", f.name)
			}
			require.NoError(t, x.Set(t.Context(), passing()))
			w.sh(t, w.node, masquerades) // and nobody else's NAT either
			for _, f := range families() {
				other := map[string]string{"IPv4": other4, "IPv6": other6}[f.name]
				for _, network := range []string{"tcp", "udp"} {
					require.Equal(t, other, w.seen(t, network, "other", f.far))
					require.Equal(t, f.far, w.seen(t, network, f.far, other))
				}
			}
		})
	}
}

// TestErrorsAboutWhatPassesThroughAGateway: routers on the way say that packets are too large, for connections of which
// connection tracking knows nothing.
func TestErrorsAboutWhatPassesThroughAGateway(t *testing.T) {
	t.Parallel()
	need(t, "iptables-nft", "nft")
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

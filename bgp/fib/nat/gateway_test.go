package nat

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"

	"github.com/underlayd/underlayd/containerlab"
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
			containerlab.Require(t, "nft", kind)
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
			containerlab.Require(t, "iptables-nft")
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

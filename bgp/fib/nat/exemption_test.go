package nat

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/containerlab"
)

// masquerades is a CNI in short, as a table of somebody else that is to stay as it is.
const masquerades = `
	nft -f - <<-END
		table inet cni {
			chain postrouting {
				type nat hook postrouting priority srcnat; policy accept;
				ip saddr 10.10.0.0/16 ip daddr != 10.10.0.0/16 masquerade random
				ip6 saddr fd00:10::/48 ip6 daddr != fd00:10::/48 masquerade random
			}
		}
	END`

// newMasqueraded is a world whose node masquerades what leaves the cluster.
func newMasqueraded(t testing.TB) *world {
	containerlab.Require(t, "nft")
	w := newWorld(t)
	w.sh(t, w.node, masquerades)
	return w
}

func (w *world) ruleset(t testing.TB) string {
	t.Helper()
	return w.sh(t, w.node, "nft -a list ruleset")
}

// has says whether the kernel has what x was asked for, as another conversation reads it.
func (w *world) has(t testing.TB, x *Exemption) bool {
	t.Helper()
	var k *kernel
	do(t, w.node, func() (err error) {
		k, err = openKernel(x.State().Table)
		return err
	})
	defer func() { require.NoError(t, k.close()) }()
	f, err := k.read()
	require.NoError(t, err)
	if f.strange != nil {
		t.Log(f.strange)
	}
	x.seen.Lock()
	defer x.seen.Unlock()
	return f.whole && f.equal(&x.want)
}

func TestEstablishedConnectionsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	w := newMasqueraded(t)
	x := w.open(t, Config{})
	for _, f := range families() {
		before := w.dial(t, w.pod, "udp", f.far)
		require.Equal(t, f.node, w.source(t, w.send(t, before)))
		require.NoError(t, x.Set(t.Context(), Sides{Local: locals(), Remote: remotes()}))
		during := w.dial(t, w.pod, "udp", f.far)
		require.Equal(t, f.pod, w.source(t, w.send(t, during)))
		require.Equal(t, f.node, w.source(t, w.send(t, before)), "masqueraded before it was exempt")
		require.NoError(t, x.Set(t.Context(), Sides{}))
		require.Equal(t, f.pod, w.source(t, w.send(t, during)), "begun while it was exempt")
		require.Equal(t, f.node, w.seenAs(t, w.pod, "udp", f.far))
	}
}

// kubeProxy is what matters of the rules of kube-proxy, with masquerade-all: services whose endpoint is a pod of another
// cluster, 1, a pod of this node, 2, or one of another node, 3.
const kubeProxy = `
	IPT -N KUBE-FORWARD
	IPT -A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
	IPT -I FORWARD -j KUBE-FORWARD
	IPT -t nat -N KUBE-POSTROUTING
	IPT -t nat -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
	IPT -t nat -A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
	IPT -t nat -A KUBE-POSTROUTING -j MASQUERADE --random-fully
	IPT -t nat -I POSTROUTING -j KUBE-POSTROUTING
	for service in 1=THEFAR 2=THEPOD 3=THEOTHER; do
		for at in SERVICE${service%%=*}:80 THENODE:3000${service%%=*}; do
			IPT -t nat -A PREROUTING -p tcp -d $(echo "$at" | sed 's/:[0-9]*$//') --dport ${at##*:} -j MARK --or-mark 0x4000
			IPT -t nat -A PREROUTING -p tcp -d $(echo "$at" | sed 's/:[0-9]*$//') --dport ${at##*:} -j DNAT --to-destination ${service#*=}
		done
	done`

// TestServices: what kube-proxy marks for a masquerade gets it, unless a pod of this node goes to a pod elsewhere.
func TestServices(t *testing.T) {
	for _, kind := range []string{"iptables-legacy", "iptables-nft"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			containerlab.Require(t, kind)
			w := newMasqueraded(t)
			for _, f := range families() {
				w.sh(t, w.node, f.write(kubeProxy, kind))
			}
			x := w.open(t, Config{})
			for _, exempt := range []bool{false, true} {
				if exempt {
					require.NoError(t, x.Set(t.Context(), Sides{Local: locals(), Remote: remotes()}))
				}
				for _, f := range families() {
					w.services(t, f, exempt)
				}
			}
		})
	}
}

func (w *world) services(t *testing.T, f family, exempt bool) {
	t.Helper()
	service := map[string][2]string{"IPv4": {"10.96.0.1", "10.96.0.2"}, "IPv6": {"fd00:96::1", "fd00:96::2"}}[f.name]
	gateway := map[string]string{"IPv4": "10.10.1.1", "IPv6": "fd00:10:0:1::1"}[f.name]
	at := func(host string, port int) string { return net.JoinHostPort(host, fmt.Sprint(port)) }
	pod := f.node
	if exempt {
		pod = f.pod
	}
	require.Equal(t, pod, w.seenAs(t, w.pod, "tcp", at(service[0], 80)), "a pod to a service with a remote pod")
	require.Equal(t, pod, w.seenAs(t, w.pod, "tcp", at(f.node, 30001)), "a pod to a node port with a remote pod")
	require.Equal(t, gateway, w.seenAs(t, w.pod, "tcp", at(service[1], 80)), "a pod to a service with itself")
	require.Equal(t, gateway, w.seenAs(t, w.far, "tcp", at(f.node, 30002)), "somebody to a node port with a local pod")
	require.Equal(t, f.node, w.seenAs(t, w.far, "tcp", at(f.node, 30001)), "somebody to a node port with a remote pod")
}

// TestTheKernelHasTheUnion compares what becomes of packets with a model that looks at one prefix after the other, for sets
// whose prefixes overlap, touch, split and merge from step to step.
func TestTheKernelHasTheUnion(t *testing.T) {
	t.Parallel()
	w := newMasqueraded(t)
	w.sh(t, w.pod, `for i in 11 12 13 14; do ip addr add 10.10.1.$i/24 dev eth0; ip addr add fd00:10:0:1::$i/64 dev eth0 nodad; done`)
	x := w.open(t, Config{})
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	from := map[bool]*sources{true: w.sourcesOf(t, "10.10.1.1%d"), false: w.sourcesOf(t, "fd00:10:0:1::1%d")}
	var local, remote []netip.Prefix
	for range 60 {
		local = mutate(r, local, prefixes("10.10.1.8/29", "fd00:10:0:1::10/125"), 6)
		remote = mutate(r, remote, prefixes("10.20.0.0/20", "fd00:20::/116"), 40)
		r.Shuffle(len(remote), func(i, j int) { remote[i], remote[j] = remote[j], remote[i] })
		require.NoError(t, x.Set(t.Context(), Sides{Local: local, Remote: remote}))
		require.True(t, w.has(t, x) || x.want.idle() && !strings.Contains(w.ruleset(t), "underlayd"))
		for _, to := range probes(r, remote) {
			conns := from[to.Is4()]
			at := r.IntN(len(conns.addrs))
			number := w.numbered(t, conns.conns[at], to)
			want := conns.addrs[at]
			if !holds(local, want) || !holds(remote, to) {
				want = map[bool]netip.Addr{true: netip.MustParseAddr(node4), false: netip.MustParseAddr(node6)}[to.Is4()]
			}
			require.Equal(t, want.String(), w.source(t, number), "%s to %s; local %s, remote %s", conns.addrs[at], to, local, remote)
		}
		from[true].renew(t, w)
		from[false].renew(t, w)
	}
}

func holds(all []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Contains(a) })
}

// mutate removes some prefixes and adds others inside of the given ones, now and then all or none.
func mutate(r *rand.Rand, all, within []netip.Prefix, most int) []netip.Prefix {
	all = slices.DeleteFunc(slices.Clone(all), func(netip.Prefix) bool { return r.IntN(4) == 0 })
	if r.IntN(15) == 0 {
		return nil
	}
	for range r.IntN(most) {
		in := within[r.IntN(len(within))]
		bits := in.Bits() + r.IntN(in.Addr().BitLen()-in.Bits()+1)
		all = append(all, netip.PrefixFrom(inside(r, in), bits).Masked())
	}
	return all
}

func inside(r *rand.Rand, p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < 8*len(b); bit++ {
		b[bit/8] |= byte(r.IntN(2) << (7 - bit%8))
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// probes are addresses of the other cluster: where prefixes begin and end, those around, and others.
func probes(r *rand.Rand, all []netip.Prefix) (out []netip.Addr) {
	for _, p := range all {
		if r.IntN(3) > 0 {
			continue
		}
		first, b := p.Addr(), p.Addr().AsSlice()
		for bit := p.Bits(); bit < 8*len(b); bit++ {
			b[bit/8] |= 1 << (7 - bit%8)
		}
		last, _ := netip.AddrFromSlice(b)
		out = append(out, first, last, first.Prev(), last.Next())
	}
	for range 10 {
		out = append(out, inside(r, netip.MustParsePrefix("10.20.0.0/20")), inside(r, netip.MustParsePrefix("fd00:20::/116")))
	}
	return slices.DeleteFunc(out, func(a netip.Addr) bool {
		return !holds(remotes(), a) || !holds(prefixes("10.20.0.0/16", "fd00:20::/64"), a)
	})
}

// sources are sockets of the pod, one for each of its addresses.
type sources struct {
	format string
	addrs  []netip.Addr
	conns  []net.PacketConn
}

func (w *world) sourcesOf(t *testing.T, format string) *sources {
	s := &sources{format: format}
	for i := range 5 {
		s.addrs = append(s.addrs, netip.MustParseAddr(fmt.Sprintf(format, i)))
	}
	s.renew(t, w)
	return s
}

// renew opens others, for new connections.
func (s *sources) renew(t *testing.T, w *world) {
	s.conns = nil
	for _, a := range s.addrs {
		do(t, w.pod, func() error {
			c, err := net.ListenPacket("udp", netip.AddrPortFrom(a, 0).String())
			if err == nil {
				s.conns = append(s.conns, c)
				t.Cleanup(func() { _ = c.Close() })
			}
			return err
		})
	}
}

func TestWhatIsNotAPrefixIsRefused(t *testing.T) {
	t.Parallel()
	w := newMasqueraded(t)
	x := w.open(t, Config{})
	require.ErrorContains(t, x.Set(t.Context(), Sides{Local: []netip.Prefix{{}}, Remote: remotes()}), "invalid Prefix: must be a valid IPv4 or IPv6 prefix")
	mapped := netip.PrefixFrom(netip.MustParseAddr("::ffff:10.0.0.0"), 104)
	require.ErrorContains(t, x.Set(t.Context(), Sides{Local: locals(), Remote: []netip.Prefix{mapped}}), "must be a valid IPv4 or IPv6 prefix")
	require.NotContains(t, w.ruleset(t), "underlayd")
	_, err := Open(Config{Protocol: 4})
	require.ErrorContains(t, err, "protocol 4: must be 5..255")
}

// TestTheEndsOfTheAddresses: a range up to the last address has no end in the kernel, and one from the first no gap before.
func TestTheEndsOfTheAddresses(t *testing.T) {
	t.Parallel()
	w := newMasqueraded(t)
	x := w.open(t, Config{})
	for _, all := range [][]netip.Prefix{
		prefixes("0.0.0.0/0", "::/0"), prefixes("128.0.0.0/1", "8000::/1"), prefixes("0.0.0.0/1", "::/1"),
		prefixes("255.255.255.255/32", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", "0.0.0.0/32", "::/128"),
	} {
		require.NoError(t, x.Set(t.Context(), Sides{Local: all, Remote: all}))
		require.True(t, w.has(t, x), all)
	}
	require.Contains(t, w.ruleset(t), "255.255.255.255")
}

func TestTheTableOutlivesTheDaemonAndIsTakenOver(t *testing.T) {
	t.Parallel()
	w := newMasqueraded(t)
	x := w.open(t, Config{})
	require.NoError(t, x.Set(t.Context(), Sides{Local: locals(), Remote: append(remotes(), prefixes("10.21.0.0/16", "10.22.0.0/24", "10.22.1.0/24")...)}))
	before := w.ruleset(t)
	next := w.open(t, Config{})
	require.Equal(t, before, w.ruleset(t))
	left, err := next.Adopt()
	require.NoError(t, err)
	require.Equal(t, prefixes("10.10.1.0/24", "fd00:10:0:1::/64"), left.Local)
	require.Equal(t, prefixes("10.20.0.0/15", "10.22.0.0/23", "fd00:20::/48"), left.Remote)
	require.NoError(t, next.Set(t.Context(), left))
	require.Equal(t, before, w.ruleset(t), "not even written")
	require.Equal(t, State{Table: "underlayd-200", Active: true, Local: 2, Remote: 2}, next.State())

	beside := w.open(t, Config{Protocol: 201})
	require.NoError(t, beside.Set(t.Context(), Sides{Local: locals(), Remote: remotes()}))
	removed, err := next.Remove(t.Context())
	require.NoError(t, err)
	require.True(t, removed)
	require.NotContains(t, w.ruleset(t), "underlayd-200")
	require.Contains(t, w.ruleset(t), "underlayd-201")
	require.True(t, w.has(t, beside))
	removed, err = next.Remove(t.Context())
	require.NoError(t, err)
	require.False(t, removed)
	require.NoError(t, beside.Set(t.Context(), Sides{Local: locals()}), "nothing to exempt")
	require.NotContains(t, w.ruleset(t), "underlayd")
	require.Contains(t, w.ruleset(t), "table inet cni")
	require.Equal(t, State{Table: "underlayd-201", Local: 2}, beside.State())
}

// TestOneCapability: with CAP_NET_ADMIN alone, and nothing that could be had back.
func TestOneCapability(t *testing.T) {
	t.Parallel()
	w := newMasqueraded(t)
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread goes with the goroutine
		done <- func() error {
			if err := netns.Set(w.node); err != nil {
				return err
			}
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			only := [2]unix.CapUserData{{Effective: 1 << unix.CAP_NET_ADMIN, Permitted: 1 << unix.CAP_NET_ADMIN}}
			if err := unix.Capset(&header, &only[0]); err != nil {
				return err
			}
			x, err := Open(Config{})
			if err != nil {
				return err
			}
			defer x.Close()
			return x.Set(t.Context(), Sides{Local: locals(), Remote: remotes()})
		}()
	}()
	require.NoError(t, <-done)
	require.Equal(t, pod4, w.seenAs(t, w.pod, "udp", farPod4))
}

// TestKernelsWithoutNetfilter: a thread for which there are no netlink sockets of its kind, by a filter of system calls.
func TestKernelsWithoutNetfilter(t *testing.T) {
	t.Parallel()
	containerlab.Require(t)
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread goes with the goroutine
		if err := containerlab.RefuseNetfilter(); err != nil {
			done <- err
			return
		}
		_, err := Open(Config{})
		done <- err
	}()
	err := <-done
	require.ErrorIs(t, err, ErrUnsupported)
	require.ErrorContains(t, err, "NAT exemption: this kernel has no NAT by nftables")
	require.ErrorContains(t, err, "protocol not supported")
}

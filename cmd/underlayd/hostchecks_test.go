package main

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/status"
)

func is(name string, value int) fib.Setting {
	return fib.Setting{Name: name, Value: value, Known: true}
}

// soundHost has nothing wrong with it.
func soundHost() fib.Host {
	h := fib.Host{
		Forwarding4: is("net.ipv4.ip_forward", 1), Forwarding6: is("net.ipv6.conf.all.forwarding", 1),
		IPv6Off: is("net.ipv6.conf.all.disable_ipv6", 0), ReversePath: is("net.ipv4.conf.all.rp_filter", 0),
		Neighbours4: is("net.ipv4.neigh.default.gc_thresh3", 1024), Neighbours6: is("net.ipv6.neigh.default.gc_thresh3", 1024),
		Hash4: is("net.ipv4.fib_multipath_hash_policy", 0), Hash6: is("net.ipv6.fib_multipath_hash_policy", 0),
		CompatMode: is("net.ipv4.nexthop_compat_mode", 1), Table: 254, NextHops4: 512, NextHops6: 512, Routes: 1000,
	}
	for _, name := range []string{"eth1", "eth2"} {
		h.Links = append(h.Links, fib.HostLink{
			Name: name, Forwarding4: is("net.ipv4.conf."+name+".forwarding", 1), Forwarding6: is("net.ipv6.conf."+name+".force_forwarding", 0),
			IPv6Off: is("net.ipv6.conf."+name+".disable_ipv6", 0), ReversePath: is("net.ipv4.conf."+name+".rp_filter", 0),
		})
	}
	return h
}

func TestWhatIsSaidOfAHost(t *testing.T) {
	both := families{v4: true, v6: true}
	for _, c := range []struct {
		name   string
		change func(h *fib.Host)
		uses   families
		want   []string // severity, then the message
	}{
		{"nothing of a sound one", func(*fib.Host) {}, both, nil},
		{"forwarding that is off, once and not for each link", func(h *fib.Host) {
			h.Forwarding4.Value, h.Links[0].Forwarding4.Value, h.Forwarding6.Value = 0, 0, 0
		}, both, []string{
			"error net.ipv4.ip_forward is 0: this node forwards no IPv4 packets, to or from its pods; sysctl -w net.ipv4.ip_forward=1",
			"error net.ipv6.conf.all.forwarding is 0: this node forwards no IPv6 packets, to or from its pods; sysctl -w net.ipv6.conf.all.forwarding=1",
		}},
		{"nothing of a family without pods", func(h *fib.Host) {
			h.Forwarding4.Value, h.Forwarding6, h.Unruled6 = 0, fib.Setting{}, true
		}, families{}, nil},
		{"a link that does not forward what comes in", func(h *fib.Host) { h.Links[1].Forwarding4.Value = 0 }, both, []string{
			"error net.ipv4.conf.eth2.forwarding is 0: IPv4 packets that come in over eth2 do not reach the pods; sysctl -w net.ipv4.conf.eth2.forwarding=1",
		}},
		{"nothing when each link forwards IPv6 by itself", func(h *fib.Host) {
			h.Forwarding6.Value, h.Links[0].Forwarding6.Value, h.Links[1].Forwarding6.Value = 0, 1, 1
		}, both, nil},
		{"a kernel without IPv6", func(h *fib.Host) { h.Forwarding6 = fib.Setting{} }, both, []string{
			"error this kernel runs without IPv6 (ipv6.disable=1 on its command line?): no IPv6 route can be installed",
		}},
		{"IPv6 that is turned off", func(h *fib.Host) { h.IPv6Off.Value, h.Links[0].IPv6Off.Value = 1, 1 }, both, []string{
			"error net.ipv6.conf.all.disable_ipv6 is 1: IPv6 is turned off on all links and no IPv6 route can be installed; sysctl -w net.ipv6.conf.all.disable_ipv6=0",
		}},
		{"IPv6 that is turned off on a link", func(h *fib.Host) { h.Links[0].IPv6Off.Value = 1 }, both, []string{
			"warning net.ipv6.conf.eth1.disable_ipv6 is 1: no IPv6 over eth1, which leads to next hops; sysctl -w net.ipv6.conf.eth1.disable_ipv6=0",
		}},
		{"the strict filter of all links", func(h *fib.Host) { h.ReversePath.Value, h.Links[1].ReversePath.Value = 1, 2 }, both, []string{
			"warning net.ipv4.conf.all.rp_filter is 1 and next hops are reached over 2 links: a packet that comes in over one of eth1, " +
				"while the route back to its source leaves by another link, is dropped without a trace; sysctl -w net.ipv4.conf.eth1.rp_filter=2",
		}},
		{"no strict filter on the only link", func(h *fib.Host) { h.ReversePath.Value, h.Links = 1, h.Links[:1] }, both, nil},
		{"a neighbour table that may get full", func(h *fib.Host) { h.NextHops4 = 513 }, both, []string{
			"warning net.ipv4.neigh.default.gc_thresh3 is 1024 and there are 513 IPv4 next hops, and the node's pods need entries as well: " +
				"when the neighbour table is full, packets are dropped; sysctl -w net.ipv4.neigh.default.gc_thresh3=4096",
		}},
		{"a neighbour table that is too small", func(h *fib.Host) { h.NextHops6 = 4000 }, both, []string{
			"error net.ipv6.neigh.default.gc_thresh3 is 1024 and there are 4000 IPv6 next hops: those beyond find no place in the neighbour " +
				"table and packets to them are dropped; sysctl -w net.ipv6.neigh.default.gc_thresh3=16384",
		}},
		{"nothing of a limit that cannot be read", func(h *fib.Host) { h.NextHops4, h.Neighbours4.Known = 4000, false }, both, nil},
		{"a table that no rule leads to", func(h *fib.Host) { h.Table, h.Unruled4, h.Unruled6 = 700, true, true }, both, []string{
			"error no rule makes the kernel look at table 700 (kernel.table): the routes there carry no traffic; ip rule add lookup 700, or kernel.rule, adds one",
			"error no rule makes the kernel look at table 700 (kernel.table): the routes there carry no traffic; ip -6 rule add lookup 700, or kernel.rule, adds one",
		}},
		{"what could be better with several next hops and many routes", func(h *fib.Host) {
			h.Multipath, h.Routes, h.Hash6.Value = true, 100_000, 1
		}, both, []string{
			" net.ipv4.fib_multipath_hash_policy is 0: all connections between the same two pods take the same of several next hops; " +
				"sysctl -w net.ipv4.fib_multipath_hash_policy=1 spreads them by port",
			" net.ipv4.nexthop_compat_mode is 1: the kernel announces each route of a rewritten next-hop group before it goes on, " +
				"so that failovers of many groups wait for it; if no other program needs that, sysctl -w net.ipv4.nexthop_compat_mode=0",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := soundHost()
			c.change(&h)
			var got []string
			keys := map[string]bool{}
			for _, f := range judgeHost(h, c.uses, false) {
				got = append(got, string(f.severity)+" "+f.message)
				require.False(t, keys[f.key], "the key %q is not unique", f.key)
				keys[f.key] = true
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestWhatIsSaidOfAGateway(t *testing.T) {
	h := soundHost()
	require.Empty(t, judgeHost(h, families{v4: true, v6: true}, true))
	h.Links = h.Links[:1]
	h.Links[0].ReversePath.Value = 1
	found := judgeHost(h, families{v4: true, v6: true}, true)
	require.Len(t, found, 1, "although it has one link: the CNI may have another way to the pods")
	require.Equal(t, status.Warning, found[0].severity)
	require.Equal(t, "net.ipv4.conf.eth1.rp_filter is 1 and this node is a gateway: a packet that comes in over one of eth1, while the route back "+
		"to its source leaves by another link, by a tunnel of the CNI too, is dropped without a trace; sysctl -w net.ipv4.conf.eth1.rp_filter=2",
		found[0].message)
	require.Empty(t, judgeForward(nil))
	found = judgeForward([]string{"ip filter FORWARD", "inet filter forward"})
	require.Len(t, found, 1)
	require.Empty(t, found[0].severity, "there may be rules that accept it")
	require.Contains(t, found[0].message, "what no rule accepts is dropped by ip filter FORWARD, inet filter forward: ")
}

func TestAFindingIsLoggedOnceAndWhenItIsSettled(t *testing.T) {
	var out bytes.Buffer
	log := logrus.New()
	log.SetOutput(&out)
	h := newHostChecks(nil, &config.Config{}, log)
	lines := func() int { return bytes.Count(out.Bytes(), []byte("\n")) }
	begin := time.Unix(1000, 0)
	off := finding{severity: status.Error, key: "a", message: "a is 0"}
	h.note([]finding{off, {key: "b", message: "b could be 1"}}, begin)
	require.Equal(t, 2, lines())
	h.note([]finding{off, {key: "b", message: "b could be 1, 7 times"}}, begin.Add(time.Minute))
	require.Equal(t, 2, lines(), "a number that ticks is no news")
	require.Equal(t, []status.Problem{{Severity: status.Error, Subject: "host, a", Message: "a is 0", Since: begin}}, h.problems())
	require.Equal(t, []string{"b could be 1, 7 times"}, h.notes())
	h.note(nil, begin.Add(time.Hour))
	require.Equal(t, 4, lines())
	require.Empty(t, h.problems())
	require.Empty(t, h.notes())
}

func TestFamiliesInUse(t *testing.T) {
	four, six := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, []netip.Prefix{netip.MustParsePrefix("fd00::/48")}
	require.Equal(t, families{}, familiesOf(&config.Config{}))
	require.Equal(t, families{v4: true}, familiesOf(&config.Config{Cluster: config.Cluster{PodCIDRs: four}}))
	require.Equal(t, families{v6: true}, familiesOf(&config.Config{Node: config.Node{PodCIDRs: six}}))
	require.Equal(t, families{v4: true, v6: true}, familiesOf(&config.Config{
		Node: config.Node{PodCIDRs: six}, Clusters: []config.RemoteCluster{{PodCIDRs: four}},
	}))
}

package main

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/bgp/probe"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/status"
)

func TestWhereInAPrefixProbesAreAnswered(t *testing.T) {
	for _, row := range []struct {
		name, prefix string
		offset       uint32
		want         string // empty: outside
	}{
		{"its first address", "10.20.1.0/24", 0, "10.20.1.0"},
		{"a bridge's, as a rule", "10.20.1.0/24", 1, "10.20.1.1"},
		{"its last address", "10.20.1.0/24", 255, "10.20.1.255"},
		{"the one after it is a neighbour's", "10.20.1.0/24", 256, ""},
		{"as far as can be said", "10.20.1.0/24", 1<<32 - 1, ""},
		{"what wraps around the whole space", "255.255.255.0/24", 1<<32 - 256, ""},
		{"in IPv6", "fd00:20:0:1::/64", 1<<32 - 1, "fd00:20:0:1::ffff:ffff"},
		{"in a small one", "fd00:20:0:1::/124", 15, "fd00:20:0:1::f"},
		{"beyond a small one", "fd00:20:0:1::/124", 16, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			prefix := netip.MustParsePrefix(row.prefix)
			got := at(prefix, bgp.Offset{Known: true, Value: row.offset})
			if row.want == "" {
				require.False(t, got.IsValid(), "%s", got)
				return
			}
			require.Equal(t, row.want, got.String())
			back, fits := offset(prefix, got)
			require.True(t, fits)
			require.Equal(t, bgp.Offset{Known: true, Value: row.offset}, back)
		})
	}
	_, fits := offset(netip.MustParsePrefix("fd00:20:0:1::/64"), netip.MustParseAddr("fd00:20:0:1:0:1::"))
	require.False(t, fits, "32 bits can't say it")
}

func TestWhatTheProbeSays(t *testing.T) {
	own := netip.MustParsePrefix("10.10.1.0/24")
	node := func(state, arrives, back string) status.ProbeNode {
		return status.ProbeNode{Address: netip.MustParseAddr("10.20.1.1"), State: state, Arrives: arrives, Back: back, Sent: 32, Lost: 4,
			MTU: 1400, Seen: netip.MustParseAddr("192.168.0.1")}
	}
	for _, row := range []struct {
		name, state    string
		node           status.ProbeNode
		failing, known int
		want           string
	}{
		{"all is well", "Ok", node("Ok", "yes", "Ok"), 0, 1, ""},
		{"nothing is known", "", node("", "", ""), 0, 0, ""},
		{"nothing arrives", "Silent", node("Silent", "no", "Ok"), 3, 3, "3 of 3 nodes do not answer: our packets do not arrive"},
		{"nothing comes", "Silent", node("Silent", "", ""), 3, 3, "3 of 3 nodes do not answer: whether our packets arrive is not known"},
		{"no answer comes", "OneWay", node("OneWay", "yes", "Ok"), 3, 3, "3 of 3 nodes do not answer: our packets arrive, its answers do not come back"},
		{"no contract", "OneWay", node("OneWay", "yes", "NoContract"), 3, 3, "3 of 3 nodes do not answer: west has no route back: its contract lacks 10.10.1.0/24"},
		{"what it said before it fell silent does not count", "Silent", node("Silent", "", "NoContract"), 1, 1, "1 of 1 nodes do not answer: whether our packets arrive is not known"},
		{"one of them", "Loss", node("Silent", "no", "Ok"), 1, 3, "1 of 3 nodes do not answer: 10.20.1.1: our packets do not arrive"},
		{"loss", "Loss", node("Loss", "yes", "Ok"), 0, 3, "4 of the last 32 probes of 10.20.1.1 were lost"},
		{"NAT", "NAT", node("NAT", "yes", "Ok"), 0, 3, "source rewritten to 192.168.0.1: NAT on the way"},
		{"MTU", "MTU", node("MTU", "yes", "Ok"), 0, 3, "packets above 1400 bytes do not pass, where our link carries 1500"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := status.Probe{Cluster: "west", Family: "ipv4", State: row.state, Failing: row.failing, Judged: row.known, LinkMTU: 1500, Nodes: []status.ProbeNode{row.node}}
			require.Equal(t, row.want, probeSentence(&p, own))
			all := &status.Probes{Results: []status.Probe{p, {Cluster: "west", Family: "ipv6", State: "Ok"}, {Cluster: "north", State: "Silent"}}}
			if row.state != "" {
				require.Equal(t, row.state, all.Of("west"), "the worst of both families")
			}
		})
	}
	require.Empty(t, (*status.Probes)(nil).Of("west"))
	require.Equal(t, probe.Buckets(), status.ProbeBuckets())
}

// TestTheRemedyIsThatOfTheReason: only where a contract is missing is a contract to be written.
func TestTheRemedyIsThatOfTheReason(t *testing.T) {
	for back, row := range map[string]struct{ reason, action, command string }{
		"NoContract":   {"NoRouteBack", "have its contract for us cover our pod CIDRs", ""},
		"Refused":      {"NoRouteBack", "see why it refuses what we announce", "underlayd routes --refused"},
		"NotAnnounced": {"NoRouteBack", "gets lost on the way to cluster west", "underlayd routes --advertised"},
		"NotInstalled": {"NoRouteBack", "its kernel does not have the route", "underlayd status"},
		"Ok":           {"OneWay", "drops packets from the pods of cluster west to ours", "tcpdump -ni any udp port 9178"},
	} {
		t.Run(back, func(t *testing.T) {
			reason, remedy := probeRemedy(&status.Snapshot{Cluster: status.Cluster{Name: "east"}, Probes: &status.Probes{Port: 9178, Results: []status.Probe{
				{Cluster: "north", State: "OneWay", Nodes: []status.ProbeNode{{State: "OneWay", Arrives: "yes", Back: "NoContract"}}},
				{Cluster: "west", State: "OneWay", Nodes: []status.ProbeNode{{State: "OneWay", Arrives: "yes", Back: back}}},
			}}}, "west")
			require.Equal(t, row.reason, reason)
			require.Contains(t, remedy.Action, row.action)
			require.Equal(t, row.command, remedy.Command)
		})
	}
}

// TestTargets: hostile routes never have us probe outside of what was accepted.
func TestTargets(t *testing.T) {
	prefix := netip.MustParsePrefix("10.20.1.0/24")
	node := netip.MustParseAddr("172.16.0.7")
	path := func(offset uint32, nextHop netip.Addr) bgp.Path {
		return bgp.Path{Peer: peerA, NextHop: nextHop, ASPath: []uint32{65000, 64513}, ClusterIDs: []uint32{2}, LocalPref: 100, Probe: bgp.Offset{Known: true, Value: offset}}
	}
	without, loop := path(1, node), path(1, node)
	without.Probe, loop.ASPath = bgp.Offset{}, []uint32{65000, 64512}
	for _, row := range []struct {
		name   string
		prefix netip.Prefix
		path   bgp.Path
		kernel fib.Status
		want   probe.Target
	}{
		{"an accepted route in the kernel", prefix, path(1, node), fib.Installed, probe.Target{Cluster: "west", Address: netip.MustParseAddr("10.20.1.1")}},
		{"the node is our peer", prefix, path(1, peerA), fib.Installed, probe.Target{Cluster: "west", Address: netip.MustParseAddr("10.20.1.1"), Ask: peerA}},
		{"it is not in the kernel", prefix, path(1, node), fib.Failed, probe.Target{}},
		{"it says nothing", prefix, without, fib.Installed, probe.Target{}},
		{"it points outside", prefix, path(256, node), fib.Installed, probe.Target{}},
		{"it is refused", prefix, loop, fib.Installed, probe.Target{}},
		{"no contract covers it", netip.MustParsePrefix("192.0.2.0/24"), path(1, node), fib.Installed, probe.Target{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := deciding(1000)
			a.probing = &probing{targets: map[netip.Prefix]probe.Target{}}
			a.newBatch(1).decide(bgp.Change{Prefix: row.prefix, Paths: bgp.NewPathSet([]bgp.Path{row.path})})
			if a.book.get(row.prefix) == nil {
				require.Empty(t, row.want)
				return
			}
			a.book.observe(fib.State{Dst: row.prefix, Outcome: &fib.Outcome{Status: row.kernel}}, a.owner, time.Now())
			a.routeTable(nil)
			require.Equal(t, row.want, a.probing.targets[row.prefix])
			require.Equal(t, row.want.Address.IsValid(), a.probing.dirty)
		})
	}
}

func TestTheWayBack(t *testing.T) {
	c := &config.Config{Cluster: config.Cluster{Name: "east", ID: 1}, Clusters: []config.RemoteCluster{{Name: "west", ID: 2, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16")}}}}
	route := func(prefix string, accepted bool, kernel string) status.Row {
		return &status.Route{Prefix: netip.MustParsePrefix(prefix), Cluster: "west", Accepted: accepted, Verdict: "Overlap", Kernel: status.KernelRoute{Status: kernel}}
	}
	var table *status.RouteTable
	table = table.With([]status.Row{
		route("10.20.1.0/24", true, status.Installed), route("10.20.2.0/24", true, status.Failed), route("10.20.3.0/24", false, ""),
	}, nil)
	for _, row := range []struct {
		name string
		id   uint32
		from string
		want probe.Back
	}{
		{"a route that is in the kernel", 2, "10.20.1.1", probe.BackOK},
		{"one that is not", 2, "10.20.2.1", probe.BackPending},
		{"one that was refused", 2, "10.20.3.1", probe.BackRefused},
		{"none", 2, "10.20.4.1", probe.BackAbsent},
		{"outside of its contract", 2, "10.30.1.1", probe.BackNoContract},
		{"a cluster that nobody declared", 3, "10.20.1.1", probe.BackNoContract},
		{"our own", 1, "10.10.1.1", probe.BackUnknown},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := wayBack(&status.Snapshot{Table: table}, &basis{config: c}, probe.Asker{ClusterID: row.id, From: netip.MustParseAddr(row.from)})
			require.Equal(t, row.want, got)
		})
	}
	require.Equal(t, probe.BackUnknown, wayBack(nil, nil, probe.Asker{}), "just started")
}

// TestTheKeyOfTheProbe: the rules for files with passwords hold for it, and what replaces a good one must be good.
func TestTheKeyOfTheProbe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	var said bytes.Buffer
	log := logrus.New()
	log.SetOutput(&said)
	k := newProbeKey(log)
	k.use(config.Probe{Enabled: true, KeyFile: path})
	for _, row := range []struct {
		name, text string
		mode       os.FileMode
		problem    string // what it holds
		have       bool
	}{
		{"there is none", "", 0, "no such file", false},
		{"everybody may read it", "0123456789abcdef", 0o644, "has mode 0644", false},
		{"a good one", "0123456789abcdef", 0o600, "", true},
		{"one that is too short keeps it", "0123456789", 0o600, "line 1 has 10 bytes: a key must have 16 to 1024", true},
		{"another good one", "fedcba9876543210", 0o400, "", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			_ = os.Remove(path)
			if row.mode != 0 {
				require.NoError(t, os.WriteFile(path, []byte(row.text), row.mode))
			}
			k.look()
			key, problem := k.read()
			require.Equal(t, row.have, !key.IsZero())
			if row.problem == "" {
				require.Empty(t, problem)
			}
			require.Contains(t, problem, row.problem)
		})
	}
	k.use(config.Probe{KeyFile: path})
	k.look()
	key, problem := k.read()
	require.True(t, key.IsZero(), "it is off")
	require.Empty(t, problem)
	require.NotContains(t, said.String(), "0123456789")
}

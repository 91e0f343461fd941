package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

func TestTheCommandsOfAnOperator(t *testing.T) {
	t.Parallel()
	c := twoClusters(t)
	n := c.Node("east-1")
	step(t, "status, peers and routes answer in JSON", func(t *testing.T) { answersInJSON(t, n) })
	step(t, "and in tables", func(t *testing.T) { answersInTables(t, n) })
	step(t, "and each answer fits its schema", func(t *testing.T) { fitsItsSchemas(t, n) })
	step(t, "all of it is in one archive", func(t *testing.T) { bundles(t, n) })
	step(t, "what peers are told is what gobgp says of it", func(t *testing.T) { tellsWhatItAdvertises(t, n) })
	step(t, "a script waits for a state", func(t *testing.T) {
		require.Contains(t, output(t, n, "underlayd", "status", "--wait", "--for", "phase=Ready", "--for", "cluster/west=Reachable", "--for", "peer/fabric=established"), "is Ready")
		require.Contains(t, refused(t, n, 3, "underlayd", "status", "--for", "cluster/west=Unreachable", "--timeout", "300ms"), "it is Reachable")
	})
	step(t, "who watches sees how things are", func(t *testing.T) {
		line := output(t, n, "bash", "-c", "timeout 10 underlayd watch | head -n 1")
		require.Contains(t, line, "Ready: 1 of 1 peer established, 4 of 4 accepted prefixes in the kernel")
	})
	step(t, "one peer is told in full", func(t *testing.T) { tellsAPeer(t, n) })
	step(t, "the history tells what happened and why", func(t *testing.T) { tellsItsHistory(t, n) })
	step(t, "and in metrics", func(t *testing.T) { answersInMetrics(t, n) })
	step(t, "and in a drawing, of several daemons too", func(t *testing.T) { answersInADrawing(t, c) })
	step(t, "questions that make no sense are refused as such", func(t *testing.T) {
		for _, argv := range [][]string{
			{"status", "-o", "xml"}, {"routes", "10.20.1.0/240"}, {"routes", "--state", "lost"}, {"status", "what"}, {"run", "--no-such-flag"},
		} {
			refused(t, n, 2, append([]string{"underlayd"}, argv...)...)
		}
		require.Contains(t, refused(t, n, 1, "underlayd", "peers", "nobody"), "the peers are: fabric")
	})
	step(t, "a second daemon ends, naming the first", func(t *testing.T) {
		pid := stateOf(t, n).PID
		require.Equal(t, fmt.Sprint(pid), strings.TrimSpace(output(t, n, "pidof", "underlayd")))
		require.Contains(t, refused(t, n, 1, "underlayd", "run"), fmt.Sprintf("another underlayd runs on this node: pid %d,", pid))
		require.Equal(t, pid, stateOf(t, n).PID)
	})
	step(t, "the stock gobgp command reads and can't write", func(t *testing.T) { stockGobgp(t, c, n) })
	step(t, "a configuration with errors is refused with all of them", func(t *testing.T) { allErrors(t, n) })
	step(t, "cleanup refuses while the daemon runs", func(t *testing.T) {
		require.Contains(t, refused(t, n, 1, "underlayd", "cleanup"), "stop the daemon first")
		has(t, n, want("east-1"))
	})
	step(t, "without a daemon questions fail with a clear message", func(t *testing.T) {
		daemon := n.Process("underlayd")
		for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} { // a socket is left behind, or none
			require.NoError(t, daemon.Signal(signal))
			<-daemon.Done()
			for _, argv := range [][]string{{"status"}, {"peers"}, {"routes"}} {
				require.Contains(t, refused(t, n, 1, append([]string{"underlayd"}, argv...)...), "underlayd is not running")
			}
			require.NoError(t, n.Launch(t.Context()))
			daemon = n.Process("underlayd")
			is(t, n, "running again", func(s state) error { return nil })
		}
		c.settled(t)
	})
	step(t, "metrics and probes are served over TCP where that is asked for", func(t *testing.T) { servesTCP(t, c, n) })
	step(t, "cleanup removes what is ours and nothing else", func(t *testing.T) { cleanup(t, c, n) })
}

func answersInJSON(t *testing.T, n *containerlab.Node) {
	s := stateOf(t, n)
	require.Equal(t, []string{"underlayd.io/v1", "Status", "east-1", "Ready"}, []string{s.APIVersion, s.Kind, s.Node, s.Phase})
	require.Equal(t, condition{"UnderlayRoutesReady", "True", "RoutesInstalled", s.condition().Message}, s.condition())
	require.Equal(t, []string{"10.10.1.0/24", "fd00:10:0:1::/64"}, s.Advertised)
	require.Equal(t, 4, s.Kernel.Routes)
	require.Len(t, s.Clusters, 1)
	require.Equal(t, "Reachable", s.Clusters[0].State)

	var peers struct {
		APIVersion, Kind string
		Items            []session
	}
	require.NoError(t, ask(t.Context(), n, &peers, "peers"))
	require.Equal(t, []string{"underlayd.io/v1", "PeerList"}, []string{peers.APIVersion, peers.Kind})
	require.Len(t, peers.Items, 1)
	require.Equal(t, session{
		Peer: "fabric", Address: "192.168.11.254", State: "established", Since: peers.Items[0].Since, Families: []string{"ipv4", "ipv6"},
	}, peers.Items[0])

	var routes routeList
	require.NoError(t, ask(t.Context(), n, &routes, "routes"))
	require.Equal(t, []string{"underlayd.io/v1", "RouteList"}, []string{routes.APIVersion, routes.Kind})
	var got []string
	for _, r := range routes.Items {
		require.Equal(t, "west", r.Cluster)
		require.Equal(t, "Installed", r.Kernel.Status)
		got = append(got, r.Prefix+" via "+strings.Join(r.NextHops, " "))
	}
	require.Equal(t, want("east-1"), sorted(got))
	require.NoError(t, ask(t.Context(), n, &routes, "routes", "10.20.2.77"))
	require.Len(t, routes.Items, 1)
	require.Equal(t, "10.20.2.0/24", routes.Items[0].Prefix)
}

// tellsAPeer looks for what only GoBGP and the kernel know of a session.
func tellsAPeer(t *testing.T, n *containerlab.Node) {
	type counts struct{ Received, Accepted, Installed, Advertised int }
	var l struct {
		Items []struct {
			LocalPort, PeerPort int
			TTLSecurity, MD5    bool
			Negotiated          struct {
				FourOctetAS, RouteRefresh bool
				PeerRestart               *struct{ Seconds int }
				PeerCapabilities          []string
			}
			Traffic struct {
				HoldSeconds, KeepaliveSeconds, UpdatesReceived int
				LastHeard                                      time.Time
			}
			Prefixes map[string]counts
		}
	}
	require.NoError(t, ask(t.Context(), n, &l, "peers", "fabric"))
	p := l.Items[0]
	require.Contains(t, []int{p.LocalPort, p.PeerPort}, 179)
	require.True(t, p.TTLSecurity)
	require.False(t, p.MD5)
	require.True(t, p.Negotiated.FourOctetAS && p.Negotiated.RouteRefresh)
	require.NotNil(t, p.Negotiated.PeerRestart)
	require.Contains(t, p.Negotiated.PeerCapabilities, "4-octet-as")
	require.Positive(t, p.Traffic.UpdatesReceived)
	require.Equal(t, p.Traffic.HoldSeconds/3, p.Traffic.KeepaliveSeconds)
	require.WithinDuration(t, time.Now(), p.Traffic.LastHeard, time.Duration(p.Traffic.HoldSeconds)*time.Second)
	for _, family := range []string{"ipv4", "ipv6"} {
		require.Equal(t, counts{p.Prefixes[family].Received, 2, 2, 1}, p.Prefixes[family], family)
	}
	require.Contains(t, output(t, n, "underlayd", "peers", "fabric"), "192.168.11.1:", "our end, though nobody has configured it")
	require.Contains(t, output(t, n, "underlayd", "peers", "fabric"), "TTL security yes, TCP MD5 no")
}

// tellsItsHistory looks for the way from the start to routes in the kernel, of the node and of one prefix.
func tellsItsHistory(t *testing.T, n *containerlab.Node) {
	type entry struct {
		Kind, Peer, Cluster, Cause string
		Count                      int
		Prefixes                   []string
	}
	read := func(argv ...string) map[string]entry {
		var l struct {
			APIVersion, Kind string
			Items            []entry
		}
		require.NoError(t, ask(t.Context(), n, &l, append([]string{"history"}, argv...)...))
		require.Equal(t, []string{"underlayd.io/v1", "HistoryList"}, []string{l.APIVersion, l.Kind})
		kinds := map[string]entry{}
		for _, e := range l.Items {
			kinds[e.Kind] = e
		}
		return kinds
	}
	all := read()
	require.Equal(t, "fabric", all["SessionUp"].Peer)
	require.Equal(t, "Reachable", all["ClusterChanged"].Cause)
	require.Equal(t, "Ready", all["PhaseChanged"].Cause)
	require.Contains(t, all, "PodCIDRsChanged")
	own := read("10.20.2.77")
	prefix := []string{"10.20.2.0/24"}
	require.Equal(t, entry{"PrefixAccepted", "fabric", "west", "Announced", 1, prefix}, own["PrefixAccepted"])
	require.Equal(t, entry{"KernelInstalled", "", "west", "", 1, prefix}, own["KernelInstalled"])
	require.Len(t, own, 2)
	require.Empty(t, read("--since", "0s"))
	require.Contains(t, output(t, n, "underlayd", "history", "--peer", "fabric"), "SessionUp")
	require.Contains(t, refused(t, n, 2, "underlayd", "history", "--since", "then"), "neither a duration")
}

func answersInTables(t *testing.T, n *containerlab.Node) {
	for _, question := range []struct{ command, says string }{
		{"status", "east-1 of cluster east is Ready: 1 of 1 peer established, 4 of 4 accepted prefixes in the kernel"},
		{"status", "Nothing is wrong."},
		{"peers", "192.168.11.254"},
		{"routes", "fd00:20:0:2::/64"},
		{"status -o wide", "4/2/2/1"},
		{"routes -o yaml", "  - prefix: \"10.20.2.0/24\""},
		{"version", "underlayd"},
	} {
		require.Contains(t, output(t, n, append([]string{"underlayd"}, strings.Fields(question.command)...)...), question.says)
	}
	for _, socket := range []string{"underlayd.sock", "gobgp.sock"} {
		info, err := os.Stat(n.Path(filepath.Join("/run/underlayd", socket)))
		require.NoError(t, err)
		require.Equal(t, fs.ModeSocket|0o600, info.Mode(), socket)
	}
}

// answersInMetrics reads what Prometheus would.
func answersInMetrics(t *testing.T, n *containerlab.Node) {
	text, err := n.Ask(t.Context(), "/run/underlayd/underlayd.sock", "/metrics")
	require.NoError(t, err)
	for _, line := range []string{
		`underlayd_phase{phase="Ready"} 1`, `underlayd_session_up{peer="fabric"} 1`, `underlayd_routes{state="installed"} 4`,
		`underlayd_session_received_prefixes{peer="fabric"} 8`, `underlayd_session_accepted_prefixes{peer="fabric"} 4`,
		`underlayd_kernel_routes{mode="NextHopObjects"} 4`, `underlayd_cluster_state{cluster="west",state="Reachable"} 1`,
		// Each route of the first start once, and none of them took a minute.
		`underlayd_install_latency_seconds_count{family="ipv4"} 2`, `underlayd_install_latency_seconds_count{family="ipv6"} 2`,
		`underlayd_install_latency_seconds_bucket{family="ipv4",le="60"} 2`,
	} {
		require.Contains(t, text, line+"\n")
	}
	require.NotContains(t, text, "underlayd_problems{")
}

// servesTCP asks as Prometheus and the kubelet would, from inside the node.
func servesTCP(t *testing.T, c *clusters, n *containerlab.Node) {
	file := c.config(n.Name())
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, append(text, "http: {listen: \"127.0.0.1:9179\"}\n"...), 0o600))
	is(t, n, "told that this takes a restart", func(s state) error {
		if !strings.Contains(s.ConfigProblem, "http.listen") {
			return fmt.Errorf("configProblem: %q", s.ConfigProblem)
		}
		return nil
	})
	again(t, c, n)
	get := func(page string) string { return overTCP(t, n, page, "x") }
	require.Contains(t, get("/readyz?verbose"), "[+]first-exchange ok\nreadyz check passed\n")
	require.Contains(t, get("/v1/status"), "404 Not Found")
	metrics := get("/metrics")
	for _, line := range []string{`underlayd_session_up{peer="fabric"} 1`, `bgp_routes_received{peer="192.168.11.254",route_family="ipv4-unicast"} 4`} {
		require.Contains(t, metrics, line+"\n")
	}
	require.Contains(t, metrics, "\nprocess_resident_memory_bytes ")
	require.NoError(t, os.WriteFile(file, append(text, "http: {listen: \"127.0.0.1:9179\", lookingGlass: true, fleet: [\"127.0.0.1:9179\", \"127.0.0.1:9180\"]}\n"...), 0o600))
	again(t, c, n)
	isAGlass(t, n)
}

// stockGobgp runs the command that comes with GoBGP on the daemon's socket.
func answersInADrawing(t *testing.T, c *clusters) {
	argv := []string{"topology", "-o", "json"}
	for _, p := range places() {
		argv = append(argv, "--socket", c.Node(p.name).Path("/run/underlayd/underlayd.sock"))
	}
	out, err := exec.Command(built(t).underlayd, argv...).Output()
	require.NoError(t, err)
	var drawn struct {
		Clusters []struct{ Nodes []struct{ Name string } }
		Sessions []struct{ A, B, State string }
	}
	require.NoError(t, json.Unmarshal(out, &drawn))
	require.Len(t, drawn.Clusters, 2)
	require.Len(t, drawn.Clusters[0].Nodes, 2)
	require.Len(t, drawn.Sessions, 6)
	for _, s := range drawn.Sessions {
		require.Equal(t, "established", s.State, s)
		require.Contains(t, s.B, "/65000", "the fabric, which is not asked")
	}
	require.Contains(t, output(t, c.Node("east-1"), "underlayd", "topology"), "</svg>")
}

func stockGobgp(t *testing.T, c *clusters, n *containerlab.Node) {
	gobgp := []string{built(t).gobgp, "--target", "unix:///run/underlayd/gobgp.sock"}
	reads := func(argv ...string) string { return output(t, n, append(slices.Clone(gobgp), argv...)...) }
	neighbors := reads("neighbor")
	require.Contains(t, neighbors, "192.168.11.254")
	require.Contains(t, neighbors, "Establ")
	rib := reads("global", "rib", "-a", "ipv4")
	require.Contains(t, rib, "10.20.1.0/24")
	require.Contains(t, rib, "192.168.11.254")
	require.Contains(t, reads("global", "rib", "-a", "ipv6"), "fd00:20:0:1::/64")
	sent := reads("neighbor", "192.168.11.254", "adj-out", "-a", "ipv4")
	require.Contains(t, sent, "10.10.1.0/24")
	require.NotContains(t, sent, "10.20.")

	ups, m := c.ups(t), watchRoutes(t, n)
	for _, writing := range []string{
		"global rib add 10.20.99.0/24 -a ipv4", "global rib del 10.10.1.0/24 -a ipv4", "neighbor 192.168.11.254 disable",
		"neighbor 192.168.11.254 reset", "neighbor add 192.168.11.253 as 65000", "global del all", "policy prefix add x 10.0.0.0/8",
		"log-level debug",
	} {
		out, err := n.Command(t.Context(), append(slices.Clone(gobgp), strings.Fields(writing)...)...).CombinedOutput()
		require.Error(t, err, writing)
		require.Contains(t, string(out), "its socket is read-only", writing)
	}
	require.Equal(t, ups, c.ups(t))
	require.Equal(t, networks(rib), networks(reads("global", "rib", "-a", "ipv4")))
	m.quiet(t, "proto 200")
}

// networks returns the prefixes of a table of gobgp's.
func networks(table string) []string {
	var list []string
	for line := range strings.Lines(table) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "*>" {
			list = append(list, f[1])
		}
	}
	return list
}

const broken = `
cluster: {name: East Side, id: 0, podCIDRs: [10.10.0.1/16]}
bgp:
  asn: 23456
  holdTime: 2s
  peers: [{name: a, address: 192.0.2.1, asn: 65000, clusters: [nowhere]}]
colour: blue
`

// allErrors gives the daemon a configuration with several errors; each of them is named with its place.
func allErrors(t *testing.T, n *containerlab.Node) {
	path := filepath.Join(emptyFolder(t), "broken.yaml")
	require.NoError(t, os.WriteFile(path, []byte(broken), 0o644))
	for _, argv := range [][]string{{"run", "--config", path}, {"config", "validate", path}, {"cleanup", "--config", path}} {
		problems := refused(t, n, 2, append([]string{"underlayd"}, argv...)...)
		for _, key := range []string{
			"cluster.name", "cluster.id", "cluster.podCIDRs[0]", "bgp.asn", "bgp.holdTime", "bgp.peers[0].clusters[0]", "colour",
		} {
			require.Contains(t, problems, ": "+key+":", argv)
		}
		require.Contains(t, problems, path+":")
	}
	require.NotEmpty(t, stateOf(t, n).PID, "the daemon goes on")
}

// nextHops returns the next-hop objects of a node, ours or the others.
func nextHops(t *testing.T, n *containerlab.Node, ours bool) []string {
	t.Helper()
	var list []string
	for line := range strings.Lines(output(t, n, "ip", "-N", "-o", "nexthop", "show")) {
		if strings.Contains(line, "proto 200") == ours {
			list = append(list, strings.TrimSpace(line))
		}
	}
	return sorted(list)
}

func cleanup(t *testing.T, c *clusters, n *containerlab.Node) {
	for _, foreign := range []string{
		"ip nexthop add id 77 via 192.168.11.254 dev eth1 proto static",
		"ip route add 198.51.100.0/24 nhid 77 proto static",
		"ip route add 198.51.100.0/25 via 192.168.11.254 metric 512 proto 201",
		"ip -6 route add 2001:db8::/32 via fd00:fab:11::fe metric 512 proto bird",
		"ip route add 198.51.100.128/25 via 192.168.11.254 table 100 proto 202",
	} {
		output(t, n, strings.Fields(foreign)...)
	}
	routes, objects := foreignRoutes(t, n), nextHops(t, n, false)
	require.NotEmpty(t, nextHops(t, n, true))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	daemon := n.Process("underlayd")
	require.NoError(t, daemon.Stop(ctx))
	has(t, n, want("east-1"))

	require.Regexp(t, `kernel: [1-9]\d* routes and next-hop objects removed`, output(t, n, "underlayd", "cleanup"))
	has(t, n, nil)
	require.Empty(t, nextHops(t, n, true))
	require.Equal(t, routes, foreignRoutes(t, n))
	require.Equal(t, objects, nextHops(t, n, false))
	require.Contains(t, output(t, n, "underlayd", "cleanup"), "kernel: 0 routes and next-hop objects removed")

	require.NoError(t, n.Launch(t.Context()))
	c.settled(t)
	require.Equal(t, routes, foreignRoutes(t, n))
}

package status

import (
	"bytes"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

func path(peer, nextHop string, asns ...uint32) Path {
	return Path{Peer: peer, NextHop: addr(nextHop), ASPath: asns, ClusterIDs: []uint32{2}, Accepted: true, Verdict: "Accepted"}
}

func accepted(p, cluster string, paths ...Path) *Route {
	r := &Route{Prefix: prefix(p), Cluster: cluster, Accepted: true, Verdict: "Accepted", Paths: paths, Since: ago(3 * time.Minute)}
	for _, x := range paths {
		r.NextHops = append(r.NextHops, x.NextHop)
	}
	r.Kernel = KernelRoute{Status: Installed, NextHops: r.NextHops}
	return r
}

func refused(p, verdict, detail string) *Route {
	return &Route{
		Prefix: prefix(p), Verdict: verdict, Detail: detail, Since: ago(26 * time.Hour),
		Paths: []Path{{Peer: "tor-a", NextHop: addr("172.16.0.1"), ASPath: []uint32{65000, 64599}, Verdict: verdict, Detail: detail}},
	}
}

func kernel(r *Route, status, reason string) *Route {
	r.Kernel = KernelRoute{Status: status, Reason: reason}
	return r
}

// healthy is a node on which all is well.
func healthy() *Snapshot {
	received, advertised := 4, 2
	return &Snapshot{
		Probes: &Probes{
			Port: 9178, Local: []netip.Addr{addr("10.10.1.1")}, Unauthentic: map[string]uint64{"ipv4": 3, "ipv6": 0}, Limited: map[string]uint64{"ipv4": 0, "ipv6": 0},
			Results: []Probe{{
				Cluster: "west", Family: "ipv4", State: "Ok", Targets: 4, Judged: 3, Sent: 100, Lost: 2, RTTSum: 98 * time.Millisecond,
				RTT: []uint64{0, 40, 50, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0}, PathMTU: 1500, LinkMTU: 1500,
				Nodes: []ProbeNode{{
					Address: addr("10.20.1.1"), Node: "west-1", State: "Ok", Sent: 32, Lost: 1, Min: 412345 * time.Nanosecond, Avg: 1003 * time.Microsecond,
					P99: 21678 * time.Microsecond, Source: addr("10.10.1.1"), Seen: addr("10.10.1.1"), Arrives: "yes", Back: "Ok", MTU: 1500,
				}, {Address: addr("10.20.2.1")}},
			}},
		},
		Version: "v0.1.0", Node: "east-1", Cluster: Cluster{Name: "east", ID: 1}, ASN: 64512, RouterID: addr("172.16.0.10"), PID: 4711,
		Started: ago(50 * time.Hour), Time: now, Phase: Ready,
		Conditions: []Condition{{"UnderlayRoutesReady", "True", "RoutesInstalled", "all accepted routes are in the kernel"}},
		Sessions: []Session{{
			Peer: "tor-a", Address: addr("172.16.0.1"), LocalAddress: addr("172.16.0.10"), ASN: 65000, State: Established,
			Since: ago(3*time.Minute + 12*time.Second), RouterID: addr("172.16.0.1"), Families: []string{"ipv4", "ipv6"},
			GracefulRestart: true, Complete: true, Received: &received, Accepted: 3, Advertised: &advertised,
		}},
		Clusters: []RemoteCluster{{
			Name: "west", ID: 2, State: Reachable, PodCIDRs: []netip.Prefix{prefix("10.20.0.0/16"), prefix("fd00:20::/48")},
			Routable: []netip.Prefix{prefix("10.20.1.0/24"), prefix("10.20.2.0/24"), prefix("fd00:20:0:1::/64")},
			Peers:    1, PeersUp: 1, Accepted: 3, Installed: 3, MaxPrefixes: 1000,
		}},
		Advertised: []netip.Prefix{prefix("10.10.1.0/24"), prefix("fd00:10:0:1::/64")},
		AdvertisedFrom: []Origin{
			{prefix("10.10.1.0/24"), "node"}, {prefix("fd00:10:0:1::/64"), "node"},
		},
		Kernel:       Kernel{Mode: "objects", Table: 254, Protocol: 200, Metric: 512, Routes: 3, Operations: 12},
		NATExemption: NATExemption{State: NATActive, Table: "underlayd-200", Local: 2, Remote: 1, Transit: 3, Far: 1, Repairs: 1},
		Kubernetes:   Kubernetes{Enabled: true, Synced: true, Writes: 1, PodCIDRSource: "node"},
		Table: (*RouteTable)(nil).With([]Row{
			accepted("10.20.1.0/24", "west", path("tor-a", "172.16.0.1", 65000, 64513)),
			accepted("10.20.2.0/24", "west", path("tor-a", "172.16.0.1", 65000, 64513)),
			accepted("fd00:20:0:1::/64", "west", path("tor-a", "fd00:ff::1", 65000, 64513)),
			func() *Route {
				r := refused("10.10.2.0/24", "OwnPrefix", "10.10.2.0/24 belongs to our own cluster east")
				r.Expected = true
				return r
			}(),
		}, nil),
	}
}

// sample is a node on which nearly everything is wrong at once.
func sample() *Snapshot {
	s := healthy()
	s.Phase = Degraded
	s.ConfigProblem = "underlayd.yaml:12:8: bgp.peers[1].asn: 0: must be 1..4294967294"
	s.Conditions[0] = Condition{"UnderlayRoutesReady", "False", "InstallFailed", "1 of 8 routes could not be installed"}
	s.Sessions = append(s.Sessions, Session{
		Peer: "tor-b", Address: addr("fd00:ff::2"), ASN: 65000, State: "active", Since: ago(25 * time.Minute), Flaps: 2,
		LastError: "notification received: administrative shutdown: \"bye\x1b[31m\nfor now\"",
	})
	s.Sessions[0].Complete = false
	s.Sessions[0].RefusedTotal = map[string]uint64{"NoContract": 4, "OwnPrefix": 17}
	s.Clusters[0].State, s.Clusters[0].Reason, s.Clusters[0].Refused = Partial, "1 of 2 peers is down", 1
	s.Clusters[0].Peers = 2
	s.Clusters = append(s.Clusters, RemoteCluster{
		Name: "south", ID: 3, State: Unreachable, Reason: "nothing was learned", PodCIDRs: []netip.Prefix{prefix("10.30.0.0/16")}, Routable: []netip.Prefix{}, MaxPrefixes: 1000,
	})
	s.Gateway = &Gateway{
		Networks: []string{"dc2"}, Advertised: []netip.Prefix{prefix("10.10.0.0/16"), prefix("fd00:10::/48")},
		Blackholes: []Blackhole{{Prefix: prefix("10.10.0.0/16"), Status: Installed}, {Prefix: prefix("fd00:10::/48"), Status: Failed, Reason: "operation not permitted"}},
	}
	s.NotAdvertised = []Refusal{{prefix("10.96.1.0/24"), "Reserved", "10.96.1.0/24 lies inside the reserved range 10.96.0.0/16"}}
	s.NATExemption = NATExemption{State: NATFailed, Table: "underlayd-200", Local: 2, Remote: 2}
	s.Problems = append(s.Problems, Problem{Severity: Error, Subject: "NAT exemption", Message: "write table underlayd-200: no such device"})
	s.Kernel.Repairs, s.Kernel.Errors, s.Kernel.Conflicts = 2, 1, 1
	s.AdvertisedFrom[1].Source = "last run"
	s.Kubernetes.Disagreement = "10.10.9.0/26 of Calico's blocks of the Node (source calico) are not advertised, since pod CIDRs are those of the Node (source node): pods with such addresses can't be reached"
	s.Kubernetes.LastError = "the API server does not answer: connection refused"
	both := accepted("10.20.1.0/24", "west", path("tor-a", "172.16.0.1", 65000, 64513), path("tor-b", "172.16.0.2", 65000, 64513))
	disputed := accepted("10.20.6.0/24", "west", path("tor-a", "172.16.0.1", 65000, 64513))
	disputed.Paths = append(disputed.Paths, Path{
		Peer: "tor-b", NextHop: addr("172.16.0.2"), ASPath: []uint32{65000, 64599}, Verdict: "Overlap",
		Detail: "10.20.6.0/24 comes from two origins: AS 64599 (peer tor-b) is refused, AS 64513 (peer tor-a) has it already and keeps it",
	})
	stale := accepted("fd00:20:0:2::/64", "west", path("tor-a", "fd00:ff::1", 65000, 64513))
	stale.Paths[0].Stale = true
	nobody := func(p string) *Route {
		return refused(p, "NoContract", p+" from peer tor-a (origin AS 64599) lies in no declared cluster's range")
	}
	s.Table = s.Table.With([]Row{
		both, disputed, stale,
		kernel(accepted("10.20.3.0/24", "west", path("tor-a", "172.31.0.1", 65000, 64513)), Failed, "next hop 172.31.0.1 is not on-link"),
		kernel(accepted("10.20.4.0/24", "west", path("tor-a", "172.16.0.1", 65000, 64513)), Conflict, "a route of protocol static has the prefix"),
		kernel(accepted("10.20.5.0/24", "west", path("tor-a", "172.16.0.1", 65000, 64513)), "", ""),
		&Route{Prefix: prefix("10.30.9.0/24"), Kernel: KernelRoute{Status: Adopted, NextHops: []netip.Addr{addr("172.16.0.1")}}},
		nobody("10.40.0.0/24"), nobody("10.41.0.0/24"), nobody("10.42.0.0/24"), nobody("10.43.0.0/24"),
	}, nil)
	return s
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, got, 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "run with -update if this is meant")
}

func TestAnswersLookLikeTheGoldenFiles(t *testing.T) {
	for name, s := range map[string]*Snapshot{"healthy": healthy(), "degraded": sample(), "empty": {Node: "east-1", Cluster: Cluster{Name: "east", ID: 1}, Phase: Starting}} {
		for _, format := range []Format{Table, Wide, JSON} {
			o := Options{Format: format, Now: now.Add(time.Second)}
			t.Run(name+" "+string(format), func(t *testing.T) {
				var b bytes.Buffer
				require.NoError(t, WriteStatus(&b, finished(s), o))
				golden(t, "status-"+name+"."+string(format), b.Bytes())

				b.Reset()
				list := &PeerList{APIVersion: APIVersion, Kind: KindPeerList, Node: s.Node, Time: s.Time, Items: list(s.Sessions)}
				require.NoError(t, WritePeers(&b, list, o))
				golden(t, "peers-"+name+"."+string(format), b.Bytes())

				b.Reset()
				head := RouteHead{APIVersion: APIVersion, Kind: KindRouteList, Node: s.Node, Time: s.Time, Summary: finished(s).Routes}
				require.NoError(t, WriteRoutes(&b, head, ok(s.Table.All()), o))
				golden(t, "routes-"+name+"."+string(format), b.Bytes())
			})
		}
	}
}

func TestWhatAPeerWroteCannotMoveTheCursor(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, WriteStatus(&b, finished(sample()), Options{Format: Table, Now: now}))
	require.NotContains(t, b.String(), "\x1b")
	require.Contains(t, b.String(), `"bye?[31m for now"`)
}

func TestProblemsOfTheAgentComeFirstAmongEquals(t *testing.T) {
	s := sample()
	s.Problems = []Problem{{Severity: Error, Subject: "agent", Message: "first"}, {Severity: Warning, Subject: "agent", Message: "later"}}
	got := finished(s).Problems
	require.Equal(t, "first", got[0].Message)
	require.Equal(t, Error, got[1].Severity)
	require.Len(t, s.Problems, 2, "the published snapshot stays as it was")
}

func TestOnlyAReasonedRefusalIsAProblem(t *testing.T) {
	require.Empty(t, finished(healthy()).Problems)
	require.Equal(t, map[string]int{"OwnPrefix": 1}, finished(healthy()).Routes.Refusals, "but all are counted")
}

func TestDurationsAreWrittenForPeople(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": -time.Hour, "42s": 42*time.Second + 900*time.Millisecond, "1m": time.Minute, "3m12s": 192 * time.Second, "25m": 25*time.Minute + 59*time.Second,
		"1h": time.Hour, "2h5m": 2*time.Hour + 5*time.Minute, "1d": 24 * time.Hour, "3d4h": 76 * time.Hour, "400d": 9600 * time.Hour,
	} {
		require.Equal(t, want, Humanise(d))
	}
}

func TestOnlyTheFormatsAreFormats(t *testing.T) {
	for _, s := range []string{"table", "wide", "json"} {
		f, err := ParseFormat(s)
		require.NoError(t, err)
		require.Equal(t, Format(s), f)
	}
	_, err := ParseFormat("xml")
	require.EqualError(t, err, `output format "xml": must be table, wide, json or yaml`)
}

type full struct{ left int }

var errFull = errors.New("no space left")

func (f *full) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestAWriterThatFailsEndsTheWriting(t *testing.T) {
	s := &Snapshot{Table: many(5000)}
	read := 0
	counted := func(yield func(*Route, error) bool) {
		for r := range s.Table.All() {
			if read++; !yield(r, nil) {
				return
			}
		}
	}
	require.ErrorIs(t, WriteRoutes(&full{1000}, RouteHead{}, counted, Options{Format: Table, Now: now}), errFull)
	require.Less(t, read, 1000)
	require.ErrorIs(t, WriteRoutes(&full{1000}, RouteHead{}, counted, Options{Format: JSON}), errFull)
	require.ErrorIs(t, WriteStatus(&full{100}, finished(sample()), Options{Format: Table, Now: now}), errFull)
}

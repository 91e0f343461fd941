package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/status"
)

// told renders what the history got since it was asked last.
func told(a *agent, seen *int) []string {
	a.chronicle.past.Publish(time.Now())
	all, _ := a.chronicle.past.Entries(status.HistoryFilter{})
	var out []string
	for _, e := range all[*seen:] {
		parts := []string{string(e.Kind)}
		for _, s := range []string{e.Peer, e.Cluster, e.Cause, e.Detail} {
			if s != "" {
				parts = append(parts, s)
			}
		}
		out = append(out, fmt.Sprintf("%s ×%d", strings.Join(parts, " "), e.Count))
	}
	*seen = len(all)
	return out
}

// TestEachDecisionIsInTheHistoryWithItsCause applies one event after the other to one agent.
func TestEachDecisionIsInTheHistoryWithItsCause(t *testing.T) {
	a, seen := deciding(1000), 0
	c := announced(1, 1)[0]
	good := c.Paths
	two := bgp.NewPathSet(append(good.All(), bgp.Path{Peer: peerB, NextHop: peerB, ASPath: []uint32{65000, 64513}, ClusterIDs: []uint32{2}}))
	other := bgp.NewPathSet([]bgp.Path{{Peer: peerB, NextHop: peerB, ASPath: []uint32{65000, 64513}, ClusterIDs: []uint32{2}}})
	decide := func(paths *bgp.PathSet) {
		a.newBatch(1).decide(bgp.Change{Prefix: c.Prefix, Paths: paths})
	}
	observe := func(o *fib.Outcome) { a.observe([]fib.State{{Dst: c.Prefix, Outcome: o}}) }
	for _, step := range []struct {
		what string
		do   func()
		want []string
	}{
		{"a peer announces a prefix", func() { decide(good) }, []string{"PrefixAccepted tor-a west Announced ×1"}},
		{"the kernel takes it", func() { observe(&fib.Outcome{Status: fib.Installed}) }, []string{"KernelInstalled west ×1"}},
		{"the same again is no news", func() { decide(good); observe(&fib.Outcome{Status: fib.Installed}) }, nil},
		{"another peer announces it too", func() { decide(two) }, []string{"NextHopsMoved tor-a west OtherPaths 172.16.0.0 → 172.16.0.0,192.168.0.3 ×1"}},
		{"the first session is lost", func() { a.losses[peerA] = bgp.Loss{Peer: peerA}; decide(other) },
			[]string{"NextHopsMoved tor-b west SessionLost 172.16.0.0,192.168.0.3 → 192.168.0.3 ×1"}},
		{"the kernel refuses it", func() { observe(&fib.Outcome{Status: fib.Failed, Reason: "no such device"}) }, []string{"KernelFailed west no such device ×1"}},
		{"the second peer takes it back", func() { decide(nil) }, []string{"PrefixWithdrawn tor-b west Withdrawn ×1"}},
		{"the kernel lets go", func() { observe(&fib.Outcome{Status: fib.Absent}) }, []string{"KernelRemoved west ×1"}},
		{"a prefix that no contract names", func() {
			a.newBatch(1).take(netip.MustParsePrefix("172.20.0.0/16"), a.judge(bgp.Change{Prefix: netip.MustParsePrefix("172.20.0.0/16"), Paths: other}, other))
		}, []string{"PrefixRefused tor-b ClusterMismatch 172.20.0.0/16 from peer tor-b ×1"}},
	} {
		step.do()
		got := told(a, &seen)
		if len(step.want) == 1 && strings.HasPrefix(step.want[0], "PrefixRefused") {
			require.Len(t, got, 1, step.what)
			require.Contains(t, got[0], "PrefixRefused tor-b", step.what)
			continue
		}
		require.Equal(t, step.want, got, step.what)
	}
}

func TestTheHistoryOfAStormIsShort(t *testing.T) {
	const routes = 10_000
	a, seen, changes := deciding(routes), 0, announced(routes, 100)
	b := a.newBatch(routes)
	for _, c := range changes {
		b.decide(c)
	}
	require.Equal(t, []string{"PrefixAccepted tor-a west Announced ×10000"}, told(a, &seen))
	a.losses[peerA] = bgp.Loss{Peer: peerA}
	for _, c := range changes {
		b.decide(bgp.Change{Prefix: c.Prefix})
	}
	require.Equal(t, []string{"PrefixWithdrawn tor-a west SessionLost ×10000"}, told(a, &seen))
}

func TestTheHistoryFollowsStates(t *testing.T) {
	a, seen, at := deciding(10), 0, time.Now()
	c := a.chronicle
	none := func(netip.Addr) int { return 0 }
	session := bgp.Session{Peer: "tor-a", Address: peerA, ASN: 65000}
	up := session
	up.Established, up.Since = true, at
	down := session
	down.Flaps, down.LastError = 1, "hold timer expired"
	down.Ending = bgp.Ending{By: bgp.EndedByPeer, Reason: "NotificationReceived", Code: 6, Subcode: 2}
	again := up
	again.Flaps, again.Since, again.Ending = 3, at.Add(time.Minute), bgp.Ending{By: bgp.EndedByNetwork, Reason: "ReadFailed"}
	snapshot := func(state status.ClusterState, phase status.Phase, api string) *status.Snapshot {
		return &status.Snapshot{
			Phase: phase, Clusters: []status.RemoteCluster{{Name: "west", State: state}}, Conditions: []status.Condition{{}},
			Kubernetes: status.Kubernetes{LastError: api}, Sessions: []status.Session{{Peer: "tor-a", Address: peerA, BFD: &status.BFD{State: map[bool]string{true: "Up", false: "Down"}[state == status.Reachable]}}},
		}
	}
	for _, step := range []struct {
		what string
		do   func()
		want []string
	}{
		{"a peer that is not there yet", func() { c.followSessions([]bgp.Session{session}, none) }, nil},
		{"its session comes up", func() { c.followSessions([]bgp.Session{up}, none) }, []string{"SessionUp tor-a AS 65000 at 192.168.0.2 ×1"}},
		{"the peer ends it", func() { c.followSessions([]bgp.Session{down}, func(netip.Addr) int { return 7 }) }, []string{
			"SessionDown tor-a NotificationReceived ended by the peer with code 6, subcode 2: hold timer expired ×1", "PrefixStale tor-a GracefulRestart ×7"}},
		{"it comes and goes between two looks", func() { c.followSessions([]bgp.Session{again}, none) }, []string{
			"SessionDown tor-a ReadFailed the connection was lost ×2", "SessionUp tor-a AS 65000 at 192.168.0.2 ×2"}},
		{"the kernel is repaired", func() { c.followKernel(fib.Stats{Repairs: 3, Fights: 1}) }, []string{
			"KernelRepaired somebody removed or changed them ×3", "KernelFight somebody keeps undoing it; it is repaired once a minute ×1"}},
		{"a cluster can be reached", func() { c.followSnapshot(snapshot(status.Reachable, status.Ready, "")) }, []string{"ClusterChanged west Reachable ×1", "PhaseChanged Ready ×1", "BFDUp tor-a ×1"}},
		{"nothing changes", func() { c.followSnapshot(snapshot(status.Reachable, status.Ready, "")) }, nil},
		{"all is lost", func() { c.followSnapshot(snapshot(status.Unreachable, status.Degraded, "forbidden")) }, []string{
			"ClusterChanged west Unreachable ×1", "PhaseChanged Degraded ×1", "BFDDown tor-a Down ×1", "APIFailing forbidden ×1"}},
		{"a configuration is refused", func() { c.followConfig("bgp.asn: 0") }, []string{"ConfigRejected bgp.asn: 0 ×1"}},
		{"and taken", func() { c.followConfig("") }, []string{"ConfigAccepted ×1"}},
		{"the node leaves", func() { c.followStage(drain{stage: leaving, order: drainOrder{Reason: "reboot"}}) }, []string{"DrainChanged Leaving reboot ×1"}},
	} {
		step.do()
		if strings.HasPrefix(step.what, "it comes and goes") { // the second time up is folded into the first
			step.want = step.want[:1]
		}
		require.Equal(t, step.want, told(a, &seen), step.what)
	}
}

package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/status"
)

func TestAGoalIsReachedOrSaysWhatIsMissing(t *testing.T) {
	s := &status.Snapshot{
		Phase:    status.Degraded,
		Sessions: []status.Session{{Peer: "tor-a", State: "established"}, {Peer: "tor-b", State: "active", LastError: "hold timer expired"}},
		Clusters: []status.RemoteCluster{{Name: "west", State: status.Partial, Reason: "one peer is down"}},
	}
	for target, missing := range map[string]string{
		"ready": "", "phase=degraded": "", "phase=Ready": "phase=Ready (the phase is Degraded)",
		"cluster/west=Partial": "", "cluster/west=Reachable": "cluster/west=Reachable (it is Partial: one peer is down)",
		"cluster/east=Reachable": "cluster/east=Reachable (no such cluster is declared)",
		"peer/tor-a=Established": "", "peer/tor-b=established": "peer/tor-b=established (it is active: hold timer expired)",
		"peer/tor-x=idle": "peer/tor-x=idle (no such peer is configured)",
	} {
		g, err := parseGoal(target)
		require.NoError(t, err, target)
		err = missed(s, map[string]goal{target: g})
		if missing == "" {
			require.NoError(t, err, target)
		} else {
			require.EqualError(t, err, missing)
		}
	}
	for _, target := range []string{"", "Ready", "phase", "phase=", "phase/x=Ready", "cluster=Reachable", "cluster/=Reachable", "node/a=up", "peer/a=up"} {
		_, err := parseGoal(target)
		require.ErrorContains(t, err, "must be ready", target)
	}
}

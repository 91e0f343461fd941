package main

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/k8s"
	"github.com/underlayd/underlayd/status"
)

func TestWhatIsToldOnTheNode(t *testing.T) {
	well := func() *status.Snapshot {
		return &status.Snapshot{
			Phase:    status.Ready,
			Sessions: []status.Session{{Peer: "tor", ASN: 65000, State: status.Established}},
			Clusters: []status.RemoteCluster{{Name: "west", State: status.Reachable}},
			Gateway:  &status.Gateway{},
		}
	}
	for _, row := range []struct {
		name   string
		change func(*status.Snapshot)
		told   []string
	}{
		{"of a node that is well nothing", func(*status.Snapshot) {}, nil},
		{"a session that is lost", func(s *status.Snapshot) {
			s.Sessions[0].State, s.Sessions[0].LastError = "active", "hold timer expired"
		}, []string{"PeerDown peer tor: the BGP session with peer tor (AS 65000) is not established: hold timer expired"}},
		{"a session that was lost and is back", func(s *status.Snapshot) { s.Sessions[0].Flaps = 2 },
			[]string{"PeerDown peer tor: the BGP session with peer tor (AS 65000) is not established"}},
		{"refusals, one for each reason", func(s *status.Snapshot) {
			s.Sessions[0].RefusedTotal = map[string]uint64{"NoContract": 100000, "Overlap": 3}
		}, []string{
			"PrefixRefused peer tor NoContract: prefixes from peer tor are refused: NoContract; `underlayd routes` names them",
			"Overlap peer tor Overlap: prefixes from peer tor have another origin too, which keeps them; `underlayd routes` names them",
		}},
		{"foreign routes in the way", func(s *status.Snapshot) { s.Kernel.Conflicts = 7 }, []string{
			"KernelConflict kernel: somebody else's routes in the kernel stand in the way of accepted ones and are left alone; `underlayd status` names them",
		}},
		{"routes the kernel refused", func(s *status.Snapshot) { s.Kernel.Failed = 7 },
			[]string{"InstallFailed kernel: the kernel refused accepted routes; `underlayd status` names them"}},
		{"a configuration that was refused", func(s *status.Snapshot) { s.ConfigProblem = "bgp.asn: 0" },
			[]string{"ConfigRejected configuration: a change of the configuration was refused and the old one stays in force: bgp.asn: 0"}},
		{"a gateway that is cut off", func(s *status.Snapshot) { s.Gateway.Isolated = true }, []string{
			"GatewayIsolated gateway: nothing is advertised to other networks: none of the sessions with nodes of the own cluster is established",
		}},
		{"a pod CIDR that is not advertised", func(s *status.Snapshot) {
			s.NotAdvertised = []status.Refusal{{Prefix: netip.MustParsePrefix("10.99.0.0/24"), Reason: "OutsidePool"}}
		}, []string{"PodCIDRRefused 10.99.0.0/24: pod CIDR 10.99.0.0/24 is not advertised: OutsidePool"}},
		{"a cluster that can't be reached", func(s *status.Snapshot) {
			s.Clusters[0].State, s.Clusters[0].Reason = status.Unreachable, "no route to it was accepted"
		}, []string{"ClusterUnreachable cluster west: cluster west can't be reached: no route to it was accepted"}},
		{"of a node that leaves, not what it loses by that", func(s *status.Snapshot) {
			s.Phase, s.Sessions[0].State, s.Clusters[0].State = status.Draining, "idle", status.Unreachable
		}, []string{"Draining node: this node is taken out of the network: its routes are withdrawn"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := well()
			row.change(s)
			var told []string
			seen := map[[2]string]bool{}
			for _, i := range incidents(s) {
				key := [2]string{i.Reason, i.Subject}
				require.False(t, seen[key], "%v is there twice", key)
				seen[key] = true
				if !i.Over || i.Count > 0 {
					told = append(told, i.Reason+" "+i.Subject+": "+i.Message)
				}
			}
			require.Equal(t, row.told, told)
		})
	}
}

func TestPodsMayStartWhenTheFirstSyncIsDone(t *testing.T) {
	for reason, synced := range map[string]bool{
		k8s.ReasonStarting:           false,
		k8s.ReasonNoPeersEstablished: false, // there is no route for them
		k8s.ReasonDraining:           false,
		k8s.ReasonRoutesInstalled:    true,
		k8s.ReasonPartialPeers:       true, // one dead router must not hold up every new node
		k8s.ReasonInstallFailed:      true,
		k8s.ReasonConfigInvalid:      true,
	} {
		t.Run(reason, func(t *testing.T) {
			s := &status.Snapshot{Conditions: []status.Condition{{Type: conditionType, Status: "True", Reason: reason}}}
			require.Equal(t, synced, nodeReport(s, s.Clusters).Synced)
		})
	}
}

package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// oneFile is the configuration of all nodes of east: who reflects, and who has the peer in the other cluster, is said by
// the labels of the Nodes.
const oneFile = `cluster: {name: east, id: 1, zone: z, podCIDRs: [10.10.0.0/16, "fd00:10::/48"]}
bgp:
  asn: 64512
  connectRetry: 1s
  nodePeers: {enabled: true, hubs: underlayd.io/reflector=true, defaults: {holdTime: 9s}}
  peers:
  - {name: west-1, address: 192.168.50.21, asn: 64513, nodeSelector: topology.kubernetes.io/zone=a, passOn: [east]}
clusters:
- {name: west, id: 2, podCIDRs: [10.20.0.0/16, "fd00:20::/48"], nodeSelector: underlayd.io/gateway=true}
kubernetes: {enabled: true, kubeconfig: /etc/underlayd/kubeconfig, confirmAfter: 1s}
`

const oneFileOfWest = `cluster: {name: west, id: 2, podCIDRs: [10.20.0.0/16, "fd00:20::/48"]}
bgp:
  asn: 64513
  connectRetry: 1s
  peers: [{name: east-1, address: 192.168.50.11, asn: 64512}]
clusters:
- {name: east, id: 1, podCIDRs: [10.10.0.0/16, "fd00:10::/48"]}
kubernetes: {enabled: false}
`

// label patches labels of a Node, as an administrator does: key=value, or key alone to take it away.
func (w *tribe) label(t *testing.T, node string, pairs ...string) {
	t.Helper()
	labels := map[string]any{}
	for _, pair := range pairs {
		key, value, set := strings.Cut(pair, "=")
		labels[key] = nil
		if set {
			labels[key] = value
		}
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": labels}})
	require.NoError(t, err)
	_, err = w.nodes().Patch(t.Context(), node, types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(t, err)
}

// labelled is what status says that follows from labels.
type labelled struct {
	Roles    []string
	Place    struct{ Region, Zone, ZoneFrom string }
	Sessions []struct {
		Peer, State string
		Client      bool
		PassOn      []string
	}
	Problems []struct{ Message string }
}

// sentence is short enough to compare.
func (s labelled) sentence() string {
	parts := []string{"zone " + s.Place.Zone + " by " + s.Place.ZoneFrom, "roles " + strings.Join(s.Roles, "+")}
	var peers []string
	for _, p := range s.Sessions {
		peer := p.Peer
		if p.Client {
			peer += " client of " + strings.Join(p.PassOn, "+")
		}
		if p.State != "established" {
			peer += " " + p.State
		}
		peers = append(peers, peer)
	}
	slices.Sort(peers)
	return strings.Join(append(parts, peers...), ", ")
}

// shows waits until a node's daemon says this of itself.
func (w *tribe) shows(t *testing.T, node, want string) labelled {
	t.Helper()
	var s labelled
	start := time.Now()
	defer func() { t.Logf("%s after %s", node, time.Since(start).Round(time.Millisecond)) }()
	until(t, node+": "+want, func(ctx context.Context) error {
		out, err := w.Lab.Node(node).Output(ctx, "underlayd", "status", "-o", "json")
		if err != nil {
			return err
		}
		s = labelled{}
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			return err
		}
		if got := s.sentence(); got != want {
			return fmt.Errorf("got %s", got)
		}
		return nil
	})
	return s
}

// testOneFileForAllNodes: three Nodes with one configuration. Labels that come and go make a reflector of one of them and
// of another one, give it a zone and with that a peer, and make its prefixes the other cluster's to know; no daemon is
// restarted for any of it.
func testOneFileForAllNodes(t *testing.T) {
	w := newTribe(t, oneFile, oneFileOfWest)
	for i := range 3 {
		w.register(t, i+1, "yes")
	}
	w.label(t, "east-1", "underlayd.io/reflector=true")
	for _, name := range []string{"east-1", "east-2", "east-3", "west-1"} {
		require.NoError(t, w.Lab.Node(name).Launch(t.Context()))
	}
	const cluster = "zone z by cluster.zone, roles "
	w.shows(t, "east-1", cluster+"reflector, east-2 client of west, east-3 client of west")
	w.shows(t, "east-2", cluster+", east-1")
	w.shows(t, "east-3", cluster+", east-1")

	// A zone, and the peer that nodes of that zone have. Nothing of this node is for the other cluster yet.
	w.label(t, "east-1", "topology.kubernetes.io/zone=a")
	const zone = "zone a by label topology.kubernetes.io/zone, roles "
	w.shows(t, "east-1", zone+"reflector, east-2 client of west, east-3 client of west, west-1")
	require.Empty(t, w.known(t, "west-1", "10.10.1.0/24"))
	w.label(t, "east-1", "underlayd.io/gateway=true")
	w.shows(t, "east-1", zone+"gateway+reflector, east-2 client of west, east-3 client of west, west-1")
	until(t, "the gateway's prefix at west-1", func(context.Context) error {
		if w.known(t, "west-1", "10.10.1.0/24") == "" {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	w.label(t, "east-1", "topology.kubernetes.io/zone=North", "underlayd.io/gateway")
	s := w.shows(t, "east-1", cluster+"reflector, east-2 client of west, east-3 client of west")
	require.True(t, slices.ContainsFunc(s.Problems, func(p struct{ Message string }) bool {
		return strings.Contains(p.Message, "topology.kubernetes.io/zone=North: says nothing of where the node is")
	}), "%+v", s.Problems)
	w.label(t, "east-1", "topology.kubernetes.io/zone")

	// A second reflector: each is the other's client, and everybody has both.
	w.label(t, "east-3", "underlayd.io/reflector=true")
	w.shows(t, "east-1", cluster+"reflector, east-2 client of west, east-3 client of east+west")
	w.shows(t, "east-2", cluster+", east-1, east-3")
	w.shows(t, "east-3", cluster+"reflector, east-1 client of east+west, east-2 client of west")

	// The first one is none any more. A restart without the API goes by the labels of the last run.
	w.label(t, "east-1", "underlayd.io/reflector")
	w.shows(t, "east-1", cluster+", east-3")
	w.shows(t, "east-2", cluster+", east-3")
	w.apis["east"].Stop()
	require.NoError(t, w.Lab.Node("east-3").Process("underlayd").Kill())
	require.NoError(t, w.Lab.Node("east-3").Launch(t.Context()))
	w.shows(t, "east-3", cluster+"reflector, east-1 client of west, east-2 client of west")
}

// known is what a node's daemon says of a route; empty: nothing.
func (w *tribe) known(t *testing.T, node, prefix string) string {
	t.Helper()
	out, err := w.Lab.Node(node).Output(t.Context(), "ip", "route", "show", prefix, "proto", "200")
	require.NoError(t, err)
	return strings.TrimSpace(out)
}

func writeConfigs(t *testing.T, folder, east, west string) {
	t.Helper()
	for cluster, text := range map[string]string{"east": east, "west": west} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, cluster+".yaml"), []byte(text), 0o600))
	}
}

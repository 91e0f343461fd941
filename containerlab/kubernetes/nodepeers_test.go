package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/underlayd/underlayd/containerlab"
)

// tribe are the nodes of east in the full-mesh lab, whose daemons find each other in their cluster's Node list.
type tribe struct {
	*containerlab.Lab
	*world
}

const nodePeersConfig = `cluster: {name: east, id: 1, podCIDRs: [10.10.0.0/16, "fd00:10::/48"]}
bgp:
  asn: 64512
  nodePeers: {enabled: true, selector: example.org/peer=yes, defaults: {holdTime: 9s}}
kubernetes: {enabled: true, kubeconfig: /etc/underlayd/kubeconfig, confirmAfter: 1s}
`

// newTribe brings the lab up with an API server. No daemon runs yet.
func newTribe(t *testing.T, east, west string) *tribe {
	t.Helper()
	containerlab.Require(t, "ip", "etcd")
	w := &world{apis: startAPIs(t, "east")}
	api := w.apis["east"]
	agent, err := api.Agent(t.Context(), "east-1") // what the others have to say is not heard here
	require.NoError(t, err)
	path, err := api.Kubeconfig(agent)
	require.NoError(t, err)
	credentials, err := os.ReadFile(path)
	require.NoError(t, err)
	folder := folderForTest(t)
	w.configs = folder
	require.NoError(t, os.WriteFile(filepath.Join(folder, "kubeconfig"), credentials, 0o600))
	writeConfigs(t, folder, east, west)
	daemon, err := underlayd()
	require.NoError(t, err)
	w.Lab = containerlab.UpForTest(t, "../full-mesh.clab.yml", containerlab.Options{
		Sources: map[string]string{"../bin/underlayd": daemon.path, "full-mesh/etc": folder},
		Manual:  []string{"east-1", "east-2", "east-3", "west-1", "west-2", "west-3"},
	})
	for _, name := range []string{"east-1", "east-2", "east-3"} {
		forward, err := w.Node(name).Forward(api.Address(), api.Address())
		require.NoError(t, err)
		t.Cleanup(func() { _ = forward.Close() })
	}
	return &tribe{w.Lab, w}
}

func (w *tribe) nodes() corev1client.NodeInterface { return w.apis["east"].Client().CoreV1().Nodes() }

// register makes a Node with addresses of both families, as a kubelet does.
func (w *tribe) register(t *testing.T, number int, peer string) {
	t.Helper()
	name := fmt.Sprintf("east-%d", number)
	node, err := w.nodes().Create(t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"example.org/peer": peer}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	node.Status.Addresses = []corev1.NodeAddress{
		{Type: corev1.NodeHostName, Address: name},
		{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("192.168.50.%d", 10+number)},
		{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("fd00:fab:50::%d", 10+number)},
	}
	_, err = w.nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{})
	require.NoError(t, err)
}

// peers waits until east-1 has these sessions, established.
func (w *tribe) peers(t *testing.T, want ...string) {
	t.Helper()
	until(t, fmt.Sprintf("sessions %v", want), func(ctx context.Context) error {
		out, err := w.Lab.Node("east-1").Output(ctx, "underlayd", "status", "-o", "json")
		if err != nil {
			return err
		}
		var s struct {
			Sessions []struct{ Peer, Address, State string }
		}
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			return err
		}
		got := []string{}
		for _, p := range s.Sessions {
			got = append(got, p.Peer+" "+p.Address+" "+p.State)
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("got %v", got)
		}
		return nil
	})
}

func testNodesOfAClusterBecomePeers(t *testing.T) {
	w := newTribe(t, nodePeersConfig, nodePeersConfig)
	w.register(t, 1, "yes")
	w.register(t, 2, "yes")
	w.register(t, 3, "no")
	require.NoError(t, w.Lab.Node("east-1").Launch(t.Context()))
	require.NoError(t, w.Lab.Node("east-2").Launch(t.Context()))
	two, three := "east-2 192.168.50.12 established", "east-3 192.168.50.13 established"
	w.peers(t, two)

	_, err := w.nodes().Patch(t.Context(), "east-3", types.MergePatchType,
		[]byte(`{"metadata":{"labels":{"example.org/peer":"yes"}}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	require.NoError(t, w.Lab.Node("east-3").Launch(t.Context()))
	w.peers(t, two, three)

	api := w.apis["east"]
	api.Stop()
	daemon := w.Lab.Node("east-1").Process("underlayd")
	require.NoError(t, daemon.Kill())
	require.NoError(t, w.Lab.Node("east-1").Launch(t.Context()))
	w.peers(t, two, three) // known from the last run
	require.NoError(t, api.Resume(t.Context()))

	require.NoError(t, w.nodes().Delete(t.Context(), "east-3", metav1.DeleteOptions{}))
	w.peers(t, two)
}

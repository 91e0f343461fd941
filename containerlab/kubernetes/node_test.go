package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go4.org/netipx"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/underlayd/underlayd/k8s/annotation"
)

func (w *world) nodes(node string) corev1client.NodeInterface {
	return w.apis[placeOf(node).cluster].Client().CoreV1().Nodes()
}

func (w *world) get(t *testing.T, node string) *corev1.Node {
	t.Helper()
	object, err := w.nodes(node).Get(t.Context(), node, metav1.GetOptions{})
	require.NoError(t, err)
	return object
}

// create registers a Node as a kubelet does, with pod CIDRs if there are any yet.
func (w *world) create(t *testing.T, node string, podCIDRs ...netip.Prefix) {
	t.Helper()
	object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node, Labels: map[string]string{"kubernetes.io/os": "linux"}}}
	object.Spec.PodCIDRs = texts(podCIDRs)
	if len(podCIDRs) > 0 {
		object.Spec.PodCIDR = podCIDRs[0].String()
		w.pods[node] = podCIDRs
	}
	_, err := w.nodes(node).Create(t.Context(), object, metav1.CreateOptions{})
	require.NoError(t, err)
}

// assign gives a Node that has none its pod CIDRs as the cluster's controller does. The API accepts it once. It
// returns when the write began and when the API had confirmed it.
func (w *world) assign(t *testing.T, node string, podCIDRs ...netip.Prefix) (began, confirmed time.Time) {
	t.Helper()
	patch := assignment(t, podCIDRs)
	began = time.Now()
	_, err := w.nodes(node).Patch(t.Context(), node, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	confirmed = time.Now()
	require.NoError(t, err)
	w.pods[node] = podCIDRs
	return began, confirmed
}

func assignment(t *testing.T, podCIDRs []netip.Prefix) []byte {
	t.Helper()
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"podCIDR": podCIDRs[0].String(), "podCIDRs": texts(podCIDRs)}})
	require.NoError(t, err)
	return patch
}

// reassign gives a node other pod CIDRs in the one way the API allows: by a new Node.
func (w *world) reassign(t *testing.T, node string, podCIDRs ...netip.Prefix) (began, confirmed time.Time) {
	t.Helper()
	w.delete(t, node)
	w.create(t, node)
	return w.assign(t, node, podCIDRs...)
}

func texts(prefixes []netip.Prefix) []string {
	var list []string
	for _, p := range prefixes {
		list = append(list, p.String())
	}
	return list
}

// lease returns the Lease of a node's daemon.
func (w *world) lease(ctx context.Context, node string) (*coordinationv1.Lease, error) {
	return w.apis[placeOf(node).cluster].Client().CoordinationV1().Leases(annotation.LeaseNamespace).
		Get(ctx, annotation.LeaseName(node), metav1.GetOptions{})
}

// versions returns the resource version of each of the Nodes: it changes with every write.
func (w *world) versions(t *testing.T, nodes ...string) map[string]string {
	t.Helper()
	versions := map[string]string{}
	for _, node := range nodes {
		versions[node] = w.get(t, node).ResourceVersion
	}
	return versions
}

// condition returns the daemon's condition of a Node, nil if it has none.
func condition(n *corev1.Node) *corev1.NodeCondition {
	for i := range n.Status.Conditions {
		if n.Status.Conditions[i].Type == annotation.Condition {
			return &n.Status.Conditions[i]
		}
	}
	return nil
}

// told waits until the Nodes say all that is true of them, and nothing else.
func (w *world) told(t *testing.T, nodes ...string) {
	t.Helper()
	for _, name := range nodes {
		until(t, "what Node "+name+" says", func(ctx context.Context) error {
			node, err := w.nodes(name).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if c := condition(node); c == nil || c.Status != corev1.ConditionTrue || c.Reason != "RoutesInstalled" {
				return fmt.Errorf("the condition is %+v", c)
			}
			said, err := annotation.Parse(node.Annotations)
			if err != nil {
				return err
			}
			return w.truth(name, said)
		})
	}
}

// truth compares what a Node says with what is to be so.
func (w *world) truth(node string, said *annotation.State) error {
	here := placeOf(node)
	other := map[string]string{"east": "west", "west": "east"}[here.cluster]
	remote := union(w.remote(node))
	local := slices.SortedFunc(slices.Values(w.pods[node]), netip.Prefix.Compare)
	switch {
	case said.Cluster != here.cluster:
		return fmt.Errorf("the cluster is %s", said.Cluster)
	case !slices.Equal(said.LocalCIDRs, local):
		return fmt.Errorf("want local CIDRs %v, got %v", local, said.LocalCIDRs)
	case !slices.Equal(said.RemoteCIDRs, remote) || !said.Complete:
		return fmt.Errorf("want remote CIDRs %v, got %v (complete: %v)", remote, said.RemoteCIDRs, said.Complete)
	case len(said.Clusters) != 1 || said.Clusters[0].Name != other || said.Clusters[0].State != "Reachable":
		return fmt.Errorf("the clusters are %+v", said.Clusters)
	case said.Clusters[0].Peers == 0:
		return errors.New("no peers are up")
	}
	return nil
}

// union is the fewest prefixes that cover these and nothing else, sorted.
func union(prefixes []netip.Prefix) []netip.Prefix {
	var b netipx.IPSetBuilder
	for _, p := range prefixes {
		b.AddPrefix(p)
	}
	set, err := b.IPSet()
	if err != nil {
		return nil
	}
	return set.Prefixes()
}

// settled waits until the whole world is as it is to be: kernels, Nodes and what the daemons say of themselves.
func (w *world) settled(t *testing.T) {
	t.Helper()
	for _, p := range places() {
		w.routed(t, p.name)
	}
	for _, p := range places() {
		w.told(t, p.name)
		w.is(t, p.name, "ready with nothing wrong", func(s state) error {
			if s.Phase != "Ready" || len(s.Problems) > 0 {
				return errors.New("not yet")
			}
			return nil
		})
	}
}

package kubernetes

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// clusterCIDRs are what the Nodes of a cluster get their pod CIDRs of.
func clusterCIDRs(cluster string) []netip.Prefix {
	if cluster == "east" {
		return []netip.Prefix{netip.MustParsePrefix("10.10.0.0/16"), netip.MustParsePrefix("fd00:10::/48")}
	}
	return []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("fd00:20::/48")}
}

// control starts a cluster's kube-controller-manager anew, with or without the allocation of pod CIDRs.
func (w *world) control(t *testing.T, cluster string, allocate bool) {
	t.Helper()
	var podCIDRs []netip.Prefix
	if allocate {
		podCIDRs = clusterCIDRs(cluster)
	}
	require.NoError(t, w.apis[cluster].StartControllers(podCIDRs...))
}

// register makes a Node without pod CIDRs, as a kubelet does, and waits until its cluster's controllers have given it some.
func (w *world) register(t *testing.T, cluster, name string) {
	t.Helper()
	object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelOSStable: "linux"}}}
	_, err := w.apis[cluster].Client().CoreV1().Nodes().Create(t.Context(), object, metav1.CreateOptions{})
	require.NoError(t, err)
	w.given(t, cluster, name)
}

// given waits for a Node's pod CIDRs and returns when they were seen, some milliseconds after they were written. It reads the
// store: a watch may have to wait until the API server's cache has caught up with it.
func (w *world) given(t *testing.T, cluster, name string) (at time.Time) {
	t.Helper()
	api := w.apis[cluster]
	var texts []string
	require.Eventually(t, func() bool {
		node, err := api.Client().CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return false
		}
		at, texts = time.Now(), node.Spec.PodCIDRs
		return len(texts) == 2
	}, patience, 5*time.Millisecond, "no pod CIDRs for %s: %s", name, api.ControllersLog())
	w.pods[name] = nil
	for _, text := range texts {
		w.pods[name] = append(w.pods[name], netip.MustParsePrefix(text))
	}
	return at
}

func (w *world) delete(t *testing.T, node string) {
	t.Helper()
	require.NoError(t, w.nodes(node).Delete(t.Context(), node, metav1.DeleteOptions{}))
}

// remake deletes a Node and makes it again without pod CIDRs: the controllers give it others. It returns when it was made
// and when it had them.
func (w *world) remake(t *testing.T, node string) (began, confirmed time.Time) {
	t.Helper()
	w.delete(t, node)
	began = time.Now()
	w.create(t, node)
	return began, w.given(t, placeOf(node).cluster, node)
}

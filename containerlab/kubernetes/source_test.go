package kubernetes

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// source has another source than its Node's spec show pod CIDRs of west-2, one more than it had, and takes that back.
func (w *world) source(t *testing.T) {
	own := placeOf("west-2").pods
	w.from(t, "west-2", "node")
	pings := w.startPings(t, "west-2", "east-1")
	w.pods["west-2"] = append([]netip.Prefix{netip.MustParsePrefix("10.20.150.0/24")}, own...)
	subnets, err := json.Marshal(map[string][]netip.Prefix{"default": w.pods["west-2"]})
	require.NoError(t, err)
	w.annotate(t, "west-2", "k8s.ovn.org/node-subnets", string(subnets))
	w.settled(t)
	w.from(t, "west-2", "ovn")
	w.annotate(t, "west-2", "k8s.ovn.org/node-subnets", nil)
	w.pods["west-2"] = own
	w.settled(t)
	w.from(t, "west-2", "node")
	for _, p := range pings {
		p.answered(t)
	}
}

// annotate sets an annotation of a Node, or takes it off with nil.
func (w *world) annotate(t *testing.T, node, key string, value any) {
	t.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{key: value}}})
	require.NoError(t, err)
	_, err = w.nodes(node).Patch(t.Context(), node, types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(t, err)
}

// from expects that all that a node advertises was read at a source.
func (w *world) from(t *testing.T, node, source string) {
	t.Helper()
	s := w.state(t, node)
	require.Len(t, s.From, len(s.Advertised))
	for i, from := range s.From {
		require.Equal(t, s.Advertised[i], from.Prefix)
		require.Equal(t, source, from.Source)
	}
	require.Equal(t, source, s.Kubernetes.Source)
}

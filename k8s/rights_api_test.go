package k8s_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/k8s"
)

// TestTheAgentKnowsItsRights: asked of the API as the manifests' service account, which has no right but its own.
func TestTheAgentKnowsItsRights(t *testing.T) {
	t.Parallel()
	server := api(t)
	agent, err := server.Agent(t.Context(), "knows-its-rights")
	require.NoError(t, err)
	denied, err := k8s.Denied(t.Context(), agent, []k8s.Right{
		{Verb: "get", Resource: "nodes"},
		{Verb: "patch", Resource: "nodes", Subresource: "status"},
		{Verb: "delete", Resource: "nodes"}, // no component grants it
		{Verb: "update", Group: "coordination.k8s.io", Resource: "leases", Namespace: "kube-system"},
		{Verb: "get", Resource: "secrets", Namespace: "kube-system", Name: "fabric"},
	})
	require.NoError(t, err)
	var texts []string
	for _, r := range denied {
		texts = append(texts, r.String())
	}
	require.Equal(t, []string{"delete nodes", "get secrets fabric in namespace kube-system"}, texts)
}

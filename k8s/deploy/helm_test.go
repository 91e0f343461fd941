package deploy_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"

	"github.com/underlayd/underlayd/k8s/apitest"
)

// TestHelmFromInstallToUninstall is the life of a release on a real API server. What the Pods do is played elsewhere.
func TestHelmFromInstallToUninstall(t *testing.T) {
	ctx := t.Context()
	server := apitest.New(t)
	kubeconfig, err := server.Kubeconfig(server.Admin())
	require.NoError(t, err)
	folder := t.TempDir()
	for _, name := range []string{"HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"} {
		t.Setenv(name, filepath.Join(folder, name))
	}
	t.Setenv("KUBECONFIG", kubeconfig)
	helm := func(argv ...string) string {
		t.Helper()
		out, err := tool(t, append(append([]string{"helm"}, argv...), "--namespace", "kube-system")...)
		require.NoError(t, err)
		return out
	}
	require.Eventually(t, func() bool { // which the API server makes by itself, when it has time
		_, err := server.Client().CoreV1().Services("default").Get(ctx, "kubernetes", metav1.GetOptions{})
		return err == nil
	}, time.Minute, 50*time.Millisecond)
	before := everyObject(t, server)
	out := helm("install", "underlayd", chart)
	require.Contains(t, out, "create configmap underlayd --from-file=config.yaml")
	sets := server.Client().AppsV1().DaemonSets("kube-system")
	installed, err := sets.Get(ctx, "underlayd", metav1.GetOptions{})
	require.NoError(t, err)

	out = helm("upgrade", "underlayd", chart, "--set-file", "config=containerlab/two-clusters/east-1/config.yaml")
	require.NotContains(t, out, "create configmap")
	configured, err := sets.Get(ctx, "underlayd", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, installed.Generation, configured.Generation, "a change of the configuration makes no Pod anew")

	out = helm("upgrade", "underlayd", chart, "--reset-then-reuse-values", "--set", "cleanup=true")
	require.Contains(t, out, "rollout status daemonset underlayd")
	cleaning, err := sets.Get(ctx, "underlayd", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, []string{"cleanup", "--stay", "--config=/etc/underlayd/config.yaml"}, cleaning.Spec.Template.Spec.Containers[0].Args)
	kept, err := server.Client().CoreV1().ConfigMaps("kube-system").Get(ctx, "underlayd", metav1.GetOptions{})
	require.NoError(t, err)
	require.Contains(t, kept.Data["config.yaml"], "192.168.11.254", "what is cleaned up goes by the configuration that was in force")

	helm("uninstall", "underlayd")
	require.Equal(t, before, everyObject(t, server))
}

// everyObject returns each object that the API server has, by resource, namespace and name. Revisions of DaemonSets and
// the like would be made by controllers, of which there are none here.
func everyObject(t *testing.T, server *apitest.Server) map[string]bool {
	t.Helper()
	lists, err := server.Client().Discovery().ServerPreferredResources()
	require.NoError(t, err)
	client, err := dynamic.NewForConfig(server.Admin())
	require.NoError(t, err)
	listable := discovery.FilteredBy(discovery.SupportsAllVerbs{Verbs: []string{"list", "delete"}}, lists)
	resources, err := discovery.GroupVersionResources(listable)
	require.NoError(t, err)
	all := map[string]bool{}
	for resource := range resources {
		if resource.Resource == "events" || resource.Resource == "ipaddresses" { // of the API server itself
			continue
		}
		list, err := client.Resource(resource).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err, resource)
		for _, object := range list.Items {
			all[resource.String()+" "+object.GetNamespace()+"/"+object.GetName()] = true
		}
	}
	require.NotEmpty(t, all)
	return all
}

package deploy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/underlayd/underlayd/k8s/apitest"
)

func TestTheChartIsTheBase(t *testing.T) {
	require.Equal(t, named(t, baseObjects(t)), named(t, rendered(t, "kube-system")))
}

func TestTheChartAndTheComponentsAgree(t *testing.T) {
	for component, arguments := range map[string][]string{
		"unnumbered": {"--set", "unnumbered=true"},
		"passwords":  {"--set", "passwordSecrets={underlayd-passwords}"},
		"cleanup":    {"--set", "cleanup=true"},
		"metrics":    {"--set", "metricsPort=9179"},

		"password-secret": {"--set", "passwordSecretNames={underlayd-passwords}"},
	} {
		require.Equal(t, named(t, overlaid(t, component)), named(t, rendered(t, "kube-system", arguments...)), component)
	}
	require.Equal(t, named(t, overlaid(t, "cleanup")), named(t, objectsOf(t, must(t, "kustomize", "build", "k8s/deploy/cleanup"))))
}

func TestTheAPIServerTakesEveryVariant(t *testing.T) {
	ctx := t.Context()
	server := apitest.New(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "underlay"}}
	_, err := server.Client().CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
	require.NoError(t, err)
	variants := map[string][]*unstructured.Unstructured{
		"the base":                          baseObjects(t),
		"the base with every component":     overlaid(t, components(t)...),
		"the chart":                         rendered(t, "kube-system"),
		"the chart with everything changed": rendered(t, "kube-system", everything...),
		"the chart in another namespace":    rendered(t, "underlay"),
		"the chart that cleans up":          rendered(t, "underlay", "--set", "cleanup=true"),
		"the example":                       objectsOf(t, must(t, "kustomize", "build", "k8s/deploy/example")),
	}
	for _, name := range components(t) {
		variants["the base with the component "+name] = overlaid(t, name)
	}
	for name, objects := range variants {
		require.NoError(t, server.Apply(ctx, objects, true), name)
	}
	// The check would find something.
	broken := rendered(t, "kube-system")
	for _, object := range broken {
		if object.GetKind() == "DaemonSet" {
			require.NoError(t, unstructured.SetNestedField(object.Object, true, "spec", "template", "spec", "hostnetwork"))
		}
	}
	require.ErrorContains(t, server.Apply(ctx, broken, true), "hostnetwork")
}

func TestWithEverythingChanged(t *testing.T) {
	pod := podOf(t, rendered(t, "kube-system", everything...))
	requireMemory(t, pod)
	require.Equal(t, []corev1.Capability{"NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW"}, capabilitiesOf(pod))
	require.Equal(t, "registry.example.org:5000/underlayd@sha256:"+zeros, pod.Containers[0].Image)
	for _, volume := range pod.Volumes {
		require.Nil(t, volume.Secret)
		if volume.HostPath != nil {
			require.Equal(t, "/run/underlayd", volume.HostPath.Path, "nothing else of the host is mounted")
		}
		if volume.Name == "passwords" {
			require.Len(t, volume.Projected.Sources, 2)
		}
	}
	for _, limit := range []string{"256Mi", "3Gi"} {
		requireMemory(t, podOf(t, rendered(t, "kube-system", "--set", "memoryLimit="+limit)))
	}
}

// The service account is the release's; where the Leases are is part of the Node contract.
func TestInAnotherNamespace(t *testing.T) {
	all := named(t, rendered(t, "underlay"))
	for _, key := range []string{"DaemonSet underlay/underlayd", "ServiceAccount underlay/underlayd", "Role kube-system/underlayd"} {
		require.Contains(t, all, key)
	}
	for key, object := range all {
		text, err := sigsyaml.Marshal(object)
		require.NoError(t, err)
		require.NotContains(t, string(text), "serviceaccount:kube-system", key)
		if strings.HasPrefix(key, "RoleBinding") || strings.HasPrefix(key, "ClusterRoleBinding") {
			require.Equal(t, "underlay", object["subjects"].([]any)[0].(map[string]any)["namespace"], key)
		}
	}
}

// The daemon follows the file: a Pod that is made anew for it would be a restart for nothing.
func TestTheConfigurationIsTheOneGivenAndNoPodIsMadeAnewForIt(t *testing.T) {
	const file = "containerlab/two-clusters/east-1/config.yaml"
	text, err := os.ReadFile(filepath.Join("..", "..", file))
	require.NoError(t, err)
	folder := t.TempDir()
	values := filepath.Join(folder, "values.yaml")
	require.NoError(t, os.WriteFile(values, []byte("config:\n  "+strings.ReplaceAll(
		strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n  "), "asn: 65000", "asn: 4200000001")+"\n"), 0o600))
	before := named(t, rendered(t, "kube-system"))
	for name, row := range map[string]struct{ arguments, has []string }{
		"a file, to the byte":           {[]string{"--set-file", "config=" + file}, []string{string(text)}},
		"values, great numbers as well": {[]string{"--values", values}, []string{"asn: 4200000001\n", "name: east"}},
	} {
		t.Run(name, func(t *testing.T) {
			all := named(t, rendered(t, "kube-system", row.arguments...))
			require.NotContains(t, before, "ConfigMap kube-system/underlayd", "it is somebody else's")
			require.Equal(t, before["DaemonSet kube-system/underlayd"], all["DaemonSet kube-system/underlayd"])
			said := all["ConfigMap kube-system/underlayd"]["data"].(map[string]any)["config.yaml"].(string)
			for _, has := range row.has {
				require.Contains(t, said, has)
			}
			path := filepath.Join(t.TempDir(), "config.yaml")
			require.NoError(t, os.WriteFile(path, []byte(said), 0o600))
			out, err := run(t, "go", "run", "./cmd/underlayd", "config", "validate", path)
			require.NoError(t, err)
			require.Contains(t, out, "valid")
		})
	}
}

func TestTheChartRefusesWhatItDoesNotKnow(t *testing.T) {
	for set, says := range map[string]string{
		"hostNetwork=false":      "additional properties 'hostNetwork' not allowed",
		"memoryLimit=1000000":    "/memoryLimit",
		"memoryLimit=1.5Gi":      "/memoryLimit",
		"maxUnavailable=0":       "/maxUnavailable",
		"passwordSecrets={../x}": "/passwordSecrets/0",

		"passwordSecretNames={*}": "/passwordSecretNames/0",
		"image.digest=sha256:1":   "/image/digest",
		"configMap=":              "/configMap",
		"cleanup=yes":             "/cleanup",
	} {
		_, err := tool(t, "helm", "template", "underlayd", chart, "--set", set)
		require.ErrorContains(t, err, says, set)
	}
	_, err := tool(t, "helm", "template", "underlayd", chart, "--kube-version", "1.31.0")
	require.ErrorContains(t, err, "chart requires kubeVersion: >=1.32.0-0", "older API servers don't say which node a token is bound to")
}

// The table of the chart's README has a row for each value, with its default.
func TestTheREADMEOfTheChartHasEveryValue(t *testing.T) {
	var values map[string]any
	text, err := os.ReadFile("chart/values.yaml")
	require.NoError(t, err)
	require.NoError(t, sigsyaml.UnmarshalStrict(text, &values))
	readme, err := os.ReadFile("chart/README.md")
	require.NoError(t, err)
	rows := 0
	for key, value := range values {
		if inner, ok := value.(map[string]any); ok && (key == "image" || key == "requests") {
			for name, value := range inner {
				requireRow(t, string(readme), key+"."+name, value)
				rows++
			}
			continue
		}
		requireRow(t, string(readme), key, value)
		rows++
	}
	require.Equal(t, rows, strings.Count(string(readme), "\n| `"), "a row for a value that is not there")
}

func requireRow(t *testing.T, readme, key string, value any) {
	t.Helper()
	text, err := sigsyaml.Marshal(value)
	require.NoError(t, err)
	shown := strings.TrimSuffix(string(text), "\n")
	switch key {
	case "tolerations":
		shown = "[{operator: Exists}]"
	case "nodeSelector":
		shown = "{kubernetes.io/os: linux}"
	}
	require.Contains(t, readme, "\n| `"+key+"` | `"+shown+"` | ")
}

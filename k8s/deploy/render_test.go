package deploy_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/underlayd/underlayd/k8s/apitest"
	"github.com/underlayd/underlayd/k8s/deploy"
)

const chart = "k8s/deploy/chart"

// run runs a program in the repository and returns what it says.
func run(t *testing.T, argv ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	c.Dir = filepath.Join("..", "..")
	var out, said bytes.Buffer
	c.Stdout, c.Stderr = &out, &said
	if err := c.Run(); err != nil {
		return out.String(), errors.Join(err, errors.New(said.String()))
	}
	return out.String(), nil
}

// tool runs the real helm or kustomize, pinned in .ci/deploy/go.mod. The first time they are compiled, which takes minutes.
func tool(t *testing.T, argv ...string) (string, error) {
	t.Helper()
	return run(t, append([]string{"go", "tool", "-modfile=.ci/deploy/go.mod"}, argv...)...)
}

func must(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := tool(t, argv...)
	require.NoError(t, err)
	return out
}

// rendered returns the objects of the chart; later arguments are helm's.
func rendered(t *testing.T, namespace string, arguments ...string) []*unstructured.Unstructured {
	t.Helper()
	return objectsOf(t, must(t, append([]string{"helm", "template", "underlayd", chart, "--namespace", namespace}, arguments...)...))
}

// overlaid returns the objects of the base with components.
func overlaid(t *testing.T, components ...string) []*unstructured.Unstructured {
	t.Helper()
	folder := t.TempDir()
	here, err := filepath.Abs(".")
	require.NoError(t, err)
	back, err := filepath.Rel(folder, here) // kustomize follows no absolute paths
	require.NoError(t, err)
	text := "resources: [" + back + "/base]\ncomponents:\n"
	for _, name := range components {
		text += "- " + back + "/components/" + name + "\n"
	}
	require.NoError(t, os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o600))
	return objectsOf(t, must(t, "kustomize", "build", folder))
}

func objectsOf(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := apitest.Objects([]byte(text))
	require.NoError(t, err)
	require.NotEmpty(t, objects)
	return objects
}

// named returns objects by kind and name.
func named(t *testing.T, objects []*unstructured.Unstructured) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	for _, object := range objects {
		key := object.GetKind() + " " + object.GetNamespace() + "/" + object.GetName()
		require.NotContains(t, all, key)
		all[key] = object.Object
	}
	return all
}

func components(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("components")
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	require.NotEmpty(t, names)
	return names
}

func baseObjects(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	objects, err := apitest.Manifests(deploy.Base())
	require.NoError(t, err)
	return objects
}

// everything has each value of the chart be another one than its default.
var everything = []string{
	"--set", "image.repository=registry.example.org:5000/underlayd", "--set", "image.digest=sha256:" + zeros,
	"--set", "image.pullPolicy=Always", "--set", "imagePullSecrets[0].name=registry",
	"--set-file", "config=containerlab/two-clusters/east-1/config.yaml", "--set", "passwordSecrets={fabric,west}", "--set", "passwordSecretNames={fabric,west}",
	"--set", "unnumbered=true", "--set", "metricsPort=9179", "--set", "memoryLimit=1536Mi", "--set", "requests.cpu=1", "--set", "maxUnavailable=10%",
	"--set", "priorityClassName=system-cluster-critical", "--set", "tolerations[0].key=a", "--set", "nodeSelector.a=b",
	"--set", "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1",
	"--set", "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchFields[0].key=metadata.name",
	"--set", "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchFields[0].operator=In",
	"--set", "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchFields[0].values[0]=one",
	"--set", "podLabels.a=b", "--set", "podAnnotations.a=b", "--set", "env[0].name=KUBERNETES_SERVICE_HOST", "--set", "env[0].value=192.0.2.1",
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

func capabilitiesOf(pod corev1.PodSpec) []corev1.Capability {
	return pod.Containers[0].SecurityContext.Capabilities.Add
}

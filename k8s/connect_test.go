package k8s

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

func TestConnectNeverRepeatsWhatAKubeconfigHolds(t *testing.T) {
	const secret = "s3cr3t-t0ken"
	for name, text := range map[string]string{
		"a token where a map belongs":    "apiVersion: v1\nkind: Config\nusers: " + secret + "\n",
		"a token as the whole file":      secret,
		"broken YAML":                    "apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user: {token: " + secret + "\n",
		"a token that is no base64":      "apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user: {client-key-data: \"" + secret + "%\"}\n",
		"no current context":             "apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user: {token: " + secret + "}\n",
		"a context that is not declared": "apiVersion: v1\nkind: Config\ncurrent-context: b\nusers:\n- name: a\n  user: {token: " + secret + "}\n",
		"certificates that are none": "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts:\n- name: a\n  context: {cluster: a, user: a}\n" +
			"clusters:\n- name: a\n  cluster: {server: \"https://127.0.0.1\", certificate-authority: /nowhere}\nusers:\n- name: a\n  user: {token: " + secret + "}\n",
		"an empty file": "",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kubeconfig")
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			_, err := Connect(path)
			require.Error(t, err)
			require.Contains(t, err.Error(), path)
			require.NotContains(t, err.Error(), secret)
		})
	}
}

func TestConnectNamesTheFileThatIsNotThere(t *testing.T) {
	_, err := Connect("/nowhere/kubeconfig")
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Contains(t, err.Error(), "/nowhere/kubeconfig")
}

func TestOutsideAClusterThereIsNothingToConnectTo(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	require.False(t, InCluster())
	_, err := Connect("")
	require.ErrorIs(t, err, ErrNotInCluster)
}

func TestPodCIDRsOfANodeSpec(t *testing.T) {
	for _, row := range []struct {
		name    string
		spec    corev1.NodeSpec
		want    []string
		wrong   []string
		nothing bool
	}{
		{name: "none assigned yet", nothing: true},
		{name: "both families", spec: corev1.NodeSpec{PodCIDR: "10.10.1.0/24", PodCIDRs: []string{"fd00:10:0:1::/64", "10.10.1.0/24"}}, want: []string{"10.10.1.0/24", "fd00:10:0:1::/64"}},
		{name: "the deprecated field alone", spec: corev1.NodeSpec{PodCIDR: "10.10.1.0/24"}, want: []string{"10.10.1.0/24"}},
		{name: "the list wins over the deprecated field", spec: corev1.NodeSpec{PodCIDR: "10.10.1.0/24", PodCIDRs: []string{"10.10.2.0/24"}}, want: []string{"10.10.2.0/24"}},
		{name: "host bits are what Kubernetes lets pass", spec: corev1.NodeSpec{PodCIDRs: []string{"10.10.1.7/24"}}, want: []string{"10.10.1.0/24"}},
		{name: "one twice", spec: corev1.NodeSpec{PodCIDRs: []string{"10.10.1.0/24", "10.10.1.0/24"}}, want: []string{"10.10.1.0/24"}},
		{name: "an odd one does not silence the other", spec: corev1.NodeSpec{PodCIDRs: []string{"10.10.1.0/33", "fd00:10:0:1::/64"}}, want: []string{"fd00:10:0:1::/64"}, wrong: []string{"10.10.1.0/33"}},
		{name: "every odd one is named", spec: corev1.NodeSpec{PodCIDRs: []string{"010.1.0.0/24", "x", "::ffff:10.0.0.0/120"}}, wrong: []string{"010.1.0.0/24", `"x"`, "::ffff:10.0.0.0/120"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			found, err := podCIDRs(&row.spec)
			require.Equal(t, prefixes(row.want...), found)
			if len(row.wrong) == 0 {
				require.NoError(t, err)
				return
			}
			for _, text := range row.wrong {
				require.ErrorContains(t, err, text)
			}
		})
	}
}

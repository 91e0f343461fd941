package kubectl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/k8s/apitest"
	"github.com/underlayd/underlayd/k8s/deploy"
)

// The nodes' addresses: both daemons run here, and nobody is at the third.
const east, west, nobody = "192.0.2.1", "192.0.2.2", "192.0.2.3"

func TestMain(m *testing.M) {
	os.Exit(containerlab.InNamespace(m.Run, netip.MustParseAddr(east), netip.MustParseAddr(west)))
}

// cluster is an API server with a Pod for each node, and kubectl with the plugin in PATH.
type cluster struct {
	*apitest.Server
	kubectl, kubeconfig, path string
}

// TestKubectlUnderlayd asks two daemons that have a session with each other, and others that do not answer.
func TestKubectlUnderlayd(t *testing.T) {
	c := newCluster(t)
	c.daemon(t, "east-1", east, west, 1)
	c.daemon(t, "west-1", west, east, 2)
	c.pod(t, "east-1", east, corev1.PodRunning)
	c.pod(t, "west-1", west, corev1.PodRunning)
	var out string
	both := regexp.MustCompile(`(?s)^NODE +CLUSTER +PHASE +PEERS +INSTALLED .*\neast-1 +east +\w+ +1/1 .*\nwest-1 +west +\w+ +1/1 `)
	require.Eventually(t, func() bool {
		var err error
		out, _, err = c.ask("status")
		return err == nil && both.MatchString(out)
	}, time.Minute, 200*time.Millisecond, "%s", &out)

	t.Run("each node's answer is under its name", func(t *testing.T) {
		out, _, err := c.ask("peers")
		require.NoError(t, err)
		require.Regexp(t, `(?s)^== east-1\n.*\bwest-1\b.*Established.*\n\n== west-1\n.*\beast-1\b.*Established`, out)
	})
	t.Run("one list for programs", func(t *testing.T) {
		for _, format := range []string{"json", "yaml"} {
			out, _, err := c.ask("routes", "10.20.1.0/24", "-o", format, "--node", "east-1")
			require.NoError(t, err)
			require.Contains(t, out, "AnswerList")
			require.Contains(t, out, "10.20.1.0/24")
			require.NotRegexp(t, `node"?: "?west-1`, out)
		}
		out, _, err := c.ask("status", "-o", "json")
		require.NoError(t, err)
		var list struct {
			Kind  string
			Items []struct {
				Node   string
				Answer struct{ Kind, Node string }
			}
		}
		require.NoError(t, json.Unmarshal([]byte(out), &list))
		require.Len(t, list.Items, 2)
		for _, item := range list.Items {
			require.Equal(t, []string{item.Node, "Status"}, []string{item.Answer.Node, item.Answer.Kind})
		}
	})
	t.Run("explain, of one node", func(t *testing.T) {
		out, _, err := c.ask("explain", "10.20.1.9", "--node", "east-1")
		require.NoError(t, err)
		require.Regexp(t, `^== east-1\n10\.20\.1\.9 `, out)
	})
	t.Run("more routes than are on a page", func(t *testing.T) {
		out, _, err := c.ask("routes", "-o", "json", "--node", "west-1")
		require.NoError(t, err)
		require.Equal(t, many+1, strings.Count(out, `"prefix": "10.10.`), "all of them")
		out, _, err = c.ask("routes", "-o", "json", "--node", "west-1", "--limit", "501")
		require.NoError(t, err)
		require.Equal(t, 501, strings.Count(out, `"prefix": "10.10.`))
	})
	t.Run("who does not answer is named, and the others' answers are there", func(t *testing.T) {
		c.pod(t, "east-2", nobody, corev1.PodRunning)
		c.pod(t, "east-3", "", corev1.PodPending)
		out, problems, err := c.ask("status")
		require.Error(t, err)
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		require.Equal(t, 1, exit.ExitCode())
		require.Regexp(t, `(?m)^east-1 +east`, out)
		require.Regexp(t, `(?m)^east-2: the API server: error trying to reach service: `, problems)
		require.Contains(t, problems, "east-3: its Pod is Pending\n")
		require.Contains(t, problems, "underlayd: 2 of 4 nodes did not answer")
		out, problems, err = c.ask("history", "-o", "json")
		require.Error(t, err)
		require.Contains(t, out, `"error": "its Pod is Pending"`)
		require.Contains(t, problems, "2 of 4 nodes")
	})
	t.Run("what is asked wrongly", func(t *testing.T) {
		for args, says := range map[string]string{
			"status --node east-9":          "node east-9 has no Pod with the labels app.kubernetes.io/name=underlayd",
			"status --selector app=other":   "no Pods app=other in namespace kube-system",
			"status --port 1 --node west-1": "error trying to reach service",
			"status --context other":        `context "other" does not exist`,
			"peers nobody --node west-1":    "nobody",
		} {
			_, problems, err := c.ask(strings.Fields(args)...)
			require.Error(t, err, args)
			require.Contains(t, problems, says, args)
		}
	})
}

// many are the prefixes that east announces, besides that of its node.
const many = 600

func newCluster(t *testing.T) *cluster {
	t.Helper()
	apitest.Require(t)
	c := &cluster{Server: apitest.New(t), path: t.TempDir()}
	var err error
	c.kubectl, err = apitest.Kubectl(t.Context())
	require.NoError(t, err)
	c.kubeconfig, err = c.Kubeconfig(c.Admin())
	require.NoError(t, err)
	require.NoError(t, c.Install(t.Context(), deploy.Base()))
	build := exec.CommandContext(t.Context(), "go", "build", "-o", c.path, "./cmd/underlayd")
	build.Dir = filepath.Join("..", "..")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	require.NoError(t, os.Symlink("underlayd", filepath.Join(c.path, "kubectl-underlayd")))
	return c
}

// ask runs kubectl underlayd.
func (c *cluster) ask(args ...string) (out, problems string, err error) {
	cmd := exec.Command(c.kubectl, append([]string{"underlayd"}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig, "PATH="+c.path+":"+os.Getenv("PATH"))
	var said, complained bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &complained
	err = cmd.Run()
	return said.String(), complained.String(), err
}

// daemon runs one until the test ends.
func (c *cluster) daemon(t *testing.T, name, own, peer string, number int) {
	t.Helper()
	folder := t.TempDir()
	path := filepath.Join(folder, "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(configuration(name, own, peer, number, folder)), 0o600))
	log, err := os.Create(filepath.Join(folder, "log"))
	require.NoError(t, err)
	cmd := exec.Command(filepath.Join(c.path, "underlayd"), "run", "--config", path)
	cmd.Stderr = log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		_ = cmd.Wait()
		require.NoError(t, log.Close())
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("%s:\n%s", name, text)
		}
	})
}

// configuration is that of a node of east (1) or west (2).
func configuration(name, own, peer string, number int, folder string) string {
	clusters := map[int]string{1: "east", 2: "west"}
	other := 3 - number
	pods := []string{fmt.Sprintf("10.%d0.1.0/24", number)}
	if number == 1 {
		for i := range many {
			pods = append(pods, fmt.Sprintf("10.10.%d.%d/28", 128+i/16, i%16*16))
		}
	}
	return fmt.Sprintf(`
cluster: {name: %[1]s, id: %[2]d, podCIDRs: [10.%[2]d0.0.0/16]}
node: {name: %[3]s, podCIDRs: [%[4]s]}
bgp:
  asn: %[5]d
  routerID: %[6]s
  listenAddresses: [%[6]s]
  peers: [{name: %[7]s-1, address: %[8]s, asn: %[9]d, localAddress: %[6]s, hops: 0, clusters: [%[7]s]}]
clusters: [{name: %[7]s, id: %[10]d, podCIDRs: [10.%[10]d0.0.0/16], prefixLength: {ipv4: [16, 28]}}]
kernel: {protocol: %[11]d, table: %[11]d}
natExemption: false
kubernetes: {enabled: "false"}
http: {listen: "%[6]s:9179", lookingGlass: true}
runtime: {directory: %[12]s/run}
`, clusters[number], number, name, strings.Join(pods, ", "), 64511+number, own, clusters[other], peer, 64511+other, other, 200+number, folder)
}

// pod tells the API server of a daemon's Pod, as the DaemonSet controller and the kubelet do.
func (c *cluster) pod(t *testing.T, node, address string, phase corev1.PodPhase) {
	t.Helper()
	pods := c.Client().CoreV1().Pods("kube-system")
	p, err := pods.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "underlayd-" + node, Labels: map[string]string{"app.kubernetes.io/name": "underlayd"}},
		Spec: corev1.PodSpec{
			NodeName: node, HostNetwork: true, ServiceAccountName: "underlayd",
			Containers: []corev1.Container{{Name: "underlayd", Image: "underlayd"}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	p.Status.Phase = phase
	if address != "" {
		p.Status.PodIP, p.Status.PodIPs = address, []corev1.PodIP{{IP: address}}
	}
	_, err = pods.UpdateStatus(t.Context(), p, metav1.UpdateOptions{})
	require.NoError(t, err)
}

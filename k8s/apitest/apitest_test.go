package apitest

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func TestTheVersionIsTheOneTheModuleRequires(t *testing.T) {
	data, err := os.ReadFile("hyperkube/go.mod")
	require.NoError(t, err)
	require.Contains(t, string(data), "k8s.io/kubernetes "+Version+"\n")
}

func TestServerIsARealKubernetesThatSurvivesOutages(t *testing.T) {
	s := New(t)
	version, err := s.Client().Discovery().ServerVersion()
	require.NoError(t, err)
	require.Equal(t, Version, version.GitVersion)

	nodes := s.Client().CoreV1().Nodes()
	_, err = nodes.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "one"}}, metav1.CreateOptions{})
	require.NoError(t, err)

	s.Stop()
	s.Stop() // twice does nothing
	_, err = nodes.Get(t.Context(), "one", metav1.GetOptions{})
	require.Error(t, err, "a stopped API must not answer")
	started := time.Now()
	require.NoError(t, s.Resume(t.Context()))
	require.NoError(t, s.Resume(t.Context()))
	t.Logf("API server started again in %v", time.Since(started).Round(time.Millisecond))
	_, err = nodes.Get(t.Context(), "one", metav1.GetOptions{})
	require.NoError(t, err, "the data must survive")
}

func TestExposeReachesTheAPIFromAnotherNetworkNamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	s := New(t)
	// unshare holds the namespace open until its stdin ends, with this process.
	holder := exec.Command("unshare", "--net", "sh", "-c", "ip link set lo up && echo up && cat")
	stdin, err := holder.StdinPipe()
	require.NoError(t, err)
	stdout, err := holder.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, holder.Start())
	t.Cleanup(func() {
		require.NoError(t, stdin.Close())
		require.NoError(t, holder.Wait())
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "up\n", line)

	namespace := fmt.Sprintf("/proc/%d/ns/net", holder.Process.Pid)
	require.NoError(t, s.Expose(namespace))
	probe := func() error {
		return exec.Command("nsenter", "--net="+namespace, "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/"+
			strings.Split(s.Address(), ":")[1]+" && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && head -c 12 <&3 | grep -q HTTP").Run()
	}
	require.NoError(t, probe(), "a TLS server answers plain HTTP with an HTTP error")
	s.Stop()
	require.Error(t, probe())
	require.NoError(t, s.Resume(t.Context()))
	require.NoError(t, probe())
}

// TestMain makes this binary the child of the test below when asked to: a test
// process that is killed while it holds a running API server.
func TestMain(m *testing.M) {
	if os.Getenv("APITEST_CHILD") == "" {
		os.Exit(m.Run())
	}
	s, err := Start(context.Background())
	if err == nil {
		_, err = s.Kubeconfig(s.Admin())
	}
	fmt.Println(err)
	fmt.Println(s.scratch.dir)
	<-context.Background().Done() // for ever
}

func TestNothingStaysBehindWhenTheTestProcessIsKilled(t *testing.T) {
	Require(t)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "APITEST_CHILD=1")
	stdout, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan())
	require.Equal(t, "<nil>", lines.Text())
	require.True(t, lines.Scan())
	dir := lines.Text()
	require.DirExists(t, dir)
	require.Len(t, processesIn(t, dir), 2, "etcd and kube-apiserver")

	require.NoError(t, child.Process.Signal(syscall.SIGKILL))
	_ = child.Wait() // "signal: killed"
	require.Eventually(t, func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err) && len(processesIn(t, dir)) == 0
	}, time.Minute, 50*time.Millisecond)
}

// processesIn lists the processes working in dir (or in what was dir).
func processesIn(t *testing.T, dir string) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	require.NoError(t, err)
	var found []string
	for _, link := range links {
		target, err := os.Readlink(link)
		if err == nil && strings.TrimSuffix(target, " (deleted)") == dir {
			found = append(found, filepath.Dir(link))
		}
	}
	return found
}

func TestKubeconfigIsGoodForAClientAndPrivate(t *testing.T) {
	s := New(t)
	path, err := s.Kubeconfig(s.Admin())
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	config, err := clientcmd.BuildConfigFromFlags("", path)
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	_, err = client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
}

func TestControllersGivePodCIDRs(t *testing.T) {
	s := New(t)
	require.NoError(t, s.StartControllers(netip.MustParsePrefix("10.10.0.0/16"), netip.MustParsePrefix("fd00:10::/48")))
	nodes := s.Client().CoreV1().Nodes()
	given := func(name string) (podCIDRs []string) {
		require.Eventually(t, func() bool {
			node, err := nodes.Get(t.Context(), name, metav1.GetOptions{})
			require.NoError(t, err)
			podCIDRs = node.Spec.PodCIDRs
			return len(podCIDRs) > 0
		}, 40*time.Second, 50*time.Millisecond, "pod CIDRs of %s: %s", name, s.ControllersLog())
		return podCIDRs
	}
	create := func(name string) {
		_, err := nodes.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	create("one")
	require.Equal(t, []string{"10.10.0.0/24", "fd00:10::/64"}, given("one"))
	s.Stop() // they outlive an outage
	require.NoError(t, s.Resume(t.Context()))
	require.NoError(t, nodes.Delete(t.Context(), "one", metav1.DeleteOptions{}))
	create("one")
	again := given("one")
	require.Len(t, again, 2)
	for i, pool := range []string{"10.10.0.0/16", "fd00:10::/48"} {
		require.True(t, netip.MustParsePrefix(pool).Contains(netip.MustParsePrefix(again[i]).Addr()), "%v", again)
	}
	require.NotEqual(t, []string{"10.10.0.0/24", "fd00:10::/64"}, again, "not the same again")
	s.StopControllers()
	s.StopControllers() // twice does nothing
	require.Contains(t, s.ControllersLog(), "no kube-controller-manager")
}

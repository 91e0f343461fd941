package k8s_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/underlayd/underlayd/k8s"
	"github.com/underlayd/underlayd/k8s/annotation"
	"github.com/underlayd/underlayd/k8s/apitest"
	"github.com/underlayd/underlayd/k8s/deploy"
)

// One API serves most tests of the package, each with a Node of its own. Those that
// stop it run one after another and come first; those that only wait are parallel, and
// the longest of them that stop it have one of their own.
type sharedAPI struct {
	once   sync.Once
	server *apitest.Server
	err    error
}

var shared sharedAPI

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.server != nil {
		if err := shared.server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func api(t *testing.T) *apitest.Server {
	t.Helper()
	apitest.Require(t)
	shared.once.Do(func() {
		start := time.Now()
		if shared.server, shared.err = apitest.Start(context.Background()); shared.err != nil {
			return
		}
		t.Logf("API started in %v", time.Since(start).Round(time.Millisecond))
		shared.err = shared.server.Install(context.Background(), deploy.Base())
	})
	require.NoError(t, shared.err)
	return shared.server
}

// ownAPI is an API for one test alone.
func ownAPI(t *testing.T) *apitest.Server {
	t.Helper()
	server := apitest.New(t)
	require.NoError(t, server.Install(context.Background(), deploy.Base()))
	return server
}

// fixture is one Node of the API, and the agent on it with the rights that the
// manifests give it.
type fixture struct {
	t      *testing.T
	server *apitest.Server
	name   string
	rest   *rest.Config
	pace   k8s.Pace
	// confirm, had and source are ConfirmAfter, PodCIDRs and Source of the agent's Config.
	confirm time.Duration
	had     []netip.Prefix
	source  k8s.Source
	// startupTaint is StartupTaint of the agent's Config.
	startupTaint bool
}

// quick is a pace for tests that are about something else.
var quick = k8s.Pace{Coalesce: 20 * time.Millisecond, Interval: 50 * time.Millisecond, Floor: 10 * time.Millisecond,
	MaxBackoff: 500 * time.Millisecond, Renew: 200 * time.Millisecond}

func newFixture(t *testing.T, name string, pace k8s.Pace) *fixture {
	t.Helper()
	return fixtureOn(t, api(t), name, pace)
}

func fixtureOn(t *testing.T, server *apitest.Server, name string, pace k8s.Pace) *fixture {
	t.Helper()
	f := &fixture{t: t, server: server, name: name, pace: pace}
	f.create("10.10.1.0/24", "fd00:10:0:1::/64")
	var err error
	f.rest, err = f.server.Agent(t.Context(), name)
	require.NoError(t, err)
	t.Cleanup(func() { // for -count: the API server is shared
		err := f.server.Client().CoreV1().Nodes().Delete(context.Background(), name, metav1.DeleteOptions{})
		require.True(t, err == nil || apierrors.IsNotFound(err), "%v", err)
		err = f.server.Client().CoordinationV1().Leases(annotation.LeaseNamespace).Delete(context.Background(), annotation.LeaseName(name), metav1.DeleteOptions{})
		require.True(t, err == nil || apierrors.IsNotFound(err), "%v", err)
	})
	return f
}

// create makes the Node as a kubelet and its cluster do, with something in it
// that is not ours.
func (f *fixture) create(podCIDRs ...string) {
	f.t.Helper()
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: f.name, Annotations: map[string]string{"underlayd.io/asn": "64512", "example.org/x": "1"}},
		Spec:       corev1.NodeSpec{PodCIDRs: podCIDRs},
	}
	if len(podCIDRs) > 0 {
		node.Spec.PodCIDR = podCIDRs[0]
	}
	node, err := f.server.Client().CoreV1().Nodes().Create(context.Background(), node, metav1.CreateOptions{})
	require.NoError(f.t, err)
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}}
	_, err = f.server.Client().CoreV1().Nodes().UpdateStatus(context.Background(), node, metav1.UpdateOptions{})
	require.NoError(f.t, err)
}

// start runs an agent and returns it and how to stop it, which the test's end
// does too.
func (f *fixture) start() (*k8s.Node, func()) {
	f.t.Helper()
	n := f.agent(nil)
	return n, f.run(n)
}

func (f *fixture) agent(wrap func(http.RoundTripper) http.RoundTripper) *k8s.Node {
	f.t.Helper()
	config := rest.CopyConfig(f.rest)
	config.WrapTransport = wrap
	log := logrus.New()
	log.SetOutput(testWriter{f.t})
	log.SetLevel(logrus.DebugLevel)
	n, err := k8s.New(k8s.Config{REST: config, NodeName: f.name, Log: log, Pace: f.pace, ConfirmAfter: f.confirm, PodCIDRs: f.had, Source: f.source, StartupTaint: f.startupTaint})
	require.NoError(f.t, err)
	return n
}

func (f *fixture) run(n *k8s.Node) func() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			require.NoError(f.t, err, "Run ends with nil")
		case <-time.After(time.Minute):
			f.t.Error("Run does not end")
		}
	})
	f.t.Cleanup(stop)
	return stop
}

// node returns the Node as an administrator sees it.
func (f *fixture) node() *corev1.Node {
	f.t.Helper()
	node, err := f.server.Client().CoreV1().Nodes().Get(context.Background(), f.name, metav1.GetOptions{})
	require.NoError(f.t, err)
	return node
}

func (f *fixture) patch(body string, subresource ...string) {
	f.t.Helper()
	_, err := f.server.Client().CoreV1().Nodes().Patch(context.Background(), f.name, types.StrategicMergePatchType, []byte(body),
		metav1.PatchOptions{FieldManager: "somebody-else"}, subresource...)
	require.NoError(f.t, err)
}

// says waits until the Node says that these CIDRs are routed.
func (f *fixture) says(cidrs ...string) *corev1.Node {
	f.t.Helper()
	var node *corev1.Node
	require.Eventually(f.t, func() bool {
		node = f.node()
		s, err := annotation.Parse(node.Annotations)
		return err == nil && fmt.Sprint(s.RemoteCIDRs) == fmt.Sprint(parsed(cidrs...)) && condition(node) != nil
	}, time.Minute, 20*time.Millisecond, "%s is not what the Node says", cidrs)
	return node
}

// quiet waits until the agent has nothing left to write.
func (f *fixture) quiet(n *k8s.Node) k8s.Stats {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		s := n.Stats()
		return s.Published && !s.Pending && s.Problem == nil
	}, time.Minute, 20*time.Millisecond, "still something to write")
	return n.Stats()
}

func condition(node *corev1.Node) *corev1.NodeCondition {
	for i := range node.Status.Conditions {
		if node.Status.Conditions[i].Type == annotation.Condition {
			return &node.Status.Conditions[i]
		}
	}
	return nil
}

func parsed(cidrs ...string) []netip.Prefix {
	list := []netip.Prefix{}
	for _, text := range cidrs {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

func report(cidrs ...string) k8s.Report {
	return k8s.Report{
		Cluster: "east", LocalCIDRs: parsed("10.10.1.0/24", "fd00:10:0:1::/64"), RemoteCIDRs: parsed(cidrs...),
		Clusters: []k8s.ClusterReport{{Name: "west", CIDRs: parsed(cidrs...), PeersUp: 2, State: "Ready"}},
		Ready:    k8s.True, Reason: k8s.ReasonRoutesInstalled, Message: "1/1 clusters reachable",
	}
}

// testWriter gives log lines to the test that made them.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(line []byte) (int, error) {
	if w.t.Context().Err() == nil { // a log line after the end of a test would panic
		w.t.Log(strings.TrimSpace(string(line)))
	}
	return len(line), nil
}

// gate stands between an agent and the API. It counts requests, and may answer
// in the API's place.
type gate struct {
	next http.RoundTripper
	mu   sync.Mutex // guards all below
	by   map[string]int
	with func(*http.Request) *http.Response
}

func (g *gate) wrap(next http.RoundTripper) http.RoundTripper {
	g.next, g.by = next, map[string]int{}
	return g
}

// answer sets what is answered instead of the API; a nil response is a broken
// connection, a nil function lets requests through.
func (g *gate) answer(with func(*http.Request) *http.Response) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.with = with
}

func (g *gate) count(method string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.by[method]
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	g.by[r.Method]++
	g.by["bytes "+r.Method] += int(max(r.ContentLength, 0))
	if strings.Contains(r.URL.Path, "/events.k8s.io/") {
		g.by["event "+r.Method]++
	}
	with := g.with
	g.mu.Unlock()
	if with == nil {
		return g.next.RoundTrip(r)
	}
	response := with(r)
	if response == nil {
		return nil, errors.New("the test cut the connection")
	}
	response.Request = r
	return response, nil
}

package k8s_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/underlayd/underlayd/k8s"
	"github.com/underlayd/underlayd/k8s/annotation"
)

func TestWhatAChangeCosts(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "costs", quick)
	g := &gate{}
	n := f.agent(g.wrap)
	f.run(n)
	spent := func() (writes, bytes int) { return g.count(http.MethodPatch), g.count("bytes " + http.MethodPatch) }
	var many []string // no two of them can be aggregated
	for i := range 20000 {
		many = append(many, netip.PrefixFrom(netip.AddrFrom4([4]byte{100 + byte(i>>15), byte(i >> 7), byte(i << 1), 0}), 24).String())
	}
	n.Publish(report("10.20.0.0/16"))
	f.quiet(n)
	writes, bytes := spent()
	require.Equal(t, 1, writes)
	require.Less(t, bytes, 1<<10)

	n.Publish(report(many...))
	f.quiet(n)
	writes, bytes = spent()
	require.Equal(t, 2, writes)
	require.Less(t, bytes, 19<<10, "20,000 routes: 16 KiB, with the quotes escaped, and a few names")
	s, err := annotation.ParseNode(f.node())
	require.NoError(t, err)
	require.Equal(t, 20000+20000-len(s.RemoteCIDRs), s.Truncated)

	for range 20 {
		n.Publish(report(many...))
		f.quiet(n)
	}
	again, same := spent()
	require.Equal(t, []int{writes, bytes}, []int{again, same}, "what has not changed costs nothing")
	n.Publish(report(many[:len(many)-1]...)) // of what no list has any more
	require.Eventually(t, func() bool { return g.count(http.MethodPatch) == 3 }, time.Minute, 20*time.Millisecond, "the hash tells")
	f.quiet(n)
	again, same = spent()
	require.Equal(t, 3, again)
	require.Less(t, same-bytes, 19<<10)
}

// TestWhatAnIdleAgentAsks counts the requests of an agent that has nothing to say, in a cluster with other Nodes whose
// kubelets have: none is about them, and their number is that of its Lease and of one look for kinds that are not there.
func TestWhatAnIdleAgentAsks(t *testing.T) {
	f := newFixture(t, "idle", k8s.Pace{Coalesce: 20 * time.Millisecond, Interval: 50 * time.Millisecond, Renew: time.Second, Discover: 2 * time.Second})
	f.source = k8s.SourceAuto
	for _, name := range []string{"idle-other-1", "idle-other-2", "idle-other-3"} {
		fixtureOn(t, f.server, name, quick)
	}
	line := &wiretap{}
	n := f.agent(func(next http.RoundTripper) http.RoundTripper { line.next = next; return line })
	f.run(n)
	n.Publish(report("10.20.0.0/16"))
	f.says("10.20.0.0/16")
	f.quiet(n)
	require.Eventually(t, func() bool { return n.Stats().Renewals > 0 }, time.Minute, 20*time.Millisecond)
	for _, request := range line.taken() {
		path, query, _ := strings.Cut(strings.TrimPrefix(request, http.MethodGet+" "), "?")
		values, err := url.ParseQuery(query)
		require.NoError(t, err)
		require.True(t, path != "/api/v1/nodes" || values.Get("fieldSelector") == "metadata.name=idle", "%s is about every Node", request)
	}

	const span = 10 * time.Second
	began, renewals := time.Now(), n.Stats().Renewals
	requests := map[string]int{}
	require.Eventually(t, func() bool {
		other, err := f.server.Client().CoreV1().Nodes().Get(t.Context(), "idle-other-1", metav1.GetOptions{})
		require.NoError(t, err)
		other.Status.Conditions[0].LastHeartbeatTime = metav1.Now()
		_, err = f.server.Client().CoreV1().Nodes().UpdateStatus(t.Context(), other, metav1.UpdateOptions{})
		require.NoError(t, err)
		for _, request := range line.taken() {
			requests[request]++
		}
		return time.Since(began) > span && requests["GET /apis"] >= 3
	}, 2*time.Minute, 100*time.Millisecond)
	seconds := time.Since(began).Seconds()
	lease := "PUT /apis/coordination.k8s.io/v1/namespaces/" + annotation.LeaseNamespace + "/leases/" + annotation.LeaseName("idle")
	require.InDelta(t, n.Stats().Renewals-renewals, requests[lease], 1)
	require.LessOrEqual(t, requests[lease], int(seconds/.9)+1, "one a second, a tenth less by chance")
	require.LessOrEqual(t, requests["GET /apis"], int(seconds/1.8)+1, "one in two seconds, for all kinds together")
	delete(requests, lease)
	delete(requests, "GET /apis")
	require.Empty(t, requests, "what nothing asks for")
}

// wiretap notes the requests of an agent.
type wiretap struct {
	next http.RoundTripper
	mu   sync.Mutex // guards seen
	seen []string
}

func (a *wiretap) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	a.seen = append(a.seen, r.Method+" "+r.URL.RequestURI())
	a.mu.Unlock()
	return a.next.RoundTrip(r)
}

// taken returns what was noted since the last call.
func (a *wiretap) taken() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := a.seen
	a.seen = nil
	return seen
}

// TestATokenThatIsRotated takes the most of a minute: so long client-go believes a file.
func TestATokenThatIsRotated(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "rotated", quick)
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(f.rest.BearerToken), 0o600))
	config := rest.CopyConfig(f.rest)
	config.BearerToken, config.BearerTokenFile = "", file
	log := logrus.New()
	log.SetOutput(testWriter{t})
	n, err := k8s.New(k8s.Config{REST: config, NodeName: f.name, Log: log, Pace: f.pace})
	require.NoError(t, err)
	f.run(n)
	n.Publish(report("10.20.0.0/16"))
	f.says("10.20.0.0/16")
	f.quiet(n)

	// The Pod that the token is bound to goes, and the token with it; the next Pod has another one.
	pods := f.server.Client().CoreV1().Pods("kube-system")
	require.NoError(t, pods.Delete(t.Context(), "underlayd-"+f.name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
	require.Eventually(t, func() bool {
		_, err := pods.Get(t.Context(), "underlayd-"+f.name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}, time.Minute, 20*time.Millisecond)
	next, err := f.server.Agent(context.Background(), f.name)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte(next.BearerToken), 0o600))
	for i := 0; n.Stats().WriteErrors == 0; i++ { // the server believes a token it knows for ten seconds
		require.Less(t, i, 1000, "the old token is none any more")
		n.Publish(report(fmt.Sprintf("10.20.%d.0/24", i%250)))
		require.Eventually(t, func() bool { return !n.Stats().Pending || n.Stats().WriteErrors > 0 }, time.Minute, 20*time.Millisecond)
	}
	n.Publish(report("10.30.0.0/16"))
	require.Eventually(t, func() bool { return !n.Stats().Pending && n.Stats().Problem == nil }, 3*time.Minute, 50*time.Millisecond)
	f.says("10.30.0.0/16")
}

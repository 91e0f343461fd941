package k8s_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
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
	require.Eventually(t, func() bool { return g.count(http.MethodPatch) == 3 }, 10*time.Second, 5*time.Millisecond, "the hash tells")
	f.quiet(n)
	again, same = spent()
	require.Equal(t, 3, again)
	require.Less(t, same-bytes, 19<<10)
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
	}, 10*time.Second, 10*time.Millisecond)
	next, err := f.server.Agent(context.Background(), f.name)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte(next.BearerToken), 0o600))
	for i := 0; n.Stats().WriteErrors == 0; i++ { // the server believes a token it knows for ten seconds
		require.Less(t, i, 1000, "the old token is none any more")
		n.Publish(report(fmt.Sprintf("10.20.%d.0/24", i%250)))
		require.Eventually(t, func() bool { return !n.Stats().Pending || n.Stats().WriteErrors > 0 }, 10*time.Second, 5*time.Millisecond)
	}
	n.Publish(report("10.30.0.0/16"))
	require.Eventually(t, func() bool { return !n.Stats().Pending && n.Stats().Problem == nil }, 90*time.Second, 50*time.Millisecond)
	f.says("10.30.0.0/16")
}

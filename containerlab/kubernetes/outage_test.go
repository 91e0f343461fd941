package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// outageTime is how long the API server of east is away: a minute, or what UNDERLAYD_TEST_OUTAGE says.
func outageTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("UNDERLAYD_TEST_OUTAGE")
	if text == "" {
		return time.Minute
	}
	d, err := time.ParseDuration(text)
	require.NoError(t, err)
	return d
}

// outage takes east's API server away. Its first half sees a mesh in which nothing changes but that the daemon of
// east-1 is restarted: nothing may be lost, and nothing written in west. In the second half west changes, and east-2,
// which was cleaned up, starts anew.
func (w *world) outage(t *testing.T) {
	length := outageTime(t)
	said := w.get(t, "east-1")
	pings := append(w.startPings(t, "east-1", "west-1"), w.startPings(t, "west-1", "east-1")...)
	end := time.Now().Add(length)
	w.apis["east"].Stop()

	w.nothingIsWritten(t, min(30*time.Second, length/2), func() {
		w.unnoticed(t, "east-1")
		require.False(t, w.state(t, "east-1").Kubernetes.Synced)
	}, "west-1", "west-2")
	w.is(t, "east-1", "aware that the API is away", func(s state) error {
		if s.blames("kubernetes") == "" || s.Kubernetes.LastError == "" {
			return errors.New("it is not")
		}
		return nil
	})
	w.routed(t, "east-1")

	w.freshStart(t)
	w.changesInWest(t)
	require.Zero(t, w.state(t, "east-1").Kubernetes.Writes)
	wait(t, time.Until(end))
	for _, p := range pings {
		t.Logf("%s: all of %d packets were answered", p.what, p.answered(t))
	}
	w.back(t, said.ResourceVersion)
}

// wait lets time pass.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-t.Context().Done():
	case <-time.After(d):
	}
}

// nothingIsWritten lets time pass, in which something may be done, but Nodes must not be written; their Leases must be
// renewed.
func (w *world) nothingIsWritten(t *testing.T, span time.Duration, do func(), nodes ...string) {
	t.Helper()
	before := w.versions(t, nodes...)
	start := time.Now()
	do()
	wait(t, span-time.Since(start))
	require.Equal(t, before, w.versions(t, nodes...))
	for _, node := range nodes {
		until(t, "the Lease of "+node+" to be renewed", func(ctx context.Context) error {
			lease, err := w.lease(ctx, node)
			if err == nil && !lease.Spec.RenewTime.After(start) {
				err = fmt.Errorf("the last time was %s", lease.Spec.RenewTime)
			}
			return err
		})
	}
}

// freshStart starts the daemon on east-2, from which every trace was removed: it can't know its pod CIDRs yet, but it
// can learn.
func (w *world) freshStart(t *testing.T) {
	t.Helper()
	start := time.Now()
	w.launch(t, "east-2")
	w.routed(t, "east-2")
	t.Logf("a daemon started without the API has its routes after %s", time.Since(start).Round(time.Millisecond))
	w.is(t, "east-2", "without pod CIDRs", func(s state) error {
		if s.Kubernetes.Synced || len(s.Advertised) > 0 || s.blames("pod CIDR") == "" {
			return errors.New("it is not")
		}
		return nil
	})
	w.pods["east-2"] = nil
	w.routed(t, "west-1", "west-2") // the fabric kept the routes of east-2 until it came back without them
}

// changesInWest gives west-2 other pod CIDRs twice; east hears of it by BGP.
func (w *world) changesInWest(t *testing.T) {
	t.Helper()
	for range 2 {
		w.remake(t, "west-2")
		w.routed(t, "east-1", "east-2")
	}
}

// back brings the API server of east back: the Node catches up with the last value, in one write.
func (w *world) back(t *testing.T, version string) {
	t.Helper()
	require.NoError(t, w.apis["east"].Resume(t.Context()))
	start := time.Now()
	w.told(t, "east-1")
	t.Logf("Node east-1 caught up %s after the API was back", time.Since(start).Round(time.Millisecond))
	object := w.get(t, "east-1")
	require.NotEqual(t, version, object.ResourceVersion)
	w.pods["east-2"] = placeOf("east-2").pods
	w.routed(t, "west-1", "west-2")
	t.Logf("east-2 advertises its pod CIDRs %s after the API was back", time.Since(start).Round(time.Millisecond))
	w.settled(t)
	w.is(t, "east-1", "content", func(s state) error {
		if s.Kubernetes.LastError != "" {
			return errors.New("it is not")
		}
		return nil
	})
	last, err := w.nodes("east-1").Get(t.Context(), "east-1", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, object.ResourceVersion, last.ResourceVersion, "caught up in one write")
	require.EqualValues(t, 1, w.state(t, "east-1").Kubernetes.Writes, "caught up in one write")
	w.answers(t, "east-1")
	w.answers(t, "east-2")
	w.leased(t, "east-1")
	w.reaches(t, "west-1", "east-2")
}

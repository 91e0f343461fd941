package k8s_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/underlayd/underlayd/k8s"
)

// labelsBecome waits, by Changed alone, until the Node has this label with this value; empty: none.
func labelsBecome(t *testing.T, n *k8s.Node, key, want string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		labels, err := n.Labels()
		if value := labels[key]; err == nil && value == want {
			return
		}
		select {
		case <-n.Changed():
		case <-deadline:
			require.FailNow(t, "the label did not come", "want %s, have %v (%v)", want, labels, err)
		}
	}
}

func TestTheLabelsOfTheNodeAreFollowed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "labels", quick)
	f.confirm = soon
	g := &gate{}
	n := f.agent(g.wrap)
	labels, err := n.Labels()
	require.ErrorIs(t, err, k8s.ErrLabelsUnknown, "unknown is not to have none")
	require.Nil(t, labels)
	f.run(n)
	labelsBecome(t, n, "rack", "")
	labels, err = n.Labels()
	require.NoError(t, err)
	require.NotNil(t, labels, "to have none is known")

	f.patch(`{"metadata":{"labels":{"rack":"a"}}}`)
	labelsBecome(t, n, "rack", "a")
	requests := g.count(http.MethodGet)
	f.patch(`{"metadata":{"labels":{"rack":"b"}}}`)
	labelsBecome(t, n, "rack", "b")
	require.Equal(t, requests, g.count(http.MethodGet), "the watch says it, no request is needed")
	_, err = n.PodCIDRs()
	require.NoError(t, err)
	for len(n.Changed()) > 0 {
		<-n.Changed()
	}
	f.patch(`{"metadata":{"annotations":{"example.org/y":"1"}}}`)
	f.patch(`{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`, "status")
	require.Never(t, func() bool { return len(n.Changed()) > 0 }, 300*time.Millisecond, 10*time.Millisecond, "what is no label wakes nobody")

	require.NoError(t, f.server.Client().CoreV1().Nodes().Delete(t.Context(), f.name, metav1.DeleteOptions{}))
	require.Eventually(t, func() bool { return !n.Stats().NodeExists }, time.Minute, 20*time.Millisecond)
	labelsBecome(t, n, "rack", "b") // those of a Node that is gone stay

	start := time.Now()
	f.create("10.10.1.0/24")
	require.Eventually(t, func() bool { return n.Stats().NodeExists }, time.Minute, 20*time.Millisecond)
	f.patch(`{"metadata":{"labels":{"row":"1"}}}`)
	labelsBecome(t, n, "row", "1")
	labelsBecome(t, n, "rack", "b") // and so do those that one made again lacks
	labelsBecome(t, n, "rack", "")
	require.GreaterOrEqual(t, time.Since(start), f.confirm, "it was read a second time")
	requests = g.count(http.MethodGet)
	f.patch(`{"metadata":{"labels":{"row":null}}}`)
	labelsBecome(t, n, "row", "")
	require.Equal(t, requests, g.count(http.MethodGet), "what somebody takes away is gone at once, without a second reading")
}

func TestTheLabelsOfTheLastRunAreThereMeanwhile(t *testing.T) {
	f := newFixture(t, "labels-before", quick)
	n, err := k8s.New(k8s.Config{REST: f.rest, NodeName: f.name, Log: logger(t), Pace: quick, Labels: map[string]string{"rack": "a"}})
	require.NoError(t, err)
	labels, err := n.Labels()
	require.ErrorIs(t, err, k8s.ErrLabelsUnknown)
	require.Equal(t, map[string]string{"rack": "a"}, labels)
	f.run(n)
	labelsBecome(t, n, "rack", "")
	_, err = n.Labels()
	require.NoError(t, err)
}

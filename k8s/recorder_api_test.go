package k8s_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/underlayd/underlayd/k8s"
)

// events returns the Events about the Node as kubectl describe finds them.
func (f *fixture) events() []corev1.Event {
	f.t.Helper()
	list, err := f.server.Client().CoreV1().Events("default").List(context.Background(), metav1.ListOptions{
		FieldSelector: "involvedObject.kind=Node,involvedObject.name=" + f.name + ",involvedObject.uid=" + string(f.node().UID),
	})
	require.NoError(f.t, err)
	return list.Items
}

// told waits until the Events say this, a line for each.
func (f *fixture) told(want ...string) {
	f.t.Helper()
	var got []string
	require.Eventually(f.t, func() bool {
		got = nil
		for _, e := range f.events() {
			count := int32(1)
			if e.Series != nil {
				count = e.Series.Count
			}
			got = append(got, fmt.Sprintf("%s %s x%d: %s", e.Type, e.Reason, count, e.Message))
		}
		return strings.Join(got, "\n") == strings.Join(want, "\n")
	}, time.Minute, 20*time.Millisecond, "%v", &got)
}

func peer(over bool, count uint64) k8s.Incident {
	return k8s.Incident{
		Reason: "PeerDown", Subject: "peer tor", Message: "the session with tor is down:\n\x1b[31mhold timer", Over: over, Count: count,
		End: "PeerUp", EndMessage: "the session with tor is up",
	}
}

func TestEventsTellWhatHappens(t *testing.T) {
	t.Parallel()
	pace := quick
	pace.Series = 300 * time.Millisecond
	f := newFixture(t, "told", pace)
	g := &gate{}
	n := f.agent(g.wrap)
	f.run(n)
	with := func(list ...k8s.Incident) {
		r := report("10.20.0.0/16")
		r.Incidents = list
		n.Publish(r)
	}
	with(peer(false, 1))
	f.told("Warning PeerDown x1: the session with tor is down: [31mhold timer")
	e := f.events()[0]
	require.Equal(t, "underlayd.io/agent", e.ReportingController)
	require.Equal(t, f.name, e.ReportingInstance)

	with(peer(true, 1))
	f.told("Warning PeerDown x1: the session with tor is down: [31mhold timer", "Normal PeerUp x1: the session with tor is up")
	with(peer(true, 500))
	f.told("Warning PeerDown x500: the session with tor is down: [31mhold timer", "Normal PeerUp x2: the session with tor is up")
	posts := g.count("event POST")

	t.Run("a flood is one Event and a count", func(t *testing.T) {
		flood := k8s.Incident{Reason: "PrefixRefused", Subject: "peer tor NoContract", Message: "prefixes are refused", Over: true}
		for range 1000 {
			flood.Count += 1000
			with(peer(true, 500), flood)
		}
		f.told("Warning PeerDown x500: the session with tor is down: [31mhold timer", "Normal PeerUp x2: the session with tor is up",
			"Warning PrefixRefused x1000000: prefixes are refused")
		require.Equal(t, posts+1, g.count("event POST"), "one Event was made")
		require.Less(t, g.count("event PATCH"), 20)
	})
	t.Run("an Event that has run out is followed by a new one", func(t *testing.T) {
		require.NoError(t, f.server.Client().CoreV1().Events("default").DeleteCollection(t.Context(), metav1.DeleteOptions{},
			metav1.ListOptions{FieldSelector: "involvedObject.name=" + f.name}))
		with(peer(false, 501))
		f.told("Warning PeerDown x1: the session with tor is down: [31mhold timer")
	})
	require.Zero(t, n.Stats().EventsDropped)
	f.quiet(n)
	require.LessOrEqual(t, n.Stats().Writes, uint64(1), "incidents do not write the Node")
}

func TestAnAPIThatTakesNoEventsCostsNothingElse(t *testing.T) {
	t.Parallel()
	pace := quick
	pace.MaxBackoff = 0 // the default
	for i, row := range []struct {
		name   string
		answer func(*http.Request) *http.Response
	}{
		{"403 manifests of an older version", answer(403)},
		{"429 with a long Retry-After", answer(429, "Retry-After", "100")},
		{"503 overloaded", answer(503)},
		{"a connection that hangs", func(r *http.Request) *http.Response { <-r.Context().Done(); return nil }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, fmt.Sprint("deaf-", i), pace)
			g := &gate{}
			n := f.agent(g.wrap)
			g.answer(func(r *http.Request) *http.Response {
				if strings.Contains(r.URL.Path, "/events.k8s.io/") {
					return row.answer(r)
				}
				return g.pass(r)
			})
			f.run(n)
			for count := range uint64(8) {
				cidr := fmt.Sprintf("10.20.%d.0/24", count)
				r := report(cidr)
				r.Incidents = []k8s.Incident{peer(count%2 == 0, count)}
				n.Publish(r)
				f.says(cidr)
			}
			require.NoError(t, f.quiet(n).Problem, "routing and the Node are not concerned")
			require.Positive(t, n.Stats().Renewals)
			require.Empty(t, f.events())
			require.Less(t, g.count("event POST"), 4, "tries must be spaced")
		})
	}
}

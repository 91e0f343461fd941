package k8s_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/underlayd/underlayd/k8s"
	"github.com/underlayd/underlayd/k8s/annotation"
	"github.com/underlayd/underlayd/k8s/deploy"
)

// taint writes the Node's taints, key:Effect.
func (f *fixture) taint(change func([]corev1.Taint) []corev1.Taint) {
	f.t.Helper()
	require.NoError(f.t, retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		node := f.node()
		node.Spec.Taints = change(node.Spec.Taints)
		_, err := f.server.Client().CoreV1().Nodes().Update(context.Background(), node, metav1.UpdateOptions{})
		return err
	}))
}

func taintsAre(taints ...string) func([]corev1.Taint) []corev1.Taint {
	return func([]corev1.Taint) []corev1.Taint {
		var list []corev1.Taint
		for _, key := range taints {
			list = append(list, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
			if key == annotation.StartupTaint { // kubelets may be given both
				list = append(list, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoExecute, Value: "x"})
			}
		}
		return list
	}
}

func (f *fixture) taintsBecome(want ...string) {
	f.t.Helper()
	var got []string
	require.Eventually(f.t, func() bool {
		got = nil
		for _, taint := range f.node().Spec.Taints {
			got = append(got, taint.Key)
		}
		return fmt.Sprint(got) == fmt.Sprint(want)
	}, time.Minute, 20*time.Millisecond, "%v", &got)
}

func TestTheStartupTaintGoesWhenTheNodeHasItsRoutes(t *testing.T) {
	f := newFixture(t, "tainted", quick)
	f.startupTaint = true
	f.taint(taintsAre("a", annotation.StartupTaint, "b"))
	g := &gate{}
	n := f.agent(g.wrap)
	f.run(n)
	n.Publish(report())
	f.quiet(n)
	f.taintsBecome("a", annotation.StartupTaint, annotation.StartupTaint, "b") // not before the first sync

	synced := report("10.20.0.0/16")
	synced.Synced = true
	n.Publish(synced)
	require.Eventually(t, func() bool { return n.Stats().Problem != nil }, time.Minute, 20*time.Millisecond)
	require.ErrorContains(t, n.Stats().Problem, "remove the startup taint of node tainted", "the base gives no right to it")
	f.taintsBecome("a", annotation.StartupTaint, annotation.StartupTaint, "b")
	require.NoError(t, f.server.Install(t.Context(), deploy.StartupTaint()))
	f.taintsBecome("a", "b")
	f.quiet(n)

	t.Run("also when the Node is registered again", func(t *testing.T) {
		n.Publish(report())
		f.taint(taintsAre(annotation.StartupTaint))
		f.taintsBecome()
	})
	t.Run("and no other taint is lost, whoever writes them meanwhile", func(t *testing.T) {
		for i := range 20 {
			f.taint(func(list []corev1.Taint) []corev1.Taint {
				list = slices.DeleteFunc(list, func(taint corev1.Taint) bool { return taint.Key == annotation.StartupTaint })
				other, startup := corev1.Taint{Key: fmt.Sprintf("other-%d", i), Effect: "NoSchedule"}, corev1.Taint{Key: annotation.StartupTaint, Effect: "NoExecute"}
				if i%2 == 0 { // moves all the others
					return append([]corev1.Taint{other, startup}, list...)
				}
				return append(list, startup, other)
			})
		}
		var left []corev1.Taint
		require.Eventually(t, func() bool {
			left = f.node().Spec.Taints
			return !slices.ContainsFunc(left, func(taint corev1.Taint) bool { return taint.Key == annotation.StartupTaint })
		}, time.Minute, 20*time.Millisecond)
		require.Len(t, left, 20)
	})
	t.Run("nor one that came between the reading and the patch", func(t *testing.T) {
		raced := false
		g.answer(func(r *http.Request) *http.Response {
			if r.Method == http.MethodPatch && r.URL.Path == "/api/v1/nodes/tainted" && !raced {
				raced = true
				f.taint(taintsAre("first", "second", annotation.StartupTaint))
			}
			return g.pass(r)
		})
		f.taint(taintsAre(annotation.StartupTaint, "late"))
		f.taintsBecome("first", "second")
		require.True(t, raced)
	})
}

func TestWithoutTheSettingTaintsAreNotTouched(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "untouched", quick)
	f.taint(taintsAre(annotation.StartupTaint))
	g := &gate{}
	n := f.agent(g.wrap)
	f.run(n)
	n.Publish(k8s.Report{Cluster: "east", Ready: k8s.True, Reason: k8s.ReasonRoutesInstalled, Synced: true})
	f.quiet(n)
	f.taintsBecome(annotation.StartupTaint, annotation.StartupTaint)
	require.Equal(t, 1, g.count(http.MethodPatch))
}

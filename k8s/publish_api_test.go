package k8s_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/underlayd/underlayd/k8s"
	"github.com/underlayd/underlayd/k8s/annotation"
)

func TestTheNodeSaysWhatIsPublished(t *testing.T) {
	f := newFixture(t, "contract", quick)
	n, _ := f.start()
	n.Publish(report("10.20.0.0/16", "fd00:20::/48"))
	node := f.says("10.20.0.0/16", "fd00:20::/48")

	s, err := annotation.Parse(node.Annotations)
	require.NoError(t, err)
	require.Equal(t, "east", s.Cluster)
	require.Equal(t, parsed("10.10.1.0/24", "fd00:10:0:1::/64"), s.LocalCIDRs)
	require.Equal(t, []annotation.RemoteCluster{{Name: "west", CIDRs: parsed("10.20.0.0/16", "fd00:20::/48"), Peers: 2, State: "Ready"}}, s.Clusters)
	answer, cluster := s.Routable(parsed("10.20.3.4/32")[0].Addr())
	require.Equal(t, annotation.Yes, answer)
	require.Equal(t, "west", cluster)

	require.Equal(t, "64512", node.Annotations["underlayd.io/asn"], "what people set is not ours")
	require.Equal(t, "1", node.Annotations["example.org/x"])
	require.Len(t, node.Status.Conditions, 2)
	require.Equal(t, corev1.NodeReady, node.Status.Conditions[0].Type)
	c := condition(node)
	require.Equal(t, corev1.ConditionTrue, c.Status)
	require.Equal(t, k8s.ReasonRoutesInstalled, c.Reason)
	require.WithinDuration(t, time.Now(), c.LastTransitionTime.Time, time.Minute)
	require.Equal(t, c.LastTransitionTime, c.LastHeartbeatTime)
	for _, entry := range node.ManagedFields {
		if entry.Manager == "underlayd" {
			require.Equal(t, "status", entry.Subresource)
			require.Equal(t, metav1.ManagedFieldsOperationApply, entry.Operation)
			require.NotContains(t, string(entry.FieldsV1.GetRawBytes()), "asn")
		}
	}
}

func TestNothingIsWrittenWhenNothingChanged(t *testing.T) {
	f := newFixture(t, "still", quick)
	n, stop := f.start()
	n.Publish(report("10.20.0.0/16"))
	f.says("10.20.0.0/16")
	require.EqualValues(t, 1, f.quiet(n).Writes)
	version := f.node().ResourceVersion
	for range 50 {
		n.Publish(report("10.20.0.0/17", "10.20.128.0/17")) // the same addresses
		f.quiet(n)
	}
	require.EqualValues(t, 1, n.Stats().Writes)
	require.Equal(t, version, f.node().ResourceVersion)
	stop()

	t.Run("nor after a restart", func(t *testing.T) {
		n, stop := f.start()
		n.Publish(report("10.20.0.0/16"))
		require.Zero(t, f.quiet(n).Writes)
		require.Equal(t, version, f.node().ResourceVersion)
		stop()
	})
	t.Run("nor is the version bumped when somebody made our text his own", func(t *testing.T) {
		// Values equal, yet not ours to take away again: the apply must be sent
		// once, and settle.
		body, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{annotation.Cluster: "x"}}})
		require.NoError(t, err)
		f.patch(string(body))
		f.patch(`{"metadata":{"annotations":{"underlayd.io/cluster":"east"}}}`)
		n, stop := f.start()
		n.Publish(report("10.20.0.0/16"))
		require.EqualValues(t, 1, f.quiet(n).Writes)
		n.Publish(report("10.20.0.0/16"))
		require.EqualValues(t, 1, f.quiet(n).Writes)
		stop()
	})
}

func TestTheConditionsTimeChangesWithItsStatusOnly(t *testing.T) {
	f := newFixture(t, "times", quick)
	n, stop := f.start()
	n.Publish(report("10.20.0.0/16"))
	f.says("10.20.0.0/16")
	f.quiet(n)
	stop() // or it may write once more before its watch shows what follows
	// The API keeps whole seconds: move it back to tell times apart.
	old := metav1.NewTime(time.Now().Add(-time.Hour).Truncate(time.Second))
	body, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []any{
		map[string]any{"type": annotation.Condition, "lastTransitionTime": old},
	}}})
	require.NoError(t, err)
	f.patch(string(body), "status")
	transition := func() metav1.Time { return condition(f.node()).LastTransitionTime }

	n, stop = f.start()
	r := report("10.21.0.0/16")
	r.Reason, r.Message = k8s.ReasonPartialPeers, "1/2 clusters reachable"
	n.Publish(r)
	f.says("10.21.0.0/16")
	require.Equal(t, k8s.ReasonPartialPeers, condition(f.node()).Reason)
	require.True(t, old.Equal(new(transition())), "another reason is no transition")
	f.quiet(n)
	stop()
	n, _ = f.start()
	n.Publish(report("10.22.0.0/16"))
	f.says("10.22.0.0/16")
	require.True(t, old.Equal(new(transition())), "a restart is no transition")

	r = report()
	r.Ready, r.Reason = k8s.False, k8s.ReasonNoPeersEstablished
	n.Publish(r)
	f.says()
	require.WithinDuration(t, time.Now(), transition().Time, time.Minute)
}

func TestWhatSomebodyElseChangedIsRepaired(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "meddled", quick)
	n, _ := f.start()
	n.Publish(report("10.20.0.0/16"))
	f.says("10.20.0.0/16")
	f.quiet(n)
	good := f.node()
	for _, row := range []struct {
		name, patch string
		subresource []string
	}{
		{"a key deleted", `{"metadata":{"annotations":{"underlayd.io/remote-cidrs":null}}}`, nil},
		{"a key altered", `{"metadata":{"annotations":{"underlayd.io/remote-cidrs":"[\"10.0.0.0/8\"]"}}}`, nil},
		{"a key of the contract added", `{"metadata":{"annotations":{"underlayd.io/truncated":"7"}}}`, nil},
		{"the condition altered", `{"status":{"conditions":[{"type":"UnderlayRoutesReady","status":"False"}]}}`, []string{"status"}},
		{"the condition deleted", `{"status":{"conditions":[{"type":"UnderlayRoutesReady","$patch":"delete"}]}}`, []string{"status"}},
		{"all keys deleted", `{"metadata":{"annotations":{"underlayd.io/schema":null,"underlayd.io/cluster":null,"underlayd.io/local-cidrs":null,"underlayd.io/remote-cidrs":null,"underlayd.io/remote-clusters":null,"underlayd.io/routes-hash":null}}}`, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			repairs := n.Stats().Repairs
			f.patch(row.patch, row.subresource...)
			require.Eventually(t, func() bool {
				node := f.node()
				c := condition(node)
				return n.Stats().Repairs > repairs && c != nil && c.Status == corev1.ConditionTrue &&
					maps.Equal(good.Annotations, node.Annotations)
			}, time.Minute, 20*time.Millisecond)
			f.quiet(n)
		})
	}
	t.Run("what is not ours is left alone", func(t *testing.T) {
		writes := n.Stats().Writes
		f.patch(`{"metadata":{"annotations":{"underlayd.io/asn":"64999","example.org/x":null},"labels":{"a":"b"}}}`)
		n.Publish(report("10.20.0.0/16"))
		require.Equal(t, writes, f.quiet(n).Writes)
		require.Equal(t, "64999", f.node().Annotations["underlayd.io/asn"])
	})
	t.Run("a Node deleted and made again", func(t *testing.T) {
		f.delete()
		f.create("10.10.1.0/24", "fd00:10:0:1::/64")
		f.says("10.20.0.0/16")
	})
}

// unmerging is a transport on which merge patches fail.
type unmerging struct {
	http.RoundTripper
	failed *atomic.Int64
}

func (u unmerging) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Header.Get("Content-Type") == string(types.MergePatchType) {
		u.failed.Add(1)
		return nil, syscall.ECONNREFUSED
	}
	return u.RoundTripper.RoundTrip(request)
}

func TestAWriteThatFailsHalfwayIsNoRepair(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "halfway", quick)
	f.patch(`{"metadata":{"annotations":{"underlayd.io/truncated":"7"}}}`)
	var failed atomic.Int64
	n := f.agent(func(rt http.RoundTripper) http.RoundTripper { return unmerging{rt, &failed} })
	f.run(n)
	n.Publish(report("10.20.0.0/16"))
	require.Eventually(t, func() bool { return failed.Load() >= 3 }, time.Minute, 20*time.Millisecond)
	require.Zero(t, n.Stats().Repairs, "nobody changed anything")
	require.Error(t, n.Stats().Problem)
}

func TestWithdrawLeavesNothingOfOurs(t *testing.T) {
	f := newFixture(t, "cleaned", quick)
	before := f.node()
	n, stop := f.start()
	n.Publish(report("10.20.0.0/16"))
	f.says("10.20.0.0/16")
	require.Eventually(t, func() bool { return n.Stats().Renewals > 0 }, time.Minute, 20*time.Millisecond)
	stop()
	f.patch(`{"metadata":{"annotations":{"underlayd.io/cluster":"mine"}}}`)
	f.patch(`{"status":{"conditions":[{"type":"UnderlayRoutesReady","message":"mine"}]}}`, "status")

	require.NoError(t, n.Withdraw(t.Context()))
	after := f.node()
	require.Equal(t, before.Annotations, after.Annotations)
	require.Equal(t, before.Status.Conditions, after.Status.Conditions)
	for _, entry := range after.ManagedFields {
		require.NotEqual(t, "underlayd", entry.Manager)
	}
	leases, err := f.server.Client().CoordinationV1().Leases("kube-system").List(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name=underlayd-cleaned"})
	require.NoError(t, err)
	require.Empty(t, leases.Items)

	require.NoError(t, n.Withdraw(t.Context()), "twice")
	f.delete()
	require.NoError(t, n.Withdraw(t.Context()), "without a Node")
}

func TestTheLeaseVouchesForTheNode(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "vouched", quick)
	leases := f.server.Client().CoordinationV1().Leases(annotation.LeaseNamespace)
	n, stop := f.start()
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
	_, err := leases.Get(t.Context(), annotation.LeaseName(f.name), metav1.GetOptions{})
	require.Error(t, err, "nothing said, nothing to vouch for")

	n.Publish(report("10.20.0.0/16"))
	require.Eventually(t, func() bool { return n.Stats().Renewals > 2 }, time.Minute, 20*time.Millisecond)
	lease, err := leases.Get(t.Context(), annotation.LeaseName(f.name), metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, f.name, *lease.Spec.HolderIdentity)
	require.EqualValues(t, 1, *lease.Spec.LeaseDurationSeconds)
	require.WithinDuration(t, time.Now(), lease.Spec.RenewTime.Time, time.Minute)
	require.Equal(t, f.node().UID, lease.OwnerReferences[0].UID)

	t.Run("somebody else deletes it or writes it", func(t *testing.T) {
		require.NoError(t, leases.Delete(t.Context(), lease.Name, metav1.DeleteOptions{}))
		renewals := n.Stats().Renewals
		require.Eventually(t, func() bool { return n.Stats().Renewals > renewals+1 }, time.Minute, 20*time.Millisecond)
		require.NoError(t, f.takeLease(lease.Name))
		require.Eventually(t, func() bool {
			lease, err := leases.Get(t.Context(), lease.Name, metav1.GetOptions{})
			return err == nil && *lease.Spec.HolderIdentity == f.name
		}, time.Minute, 20*time.Millisecond)
	})
	t.Run("renewing it does not write the Node", func(t *testing.T) {
		require.EqualValues(t, 1, n.Stats().Writes)
	})
	stop()
}

// takeLease writes another holder into the Lease, between two renewals.
func (f *fixture) takeLease(name string) error {
	leases := f.server.Client().CoordinationV1().Leases(annotation.LeaseNamespace)
	for {
		lease, err := leases.Get(context.Background(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		lease.Spec.HolderIdentity = new("somebody-else")
		if _, err = leases.Update(context.Background(), lease, metav1.UpdateOptions{}); err == nil {
			return nil
		}
	}
}

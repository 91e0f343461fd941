package k8s_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/underlayd/underlayd/k8s"
)

// cidrsBecome waits, by Changed alone, until PodCIDRs answers this. Changed is empty then.
func cidrsBecome(t *testing.T, n *k8s.Node, want ...string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		found, err := n.PodCIDRs()
		if err == nil && slices.Equal(parsed(want...), found) {
			select { // the news may have come before the first look
			case <-n.Changed():
			default:
			}
			return
		}
		select {
		case <-n.Changed():
		case <-deadline:
			require.FailNow(t, "pod CIDRs did not come", "want %v, have %v (%v)", want, found, err)
		}
	}
}

func (f *fixture) delete() {
	f.t.Helper()
	require.NoError(f.t, f.server.Client().CoreV1().Nodes().Delete(context.Background(), f.name, metav1.DeleteOptions{}))
}

func TestPodCIDRsAreUnknownUntilTheNodeHasSome(t *testing.T) {
	f := newFixture(t, "late", quick)
	f.delete()
	n, _ := f.start()
	_, err := n.PodCIDRs()
	require.ErrorIs(t, err, k8s.ErrNotSynced, "before the API answered")
	require.Eventually(t, func() bool {
		_, err := n.PodCIDRs()
		return err != nil && err.Error() == "node late: no such Node: pod CIDRs not known"
	}, time.Minute, 20*time.Millisecond)
	_, err = n.PodCIDRs()
	require.ErrorIs(t, err, k8s.ErrNotSynced, "an absent Node is not an empty one")

	f.create()
	require.Eventually(t, func() bool {
		_, err := n.PodCIDRs()
		return err != nil && err.Error() == "node late: no pod CIDRs assigned yet: pod CIDRs not known"
	}, time.Minute, 20*time.Millisecond)
	require.False(t, n.Stats().Synced)

	f.patch(`{"spec":{"podCIDR":"10.10.7.0/24","podCIDRs":["10.10.7.0/24","fd00:10:0:7::/64"]}}`)
	cidrsBecome(t, n, "10.10.7.0/24", "fd00:10:0:7::/64")
	require.True(t, n.Stats().Synced)
}

func TestChangedIsSilentWhenNothingChangesThatCounts(t *testing.T) {
	f := newFixture(t, "heartbeats", quick)
	n, _ := f.start()
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
	contact := n.Stats().LastContact
	f.patch(`{"metadata":{"annotations":{"a":"b"}}}`)
	f.patch(`{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`, "status")
	n.Publish(report("10.20.0.0/16")) // its write comes after what the watch has to show
	f.quiet(n)
	require.True(t, n.Stats().LastContact.After(contact))
	require.Empty(t, n.Changed())
}

func TestTheWatchGoesOnAfterItsVersionIsGone(t *testing.T) {
	f := newFixture(t, "gone", quick)
	f.delete()
	f.create()
	n, _ := f.start()
	require.Eventually(t, func() bool { return n.Stats().NodeExists }, time.Minute, 20*time.Millisecond)
	f.server.Stop()
	require.NoError(t, f.server.Compact(t.Context()))
	require.NoError(t, f.server.Resume(t.Context()))
	f.patch(`{"spec":{"podCIDR":"10.10.9.0/24","podCIDRs":["10.10.9.0/24"]}}`)
	cidrsBecome(t, n, "10.10.9.0/24")
}

func TestADeletionDuringAnOutageIsNoticed(t *testing.T) {
	f := newFixture(t, "vanished", quick)
	g := &gate{}
	n := f.agent(g.wrap)
	f.run(n)
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
	g.answer(func(*http.Request) *http.Response { return nil })
	f.server.Stop() // cuts the watch
	require.NoError(t, f.server.Resume(t.Context()))
	f.delete()
	require.Never(t, func() bool { return !n.Stats().NodeExists }, 300*time.Millisecond, 10*time.Millisecond)
	g.answer(nil)
	require.Eventually(t, func() bool { return !n.Stats().NodeExists }, time.Minute, 20*time.Millisecond)
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
}

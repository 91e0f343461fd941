package kubernetes

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/underlayd/underlayd/k8s/annotation"
)

// TestTwoClustersWithKubernetes is one story in chapters: each begins and ends with everything in order, and says by
// its name what it does to that order.
func TestTwoClustersWithKubernetes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, chapter := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"Nodes with pod CIDRs become routes and say so", w.begin},
		{"a Node that waits for its pod CIDRs gets them", w.late},
		{"a node's pod CIDRs are exchanged", w.exchange},
		{"a CNI says other pod CIDRs than the Node's spec", w.source},
		{"a thousand routes change at once", w.burst},
		{"a daemon is restarted", w.restart},
		{"a session is lost and back", w.lose},
		{"a node is cleaned up", w.cleanup},
		{"an API server is away", w.outage},
		{"nobody is told a secret", w.tellNothing},
	} {
		start := time.Now()
		if !t.Run(chapter.name, chapter.run) {
			t.FailNow() // what follows builds on it
		}
		t.Logf("%s: %s", chapter.name, time.Since(start).Round(100*time.Millisecond))
	}
}

// TestOtherWorlds is shorter stories, each in a world of its own. One of them is told beside the long one, not all at once: each
// has API servers of its own.
func TestOtherWorlds(t *testing.T) {
	t.Parallel()
	t.Run("the life of the DaemonSet's Pods", testUpgradeAndRemoval)
	t.Run("one file for all nodes", testOneFileForAllNodes)
	t.Run("the nodes of a cluster become peers", testNodesOfAClusterBecomePeers)
	t.Run("settings of one node", testSettingsOfOneNode)
}

// begin starts the daemons on Nodes three of which have got their pod CIDRs from their cluster's controllers.
func (w *world) begin(t *testing.T) {
	w.control(t, "east", true)
	w.control(t, "west", true)
	// The Nodes of the control planes take the first of the pod CIDRs, so that those of the others are the lab's.
	w.register(t, "east", "control-plane")
	w.register(t, "west", "control-plane")
	for _, p := range places()[:3] {
		w.register(t, p.cluster, p.name)
		require.Equal(t, p.pods, w.pods[p.name])
	}
	w.control(t, "west", false) // for the next chapter
	w.create(t, "west-2")
	for _, p := range places() { // of the Pods that the DaemonSet controller has made
		w.credentials(t, p.name)
	}
	start := time.Now()
	w.launch(t)
	w.routed(t, "east-1", "east-2", "west-1")
	t.Logf("routes %s after the daemons' start", time.Since(start).Round(time.Millisecond))
	w.told(t, "east-1", "east-2", "west-1")
	t.Logf("Nodes complete %s after the daemons' start", time.Since(start).Round(time.Millisecond))
	w.reaches(t, "east-1", "west-1")
	w.reaches(t, "west-1", "east-2")

	for _, name := range []string{"east-1", "east-2", "west-1"} {
		w.answers(t, name)
		w.leased(t, name)
		s := w.state(t, name)
		require.True(t, s.Kubernetes.Enabled && s.Kubernetes.Synced && s.Kubernetes.LastError == "", "%+v", s.Kubernetes)
		require.ElementsMatch(t, texts(w.pods[name]), s.Advertised)
	}
}

// answers asks what a consumer of a Node's annotations would: which addresses can be reached from here?
func (w *world) answers(t *testing.T, node string) {
	t.Helper()
	object := w.get(t, node)
	said, err := annotation.Parse(object.Annotations)
	require.NoError(t, err)
	for _, p := range places() {
		addresses := []netip.Addr{p.pod4, p.pod6}
		for _, prefix := range w.pods[p.name] {
			addresses = append(addresses, prefix.Addr().Next())
		}
		for _, address := range addresses {
			want, cluster := annotation.No, ""
			if slices.ContainsFunc(w.remote(node), func(r netip.Prefix) bool { return r.Contains(address) }) {
				want, cluster = annotation.Yes, p.cluster
			}
			got, of := said.Routable(address)
			require.Equal(t, want.String(), got.String(), "%s, of %s on %s", node, address, p.name)
			require.Equal(t, cluster, of)
		}
	}
	for _, address := range []string{"10.20.77.1", "fd00:20:0:77::1", "192.0.2.1", "192.168.21.1", "2001:db8::1"} {
		got, _ := said.Routable(netip.MustParseAddr(address))
		require.Equal(t, annotation.No, got, address)
	}
	c := condition(object)
	require.Equal(t, corev1.ConditionTrue, c.Status)
	require.Equal(t, "RoutesInstalled", c.Reason)
	require.NotEmpty(t, c.Message)
	require.False(t, c.LastTransitionTime.IsZero())
}

// leased expects the Lease of a node's daemon: it belongs to the Node, names it as holder, and is fresh.
func (w *world) leased(t *testing.T, node string) {
	t.Helper()
	lease, err := w.lease(t.Context(), node)
	require.NoError(t, err)
	require.Equal(t, node, *lease.Spec.HolderIdentity)
	require.Less(t, time.Since(lease.Spec.RenewTime.Time), time.Duration(*lease.Spec.LeaseDurationSeconds)*time.Second)
	require.Len(t, lease.OwnerReferences, 1)
	require.Equal(t, w.get(t, node).UID, lease.OwnerReferences[0].UID)
}

// late gives west-2 what its Node lacked so far.
func (w *world) late(t *testing.T) {
	w.routed(t, "west-2") // it learns though it has nothing to advertise
	w.told(t, "west-2")
	mark := w.versions(t, "west-1")
	w.control(t, "west", true)
	w.given(t, "west", "west-2")
	require.Equal(t, placeOf("west-2").pods, w.pods["west-2"])
	w.settled(t)
	w.answers(t, "east-1")
	w.answers(t, "west-2")
	w.leased(t, "west-2")
	require.Equal(t, mark, w.versions(t, "west-1"), "a node of the same cluster has nothing new to say")
	w.reaches(t, "east-2", "west-2")
	w.reaches(t, "west-2", "east-1")
}

// exchange has the controllers give west-2 other pod CIDRs again and again. Nothing but its routes may move in the other cluster.
func (w *world) exchange(t *testing.T) {
	_, err := w.nodes("west-2").Patch(t.Context(), "west-2", types.StrategicMergePatchType,
		assignment(t, podCIDRs(20, 100)), metav1.PatchOptions{})
	require.True(t, apierrors.IsInvalid(err), "the API lets pod CIDRs be changed now: use that here as well (%v)", err)

	kernel := watchRoutes(t, w.Node("east-1"))
	pings := w.startPings(t, "east-1", "west-1")
	mark, expected := kernel.mark(), w.pods["west-2"]
	times := w.exchanges(t, kernel, 10, func(int) (began, confirmed time.Time) {
		began, confirmed = w.remake(t, "west-2")
		expected = append(expected, w.pods["west-2"]...) // others each time
		return began, confirmed
	})
	t.Logf("a Node made again to routes to its new pod CIDRs in the other cluster's kernel, 10 times: %s", times)
	w.delete(t, "west-2")
	w.create(t, "west-2", placeOf("west-2").pods...)
	w.settled(t)
	require.ElementsMatch(t, expected, touched(kernel.since(t, mark)), "other routes were touched")
	for _, p := range pings {
		p.answered(t)
	}
	w.reaches(t, "west-2", "east-1")
}

// exchanges has west-2 given new pod CIDRs so many times, and returns how long it took each time until they were routes
// in the watched kernel, and the ones before were none.
func (w *world) exchanges(t *testing.T, kernel *routeWatch, times int, give func(int) (began, confirmed time.Time)) latencies {
	t.Helper()
	var found latencies
	for i := range times {
		mark, before := kernel.mark(), w.pods["west-2"]
		began, confirmed := give(i)
		at := kernel.await(t, mark, false, w.pods["west-2"]...)
		found.sent = append(found.sent, at.Sub(began))
		found.confirmed = append(found.confirmed, at.Sub(confirmed))
		gone := kernel.await(t, mark, true, before...)
		require.False(t, gone.Before(at), "the new ones were advertised before the old ones were withdrawn")
	}
	return found
}

// restart ends and starts the daemon of east-1: no route may move anywhere, and no Node may be written.
func (w *world) restart(t *testing.T) {
	all := []string{"east-1", "east-2", "west-1", "west-2"}
	before := w.versions(t, all...)
	pings := append(w.startPings(t, "east-1", "west-1"), w.startPings(t, "west-2", "east-1")...)
	w.unnoticed(t, "east-1")
	renewed, err := w.lease(t.Context(), "east-1")
	require.NoError(t, err)
	// The next renewal comes after anything that the new daemon may have thought of writing.
	until(t, "the new daemon to renew the Lease", func(ctx context.Context) error {
		lease, err := w.lease(ctx, "east-1")
		if err == nil && !lease.Spec.RenewTime.After(renewed.Spec.RenewTime.Time) {
			err = errors.New("not yet")
		}
		return err
	})
	require.Equal(t, before, w.versions(t, all...))
	require.Zero(t, w.state(t, "east-1").Kubernetes.Writes)
	for _, p := range pings {
		p.answered(t)
	}
	w.settled(t)
}

// unnoticed restarts a node's daemon. No route may move in any kernel until it has converged again.
func (w *world) unnoticed(t *testing.T, node string) {
	t.Helper()
	kernels := map[string]*routeWatch{}
	for _, p := range places() {
		kernels[p.name] = watchRoutes(t, w.Node(p.name))
	}
	w.stop(t, node)
	start := time.Now()
	w.launch(t, node)
	w.is(t, node, "converged", func(s state) error {
		if s.Phase != "Ready" {
			return errors.New("not yet")
		}
		return nil
	})
	t.Logf("%s is ready %s after its daemon was started again", node, time.Since(start).Round(time.Millisecond))
	require.ElementsMatch(t, texts(w.pods[node]), w.state(t, node).Advertised)
	for name, k := range kernels {
		require.Empty(t, k.since(t, 0), "routes of %s", name)
	}
}

// cleanup ends east-2 for good, until the next chapter starts it anew.
func (w *world) cleanup(t *testing.T) {
	w.stop(t, "east-2")
	object := w.get(t, "east-2")
	require.NotNil(t, condition(object), "a daemon that ends leaves the Node as it is")
	out, err := w.Node("east-2").Output(t.Context(), "underlayd", "cleanup", "--config", "/etc/underlayd/config.yaml")
	require.NoError(t, err)
	t.Log(out)
	object = w.get(t, "east-2")
	for _, key := range annotation.Keys() {
		require.NotContains(t, object.Annotations, key)
	}
	require.Nil(t, condition(object))
	for _, entry := range object.ManagedFields {
		require.NotEqual(t, annotation.FieldManager, entry.Manager)
	}
	_, err = w.lease(t.Context(), "east-2")
	require.True(t, apierrors.IsNotFound(err), "%v", err)
	routes, err := kernelRoutes(w.Node("east-2"))
	require.NoError(t, err)
	require.Empty(t, routes)
	left, err := w.Node("east-2").Output(t.Context(), "ip", "nexthop")
	require.NoError(t, err)
	require.Empty(t, left)
	_, err = w.Node("east-2").Output(t.Context(), "underlayd", "cleanup", "--config", "/etc/underlayd/config.yaml")
	require.NoError(t, err, "twice does no harm")
	w.answers(t, "east-1")
}

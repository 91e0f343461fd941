package deploy_test

import (
	"io/fs"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/underlayd/underlayd/k8s/annotation"
	"github.com/underlayd/underlayd/k8s/apitest"
	"github.com/underlayd/underlayd/k8s/deploy"
)

func TestEveryManifestIsListedInTheKustomization(t *testing.T) {
	for _, dir := range []fs.FS{deploy.Base(), deploy.StartupTaint(), deploy.PasswordSecret()} {
		data, err := fs.ReadFile(dir, "kustomization.yaml")
		require.NoError(t, err)
		files, err := fs.Glob(dir, "*.yaml")
		require.NoError(t, err)
		for _, file := range files {
			if file != "kustomization.yaml" {
				require.Contains(t, string(data), "- "+file+"\n")
			}
		}
	}
}

// podOf returns what the one DaemonSet among objects has its Pods be.
func podOf(t *testing.T, objects []*unstructured.Unstructured) corev1.PodSpec {
	t.Helper()
	var daemonSet appsv1.DaemonSet
	for _, object := range objects {
		if object.GetKind() == "DaemonSet" {
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &daemonSet))
		}
	}
	return daemonSet.Spec.Template.Spec
}

func TestTheDaemonSetHasTwoCapabilitiesAndNoMore(t *testing.T) {
	objects, err := apitest.Manifests(deploy.Base())
	require.NoError(t, err)
	pod := podOf(t, objects)
	require.True(t, pod.HostNetwork)
	require.Len(t, pod.Containers, 1)
	security := pod.Containers[0].SecurityContext
	require.Nil(t, security.Privileged)
	require.Zero(t, *security.RunAsUser)
	require.True(t, *security.ReadOnlyRootFilesystem)
	require.False(t, *security.AllowPrivilegeEscalation)
	require.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, security.SeccompProfile.Type)
	for _, mount := range pod.Containers[0].VolumeMounts {
		require.Equal(t, mount.MountPath != "/run/underlayd", mount.ReadOnly, "only the runtime directory can be written: %s", mount.MountPath)
	}
	require.Equal(t, []corev1.Capability{"ALL"}, security.Capabilities.Drop)
	require.Equal(t, []corev1.Capability{"NET_ADMIN", "NET_BIND_SERVICE"}, security.Capabilities.Add)
}

func TestTheCollectorKnowsTheMemoryLimit(t *testing.T) {
	objects, err := apitest.Manifests(deploy.Base())
	require.NoError(t, err)
	requireMemory(t, podOf(t, objects))
}

// requireMemory expects GOMEMLIMIT to be nine tenths of the memory limit, and no limit of CPU.
func requireMemory(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	container := pod.Containers[0]
	require.NotContains(t, container.Resources.Limits, corev1.ResourceCPU)
	limit := container.Resources.Limits.Memory().Value()
	for _, variable := range container.Env {
		if variable.Name == "GOMEMLIMIT" {
			mebibytes, err := strconv.ParseInt(strings.TrimSuffix(variable.Value, "MiB"), 10, 64)
			require.NoError(t, err)
			require.Equal(t, limit*9/10>>20, mebibytes)
			return
		}
	}
	require.Fail(t, "GOMEMLIMIT is not set")
}

type attempt struct {
	name    string
	node    string
	subs    []string // subresource
	patch   string
	allowed bool
}

func TestAnAgentMayWriteItsOwnNodeAndNothingElse(t *testing.T) {
	ctx := t.Context()
	server := apitest.New(t)
	require.NoError(t, server.Install(ctx, deploy.Base()))
	require.NoError(t, server.Install(ctx, deploy.Base()), "installing twice does no harm")
	admin := server.Client()
	for _, name := range []string{"one", "two"} {
		createNode(t, admin, name)
	}
	config, err := server.Agent(ctx, "one")
	require.NoError(t, err)
	agent, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	awaitPolicies(t, agent)

	status := []string{"status"}
	tryAll(t, agent, "cannot patch resource", []attempt{
		{"its own annotation", "one", status, `{"metadata":{"annotations":{"underlayd.io/cluster":"east"}}}`, true},
		{"its own condition", "one", status, `{"status":{"conditions":[{"type":"UnderlayRoutesReady","status":"True"}]}}`, true},
		{"its own condition again, changed", "one", status, `{"status":{"conditions":[{"type":"UnderlayRoutesReady","status":"False"}]}}`, true},
		{"its own annotation removed", "one", status, `{"metadata":{"annotations":{"underlayd.io/cluster":null}}}`, true},
		{"a key of our prefix that people set", "one", status, `{"metadata":{"annotations":{"underlayd.io/asn":"1"}}}`, false},
		{"a foreign annotation", "one", status, `{"metadata":{"annotations":{"example.org/x":"2"}}}`, false},
		{"removing a foreign annotation", "one", status, `{"metadata":{"annotations":{"example.org/x":null}}}`, false},
		{"a label", "one", status, `{"metadata":{"labels":{"a":"b"}}}`, false},
		{"a finalizer", "one", status, `{"metadata":{"finalizers":["example.org/stay"]}}`, false},
		{"the Ready condition", "one", status, `{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`, false},
		{"the Ready condition's reason", "one", status, `{"status":{"conditions":[{"type":"Ready","reason":"Mine"}]}}`, false},
		{"removing the Ready condition", "one", status, `{"status":{"conditions":[{"type":"Ready","$patch":"delete"}]}}`, false},
		{"the node's capacity", "one", status, `{"status":{"capacity":{"cpu":"64"}}}`, false},
		{"the node's addresses", "one", status, `{"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.9"}]}}`, false},
		{"another node", "two", status, `{"metadata":{"annotations":{"underlayd.io/cluster":"east"}}}`, false},
		{"its own node's spec", "one", nil, `{"spec":{"unschedulable":true}}`, false},
		{"its own startup taint, without the component", "one", nil, untaint, false},
	})
	testLeases(t, agent)
	testEvents(t, admin, agent)
	require.NoError(t, server.Install(ctx, deploy.StartupTaint()))
	testTaints(t, agent)
}

// What a Node of this test is tainted with, by the test and by the API server itself, and a patch that takes the startup taint away.
const (
	foreignTaint = `{"key":"example.org/x","effect":"NoSchedule"},{"key":"node.kubernetes.io/not-ready","effect":"NoSchedule"}`
	startupTaint = `{"key":"underlayd.io/not-ready","effect":"NoSchedule"}`
	untaint      = `{"spec":{"taints":[` + foreignTaint + `]}}`
)

func testTaints(t *testing.T, agent kubernetes.Interface) {
	require.Eventually(t, func() bool { // RBAC takes a moment
		_, err := agent.CoreV1().Nodes().Patch(t.Context(), "one", types.MergePatchType, []byte(`{}`), metav1.PatchOptions{})
		return err == nil
	}, time.Minute, 50*time.Millisecond)
	tryAll(t, agent, "an agent may", []attempt{
		{"another node's startup taint", "two", nil, untaint, false},
		{"another taint of its own node", "one", nil, `{"spec":{"taints":[` + startupTaint + `]}}`, false},
		{"all taints of its own node", "one", nil, `{"spec":{"taints":null}}`, false},
		{"another value of the startup taint", "one", nil, `{"spec":{"taints":[` + foreignTaint + `,{"key":"underlayd.io/not-ready","value":"y","effect":"NoSchedule"}]}}`, false},
		{"another effect of the startup taint", "one", nil, `{"spec":{"taints":[` + foreignTaint + `,{"key":"underlayd.io/not-ready","effect":"NoExecute"}]}}`, false},
		{"one more taint", "one", nil, `{"spec":{"taints":[` + foreignTaint + `,` + startupTaint + `,{"key":"example.org/y","effect":"NoSchedule"}]}}`, false},
		{"the startup taint and something else", "one", nil, `{"spec":{"unschedulable":true,"taints":[` + foreignTaint + `]}}`, false},
		{"its own node's spec beside it", "one", nil, `{"spec":{"unschedulable":true}}`, false},
		{"its own node's provider", "one", nil, `{"spec":{"providerID":"x"}}`, false},
		{"its own node's pod CIDR", "one", nil, `{"spec":{"podCIDR":"10.0.0.0/24","podCIDRs":["10.0.0.0/24"]}}`, false},
		{"its own node's labels beside it", "one", nil, `{"metadata":{"labels":{"a":"b"}}}`, false},
		{"its own startup taint", "one", nil, untaint, true},
	})
}

// tryAll makes attempts; why is what the API says to those that patch the Node itself.
func tryAll(t *testing.T, agent kubernetes.Interface, why string, attempts []attempt) {
	for _, row := range attempts {
		t.Run(row.name, func(t *testing.T) {
			_, err := agent.CoreV1().Nodes().Patch(t.Context(), row.node, types.StrategicMergePatchType, []byte(row.patch),
				metav1.PatchOptions{}, row.subs...)
			if row.allowed {
				require.NoError(t, err)
				return
			}
			require.True(t, apierrors.IsForbidden(err) || apierrors.IsInvalid(err), "%v", err)
			if row.subs == nil {
				require.ErrorContains(t, err, why)
			}
		})
	}
}

func testEvents(t *testing.T, admin, agent kubernetes.Interface) {
	event := func(name, node string, change ...func(*eventsv1.Event)) *eventsv1.Event {
		e := &eventsv1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, EventTime: metav1.NowMicro(),
			Regarding: corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: node}, Reason: "PeerDown", Action: "PeerDown",
			Type: "Warning", Note: "down", ReportingController: "underlayd.io/agent", ReportingInstance: node,
		}
		for _, f := range change {
			f(e)
		}
		return e
	}
	kubelet := func(e *eventsv1.Event) { e.ReportingController = "kubelet" }
	for i, row := range []struct {
		name    string
		event   *eventsv1.Event
		allowed bool
	}{
		{"an Event about its own Node", event("a", "one"), true},
		{"an Event about another Node", event("b", "two"), false},
		{"an Event in another controller's name", event("c", "one", kubelet), false},
		{"an Event about something else of that name", event("d", "one", func(e *eventsv1.Event) { e.Regarding.Kind = "Namespace" }), false},
		{"an Event that names something else beside", event("e", "one", func(e *eventsv1.Event) {
			e.Related = &corev1.ObjectReference{Kind: "Node", Name: "two"}
		}), false},
		{"an Event in another namespace", event("f", "one", func(e *eventsv1.Event) { e.Namespace, e.Regarding.Namespace = "kube-system", "kube-system" }), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx := t.Context()
			_, err := agent.EventsV1().Events(row.event.Namespace).Create(ctx, row.event, metav1.CreateOptions{})
			if row.allowed {
				require.NoError(t, err)
			} else {
				require.True(t, apierrors.IsForbidden(err) || apierrors.IsInvalid(err), "%d: %v", i, err)
				_, err = admin.EventsV1().Events(row.event.Namespace).Create(ctx, row.event, metav1.CreateOptions{})
				require.NoError(t, err)
			}
			_, err = agent.EventsV1().Events(row.event.Namespace).Patch(ctx, row.event.Name, types.MergePatchType,
				[]byte(`{"series":{"count":2,"lastObservedTime":"2026-01-01T00:00:00.000000Z"}}`), metav1.PatchOptions{})
			if row.allowed {
				require.NoError(t, err, "it may say that its own happened again")
			} else {
				require.True(t, apierrors.IsForbidden(err) || apierrors.IsInvalid(err), "%v", err)
			}
		})
	}
	_, err := agent.EventsV1().Events("default").List(t.Context(), metav1.ListOptions{})
	require.True(t, apierrors.IsForbidden(err), "%v", err)
	_, err = agent.CoreV1().Events("default").Create(t.Context(), &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{})
	require.True(t, apierrors.IsForbidden(err), "%v", err)
}

func testLeases(t *testing.T, agent kubernetes.Interface) {
	ctx := t.Context()
	leases := agent.CoordinationV1().Leases("kube-system")
	for _, row := range []struct {
		name, lease string
		allowed     bool
	}{
		{"its own Lease", "underlayd-one", true},
		{"another node's Lease", "underlayd-two", false},
		{"a foreign Lease", "kube-scheduler", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: row.lease}}
			created, err := leases.Create(ctx, lease, metav1.CreateOptions{})
			if !row.allowed {
				require.True(t, apierrors.IsForbidden(err) || apierrors.IsInvalid(err), "%v", err)
				err = leases.Delete(ctx, row.lease, metav1.DeleteOptions{})
				require.True(t, apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsNotFound(err), "%v", err)
				return
			}
			require.NoError(t, err)
			_, err = leases.Update(ctx, created, metav1.UpdateOptions{})
			require.NoError(t, err)
			require.NoError(t, leases.Delete(ctx, row.lease, metav1.DeleteOptions{}))
		})
	}
	_, err := agent.CoordinationV1().Leases("default").Get(ctx, "underlayd-one", metav1.GetOptions{})
	require.True(t, apierrors.IsForbidden(err), "%v", err)
}

func createNode(t *testing.T, admin kubernetes.Interface, name string) {
	t.Helper()
	node, err := admin.CoreV1().Nodes().Create(t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"example.org/x": "1"}},
		Spec: corev1.NodeSpec{Taints: []corev1.Taint{
			{Key: "example.org/x", Effect: corev1.TaintEffectNoSchedule}, {Key: annotation.StartupTaint, Effect: corev1.TaintEffectNoSchedule},
		}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}}
	_, err = admin.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{})
	require.NoError(t, err)
}

// awaitPolicies waits until the API server enforces the policies; a new one
// takes a moment to be compiled.
func awaitPolicies(t *testing.T, agent kubernetes.Interface) {
	t.Helper()
	refused := func(err error) bool { return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) }
	dryRun := []string{metav1.DryRunAll}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "foreign"}}
	require.Eventually(t, func() bool {
		_, node := agent.CoreV1().Nodes().Patch(t.Context(), "two", types.MergePatchType, []byte(`{}`),
			metav1.PatchOptions{DryRun: dryRun}, "status")
		_, other := agent.CoordinationV1().Leases("kube-system").Create(t.Context(), lease, metav1.CreateOptions{DryRun: dryRun})
		_, about := agent.EventsV1().Events("default").Create(t.Context(), &eventsv1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: "foreign"}, EventTime: metav1.NowMicro(), Reason: "x", Action: "x", Type: "Normal",
			Regarding: corev1.ObjectReference{Kind: "Node", Name: "two"}, ReportingController: "x", ReportingInstance: "x",
		}, metav1.CreateOptions{DryRun: dryRun})
		return refused(node) && refused(other) && refused(about)
	}, time.Minute, 100*time.Millisecond)
}

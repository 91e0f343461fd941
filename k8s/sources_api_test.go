package k8s_test

import (
	"context"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/underlayd/underlayd/k8s"
	"github.com/underlayd/underlayd/k8s/deploy"
)

// foreign is a kind of another product in the API, made by the test as that product makes it.
type foreign struct {
	f                *fixture
	client           dynamic.Interface
	resource         schema.GroupVersionResource
	kind, definition string
	manifests        fs.FS
}

func (f *fixture) calico() *foreign {
	return f.foreign("crd.projectcalico.org/v1", "BlockAffinity", "blockaffinities", "calico")
}

func (f *fixture) cilium() *foreign {
	return f.foreign("cilium.io/v2", "CiliumNode", "ciliumnodes", "cilium")
}

func (f *fixture) foreign(version, kind, plural, folder string) *foreign {
	f.t.Helper()
	client, err := dynamic.NewForConfig(f.server.Admin())
	require.NoError(f.t, err)
	gv, err := schema.ParseGroupVersion(version)
	require.NoError(f.t, err)
	k := &foreign{f: f, client: client, resource: gv.WithResource(plural), kind: kind, definition: plural + "." + gv.Group,
		manifests: os.DirFS("testdata/" + folder)}
	k.remove() // of an earlier test
	f.t.Cleanup(k.remove)
	return k
}

func definitions() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
}

// install makes the kind, and waits until the API serves it.
func (k *foreign) install() {
	k.f.t.Helper()
	require.NoError(k.f.t, k.f.server.Install(context.Background(), k.manifests))
	require.Eventually(k.f.t, func() bool {
		_, err := k.client.Resource(k.resource).List(context.Background(), metav1.ListOptions{})
		return err == nil
	}, time.Minute, 20*time.Millisecond)
}

// remove deletes the kind with all its objects.
func (k *foreign) remove() {
	err := k.client.Resource(definitions()).Delete(context.Background(), k.definition, metav1.DeleteOptions{})
	require.True(k.f.t, err == nil || apierrors.IsNotFound(err), "%v", err)
	require.Eventually(k.f.t, func() bool {
		_, err := k.client.Resource(definitions()).Get(context.Background(), k.definition, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}, time.Minute, 20*time.Millisecond)
}

type object = map[string]any

// put makes an object, or gives it another spec.
func (k *foreign) put(name string, spec object) {
	k.f.t.Helper()
	o := &unstructured.Unstructured{Object: object{
		"apiVersion": k.resource.GroupVersion().String(), "kind": k.kind, "metadata": object{"name": name}, "spec": spec,
	}}
	data, err := o.MarshalJSON()
	require.NoError(k.f.t, err)
	force := true
	_, err = k.client.Resource(k.resource).Patch(context.Background(), name, types.ApplyPatchType, data,
		metav1.PatchOptions{FieldManager: "somebody-else", Force: &force})
	require.NoError(k.f.t, err)
}

func (k *foreign) delete(name string) {
	k.f.t.Helper()
	require.NoError(k.f.t, k.client.Resource(k.resource).Delete(context.Background(), name, metav1.DeleteOptions{}))
}

// block makes a block affinity as Calico does.
func (k *foreign) block(node, cidr, state string) string {
	k.f.t.Helper()
	name := node + "-" + strings.NewReplacer(".", "-", ":", "-", "/", "-").Replace(cidr)
	k.put(name, object{"node": node, "cidr": cidr, "state": state, "deleted": "false", "type": "host"})
	return name
}

// sourced is a fixture whose agent has a source.
func sourced(t *testing.T, name string, s k8s.Source) *fixture {
	t.Helper()
	pace := quick
	pace.Discover = time.Second
	f := newFixture(t, name, pace)
	f.confirm, f.source = soon/2, s // many wait for it
	return f
}

// from waits until all pod CIDRs come from a source.
func from(t *testing.T, n *k8s.Node, s k8s.Source) {
	t.Helper()
	for _, o := range n.Origins() {
		require.Equal(t, s, o.Source, "%s", o.Prefix)
	}
	require.Equal(t, s, n.Stats().Source)
}

func TestCalicoBlocksComeAndGo(t *testing.T) {
	f := sourced(t, "calico", k8s.SourceAuto)
	calico := f.calico()
	n, _ := f.start()
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
	from(t, n, k8s.SourceNode)

	calico.install()
	calico.block("somebody-else", "10.10.200.0/26", "confirmed")
	calico.put("lb", object{"node": "calico", "cidr": "10.10.201.0/26", "state": "confirmed", "deleted": "false", "type": "virtual"})
	pending := calico.block("calico", "10.10.40.64/26", "pending")
	first := calico.block("calico", "10.10.40.0/26", "confirmed")
	// At once, beside those of the Node, which go when they are confirmed to be no longer meant.
	cidrsBecome(t, n, "10.10.1.0/24", "10.10.40.0/26", "fd00:10:0:1::/64")
	require.Equal(t, []k8s.Origin{
		{Prefix: parsed("10.10.1.0/24")[0], Source: k8s.SourceNode}, {Prefix: parsed("10.10.40.0/26")[0], Source: k8s.SourceCalico},
		{Prefix: parsed("fd00:10:0:1::/64")[0], Source: k8s.SourceNode},
	}, n.Origins())
	cidrsBecome(t, n, "10.10.40.0/26")
	from(t, n, k8s.SourceCalico)
	require.Empty(t, n.Stats().Disagreement, "spec.podCIDRs that are not used are no disagreement")
	require.NoError(t, n.Stats().Problem)

	calico.put(pending, object{"node": "calico", "cidr": "10.10.40.64/26", "state": "confirmed", "deleted": "false"})
	six := calico.block("calico", "fd00:10:0:1::40/122", "confirmed")
	cidrsBecome(t, n, "10.10.40.0/26", "10.10.40.64/26", "fd00:10:0:1::40/122")

	calico.put(six, object{"node": "calico", "cidr": "fd00:10:0:1::40/122", "state": "confirmed", "deleted": "true"})
	calico.delete(six)
	require.Eventually(t, func() bool {
		problem := n.Stats().Problem
		return problem != nil && strings.Contains(problem.Error(), "fd00:10:0:1::40/122 are gone from Calico's blocks of the Node (it has 10.10.40.0/26, 10.10.40.64/26)")
	}, time.Minute, 20*time.Millisecond)
	cidrsBecome(t, n, "10.10.40.0/26", "10.10.40.64/26", "fd00:10:0:1::40/122")
	cidrsBecome(t, n, "10.10.40.0/26", "10.10.40.64/26")

	calico.block("calico", "nonsense", "confirmed")
	require.Eventually(t, func() bool {
		_, err := n.PodCIDRs()
		return err != nil && strings.Contains(err.Error(), `BlockAffinity calico-nonsense: "nonsense" is not a CIDR`)
	}, time.Minute, 20*time.Millisecond)
	calico.delete("calico-nonsense")
	cidrsBecome(t, n, "10.10.40.0/26", "10.10.40.64/26")

	// The last blocks go: nothing else is advertised before that is certain.
	calico.delete(first)
	calico.delete(pending)
	require.Eventually(t, func() bool { return n.Stats().Problem != nil }, time.Minute, 20*time.Millisecond)
	cidrsBecome(t, n, "10.10.40.0/26", "10.10.40.64/26")
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
	from(t, n, k8s.SourceNode)
}

func TestCalicoThatIsRemoved(t *testing.T) {
	f := sourced(t, "uncalico", k8s.SourceCalico)
	calico := f.calico()
	n, _ := f.start()
	require.Eventually(t, func() bool {
		_, err := n.PodCIDRs()
		return err != nil && err.Error() == "node uncalico: the API serves no BlockAffinity: pod CIDRs not known"
	}, time.Minute, 20*time.Millisecond, "a source that is not there is not another one")
	require.NoError(t, n.Stats().Problem)
	calico.install()
	require.Eventually(t, func() bool {
		_, err := n.PodCIDRs()
		return err != nil && err.Error() == "node uncalico: no confirmed block of the Node: pod CIDRs not known"
	}, time.Minute, 20*time.Millisecond)
	require.Equal(t, "no confirmed block of the Node", n.Stats().WaitingFor)
	calico.block("uncalico", "10.10.41.0/26", "confirmed")
	cidrsBecome(t, n, "10.10.41.0/26")
	calico.remove()
	require.Eventually(t, func() bool { return n.Stats().Problem != nil }, time.Minute, 20*time.Millisecond)
	cidrsBecome(t, n, "10.10.41.0/26")
	cidrsBecome(t, n)
	require.True(t, n.Stats().Synced)
	calico.install() // and is back
	calico.block("uncalico", "10.10.42.0/26", "confirmed")
	cidrsBecome(t, n, "10.10.42.0/26")
}

func TestCiliumNodes(t *testing.T) {
	f := sourced(t, "cilium", k8s.SourceAuto)
	cilium := f.cilium()
	cilium.install()
	cilium.put("somebody-else", object{"ipam": object{"podCIDRs": []any{"10.10.210.0/24"}}})
	cilium.put("cilium", object{"ipam": object{"podCIDRs": []any{"10.10.50.0/24", "fd00:10:0:50::/64"}}})
	n, _ := f.start()
	cidrsBecome(t, n, "10.10.50.0/24", "fd00:10:0:50::/64") // and never those of the Node
	from(t, n, k8s.SourceCilium)

	cilium.put("cilium", object{"ipam": object{"pools": object{"allocated": []any{
		object{"pool": "default", "cidrs": []any{"10.10.50.0/24", "10.10.51.0/24"}},
		object{"pool": "other", "cidrs": []any{"fd00:10:0:51::/64"}},
	}}}})
	cidrsBecome(t, n, "10.10.50.0/24", "10.10.51.0/24", "fd00:10:0:50::/64", "fd00:10:0:51::/64")
	cidrsBecome(t, n, "10.10.50.0/24", "10.10.51.0/24", "fd00:10:0:51::/64")

	require.NoError(t, n.SetSource(k8s.SourceNode)) // a mistake, which is said
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
	require.Equal(t, "10.10.50.0/24, 10.10.51.0/24, fd00:10:0:51::/64 of the CiliumNode (source cilium) are not advertised, "+
		"since pod CIDRs are those of the Node (source node): pods with such addresses can't be reached", n.Stats().Disagreement)
	require.NoError(t, n.SetSource(k8s.SourceCilium))
	cidrsBecome(t, n, "10.10.50.0/24", "10.10.51.0/24", "fd00:10:0:51::/64")
	require.Empty(t, n.Stats().Disagreement)
	require.Error(t, n.SetSource("weave"))
}

func TestAnnotationsOfTheNode(t *testing.T) {
	f := sourced(t, "annotated", k8s.SourceAuto)
	n, _ := f.start()
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
	annotate := func(key, value string) {
		f.patch(`{"metadata":{"annotations":{"` + key + `":` + value + `}}}`)
	}
	annotate("kube-router.io/pod-cidrs", `"10.10.60.0/24, fd00:10:0:60::/64"`)
	cidrsBecome(t, n, "10.10.1.0/24", "10.10.60.0/24", "fd00:10:0:1::/64", "fd00:10:0:60::/64")
	cidrsBecome(t, n, "10.10.60.0/24", "fd00:10:0:60::/64")
	from(t, n, k8s.SourceKubeRouter)
	annotate("k8s.ovn.org/node-subnets", `"{\"default\":[\"10.10.61.0/24\",\"fd00:10:0:60::/64\"],\"tenant\":\"10.10.62.0/24\"}"`)
	cidrsBecome(t, n, "10.10.60.0/24", "10.10.61.0/24", "fd00:10:0:60::/64")
	cidrsBecome(t, n, "10.10.61.0/24", "fd00:10:0:60::/64")
	from(t, n, k8s.SourceOVN)
	require.Contains(t, n.Stats().Disagreement, "10.10.60.0/24 of the Node's annotations of kube-router (source kube-router) are not advertised")
	annotate("kube-router.io/pod-cidrs", "null")
	require.Eventually(t, func() bool { return n.Stats().Disagreement == "" }, time.Minute, 20*time.Millisecond)
	annotate("k8s.ovn.org/node-subnets", "null")
	require.Eventually(t, func() bool { return n.Stats().Problem != nil }, time.Minute, 20*time.Millisecond)
	cidrsBecome(t, n, "10.10.61.0/24", "fd00:10:0:60::/64") // not the Node's, before it is certain
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
}

func TestAKindThatMayNotBeRead(t *testing.T) {
	f := sourced(t, "forbidden", k8s.SourceAuto)
	cilium := f.cilium()
	cilium.install()
	cilium.put("forbidden", object{"ipam": object{"podCIDRs": []any{"10.10.70.0/24"}}})
	// The role as of a version that knew no sources.
	_, err := f.server.Client().RbacV1().ClusterRoles().Patch(t.Context(), "underlayd", types.ApplyPatchType, []byte(`{
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "underlayd"}, "rules": [
		{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
		{"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"]}]}`), metav1.PatchOptions{FieldManager: "apitest"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.server.Install(context.Background(), deploy.Base())) })
	require.Eventually(t, func() bool { // the authorizer's own watch
		n, stop := f.start()
		defer stop()
		return waitProblem(n, "grant get, list and watch of ciliumnodes in the group cilium.io to underlayd") &&
			len(n.Origins()) > 0 && n.Stats().Source == k8s.SourceNode
	}, time.Minute, 20*time.Millisecond, "routing goes on with what can be read")
	n, _ := f.start()
	cidrsBecome(t, n, "10.10.1.0/24", "fd00:10:0:1::/64")
	require.True(t, waitProblem(n, "grant get, list and watch"))
	require.NoError(t, n.SetSource(k8s.SourceNode))
	require.NoError(t, n.Stats().Problem, "what is not needed is no problem")
	require.NoError(t, n.SetSource(k8s.SourceAuto))
	require.True(t, waitProblem(n, "grant get, list and watch"))
	require.NoError(t, f.server.Install(t.Context(), deploy.Base()))
	cidrsBecome(t, n, "10.10.1.0/24", "10.10.70.0/24", "fd00:10:0:1::/64")
	require.Equal(t, k8s.SourceCilium, n.Stats().Source)
	cidrsBecome(t, n, "10.10.70.0/24")
	require.NoError(t, n.Stats().Problem)
}

func waitProblem(n *k8s.Node, text string) bool {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if p := n.Stats().Problem; p != nil && strings.Contains(p.Error(), text) {
			return true
		}
		select {
		case <-n.Changed():
		case <-time.After(10 * time.Millisecond):
		}
	}
	return false
}

func TestBlocksOfARestoredStore(t *testing.T) {
	f := sourced(t, "restored-blocks", k8s.SourceCalico)
	calico := f.calico()
	calico.install()
	kept := calico.block("restored-blocks", "10.10.46.0/26", "confirmed")
	n := f.agent(func(rt http.RoundTripper) http.RoundTripper { return refused{rt} })
	f.run(n)
	cidrsBecome(t, n, "10.10.46.0/26")
	require.NoError(t, f.server.Backup(t.Context()))
	for _, state := range []string{"pending", "confirmed", "pending", "confirmed"} { // versions of a future that will not have been
		calico.block("restored-blocks", "10.10.47.0/26", state)
	}
	calico.delete(kept)
	cidrsBecome(t, n, "10.10.46.0/26", "10.10.47.0/26")
	cidrsBecome(t, n, "10.10.47.0/26")
	require.NoError(t, f.server.Restore(t.Context()))
	cidrsBecome(t, n, "10.10.46.0/26", "10.10.47.0/26")
	cidrsBecome(t, n, "10.10.46.0/26")
}

// queries notes what is asked of a path.
type queries struct {
	http.RoundTripper
	path string
	mu   sync.Mutex // guards all below
	seen []string
}

func (q *queries) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := q.RoundTripper.RoundTrip(r)
	if r.URL.Path == q.path && err == nil {
		q.mu.Lock()
		q.seen = append(q.seen, response.Status+" "+r.URL.Query().Get("fieldSelector"))
		q.mu.Unlock()
	}
	return response, err
}

func (q *queries) have(text string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.seen {
		if s == text {
			return true
		}
	}
	return false
}

func TestTheAPIServerSelectsWhereItCan(t *testing.T) {
	for _, row := range []struct {
		name    string
		fields  []any
		want    []string
		without string
	}{
		{"Calico's own definition", nil, []string{"400 Bad Request spec.node=selected", "200 OK "}, "200 OK spec.node=selected"},
		{"one with selectableFields", []any{object{"jsonPath": ".spec.node"}}, []string{"200 OK spec.node=selected"}, "200 OK "},
	} {
		t.Run(row.name, func(t *testing.T) {
			f := sourced(t, "selected", k8s.SourceCalico)
			calico := f.calico()
			calico.install()
			if row.fields != nil {
				patch, err := (&unstructured.Unstructured{Object: object{
					"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": object{"name": calico.definition},
					"spec": object{"versions": []any{object{"name": "v1", "served": true, "storage": true, "selectableFields": row.fields,
						"schema": object{"openAPIV3Schema": object{"type": "object", "x-kubernetes-preserve-unknown-fields": true,
							"properties": object{"spec": object{"type": "object", "x-kubernetes-preserve-unknown-fields": true,
								"properties": object{"node": object{"type": "string"}}}}}}}}},
				}}).MarshalJSON()
				require.NoError(t, err)
				_, err = calico.client.Resource(definitions()).Patch(t.Context(), calico.definition, types.MergePatchType, patch, metav1.PatchOptions{})
				require.NoError(t, err)
				require.Eventually(t, func() bool {
					_, err := calico.client.Resource(calico.resource).List(context.Background(), metav1.ListOptions{FieldSelector: "spec.node=selected"})
					return err == nil
				}, time.Minute, 20*time.Millisecond)
			}
			calico.block("selected", "10.10.43.0/26", "confirmed")
			calico.block("somebody-else", "10.10.44.0/26", "confirmed")
			q := &queries{path: "/apis/crd.projectcalico.org/v1/blockaffinities"}
			n := f.agent(func(rt http.RoundTripper) http.RoundTripper { q.RoundTripper = rt; return q })
			f.run(n)
			cidrsBecome(t, n, "10.10.43.0/26")
			calico.block("selected", "10.10.45.0/26", "confirmed")
			cidrsBecome(t, n, "10.10.43.0/26", "10.10.45.0/26")
			for _, want := range row.want {
				require.True(t, q.have(want), "%q in %q", want, q.seen)
			}
			require.False(t, q.have(row.without), "%q in %q", row.without, q.seen)
		})
	}
}

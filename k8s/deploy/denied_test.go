package deploy_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/underlayd/underlayd/k8s/apitest"
	"github.com/underlayd/underlayd/k8s/deploy"
)

// thief is who has the token of the agent on node one: a token of exactly the manifests' service account, bound to a Pod on
// that node.
type thief struct {
	kubernetes.Interface
	apitest *apitest.Server
}

// try is something that the token is used for. Who reads the documentation sees what and may.
type try struct {
	what string
	may  bool
	do   func(context.Context, thief) error
}

// patched changes a Node, its status or both.
func patched(node, patch string, subresources ...string) func(context.Context, thief) error {
	return func(ctx context.Context, a thief) error {
		_, err := a.CoreV1().Nodes().Patch(ctx, node, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, subresources...)
		return err
	}
}

func status(node, patch string) func(context.Context, thief) error {
	return patched(node, patch, "status")
}

func leased(namespace, name string) func(context.Context, thief) error {
	return func(ctx context.Context, a thief) error {
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}}
		_, err := a.CoordinationV1().Leases(namespace).Create(ctx, lease, metav1.CreateOptions{})
		return err
	}
}

// unleased deletes and rewrites a Lease of somebody else, which is there.
func unleased(name string) func(context.Context, thief) error {
	return func(ctx context.Context, a thief) error {
		leases := a.CoordinationV1().Leases("kube-system")
		theirs, err := leases.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("the Lease is not there: %w", err)
		}
		if _, err := leases.Update(ctx, theirs, metav1.UpdateOptions{}); err == nil {
			return nil
		}
		return leases.Delete(ctx, name, metav1.DeleteOptions{})
	}
}

// forAll tries annotations one by one, and is as far as the first that may be written.
func forAll(names ...string) func(context.Context, thief) error {
	return func(ctx context.Context, a thief) (err error) {
		for _, name := range names {
			if err = status("one", `{"metadata":{"annotations":{"underlayd.io/`+name+`":"64512"}}}`)(ctx, a); err == nil {
				return nil
			}
		}
		return err
	}
}

// secretsOf reads one Secret in each of the ways that there are. The answer is that of the first that is refused, or if there
// is anything to be had by one, none.
func secretsOf(namespace, name string) func(context.Context, thief) error {
	return func(ctx context.Context, a thief) error {
		secrets := a.CoreV1().Secrets(namespace)
		one := metav1.ListOptions{FieldSelector: "metadata.name=" + name}
		_, got := secrets.Get(ctx, name, metav1.GetOptions{})
		_, listed := secrets.List(ctx, one)
		w, watched := secrets.Watch(ctx, one)
		if watched == nil {
			w.Stop()
		}
		all := []error{got, listed, watched}
		if slices.Contains(all, nil) && slices.ContainsFunc(all, func(err error) bool { return err != nil }) {
			return fmt.Errorf("not all or nothing: %v", all)
		}
		return got
	}
}

func allSecrets(ctx context.Context, a thief) error {
	for _, namespace := range []string{"kube-system", "default", ""} {
		for _, options := range []metav1.ListOptions{{}, {FieldSelector: "metadata.name!=x"}, {LabelSelector: "a=b"}} {
			_, listed := a.CoreV1().Secrets(namespace).List(ctx, options)
			w, watched := a.CoreV1().Secrets(namespace).Watch(ctx, options)
			if watched == nil {
				w.Stop()
			}
			if listed == nil || watched == nil {
				return nil
			}
		}
	}
	_, err := a.CoreV1().Secrets("kube-system").List(ctx, metav1.ListOptions{})
	return err
}

func tries() []try {
	const own, other = `{"metadata":{"annotations":{"underlayd.io/remote-cidrs":"10.20.0.0/16"}}}`, "two"
	return []try{
		{"write the annotations of its contract on its own Node", true, status("one", own)},
		{"write its own condition of its own Node", true, status("one", `{"status":{"conditions":[{"type":"UnderlayRoutesReady","status":"True"}]}}`)},
		{"have its own Lease", true, leased("kube-system", "underlayd-one")},
		{"read any Node: RBAC knows no own one", true, func(ctx context.Context, a thief) error {
			_, err := a.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
			return err
		}},
		{"write annotations of another Node", false, status(other, own)},
		{"write its condition of another Node", false, status(other, `{"status":{"conditions":[{"type":"UnderlayRoutesReady","status":"True"}]}}`)},
		{"write annotations on its own Node other than through its status", false, patched("one", own)},
		{"write an annotation with our prefix that people set: underlayd.io/asn, router-id, region, zone, peers", false, forAll("asn", "router-id", "region", "zone", "peers")},
		{"write somebody else's annotation", false, status("one", `{"metadata":{"annotations":{"projectcalico.org/IPv4Address":"192.0.2.9/24"}}}`)},
		{"remove somebody else's annotation", false, status("one", `{"metadata":{"annotations":{"example.org/x":null}}}`)},
		{"write a label of its own Node, underlayd.io/gateway for one", false, status("one", `{"metadata":{"labels":{"underlayd.io/gateway":"true"}}}`)},
		{"write the Ready condition", false, status("one", `{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`)},
		{"write the NetworkUnavailable condition", false, status("one", `{"status":{"conditions":[{"type":"NetworkUnavailable","status":"True"}]}}`)},
		{"write the addresses of its own Node", false, status("one", `{"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.9"}]}}`)},
		{"write the capacity of its own Node", false, status("one", `{"status":{"capacity":{"cpu":"64"}}}`)},
		{"write the pod CIDRs of its own Node", false, patched("one", `{"spec":{"podCIDR":"10.99.0.0/24","podCIDRs":["10.99.0.0/24"]}}`)},
		{"cordon its own Node", false, patched("one", `{"spec":{"unschedulable":true}}`)},
		{"delete its own Node", false, func(ctx context.Context, a thief) error {
			return a.CoreV1().Nodes().Delete(ctx, "one", metav1.DeleteOptions{})
		}},
		{"make a Node", false, func(ctx context.Context, a thief) error {
			_, err := a.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "three"}}, metav1.CreateOptions{})
			return err
		}},
		{"make the Lease of another node's agent", false, leased("kube-system", "underlayd-two")},
		{"write or delete the Lease of a leader election", false, unleased("kube-scheduler")},
		{"have a Lease in another namespace, a kubelet's for one", false, leased("kube-node-lease", "one")},
		{"list Leases", false, func(ctx context.Context, a thief) error {
			_, err := a.CoordinationV1().Leases("kube-system").List(ctx, metav1.ListOptions{})
			return err
		}},
		{"read Secrets, in its own namespace too, with the base alone", false, secretsOf("kube-system", "underlayd-passwords")},
		{"read the Secret of component password-secret, in its own namespace", true, secretsOf("kube-system", "underlayd-passwords")},
		{"read another Secret there", false, secretsOf("kube-system", "other")},
		{"read one of the same name in another namespace", false, secretsOf("default", "underlayd-passwords")},
		{"list or watch all Secrets, of its own namespace too", false, allSecrets},
		{"write that Secret", false, func(ctx context.Context, a thief) error {
			_, err := a.CoreV1().Secrets("kube-system").Patch(ctx, "underlayd-passwords", types.MergePatchType, []byte(`{"data":{}}`), metav1.PatchOptions{})
			return err
		}},
		{"read ConfigMaps, its own through the API too", false, func(ctx context.Context, a thief) error {
			_, err := a.CoreV1().ConfigMaps("kube-system").Get(ctx, "underlayd", metav1.GetOptions{})
			return err
		}},
		{"read ConfigMaps of other namespaces", false, func(ctx context.Context, a thief) error {
			_, err := a.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{})
			return err
		}},
		{"write its own configuration", false, func(ctx context.Context, a thief) error {
			_, err := a.CoreV1().ConfigMaps("kube-system").Patch(ctx, "underlayd", types.MergePatchType, []byte(`{"data":{"config.yaml":""}}`), metav1.PatchOptions{})
			return err
		}},
		{"write an Event about somebody else's Pod", false, func(ctx context.Context, a thief) error {
			_, err := a.CoreV1().Events("kube-system").Create(ctx, &corev1.Event{
				ObjectMeta:     metav1.ObjectMeta{Name: "forged", Namespace: "kube-system"},
				InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "coredns", Namespace: "kube-system"}, Reason: "Forged",
			}, metav1.CreateOptions{})
			return err
		}},
		{"read Pods", false, func(ctx context.Context, a thief) error {
			_, err := a.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
			return err
		}},
		{"make Pods", false, func(ctx context.Context, a thief) error {
			_, err := a.CoreV1().Pods("kube-system").Create(ctx, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: "mine"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}},
			}, metav1.CreateOptions{})
			return err
		}},
		{"change its own DaemonSet", false, func(ctx context.Context, a thief) error {
			_, err := a.AppsV1().DaemonSets("kube-system").Patch(ctx, "underlayd", types.MergePatchType, []byte(`{"spec":{"minReadySeconds":1}}`), metav1.PatchOptions{})
			return err
		}},
		{"get a token of its own service account, for another node", false, func(ctx context.Context, a thief) error {
			_, err := a.CoreV1().ServiceAccounts("kube-system").CreateToken(ctx, "underlayd", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
			return err
		}},
		{"give itself more rights", false, func(ctx context.Context, a thief) error {
			_, err := a.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: "mine"}, RoleRef: rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "cluster-admin"},
			}, metav1.CreateOptions{})
			return err
		}},
		{"take away the admission policies", false, func(ctx context.Context, a thief) error {
			return a.AdmissionregistrationV1().ValidatingAdmissionPolicies().Delete(ctx, "underlayd-own-node", metav1.DeleteOptions{})
		}},
		{"write anything with a token of the service account that is bound to no Pod", false, unbound},
	}
}

// unbound tries what an agent may with a token that says nothing of a node.
func unbound(ctx context.Context, a thief) error {
	token, err := a.apitest.Client().CoreV1().ServiceAccounts("kube-system").
		CreateToken(ctx, "underlayd", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("make a token: %w", err)
	}
	config := rest.CopyConfig(a.apitest.Admin())
	config.BearerToken = token.Status.Token
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	a.Interface = client
	if err := leased("kube-system", "underlayd-two")(ctx, a); err == nil {
		return nil
	}
	return status("one", `{"metadata":{"annotations":{"underlayd.io/remote-cidrs":"10.20.0.0/16"}}}`)(ctx, a)
}

// TestWhatAStolenTokenIsGoodFor is the table of docs/install.md, row by row.
func TestWhatAStolenTokenIsGoodFor(t *testing.T) {
	ctx := t.Context()
	server := apitest.New(t)
	require.NoError(t, server.Install(ctx, deploy.Base()))
	admin := server.Client()
	for _, name := range []string{"one", "two"} {
		createNode(t, admin, name)
	}
	_, err := admin.CoordinationV1().Leases("kube-system").Create(ctx,
		&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "kube-scheduler"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = admin.CoreV1().Secrets("kube-system").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "underlayd-passwords"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	config, err := server.Agent(ctx, "one")
	require.NoError(t, err)
	agent, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	awaitPolicies(t, agent)

	for namespace, name := range map[string]string{"kube-system": "other", "default": "underlayd-passwords"} {
		_, err = admin.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		require.NoError(t, err)
	}

	documentation, err := os.ReadFile("../../docs/install.md")
	require.NoError(t, err)
	table := "| with the token of the agent on a node, one can | |\n|---|---|\n"
	for _, row := range tries() {
		if row.may && strings.Contains(row.what, "component password-secret") {
			require.NoError(t, server.Install(ctx, deploy.PasswordSecret()))
			require.Eventually(t, func() bool { return row.do(ctx, thief{agent, server}) == nil }, time.Minute, 50*time.Millisecond)
		}
		t.Run(row.what, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			err := row.do(ctx, thief{agent, server})
			if row.may {
				require.NoError(t, err)
				return
			}
			// Not that it isn't there, nor that it makes no sense.
			require.True(t, apierrors.IsForbidden(err) || apierrors.IsInvalid(err) && strings.Contains(err.Error(), "ValidatingAdmissionPolicy"), "%v", err)
		})
		table += fmt.Sprintf("| %s | %s |\n", row.what, map[bool]string{true: "**yes**", false: "no"}[row.may])
	}
	require.Contains(t, string(documentation), table, "docs/install.md has this table")
}

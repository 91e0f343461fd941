package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/underlayd/underlayd/k8s/annotation"
	"github.com/underlayd/underlayd/k8s/apitest"
)

func cidrs(texts ...string) []netip.Prefix {
	list := []netip.Prefix{}
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// said are the annotations of a Node that routes these.
func said(texts ...string) map[string]string {
	return map[string]string{
		annotation.Schema: "1", annotation.Cluster: "east", annotation.LocalCIDRs: "", annotation.RemoteClusters: "{}",
		annotation.RemoteCIDRs: annotation.EncodeCIDRs(cidrs(texts...)), annotation.RoutesHash: annotation.Hash(cidrs(texts...)),
	}
}

func with(annotations map[string]string, changes ...string) map[string]string {
	for i := 0; i < len(changes); i += 2 {
		annotations[changes[i]] = changes[i+1]
	}
	return annotations
}

func TestWhatIsRoutableOverSeveralNodes(t *testing.T) {
	newer := func() map[string]string { return map[string]string{annotation.Schema: "2"} }
	type nodes []map[string]string
	for _, row := range []struct {
		name     string
		nodes    nodes
		now      []netip.Prefix
		any, all string
	}{
		{"no Nodes", nil, cidrs("10.20.0.0/16"), "[]", "[]"},
		{"Nodes that say the same", nodes{said("10.20.0.0/16"), said("10.20.0.0/16")}, nil, "[10.20.0.0/16]", "[10.20.0.0/16]"},
		{"Nodes that differ", nodes{said("10.20.0.0/17", "fd00:20::/48"), said("10.20.0.0/16")}, nil, "[10.20.0.0/16 fd00:20::/48]", "[10.20.0.0/17]"},
		{"a Node that lost everything", nodes{said(), said("10.20.0.0/16")}, cidrs("10.20.0.0/16"), "[10.20.0.0/16]", "[]"},
		{"a Node without an agent does not count", nodes{{"example.org/x": "1"}, said("10.20.0.0/16")}, nil, "[10.20.0.0/16]", "[10.20.0.0/16]"},
		{"more than the limit is not opened, whoever says it", nodes{said("0.0.0.0/1", "128.0.0.0/1")}, nil, "[10.20.0.0/16]", "[10.20.0.0/16]"},
		{"a newer agent is unknown: nothing is taken away, nothing added", nodes{newer(), said("10.20.1.0/24")}, cidrs("10.20.0.0/24"),
			"[10.20.0.0/23]", "[]"},
		{"as is text that no agent wrote", nodes{with(said("10.20.0.0/16"), annotation.RoutesHash, "x"), said("10.20.0.0/24")}, cidrs("10.20.0.0/24", "10.20.4.0/24"),
			"[10.20.0.0/24 10.20.4.0/24]", "[10.20.0.0/24]"},
		{"unknown Nodes alone leave it as it is", nodes{newer()}, cidrs("10.20.0.0/24"), "[10.20.0.0/24]", "[10.20.0.0/24]"},
		{"even then not beyond the limit", nodes{newer()}, cidrs("10.99.0.0/24"), "[]", "[]"},
		{"of a list that was cut counts what is in it", nodes{with(said("10.20.0.0/24"), annotation.Truncated, "5", annotation.RoutesHash, "sha256:0123456789abcdef")},
			cidrs("10.20.4.0/24"), "[10.20.0.0/24]", "[10.20.0.0/24]"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var list []annotation.Annotated
			for _, annotations := range row.nodes {
				list = append(list, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Annotations: annotations}})
			}
			within := cidrs("10.20.0.0/16", "fd00:20::/48")
			open, _ := anyNode.open(list, row.now, within)
			require.Equal(t, row.any, fmt.Sprint(open))
			open, _ = everyNode.open(list, row.now, within)
			require.Equal(t, row.all, fmt.Sprint(open))
		})
	}
}

func TestFlagsThatWouldOpenOrCloseTooMuch(t *testing.T) {
	for _, args := range []string{
		"-within 10.20.0.0/16", "-selector app=x", "-selector app=x -within 10.20.0.0", "-selector app -within 10.20.0.0/16",
		"-selector app=x -within 10.20.0.0/16 -nodes some",
	} {
		t.Run(args, func(t *testing.T) { require.ErrorContains(t, run(t.Context(), strings.Fields(args)), "-") })
	}
}

func TestThePolicyFollowsTheNodes(t *testing.T) {
	server := apitest.New(t)
	client := server.Client()
	ctx, cancel := context.WithCancel(t.Context())
	c := newController(client, settings{
		namespace: "default", name: "remote", pods: map[string]string{"app": "shop"}, within: cidrs("10.20.0.0/16", "10.30.0.0/16"),
		quorum: anyNode, log: slog.New(slog.DiscardHandler),
	})
	done := make(chan error, 1)
	go func() { done <- c.run(ctx) }()
	policies := client.NetworkingV1().NetworkPolicies("default")
	becomes := func(want ...string) *networkingv1.NetworkPolicy {
		t.Helper()
		var policy *networkingv1.NetworkPolicy
		require.Eventually(t, func() bool {
			var err error
			policy, err = policies.Get(t.Context(), "remote", metav1.GetOptions{})
			return err == nil && fmt.Sprint(opened(policy.Spec)) == fmt.Sprint(cidrs(want...)) && len(policy.Spec.PolicyTypes) == 2
		}, time.Minute, 20*time.Millisecond, "%v", &policy)
		return policy
	}
	annotate := func(node string, annotations map[string]string) {
		t.Helper()
		body, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
		require.NoError(t, err)
		_, err = client.CoreV1().Nodes().Patch(t.Context(), node, types.MergePatchType, body, metav1.PatchOptions{})
		require.NoError(t, err)
	}
	policy := becomes()
	require.Empty(t, policy.Spec.Ingress, "a rule with an empty list would allow everything")
	require.Empty(t, policy.Spec.Egress)

	for _, name := range []string{"one", "two"} {
		_, err := client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	annotate("one", said("10.20.0.0/17"))
	becomes("10.20.0.0/17")
	annotate("two", said("10.20.128.0/17", "10.30.0.0/16"))
	policy = becomes("10.20.0.0/16", "10.30.0.0/16")
	require.Equal(t, map[string]string{"app": "shop"}, policy.Spec.PodSelector.MatchLabels)
	require.Equal(t, "10.20.0.0/16", policy.Spec.Ingress[0].From[0].IPBlock.CIDR)

	annotate("one", map[string]string{"example.org/tick": "1"})
	annotate("two", map[string]string{annotation.Schema: "2"})
	require.Never(t, func() bool {
		p, err := policies.Get(t.Context(), "remote", metav1.GetOptions{})
		return err != nil || p.ResourceVersion != policy.ResourceVersion
	}, 2*gather, 100*time.Millisecond, "an unknown Node takes nothing away, and what others write is no news")
	require.NoError(t, client.CoreV1().Nodes().Delete(t.Context(), "two", metav1.DeleteOptions{}))
	becomes("10.20.0.0/17")
	annotate("one", said())
	becomes()

	policy = becomes()
	policy.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{}} // everything
	_, err := policies.Update(t.Context(), policy, metav1.UpdateOptions{FieldManager: "somebody-else"})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		p, err := policies.Get(t.Context(), "remote", metav1.GetOptions{})
		return err == nil && len(p.Spec.Egress) == 0
	}, time.Minute, 20*time.Millisecond, "what somebody else opened is closed")
	cancel()
	require.NoError(t, <-done)
}

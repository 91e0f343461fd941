package k8s_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// alter has the API server change an annotation of each write of a Node, as a
// mutating webhook would, until the returned function is called.
func (f *fixture) alter(key string) (end func()) {
	f.t.Helper()
	registration := f.server.Client().AdmissionregistrationV1()
	name := "alter-" + f.name
	_, err := registration.MutatingAdmissionPolicies().Create(f.t.Context(), &admissionv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				ResourceNames: []string{f.name},
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Update},
					Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"nodes/status"}},
				},
			}}},
			Mutations: []admissionv1.Mutation{{PatchType: admissionv1.PatchTypeApplyConfiguration, ApplyConfiguration: &admissionv1.ApplyConfiguration{
				Expression: `Object{metadata: Object.metadata{annotations: {"` + key + `": "altered"}}}`,
			}}},
		},
	}, metav1.CreateOptions{})
	require.NoError(f.t, err)
	_, err = registration.MutatingAdmissionPolicyBindings().Create(f.t.Context(), &admissionv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name},
	}, metav1.CreateOptions{})
	require.NoError(f.t, err)
	end = func() {
		_ = registration.MutatingAdmissionPolicyBindings().Delete(context.Background(), name, metav1.DeleteOptions{})
		_ = registration.MutatingAdmissionPolicies().Delete(context.Background(), name, metav1.DeleteOptions{})
	}
	f.t.Cleanup(end)
	return end
}

func TestAWebhookThatAltersOurKeysIsAProblem(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "altered", quick)
	n, _ := f.start()
	n.Publish(report("10.20.0.0/16"))
	f.says("10.20.0.0/16")
	end := f.alter("underlayd.io/cluster")
	third := 0
	require.Eventually(t, func() bool { // a policy takes a moment to be in force
		third++
		n.Publish(report("10.20.0.0/16", parsed("10.30.0.0/16", "10.31.0.0/16")[third%2].String()))
		return f.node().Annotations["underlayd.io/cluster"] == "altered"
	}, time.Minute, 100*time.Millisecond)

	require.Eventually(t, func() bool { return n.Stats().Problem != nil }, time.Minute, 20*time.Millisecond)
	require.ErrorContains(t, n.Stats().Problem, "annotation underlayd.io/cluster, by an admission webhook or policy that alters our writes")
	require.True(t, n.Stats().Pending, "the Node does not say what it should")
	writes := n.Stats().Writes
	require.Never(t, func() bool { return n.Stats().Writes > writes+4 }, time.Second, 50*time.Millisecond, "twenty at the ordinary pace")

	end()
	f.quiet(n)
	require.Equal(t, "east", f.node().Annotations["underlayd.io/cluster"])
}

func TestAControllerThatWritesItsOwnTextIsNamed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "overwritten", quick)
	n, _ := f.start()
	n.Publish(report("10.20.0.0/16"))
	f.says("10.20.0.0/16")
	require.Eventually(t, func() bool {
		if f.node().Annotations["underlayd.io/cluster"] == "east" {
			f.patch(`{"metadata":{"annotations":{"underlayd.io/cluster":"mine"}}}`)
		}
		return n.Stats().Problem != nil
	}, time.Minute, 20*time.Millisecond)
	require.ErrorContains(t, n.Stats().Problem, `annotation underlayd.io/cluster, by field manager "somebody-else"`)
	f.quiet(n)
}

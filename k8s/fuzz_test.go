package k8s

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// FuzzShow gives anything to what reads pod CIDRs: there are never more than can be, each is masked, and messages are
// short.
func FuzzShow(f *testing.F) {
	f.Add(`{"metadata":{"name":"n"},"spec":{"node":"n","cidr":"10.1.0.0/26","state":"confirmed","deleted":"false"}}`)
	f.Add(`{"metadata":{"name":"n"},"spec":{"ipam":{"podCIDRs":["10.1.0.0/24"],"pools":{"allocated":[{"pool":"a","cidrs":["fd00::/64"]}]}}}}`)
	f.Add(`{"default":["10.1.0.0/24","fd00::/64"]}`)
	f.Add("10.1.0.0/24, fd00::/64")
	f.Fuzz(func(t *testing.T, text string) {
		var readings []reading
		for _, key := range []string{ovnSubnets, kubeRouterCIDR, kubeRouterCIDRs} {
			for _, e := range nodeEvidence(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{key: text}}}) {
				readings = append(readings, e.reading)
			}
		}
		o := &unstructured.Unstructured{}
		if json.Unmarshal([]byte(text), &o.Object) == nil {
			for _, k := range []kind{blockAffinities(), ciliumNodes()} {
				if found, own := k.show(o, "n"); own {
					readings = append(readings, k.evidence(map[string]shown{"n": found}).reading)
				}
			}
		}
		for _, r := range readings {
			require.LessOrEqual(t, len(r.cidrs), maxCIDRs)
			for _, prefix := range r.cidrs {
				require.Equal(t, prefix.Masked(), prefix)
			}
			require.Less(t, len(errorText(r.err)), 4000)
			require.Equal(t, r.none != "", len(r.cidrs) == 0 && r.err == nil)
		}
	})
}

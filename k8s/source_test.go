package k8s

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func cidrList(texts string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range strings.Fields(texts) {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// many is a list of n CIDRs as JSON.
func many(n int) string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf(`"10.%d.%d.0/24"`, i>>8&255, i&255)
	}
	return "[" + strings.Join(texts, ",") + "]"
}

func TestWhatObjectsShow(t *testing.T) {
	affinity := func(spec string) string { return `{"metadata":{"name":"n-block"},"spec":` + spec + `}` }
	ciliumNode := func(ipam string) string { return `{"metadata":{"name":"n"},"spec":{"ipam":` + ipam + `}}` }
	for _, row := range []struct {
		name, object string
		want         string // CIDRs; "not ours" if the object is about another node
		err          string // part of it; empty: none
	}{
		{"a confirmed block", affinity(`{"node":"n","cidr":"10.1.0.0/26","state":"confirmed","deleted":"false"}`), "10.1.0.0/26", ""},
		{"one of an older Calico", affinity(`{"node":"n","cidr":"10.1.0.0/26","state":"confirmed","deleted":"","type":"host"}`), "10.1.0.0/26", ""},
		{"one that says deleted as a boolean", affinity(`{"node":"n","cidr":"10.1.0.0/26","state":"confirmed","deleted":false}`), "10.1.0.0/26", ""},
		{"one without deleted", affinity(`{"node":"n","cidr":"fd00::40/122","state":"confirmed"}`), "fd00::40/122", ""},
		{"host bits are the network's", affinity(`{"node":"n","cidr":"10.1.0.7/26","state":"confirmed","deleted":"false"}`), "10.1.0.0/26", ""},
		{"a pending block has no pods yet", affinity(`{"node":"n","cidr":"10.1.0.0/26","state":"pending","deleted":"false"}`), "", ""},
		{"one that is to be deleted has none any more", affinity(`{"node":"n","cidr":"10.1.0.0/26","state":"pendingDeletion","deleted":"false"}`), "", ""},
		{"one that is deleted", affinity(`{"node":"n","cidr":"10.1.0.0/26","state":"confirmed","deleted":"true"}`), "", ""},
		{"a state of the future", affinity(`{"node":"n","cidr":"10.1.0.0/26","state":"shared","deleted":"false"}`), "", ""},
		{"another node's block", affinity(`{"node":"n2","cidr":"10.1.0.0/26","state":"confirmed","deleted":"false"}`), "not ours", ""},
		{"a load balancer's block", affinity(`{"node":"n","cidr":"10.1.0.0/26","state":"confirmed","deleted":"false","type":"virtual"}`), "not ours", ""},
		{"a node that is a number", affinity(`{"node":7,"cidr":"10.1.0.0/26","state":"confirmed"}`), "not ours", ""},
		{"a spec that is text", affinity(`"n"`), "not ours", ""},
		{"no spec", `{"metadata":{"name":"n-block"}}`, "not ours", ""},
		{"a CIDR that is a list", affinity(`{"node":"n","cidr":["10.1.0.0/26"],"state":"confirmed","deleted":"false"}`), "", "BlockAffinity n-block: spec has no cidr, state and deleted as Calico writes them"},
		{"a state that is a number", affinity(`{"node":"n","cidr":"10.1.0.0/26","state":1,"deleted":"false"}`), "", "spec has no cidr, state and deleted"},
		{"deleted that is neither", affinity(`{"node":"n","cidr":"10.1.0.0/26","state":"confirmed","deleted":"perhaps"}`), "", "spec has no cidr, state and deleted"},
		{"deleted that is a number", affinity(`{"node":"n","cidr":"10.1.0.0/26","state":"confirmed","deleted":1}`), "", "spec has no cidr, state and deleted"},
		{"a CIDR that is none", affinity(`{"node":"n","cidr":"10.1.0.0","state":"confirmed","deleted":"false"}`), "", `BlockAffinity n-block: "10.1.0.0" is not a CIDR`},
		{"a huge CIDR is shortened in the message", affinity(`{"node":"n","cidr":"` + strings.Repeat("x", 100_000) + `","state":"confirmed","deleted":"false"}`), "", strings.Repeat("x", 64) + `…" is not a CIDR`},
		{"an IPv4-mapped one", affinity(`{"node":"n","cidr":"::ffff:10.1.0.0/122","state":"confirmed","deleted":"false"}`), "", "is not a CIDR"},
		{"a default route is left to the plan, which refuses it", affinity(`{"node":"n","cidr":"0.0.0.0/0","state":"confirmed","deleted":"false"}`), "0.0.0.0/0", ""},

		{"cluster-pool", ciliumNode(`{"podCIDRs":["10.1.0.0/24","fd00::/64"]}`), "10.1.0.0/24 fd00::/64", ""},
		{"multi-pool", ciliumNode(`{"pools":{"allocated":[{"pool":"a","cidrs":["10.1.1.0/27"]},{"pool":"b","cidrs":["10.1.0.0/27","10.1.1.0/27"]}]}}`), "10.1.0.0/27 10.1.1.0/27", ""},
		{"a pool without CIDRs", ciliumNode(`{"pools":{"allocated":[{"pool":"a"}],"requested":[{"pool":"a","needed":{"ipv4-addrs":8}}]}}`), "", ""},
		{"a cloud's IPAM, which has none", ciliumNode(`{"pool":{"10.1.0.4":{}}}`), "", ""},
		{"another node", `{"metadata":{"name":"n2"},"spec":{"ipam":{"podCIDRs":["10.1.0.0/24"]}}}`, "not ours", ""},
		{"podCIDRs that is text", ciliumNode(`{"podCIDRs":"10.1.0.0/24"}`), "", "CiliumNode n: spec.ipam.podCIDRs is not a list of CIDRs"},
		{"numbers among podCIDRs", ciliumNode(`{"podCIDRs":["10.1.0.0/24",7]}`), "", "CiliumNode n: spec.ipam.podCIDRs is not a list of CIDRs"},
		{"podCIDRs that is huge", ciliumNode(`{"podCIDRs":"` + strings.Repeat("x", 1_000_000) + `"}`), "", "is not a list of CIDRs"},
		{"ipam that is text", ciliumNode(`"10.1.0.0/24"`), "", "CiliumNode n:"},
		{"pools that are text", ciliumNode(`{"podCIDRs":["10.1.0.0/24"],"pools":"x"}`), "10.1.0.0/24", "CiliumNode n:"},
		{"allocated that is an object", ciliumNode(`{"pools":{"allocated":{"pool":"a"}}}`), "", "spec.ipam.pools.allocated is not a list of pools"},
		{"pools that are numbers", ciliumNode(`{"pools":{"allocated":[1,2,{"pool":"a","cidrs":["10.1.0.0/27"]}]}}`), "10.1.0.0/27", "CiliumNode n: spec.ipam.pools.allocated[].cidrs is not a list of CIDRs"},
		{"nonsense among the good", ciliumNode(`{"podCIDRs":["10.1.0.0/24","","10.1.1.0/33","fd00::/64%eth0"]}`), "10.1.0.0/24", `"10.1.1.0/33" is not a CIDR`},
		{"more than can be", ciliumNode(`{"podCIDRs":` + many(70_000) + `}`), "1024", "68976 CIDRs beyond the first 1024 are left out"},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := &unstructured.Unstructured{}
			require.NoError(t, json.Unmarshal([]byte(row.object), &o.Object))
			k := ciliumNodes()
			if strings.Contains(row.object, "n-block") {
				k = blockAffinities()
			}
			found, own := k.show(o, "n")
			if row.want == "not ours" {
				require.False(t, own)
				return
			}
			require.True(t, own)
			e := k.evidence(map[string]shown{"n": found})
			if row.want == "1024" {
				require.Len(t, e.reading.cidrs, 1024)
			} else {
				require.Equal(t, cidrList(row.want), e.reading.cidrs)
			}
			if row.err == "" {
				require.NoError(t, e.reading.err)
				return
			}
			require.ErrorContains(t, e.reading.err, row.err)
			require.Less(t, len(e.reading.err.Error()), 1000)
		})
	}
}

func TestManyBlocksOfANodeAreBounded(t *testing.T) {
	k, objects := blockAffinities(), map[string]shown{}
	for i := range 2000 {
		objects[fmt.Sprintf("n-%04d", i)] = shown{cidrs: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 26)}}
	}
	e := k.evidence(objects)
	require.Len(t, e.reading.cidrs, maxCIDRs)
	require.ErrorContains(t, e.reading.err, "Calico's blocks of the Node: 976 CIDRs beyond the first 1024 are left out")
}

func TestWhatTheNodeShows(t *testing.T) {
	for _, row := range []struct {
		name, key, value string
		source           Source
		want, err        string
	}{
		{"a network with one CIDR", ovnSubnets, `{"default":"10.1.0.0/23"}`, SourceOVN, "10.1.0.0/23", ""},
		{"one with two", ovnSubnets, `{"default":["10.1.0.0/23","fd00::/64"],"blue":["10.9.0.0/24"]}`, SourceOVN, "10.1.0.0/23 fd00::/64", ""},
		{"no default network", ovnSubnets, `{"blue":"10.9.0.0/24"}`, SourceOVN, "", ""},
		{"no JSON", ovnSubnets, `10.1.0.0/23`, SourceOVN, "", `annotation k8s.ovn.org/node-subnets: "10.1.0.0/23" is not a JSON object of networks`},
		{"a list instead of an object", ovnSubnets, `["10.1.0.0/23"]`, SourceOVN, "", "is not a JSON object of networks"},
		{"null", ovnSubnets, `{"default":null}`, SourceOVN, "", `"" is not a CIDR`},
		{"a number", ovnSubnets, `{"default":7}`, SourceOVN, "", "neither a CIDR nor a list of them"},
		{"an object in the list", ovnSubnets, `{"default":["10.1.0.0/23",{}]}`, SourceOVN, "", "neither a CIDR nor a list of them"},
		{"a huge annotation", ovnSubnets, `{"default":` + many(8000) + `}`, SourceOVN, "1024", "6976 CIDRs beyond the first 1024"},
		{"kube-router's older one", kubeRouterCIDR, "10.1.0.0/24", SourceKubeRouter, "10.1.0.0/24", ""},
		{"and the newer one", kubeRouterCIDRs, "10.1.0.0/24, fd00::/64", SourceKubeRouter, "10.1.0.0/24 fd00::/64", ""},
		{"nonsense", kubeRouterCIDRs, "10.1.0.0/24,;rm", SourceKubeRouter, "10.1.0.0/24", `annotation kube-router.io/pod-cidrs: ";rm" is not a CIDR`},
		{"commas", kubeRouterCIDRs, strings.Repeat(",", 900), SourceKubeRouter, "", "898 more entries are not CIDRs"},
		{"nothing", "example.org/x", "10.1.0.0/24", SourceKubeRouter, "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{row.key: row.value}}}
			r := nodeEvidence(node)[row.source].reading
			if row.want == "1024" {
				require.Len(t, r.cidrs, 1024)
			} else {
				require.Equal(t, cidrList(row.want), r.cidrs)
			}
			if row.err == "" {
				require.NoError(t, r.err)
			} else {
				require.ErrorContains(t, r.err, row.err)
			}
		})
	}
	both := map[string]string{kubeRouterCIDR: "10.1.0.0/24", kubeRouterCIDRs: "10.2.0.0/24"}
	cidrs, err := kubeRouterCIDRsOf(both)
	require.NoError(t, err)
	require.Equal(t, cidrList("10.1.0.0/24"), cidrs, "the older one wins, as in kube-router")
}

// shows is evidence from text: ? is not known, ! refused, - known and none, x odd, anything else CIDRs.
func shows(s Source, text string) evidence {
	switch text {
	case "", "?":
		return evidence{}
	case "!":
		return evidence{refused: true}
	case "-":
		return none(s, "none")
	case "x":
		return evidence{reading: reading{source: s, err: ErrNotSynced}, known: true}
	default:
		return evidence{reading: reading{source: s, cidrs: cidrList(text)}, known: true}
	}
}

func TestWhichSourceIsUsed(t *testing.T) {
	const a, b = "10.1.0.0/24", "10.2.0.0/24"
	for _, row := range []struct {
		name                                  string
		configured, before                    Source
		calico, cilium, ovn, kubeRouter, node string
		confirmed                             bool
		want                                  Source // empty: it can't be said yet
	}{
		{"nothing but the Node", SourceAuto, "", "-", "-", "-", "-", a, false, SourceNode},
		{"nor that", SourceAuto, "", "-", "-", "-", "-", "-", false, SourceNode},
		{"what is in use comes before what is assigned", SourceAuto, "", a, b, b, b, b, false, SourceCalico},
		{"then Cilium", SourceAuto, "", "-", a, b, b, b, false, SourceCilium},
		{"then OVN-Kubernetes", SourceAuto, "", "-", "-", a, b, b, false, SourceOVN},
		{"then kube-router", SourceAuto, "", "-", "-", "-", a, b, false, SourceKubeRouter},
		{"what is odd is something", SourceAuto, "", "-", "x", "-", "-", a, false, SourceCilium},
		{"nothing is said before the API has answered", SourceAuto, "", "-", "?", "-", "-", a, false, ""},
		{"but what comes first needs no other", SourceAuto, "", a, "?", "?", "?", "?", false, SourceCalico},
		{"what is refused is passed over", SourceAuto, "", "!", "!", "-", "-", a, false, SourceNode},
		{"a source that loses all is not left for a later one", SourceAuto, SourceCalico, "-", "-", "-", "-", a, false, SourceCalico},
		{"before that is confirmed", SourceAuto, SourceCalico, "-", "-", "-", "-", a, true, SourceNode},
		{"an earlier one is taken at once", SourceAuto, SourceNode, a, "-", "-", "-", b, false, SourceCalico},
		{"one that is chosen is used alone", SourceCilium, "", a, "-", a, a, a, false, SourceCilium},
		{"and waited for", SourceCilium, "", a, "?", a, a, a, false, ""},
		{"also if it is refused", SourceCilium, "", a, "!", a, a, a, false, ""},
		{"and is not left", SourceCilium, SourceCilium, a, "-", a, a, a, true, SourceCilium},
		{"another is chosen", SourceNode, SourceCalico, a, "-", "-", "-", "-", false, SourceNode},
		{"kube-router takes the Node's without an annotation", SourceKubeRouter, "", "?", "?", "-", "-", a, false, SourceNode},
		{"but not before it is sure", SourceKubeRouter, SourceKubeRouter, "?", "?", "-", "-", a, false, SourceKubeRouter},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := settled(row.configured, row.before, map[Source]evidence{
				SourceCalico: shows(SourceCalico, row.calico), SourceCilium: shows(SourceCilium, row.cilium), SourceOVN: shows(SourceOVN, row.ovn),
				SourceKubeRouter: shows(SourceKubeRouter, row.kubeRouter), SourceNode: shows(SourceNode, row.node),
			}, row.confirmed)
			require.Equal(t, row.want, got.source)
			require.Equal(t, row.want == "", err != nil)
		})
	}
}

func TestWhichDisagreementMatters(t *testing.T) {
	const a, b = "10.1.0.0/24", "10.2.0.0/26"
	for _, row := range []struct {
		name                       string
		configured, used           Source
		calico, cilium, node, held string
		want                       string // part of it; empty: none
	}{
		{"all say the same", SourceAuto, SourceCalico, b, "-", b, b, ""},
		{"the Node's own are not used by a CNI with its own IPAM", SourceAuto, SourceCalico, b, "-", a, b, ""},
		{"nor by one that is chosen", SourceCilium, SourceCilium, "-", b, a, b, ""},
		{"pods are elsewhere than the Node says", SourceNode, SourceNode, b, "-", a, a, "10.2.0.0/26 of Calico's blocks of the Node (source calico) are not advertised, since pod CIDRs are those of the Node (source node)"},
		{"inside of what the Node says they are reached", SourceNode, SourceNode, "10.1.0.64/26", "-", a, a, ""},
		{"blocks are in use, whatever is chosen", SourceCilium, SourceCilium, b, a, "-", a, "source calico"},
		{"two that are assigned, and nobody has said which", SourceAuto, SourceCalico, b, a, "-", b, "10.1.0.0/24 of the CiliumNode (source cilium)"},
		{"what is not used is passed over where it was said", SourceCalico, SourceCalico, b, a, "-", b, ""},
		{"what is kept is advertised too", SourceAuto, SourceCalico, b, a, "-", b + " " + a, ""},
		{"many are counted", SourceNode, SourceNode, b + " 10.2.1.0/26 10.2.2.0/26 10.2.3.0/26 10.2.4.0/26 10.2.5.0/26", "-", a, a, "10.2.3.0/26 and 2 more"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := disagreement(row.configured, row.used, map[Source]evidence{
				SourceCalico: shows(SourceCalico, row.calico), SourceCilium: shows(SourceCilium, row.cilium), SourceNode: shows(SourceNode, row.node),
			}, cidrList(row.held))
			if row.want == "" {
				require.Empty(t, got)
			} else {
				require.Contains(t, got, row.want)
			}
		})
	}
}

package nat

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// cni is what a CNI, or something like one, writes to masquerade what leaves the cluster. IPT stands for the command of one
// family and one kind of iptables, POD, CLUSTER and MULTICAST for ranges of the family, F for its digit.
type cni struct {
	name   string
	needs  []string
	script string
	nft    bool // it has no kinds
}

func cnis() []cni {
	return []cni{
		{name: "flannel", script: `
			IPT -t nat -N FLANNEL-POSTRTG
			IPT -t nat -A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -j RETURN
			IPT -t nat -A FLANNEL-POSTRTG -s POD -d CLUSTER -j RETURN
			IPT -t nat -A FLANNEL-POSTRTG -s CLUSTER -d POD -j RETURN
			IPT -t nat -A FLANNEL-POSTRTG ! -s CLUSTER -d POD -j RETURN
			IPT -t nat -A FLANNEL-POSTRTG -s CLUSTER ! -d MULTICAST -j MASQUERADE --random-fully
			IPT -t nat -A FLANNEL-POSTRTG ! -s CLUSTER -d CLUSTER -j MASQUERADE --random-fully
			IPT -t nat -I POSTROUTING -j FLANNEL-POSTRTG`},
		{name: "Calico with iptables", needs: []string{"ipset"}, script: `
			ipset create calF0masq-ipam-pools hash:net familyFAMILY; ipset add calF0masq-ipam-pools CLUSTER
			ipset create calF0all-ipam-pools hash:net familyFAMILY; ipset add calF0all-ipam-pools CLUSTER
			IPT -t nat -N cali-POSTROUTING; IPT -t nat -N cali-nat-outgoing
			IPT -t nat -A cali-nat-outgoing -m set --match-set calF0masq-ipam-pools src -m set ! --match-set calF0all-ipam-pools dst -j MASQUERADE --random-fully
			IPT -t nat -A cali-POSTROUTING -j cali-nat-outgoing
			IPT -t nat -I POSTROUTING -j cali-POSTROUTING`},
		{name: "Calico with nftables", needs: []string{"nft"}, nft: true, script: `
			nft -f - <<-END
				table IPF calico {
					set cali-masq { type ipvF_addr; flags interval; elements = { CLUSTER } }
					set cali-pools { type ipvF_addr; flags interval; elements = { CLUSTER } }
					chain nat-cali-nat-outgoing { IPF saddr @cali-masq IPF daddr != @cali-pools counter masquerade fully-random; }
					chain nat-POSTROUTING { type nat hook postrouting priority srcnat; policy accept; jump nat-cali-nat-outgoing; }
				}
			END`},
		{name: "kube-router", needs: []string{"ipset"}, script: `
			ipset create pod-subnetsF hash:net familyFAMILY; ipset add pod-subnetsF CLUSTER
			ipset create node-ipsF hash:ip familyFAMILY
			IPT -t nat -A POSTROUTING -m set --match-set pod-subnetsF src -m set ! --match-set pod-subnetsF dst -m set ! --match-set node-ipsF dst -j MASQUERADE --random-fully`},
		// The pods of other clusters are not in 10.0.0.0/8 as a rule, or this would leave them alone.
		{name: "ip-masq-agent", script: `
			IPT -t nat -N IP-MASQ-AGENT
			IPT -t nat -A IP-MASQ-AGENT -d CLUSTER -j RETURN
			IPT -t nat -A IP-MASQ-AGENT -j MASQUERADE --random-fully
			IPT -t nat -A POSTROUTING -m addrtype ! --dst-type LOCAL -j IP-MASQ-AGENT`},
		{name: "kindnet", needs: []string{"nft"}, nft: true, script: `
			nft -f - <<-END
				table inet kindnet-ipmasq-F {
					set noMasqVF { type ipvF_addr; flags interval; elements = { CLUSTER } }
					chain postrouting {
						type nat hook postrouting priority srcnat; policy accept;
						ct state { established, related } accept
						IPF daddr @noMasqVF accept
						meta nfproto ipvF masquerade
					}
				}
			END`},
		{name: "flannel with nftables", needs: []string{"nft"}, nft: true, script: `
			nft -f - <<-END
				table IPF flannel-ipvF {
					chain postrtg {
						type nat hook postrouting priority srcnat; policy accept;
						meta mark & 0x4000 == 0x4000 return
						IPF saddr CLUSTER IPF daddr CLUSTER return
						IPF saddr CLUSTER IPF daddr != MULTICAST masquerade fully-random
					}
				}
			END`},
	}
}

// family has what stands for the words of a script.
type family struct {
	name, pod, node, far, out string
	words                     []string
}

func families() []family {
	return []family{
		{"IPv4", pod4, node4, farPod4, out4, []string{"THEPOD", pod4 + ":7", "THEFAR", farPod4 + ":7", "THEOTHER", other4 + ":7", "THENODE", node4, "SERVICE", "10.96.0.", "POD", "10.10.1.0/24", "CLUSTER", "10.10.0.0/16", "MULTICAST", "224.0.0.0/4", "IPF", "ip", "familyFAMILY", "", "vF", "v4", "VF", "V4", "ipmasq-F", "ipmasq-4", "F0", "40", "subnetsF", "subnets4", "ipsF", "ips4"}},
		{"IPv6", pod6, node6, farPod6, out6, []string{"THEPOD", "[" + pod6 + "]:7", "THEFAR", "[" + farPod6 + "]:7", "THEOTHER", "[" + other6 + "]:7", "THENODE", node6, "SERVICE", "fd00:96::", "POD", "fd00:10:0:1::/64", "CLUSTER", "fd00:10::/48", "MULTICAST", "ff00::/8", "IPF", "ip6", "familyFAMILY", "family inet6", "vF", "v6", "VF", "V6", "ipmasq-F", "ipmasq-6", "F0", "60", "subnetsF", "subnets6", "ipsF", "ips6"}},
	}
}

func (f family) write(script, ipt string) string {
	if f.name == "IPv6" {
		ipt = strings.Replace(ipt, "ip", "ip6", 1)
	}
	return strings.NewReplacer(append([]string{"IPT", ipt}, f.words...)...).Replace(script)
}

// sight is who is seen where, for one set of rules and one family.
type sight struct{ rules, kind, family, pod, without, with, internet string }

// sights are found by tests side by side.
type sights struct {
	mu  sync.Mutex // guards all
	all []sight
}

func (s *sights) add(found sight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, found)
}

// String is the table of docs/cni.md as it was seen in this run: go test -v -run BesideEveryCNI.
func (s *sights) String() string {
	slices.SortFunc(s.all, func(a, b sight) int {
		return cmp.Or(cmp.Compare(a.rules, b.rules), cmp.Compare(a.kind, b.kind), cmp.Compare(a.family, b.family))
	})
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nRULES OF\tKIND\tFAMILY\tPOD\tA REMOTE POD SEES, WITHOUT US\tWITH US\tTHE INTERNET SEES, WITH US")
	for _, r := range s.all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.rules, r.kind, r.family, r.pod, r.without, r.with, r.internet)
	}
	_ = t.Flush()
	return b.String()
}

func TestRemotePodsSeePodsBesideEveryCNI(t *testing.T) {
	var table sights
	t.Cleanup(func() { t.Log(table.String()) })
	for _, c := range cnis() {
		kinds := []string{"iptables-legacy", "iptables-nft"}
		if c.nft {
			kinds = []string{"nft"}
		}
		for _, kind := range kinds {
			t.Run(c.name+", "+kind, func(t *testing.T) {
				t.Parallel()
				containerlab.Require(t, append(c.needs, kind)...)
				w := newWorld(t)
				for _, f := range families() {
					w.sh(t, w.node, f.write(c.script, kind))
				}
				x := w.open(t, Config{})
				without, with := map[string]string{}, map[string]string{}
				for _, step := range []struct {
					when          string
					local, remote bool
					seen          map[string]string
				}{{"without us", false, false, without}, {"with us", true, true, with}, {"without us again", false, false, without}} {
					if step.local {
						require.NoError(t, x.Set(t.Context(), Sides{Local: locals(), Remote: remotes()}))
					} else {
						require.NoError(t, x.Set(t.Context(), Sides{}))
					}
					for _, f := range families() {
						step.seen[f.name] = w.expect(t, f, step.when, step.local)
					}
				}
				for _, f := range families() { // the internet: as was expected of each step
					table.add(sight{c.name, kind, f.name, f.pod, without[f.name], with[f.name], f.node})
				}
			})
		}
	}
}

// expect checks how the pod and the node are seen with and without an exemption, and returns as what a remote pod saw the
// pod.
func (w *world) expect(t *testing.T, f family, when string, exempt bool) (seen string) {
	t.Helper()
	pod := f.node
	if exempt {
		pod = f.pod
	}
	for _, network := range []string{"udp", "tcp"} {
		seen = w.seenAs(t, w.pod, network, f.far)
		require.Equal(t, pod, seen, "%s: %s of a pod to a remote pod over %s", when, network, f.name)
		require.Equal(t, f.node, w.seenAs(t, w.pod, network, f.out), "%s: %s of a pod to the internet over %s", when, network, f.name)
		require.Equal(t, f.node, w.seenAs(t, w.node, network, f.far), "%s: %s of the node to a remote pod over %s", when, network, f.name)
		from := w.dialFrom(t, network, f.far, f.pod)
		require.Equal(t, f.far, from, "%s: %s of a remote pod to a pod over %s", when, network, f.name)
	}
	return seen
}

package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/underlayd/underlayd/bgp/fib/nat"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/status"
)

// natDoc is where each CNI's settings are.
const natDoc = "docs/cni.md#which-cni-needs-what"

// nat tells whether pods keep their addresses, who else masquerades, and what drops.
func (c *checkup) nat() {
	others, err := nat.Masquerades()
	if err != nil {
		c.unknown(status.CheckNAT, "nftables", &status.Remedy{Action: "look yourself", Command: "nft list ruleset | grep -n masquerade", Doc: natDoc}, fmt.Sprintf("who masquerades could not be read: %s", err))
	}
	who := "no other chain of nftables or iptables-nft masquerades"
	if len(others) > 0 {
		who = "what others masquerade in " + strings.Join(others, ", ") + " does not reach these packets"
	}
	switch {
	case !c.config.NATExemption && len(others) > 0:
		c.warn(status.CheckNAT, string(status.NATOff), &status.Remedy{Action: "turn the exemption on, or have the CNI exempt the ranges of the contracts itself", Key: "natExemption", Value: "true", Doc: natDoc},
			notExempt+"; "+strings.Join(others, ", ")+" may")
	case !c.config.NATExemption:
		c.ok(status.CheckNAT, "natExemption is false, and %s", who)
	case c.daemon && c.state.NATExemption.State == status.NATActive:
		c.ok(status.CheckNAT, "pods of this node keep their address (nftables table inet %s); %s", c.state.NATExemption.Table, who)
	case c.daemon:
		c.ok(status.CheckNAT, "there is nothing to exempt from NAT")
	default:
		c.possible()
	}
	c.legacy()
	c.plugins()
	c.dropped()
}

// possible says whether the kernel could have the exemption.
func (c *checkup) possible() {
	x, err := nat.Open(nat.Config{Protocol: c.config.Kernel.Protocol})
	if err != nil {
		c.failed(status.CheckNAT, string(status.NATFailed), &status.Remedy{Action: "use a kernel that has it, or have the CNI exempt these ranges itself", Key: "natExemption", Value: "false", Doc: natDoc}, err.Error())
		return
	}
	_ = x.Close()
	c.ok(status.CheckNAT, "the kernel can exempt pods from NAT")
}

// legacy says of iptables-legacy, of which no netlink tells, that it is in use.
func (c *checkup) legacy() {
	if c.config.NATExemption {
		return // it comes before those rules as well
	}
	if tables, err := os.ReadFile("/proc/net/ip_tables_names"); err == nil && strings.Contains(string(tables), "nat") {
		c.unknown(status.CheckNAT, "iptables-legacy", &status.Remedy{Action: "see whether a rule masquerades packets to pods of other clusters", Command: "iptables-legacy -t nat -S POSTROUTING", Doc: natDoc},
			"iptables-legacy has NAT rules here, which can't be seen from a program that does not ask it")
	}
}

// dropped tells of chains that drop what no rule of theirs accepts.
func (c *checkup) dropped() {
	var drops []string
	if c.exemption != nil {
		drops = c.exemption.drops()
	} else if x, err := nat.Open(nat.Config{Protocol: c.config.Kernel.Protocol}); err == nil {
		drops = x.Drops()
		_ = x.Close()
	}
	if len(drops) == 0 {
		return
	}
	sentence := dropsSentence(drops)
	if forwards(c.config) {
		sentence = judgeForward(drops)[0].message
	}
	var rules []string
	for _, own := range c.config.Cluster.PodCIDRs {
		for _, r := range c.config.Clusters {
			for _, p := range r.PodCIDRs {
				if p.Addr().Is4() == own.Addr().Is4() && len(rules) < 4 {
					ipt := map[bool]string{true: "iptables", false: "ip6tables"}[p.Addr().Is4()]
					rules = append(rules, fmt.Sprintf("%s -I FORWARD -s %s -d %s -j ACCEPT", ipt, own, p), fmt.Sprintf("%s -I FORWARD -s %s -d %s -j ACCEPT", ipt, p, own))
				}
			}
		}
	}
	c.warn(status.CheckNAT, "ForwardDrops", &status.Remedy{Action: "have rules accept both directions, if none does", Command: strings.Join(rules, "; "), Doc: "docs/cni.md#gateways"}, sentence)
}

// plugins says of the CNIs whose masquerade may be another than netfilter's what to look at, and what to change. Their objects
// can't be read with the rights of the agent.
func (c *checkup) plugins() {
	links, err := net.Interfaces()
	if err != nil {
		return
	}
	has := func(prefix string) bool {
		return slices.ContainsFunc(links, func(l net.Interface) bool { return strings.HasPrefix(l.Name, prefix) })
	}
	ask := func(name, sentence, action, command, doc string) {
		c.unknown(status.CheckNAT, name, &status.Remedy{Action: action, Command: command, Doc: "docs/cni.md#" + doc}, sentence)
	}
	if has("cilium_") {
		ask("Cilium", "Cilium is on this node (its links are); a masquerade in eBPF comes after ours and heeds nothing of it, and whether it is on can't be known from here",
			fmt.Sprintf("if it is, set ipv4NativeRoutingCIDR and ipv6NativeRoutingCIDR to ranges around all clusters, or ipMasqAgent.enabled with nonMasqueradeCIDRs: %s", texted(allRanges(c.config))),
			"kubectl -n kube-system get configmap cilium-config -o jsonpath='{.data.enable-bpf-masquerade}'", "cilium")
	}
	if has("cali") || has("vxlan.calico") {
		ask("Calico", "Calico is on this node (its links are); with iptables or nftables nothing is needed, and whether it runs in eBPF mode can't be known from here",
			"if it does, or natExemption is false, make for each range an IPPool that gives no addresses: "+strings.Join(pools(c.config), " "),
			"kubectl get felixconfiguration default -o jsonpath='{.spec.bpfEnabled}'", "calico")
	}
	if has("ovn-k8s-mp") {
		var ranges []string
		for _, p := range remoteRanges(c.config) {
			ranges = append(ranges, `"`+p.String()+`"`)
		}
		ask("OVN-Kubernetes", "OVN-Kubernetes is on this node (its link is); it masquerades outside of netfilter, and what it exempts can't be known from here",
			"annotate each Node with the ranges of the contracts", fmt.Sprintf("kubectl annotate node %s k8s.ovn.org/node-snat-exclude-subnets='[%s]'", c.config.Node.Name, strings.Join(ranges, ",")), "ovn-kubernetes")
	}
}

func remoteRanges(c *config.Config) (all []netip.Prefix) {
	for _, r := range c.Clusters {
		all = append(all, r.PodCIDRs...)
	}
	return all
}

func allRanges(c *config.Config) []netip.Prefix {
	return slices.Concat(c.Cluster.PodCIDRs, remoteRanges(c))
}

// pools are Calico's objects, each on a line of JSON that kubectl takes.
func pools(c *config.Config) (all []string) {
	name := strings.NewReplacer("/", "-", ":", "-")
	for _, r := range c.Clusters {
		for _, p := range r.PodCIDRs {
			all = append(all, fmt.Sprintf(`{"apiVersion":"projectcalico.org/v3","kind":"IPPool","metadata":{"name":"remote-%s-%s"},"spec":{"cidr":"%s","disabled":true,"natOutgoing":false,"disableBGPExport":true}}`,
				r.Name, name.Replace(p.String()), p))
		}
	}
	return all
}

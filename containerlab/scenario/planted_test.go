package scenario

import (
	"context"
	"testing"

	"github.com/underlayd/underlayd/containerlab"
)

// planted is a fault that can be seen from an address, with how it is brought about and undone on east-1.
type planted struct {
	name        string
	plant, mend func(t *testing.T, c *clusters, n *containerlab.Node)
	target      string
	fault       string
	words       []string // of the answer and the remedy
}

// shell runs commands on the node.
func shell(script string) func(*testing.T, *clusters, *containerlab.Node) {
	return func(t *testing.T, _ *clusters, n *containerlab.Node) { output(t, n, "sh", "-ec", script) }
}

// edit replaces a text in a node's configuration.
func edit(node, old, new string) func(*testing.T, *clusters, *containerlab.Node) {
	return func(t *testing.T, c *clusters, _ *containerlab.Node) { c.rewrite(t, node, old, new) }
}

// swap is a change of a node's configuration and its way back.
func swap(p planted, node, old, new string) planted {
	p.plant, p.mend = edit(node, old, new), edit(node, new, old)
	return p
}

func plantedFaults() []planted {
	const pod, pod6 = "10.20.1.7", "fd00:20:0:1::7"
	contract := `podCIDRs: [10.20.0.0/16, "fd00:20::/48"]`
	return []planted{
		{"a longer route of somebody else", shell("ip route add 10.20.1.0/25 via 192.168.11.7 proto bird"), shell("ip route del 10.20.1.0/25"),
			pod, "ForeignRoute", []string{"10.20.1.0/25", "protocol 12, bird", "not ours", "ip route get 10.20.1.7"}},
		{"a route of somebody else to the same prefix", shell("ip route add 10.20.1.0/24 via 192.168.11.7 metric 5 proto static"), shell("ip route del 10.20.1.0/24 metric 5"),
			pod, "Conflict", []string{"stands in the way of 10.20.1.0/24", "metric 5", "ip route show 10.20.1.0/24 table 254"}},
		{"a blackhole", shell("ip route add blackhole 10.20.1.0/28"), shell("ip route del blackhole 10.20.1.0/28"),
			pod, "Dropped", []string{"blackhole", "10.20.1.0/28", "remove the route or rule"}},
		{"a prohibit route of IPv6", shell("ip -6 route add prohibit fd00:20:0:1::/80"), shell("ip -6 route del prohibit fd00:20:0:1::/80"),
			pod6, "Dropped", []string{"prohibit", "fd00:20:0:1::/80"}},
		{"a rule that leads to another table", shell("ip route add default via 192.168.11.7 table 77; ip rule add to 10.20.0.0/16 pref 50 lookup 77"),
			shell("ip rule del pref 50; ip route flush table 77"), pod, "OtherTable", []string{"table 77", "50: from all to 10.20.0.0/16 lookup 77", "kernel.rule"}},
		{"a rule for pods alone", shell("ip route add default via 192.168.11.7 table 77; ip rule add from 10.10.0.0/16 pref 50 lookup 77"),
			shell("ip rule del pref 50; ip route flush table 77"), pod, "OtherTable", []string{"a packet of pod 10.10.1.2", "50: from 10.10.0.0/16 lookup 77"}},
		{"forwarding is off", shell("sysctl -qw net.ipv4.ip_forward=0"), shell("sysctl -qw net.ipv4.ip_forward=1"),
			pod, "ForwardingOff", []string{"does not forward", "net.ipv4.ip_forward=1"}},
		{"forwarding of IPv6 is off", shell("sysctl -qw net.ipv6.conf.all.forwarding=0"), shell("sysctl -qw net.ipv6.conf.all.forwarding=1"),
			pod6, "net.ipv6.conf.all.forwarding", []string{"forwards no IPv6 packets", "sysctl -w net.ipv6.conf.all.forwarding=1"}},
		{"forwarding is off on the link of the pods", shell("sysctl -qw net.ipv4.conf.eth2.forwarding=0"), shell("sysctl -qw net.ipv4.conf.eth2.forwarding=1"),
			pod, "ForwardingOff", []string{"link eth2 does not forward", "net.ipv4.conf.eth2.forwarding=1"}},
		swap(planted{name: "the contract is missing", target: pod, fault: "NoContract", words: []string{"no contract covers it, though peer fabric announces 10.20.1.0/24 with the id of cluster west (2)", "clusters[west].podCIDRs", "[10.25.0.0/16, fd00:25::/48, 10.20.1.0/24]"}},
			"east-1", contract, `podCIDRs: [10.25.0.0/16, "fd00:25::/48"]`),
		swap(planted{name: "the contract is too narrow for the length", target: pod, fault: "PrefixLength", words: []string{"10.20.1.0/24 has length 24", "clusters[west].prefixLength", "{ipv4: [16, 24]}"}},
			"east-1", "ipv4: [16, 28]", "ipv4: [16, 20]"),
		swap(planted{name: "the contract has another id", target: pod, fault: "ClusterMismatch", words: []string{"carries id 2", "clusters[west].id", "[2]"}},
			"east-1", "id: 2", "id: 7"),
		swap(planted{name: "a peer that may announce others alone", target: pod, fault: "PeerNotAllowed", words: []string{"bgp.peers[fabric].clusters", "[north west]"}},
			"east-1", "asn: 65000\nclusters:\n", "asn: 65000\n    clusters: [north]\nclusters:\n- {name: north, id: 9, podCIDRs: [10.90.0.0/16]}\n"),
		swap(planted{name: "the other side does not advertise to us", target: pod, fault: "NotForUs", words: []string{"names the clusters that it is for", "clusters[east].advertise"}},
			"west-1", "- name: east\n", "- {name: north, id: 9, podCIDRs: [10.90.0.0/16]}\n- name: east\n  advertise: []\n"),
	}
}

func TestPlantedFaultsAreNamedByExplain(t *testing.T) {
	t.Parallel()
	c, page := twoClusters(t), faultsOf(t)
	n := c.Node("east-1")
	t.Run("nothing is wrong", func(t *testing.T) { nothingWrong(t, n) })
	for _, f := range plantedFaults() {
		t.Run(f.name, func(t *testing.T) {
			explains(t, n, f.target, "")
			f.plant(t, c, n)
			page.tells(t, f.name, byExplain(n, f.target, f.fault, f.words...))
			if f.fault != "NotForUs" { // as the other side wants it
				checks(t, n, f.fault)
			}
			f.mend(t, c, n)
			explains(t, n, f.target, "")
		})
	}
	for _, row := range []struct{ name, target, fault, words string }{
		{"an address that nobody has", "10.20.9.9", "NotAnnounced", "nobody announces a prefix that covers it"},
		{"an address of no cluster", "10.21.0.9", "NoContract", "no contract covers it"},
		{"a reserved one", "10.96.0.1", "Reserved", "cluster.reserved"},
		{"a special one", "127.0.0.1", "Special", "never a pod"},
	} {
		t.Run(row.name, func(t *testing.T) { page.tells(t, row.name, byExplain(n, row.target, row.fault, row.words)) })
	}
	for _, f := range unreachedFaults() {
		t.Run(f.name, func(t *testing.T) {
			func() {
				defer f.mend(t, c, n)
				f.plant(t, c, n)
				page.tells(t, f.name, byCheck(n, f.fault, f.words...))
			}()
			until(t, patience, "mending", func(ctx context.Context) error { return notChecked(ctx, n, f.fault) })
		})
	}
	for _, f := range lastFaults() {
		t.Run(f.name, func(t *testing.T) {
			f.plant(t, c)
			page.tells(t, f.name, f.ask(c))
		})
	}
	t.Run("the peer has another AS number", func(t *testing.T) { // what it announced before is kept for a while
		c.rewrite(t, "east-1", "asn: 65000", "asn: 65007")
		words := []string{"bad peer as", "we are AS 64512", "bgp.peers[fabric].asn"}
		page.tells(t, "the peer has another AS number", byExplain(n, "10.20.9.9", "WrongASN", append(words, "the session with fabric (AS 65007)")...))
		checks(t, n, "WrongASN", words...)
	})
	t.Run("the node is drained", func(t *testing.T) {
		output(t, n, "underlayd", "drain", "--grace", "0s")
		page.tells(t, "the node is drained", byExplain(n, "10.20.9.9", "Drained", "underlayd drain --cancel"))
	})
	t.Run("the daemon does not run, and its port is taken", func(t *testing.T) { checksAlone(t, n, page) })
	page.compare(t)
}

// lastFault is one that is not undone: each is on a node or a session of its own.
type lastFault struct {
	name  string
	plant func(t *testing.T, c *clusters)
	ask   func(c *clusters) func(context.Context) (faultRow, error)
}

// lastFaults are of east-2, west-1 and west-2. East-1 needs neither of them for what comes after.
func lastFaults() []lastFault {
	on := func(node, script string) func(*testing.T, *clusters) {
		return func(t *testing.T, c *clusters) { output(t, c.Node(node), "sh", "-ec", script) }
	}
	checked := func(node, fault string, words ...string) func(*clusters) func(context.Context) (faultRow, error) {
		return func(c *clusters) func(context.Context) (faultRow, error) {
			return byCheck(c.Node(node), fault, words...)
		}
	}
	explained := func(node, target, fault string, words ...string) func(*clusters) func(context.Context) (faultRow, error) {
		return func(c *clusters) func(context.Context) (faultRow, error) {
			return byExplain(c.Node(node), target, fault, words...)
		}
	}
	return []lastFault{
		{"somebody keeps removing our routes", on("east-2", "for i in $(seq 100); do ip route del 10.20.2.0/24 proto 200 2>/dev/null || true; sleep 0.02; done"),
			checked("east-2", "fights", "slowed down", "protocol 200")},
		{"a cable is out", func(t *testing.T, c *clusters) {
			on("east-2", "ip link add cable type veth peer name end; ip addr add 172.30.0.1/24 dev cable; ip link set cable up")(t, c)
			c.rewrite(t, "east-2", "asn: 65000\n", "asn: 65000\n  - {name: other, address: 172.30.0.9, asn: 65009}\n")
		}, checked("east-2", "LinkDown", "peer other", "ip link set cable up")},
		{"the link to the peer is down", on("east-2", "ip link set eth1 down"), explained("east-2", "10.20.1.7", "NextHopNotOnLink", "the next hop is peer fabric itself", "ip route get 192.168.12.254")},
		{"the peer shut the session down", on("fabric", "vtysh -c 'configure terminal' -c 'router bgp 65000' -c 'neighbor fd00:fab:21::1 shutdown'"),
			checked("west-1", "ShutDown", "peer fabric-ipv6", "bring the session up there")},
		{"the peer does not know us", on("fabric", "vtysh -c 'configure terminal' -c 'router bgp 65000' -c 'no neighbor fd00:fab:22::1'"),
			checked("west-2", "NotConfigured", "peer fabric-ipv6", "configure this node there")},
		{"the peer is further away than TTL security allows", on("fabric", "nft 'table ip spoil { chain o { type filter hook output priority mangle; ip daddr 192.168.21.1 ip ttl set 64; }; }'; vtysh -c 'clear bgp 192.168.21.1'"),
			checked("west-1", "TTLSecurity", "peer fabric-ipv4", "hops", "TcpExtTCPMinTTLDrop")},
		{"the node that has the pod is drained", on("west-2", "underlayd drain --grace 0s"), explained("east-1", "10.20.2.7", "NotAnnounced")},
	}
}

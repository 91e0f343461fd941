package containerlab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// stranger is a BGP speaker that takes underlayd's place on a node: the same command line, the same configuration
// folder, the same sessions. What is tested is the lab: its addresses, its fabric, its pods.
const stranger = `#!/bin/sh
[ "$*" = "run --config /etc/underlayd/config.yaml" ] && [ -r /etc/underlayd/config.yaml ] || exit 2
exec bird -f -c /etc/underlayd/bird.conf -s /run/bird.ctl
`

// nodeConfig is what the stranger reads of a node's config.yaml.
type nodeConfig struct {
	Node struct {
		PodCIDRs []string `yaml:"podCIDRs"`
	}
	BGP struct {
		ASN   int `yaml:"asn"`
		Peers []struct {
			Name, Address string
			ASN           int `yaml:"asn"`
		}
	}
}

// birdConfig says in BIRD's words what config.yaml says in ours; host is the node's own address on a peer's subnet.
func (c *nodeConfig) birdConfig(hosts [2]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "router id %s;\nlog stderr all;\nprotocol device {}\n", hosts[0])
	for i, f := range []string{"ipv4", "ipv6"} {
		fmt.Fprintf(&b, "protocol kernel { %s { export where source = RTS_BGP; }; }\n", f)
		fmt.Fprintf(&b, "protocol static { %s; route %s unreachable; }\n", f, c.Node.PodCIDRs[i])
	}
	for _, p := range c.BGP.Peers {
		name := strings.ReplaceAll(p.Name, "-", "_")
		fmt.Fprintf(&b, "protocol bgp %s {\n local as %d; neighbor %s as %d; ttl security on; connect delay time 1;\n",
			name, c.BGP.ASN, p.Address, p.ASN)
		for i, f := range []string{"ipv4", "ipv6"} {
			fmt.Fprintf(&b, " %s { import all; export where source = RTS_STATIC; next hop address %s; };\n", f, hosts[i])
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func TestPodsOfTwoClustersReachEachOther(t *testing.T) {
	Require(t, "zebra", "bgpd", "vtysh", "bird", "ip", "ping")
	folder := t.TempDir()
	sources := map[string]string{"../bin/underlayd": filepath.Join(folder, "underlayd")}
	require.NoError(t, os.WriteFile(sources["../bin/underlayd"], []byte(stranger), 0o755))
	networks := map[string]string{"east-1": "11", "east-2": "12", "west-1": "21", "west-2": "22"}
	for node, network := range networks {
		text, err := os.ReadFile(filepath.Join("two-clusters", node, "config.yaml"))
		require.NoError(t, err)
		var c nodeConfig
		require.NoError(t, yaml.Unmarshal(text, &c))
		path := filepath.Join(folder, node)
		sources["two-clusters/"+node] = path
		require.NoError(t, os.Mkdir(path, 0o755))
		bird := c.birdConfig([2]string{"192.168." + network + ".1", "fd00:fab:" + network + "::1"})
		require.NoError(t, os.WriteFile(filepath.Join(path, "bird.conf"), []byte(bird), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(path, "config.yaml"), text, 0o644))
	}

	start := time.Now()
	lab := UpForTest(t, "two-clusters.clab.yml", Options{Sources: sources})
	up := time.Since(start)
	established(t, lab.Node("fabric"), "ipv4", 4)
	established(t, lab.Node("fabric"), "ipv6", 4)
	for i, cluster := range []string{"10", "20"} {
		from := []string{"pod-west-1", "pod-east-1"}[i]
		for _, pod := range []string{"1", "2"} {
			reaches(t, lab.Node(from), "10."+cluster+"."+pod+".10")
			reaches(t, lab.Node(from), "fd00:"+cluster+":0:"+pod+"::10")
		}
	}
	t.Logf("up after %s, pods reach each other after %s", up.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))

	var names []string
	for _, p := range lab.Node("fabric").Processes() {
		require.True(t, p.Running(), p.Name())
		names = append(names, p.Name())
	}
	require.Equal(t, []string{"bgpd", "staticd", "zebra"}, names)
	routes, err := lab.Node("east-1").Output(t.Context(), "ip", "route", "show", "proto", "bird")
	require.NoError(t, err)
	require.Contains(t, routes, "10.20.1.0/24 via 192.168.11.254")
}

func BenchmarkTwoClusters(b *testing.B) {
	Require(b, "zebra", "bgpd", "vtysh", "ip")
	topology, err := Load("two-clusters.clab.yml")
	require.NoError(b, err)
	for b.Loop() {
		lab, err := topology.Up(b.Context(), Options{Sources: map[string]string{"../bin/underlayd": "/bin/true"}})
		require.NoError(b, err)
		require.NoError(b, lab.Down())
	}
}

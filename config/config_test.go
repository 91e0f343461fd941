package config_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config"
)

// minimal is what every configuration must say.
const minimal = `cluster: {name: east, id: 1, podCIDRs: [10.10.0.0/16, "fd00:10::/48"]}
bgp: {asn: 64512}
`

// onNode is a process without flags or variables, on a node with a name.
func onNode() config.Overrides {
	return config.Overrides{Hostname: func() (string, error) { return "East-1\n", nil }}
}

func parse(text string) (*config.Config, error) {
	return config.Parse(strings.NewReader(text), "f.yaml", onNode())
}

func mustParse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := parse(text)
	require.NoError(t, err)
	return c
}

func printed(t *testing.T, c *config.Config) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, c.Print(&out))
	return out.String()
}

// The rows of the tables below say one thing about one part; these put the rest around it.

func inCluster(lines string) string {
	return "cluster: {name: east, id: 1, podCIDRs: [10.10.0.0/16, \"fd00:10::/48\"], " + lines + "}\nbgp: {asn: 64512}\n"
}

func inBGP(lines string) string {
	return "cluster: {name: east, id: 1, podCIDRs: [10.10.0.0/16]}\nbgp: {asn: 64512, " + lines + "}\n"
}

func peers(all ...string) string {
	return inBGP("peers: [{" + strings.Join(all, "}, {") + "}]")
}

// peer is a valid peer with more said about it.
func peer(more string) string {
	return peers("name: tor-a, address: 192.168.0.254, asn: 65000, " + more)
}

func remotes(all ...string) string {
	return minimal + "clusters: [{" + strings.Join(all, "}, {") + "}]\n"
}

// remote is a valid contract with more said about it.
func remote(more string) string {
	return remotes("name: west, id: 2, podCIDRs: [10.20.0.0/16], " + more)
}

const everything = `
cluster:
  name: east
  id: 4294967295
  podCIDRs: ["fd00:10::/48", 10.10.0.0/16]
  reserved: [192.168.0.0/24, 10.96.0.0/16, 10.96.0.0/24]
node:
  name: node-1.example.org
  labels: [rack=a, example.org/row=]
  gateway: true
  podCIDRs: [10.10.1.0/24, "fd00:10:0:1::/64"]
bgp:
  asn: 4200000000
  routerID: 192.0.2.1
  port: 1790
  listenAddresses: ["::", "fe80::1%eth0", 192.0.2.1]
  holdTime: 9s
  connectRetry: 1m
  startLimit: 10m
  gracefulRestart: {enabled: false, restartTime: 4095s, deferral: 1m30s}
  peers:
  - &leaf
    name: tor-a
    address: 192.168.1.254
    asn: 65000
    clusters: [west, north]
  - <<: *leaf
    name: tor-b
    address: fe80::2%eth1
    localAddress: fe80::1%eth1
  - {name: far, address: 203.0.113.9, asn: 65001, multihop: 4, port: 1179, holdTime: 30s, families: [ipv6, ipv4]}
  - {name: inside, address: "2001:db8::9", localAddress: "2001:db8::1", asn: 4200000000, passive: true, families: [ipv6]}
  - {name: near, address: 203.0.113.8, asn: 65001, hops: 3}
clusters:
- name: west
  id: 2
  podCIDRs: [10.21.0.0/18, 10.20.0.0/16]
  prefixLength: {ipv4: [20, 26]}
  maxPrefixes: 10
- {name: north, id: 3, podCIDRs: ["fd00:30::/64", "fd00:31::/96"]}
kernel: {table: 100, protocol: 201, metric: 4294967295, maxNextHops: 256, resolve: routes, mtu: 1450, source: {ipv4: 192.0.2.7, ipv6: auto}, rule: 900}
kubernetes: {enabled: TRUE, kubeconfig: /etc/kubernetes/admin.conf}
log: {level: debug, format: json}
runtime: {directory: /tmp/underlayd}
`

func TestParse(t *testing.T) {
	t.Run("fills in every default", func(t *testing.T) {
		c := mustParse(t, minimal)
		require.Equal(t, "east-1", c.Node.Name, "the hostname as the kubelet writes it")
		require.Equal(t, 90*time.Second, c.BGP.HoldTime)
		require.Equal(t, 120*time.Second, c.BGP.GracefulRestart.RestartTime)
		require.False(t, c.BGP.RouterID.IsValid(), "chosen by the daemon")
		require.Equal(t, config.Kernel{Table: 254, Protocol: 200, Metric: 512, MaxNextHops: 16, Resolve: config.ResolveNever, Blackhole: config.Auto}, c.Kernel)
		require.Equal(t, config.Auto, c.Kubernetes.Enabled)
		require.Equal(t, "/run/underlayd", c.Runtime.Directory)
	})
	t.Run("reads every key", func(t *testing.T) {
		c := mustParse(t, everything)
		require.Equal(t, "[10.10.0.0/16 fd00:10::/48]", fmt.Sprint(c.Cluster.PodCIDRs), "lists are sorted")
		require.Equal(t, uint32(4294967295), c.Cluster.ID)
		require.Equal(t, config.True, c.Kubernetes.Enabled)
		require.Equal(t, "192.0.2.1", c.BGP.RouterID.String())
		require.Equal(t, 90*time.Second, c.BGP.GracefulRestart.Deferral)
		require.False(t, c.BGP.GracefulRestart.Enabled)
		require.Len(t, c.BGP.Peers, 5)
		require.Equal(t, []string{"north", "west"}, c.BGP.Peers[1].Clusters, "by the merge key")
		require.Equal(t, []config.Family{config.IPv4, config.IPv6}, c.BGP.Peers[2].Families)
	})
	t.Run("says how far away a peer is by what kind of peer it is", func(t *testing.T) {
		p := mustParse(t, everything).BGP.Peers
		require.Equal(t, 1, p[0].Hops, "eBGP: GTSM")
		require.Equal(t, 0, p[2].Hops, "eBGP multihop: no GTSM")
		require.Equal(t, 0, p[3].Hops, "iBGP")
		require.Equal(t, 3, p[4].Hops, "as written")
		local := mustParse(t, inBGP("port: -1, peers: [{name: a, address: 127.0.0.1, asn: 1}, {name: b, address: 127.0.0.2, asn: 1, hops: 1}]")).BGP.Peers
		require.Equal(t, 0, local[0].Hops, "eBGP on loopback: there is nothing to keep out")
		require.Equal(t, 1, local[1].Hops, "as written")
	})
	t.Run("fits the default lengths to the ranges of a contract", func(t *testing.T) {
		c := mustParse(t, everything).Clusters
		require.Equal(t, config.Lengths{Min: 20, Max: 26}, c[0].PrefixLength.IPv4, "as written")
		require.Equal(t, config.Lengths{Min: 48, Max: 124}, c[0].PrefixLength.IPv6, "no ranges to fit to")
		require.Equal(t, config.Lengths{Min: 64, Max: 124}, c[1].PrefixLength.IPv6)
	})
	t.Run("derives the keepalive interval from the hold time in effect", func(t *testing.T) {
		b := mustParse(t, inBGP("holdTime: 11s, peers: [{name: a, address: 192.0.2.1, asn: 1}, {name: b, address: 192.0.2.2, asn: 1, holdTime: 3s}]")).BGP
		hold, keepalive := b.Timers(b.Peers[0])
		require.Equal(t, []time.Duration{11 * time.Second, 3 * time.Second}, []time.Duration{hold, keepalive})
		hold, keepalive = b.Timers(b.Peers[1])
		require.Equal(t, []time.Duration{3 * time.Second, time.Second}, []time.Duration{hold, keepalive})
	})
}

func TestPrintIsReadBackToTheSame(t *testing.T) {
	for name, text := range map[string]string{"a minimal file": minimal, "every key": everything, "a name like a number": strings.Replace(minimal, "east", `"007"`, 1)} {
		t.Run(name, func(t *testing.T) {
			c := mustParse(t, text)
			require.NoError(t, c.Validate())
			require.Equal(t, c, mustParse(t, printed(t, c)), printed(t, c))
		})
	}
}

func TestValidateRefusesWhatParseWouldNotMake(t *testing.T) {
	for name, spoil := range map[string]func(c *config.Config){
		"a key without a value":     func(c *config.Config) { c.Log.Level = "" },
		"no hold time":              func(c *config.Config) { c.BGP.HoldTime = 0 },
		"no AS number":              func(c *config.Config) { c.BGP.ASN = 0 },
		"a peer without an address": func(c *config.Config) { c.BGP.Peers = append(c.BGP.Peers, config.Peer{Name: "a", ASN: 1}) },
		"no node name":              func(c *config.Config) { c.Node.Name = "" },
		"a range that is not valid": func(c *config.Config) { c.Cluster.PodCIDRs[0] = netip.Prefix{} },
		"a list in another order":   func(c *config.Config) { p := c.Cluster.PodCIDRs; p[0], p[1] = p[1], p[0] },
		"a contract named after us": func(c *config.Config) { c.Clusters[0].Name = c.Cluster.Name },
	} {
		t.Run(name, func(t *testing.T) {
			c := mustParse(t, everything)
			require.NoError(t, c.Validate())
			spoil(c)
			require.Error(t, c.Validate())
		})
	}
}

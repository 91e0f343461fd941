package scenario

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// probing is the two-clusters lab with the probe on. Node addresses reach each other through the fabric; pod addresses by
// what is learned alone.
func probing(t *testing.T) *clusters {
	c := twoClusters(t)
	for _, p := range places() {
		n := c.Node(p.name)
		output(t, n, "ip", "route", "add", "192.168.0.0/16", "via", p.fabric4)
		output(t, n, "ip", "-6", "route", "add", "fd00:fab::/32", "via", p.fabric6)
		output(t, n, "ip", "link", "set", "eth1", "mtu", "1500")
		require.NoError(t, os.WriteFile(filepath.Join(c.configs, p.name, "probe.key"), []byte("the key of this mesh\n"), 0o600))
		c.rewrite(t, p.name, "node:\n", "probe: {enabled: true, interval: 1s, keyFile: /etc/underlayd/probe.key}\nnode:\n")
	}
	for _, link := range []string{"eth1", "eth2", "eth3", "eth4"} {
		output(t, c.Node("fabric"), "ip", "link", "set", link, "mtu", "1500")
	}
	return c
}

// finds waits until the probe of east-1 says a thing of west over IPv4, and returns the problem that says it.
func finds(t *testing.T, c *clusters, want, sentence string) {
	t.Helper()
	is(t, c.Node("east-1"), want+" to west", func(s state) error {
		for _, r := range s.Probes.Results {
			if r.Cluster == "west" && r.Family == "ipv4" && r.State == want && strings.Contains(r.Sentence, sentence) {
				return nil
			}
		}
		return errors.New("not yet")
	})
}

func TestTheProbeFindsWhatDoesNotPass(t *testing.T) {
	t.Parallel()
	c, page := probing(t), faultsOf(t)
	east, fabric := c.Node("east-1"), c.Node("fabric")
	step(t, "all is well", func(t *testing.T) {
		finds(t, c, "Ok", "")
		s := stateOf(t, east)
		require.Empty(t, s.Problems)
		require.Contains(t, output(t, east, "underlayd", "explain", "10.20.1.10"), "nodes of cluster west that are probed answer")
	})
	step(t, "a router masquerades", func(t *testing.T) {
		nft(t, fabric, "table inet spoil { chain p { type nat hook postrouting priority srcnat; ip saddr 10.10.0.0/16 masquerade; }; }")
		finds(t, c, "NAT", "source rewritten to 192.168.2")
		page.tells(t, "a router on the way masquerades", byCheck(east, "NAT", "west", "source rewritten"))
		nft(t, fabric, "delete table inet spoil")
	})
	step(t, "answers are dropped", func(t *testing.T) {
		nft(t, fabric, "table inet spoil { chain f { type filter hook forward priority 0; ip saddr 10.20.0.0/16 udp sport 9178 drop; }; }")
		finds(t, c, "OneWay", "2 of 2 nodes do not answer: our packets arrive, its answers do not come back")
		page.tells(t, "a firewall on the way drops one direction", byCheck(east, "OneWay", "our packets arrive, its answers do not come back"))
		require.Contains(t, output(t, east, "underlayd", "status"), "west: session up, but 2 of 2 nodes do not answer")
	})
	step(t, "a link carries less", func(t *testing.T) {
		output(t, fabric, "ip", "link", "set", "eth3", "mtu", "1400")
		output(t, fabric, "ip", "link", "set", "eth4", "mtu", "1400")
		nft(t, fabric, "delete table inet spoil")
		finds(t, c, "MTU", "packets above 1400 bytes do not pass, where our link carries 1500")
		page.tells(t, "a link on the way carries 1400 bytes", byCheck(east, "MTU", "packets above 1400 bytes do not pass"))
	})
	step(t, "the other side has no contract", func(t *testing.T) {
		for _, node := range []string{"west-1", "west-2"} {
			c.rewrite(t, node, `podCIDRs: [10.10.0.0/16, "fd00:10::/48"]`, `podCIDRs: ["fd00:10::/48"]`)
		}
		const sentence = "2 of 2 nodes do not answer: west has no route back: its contract lacks 10.10.1.0/24"
		finds(t, c, "OneWay", sentence)
		page.tells(t, "the other side has no contract for us", byCheck(east, "NoRouteBack", sentence))
		require.Contains(t, output(t, east, "underlayd", "explain", "10.20.1.10"), "10.20.1.10 is not reachable: "+sentence)
		require.Contains(t, output(t, east, "underlayd", "history"), "ProbeChanged")
		is(t, c.Node("west-1"), "aware of it, too", func(s state) error {
			for _, p := range s.Problems {
				if p.Subject == "probe" && strings.Contains(p.Message, "nodes of cluster east (id 1) probe this one from 10.10.") {
					return nil
				}
			}
			return errors.New("not yet")
		})
	})
	step(t, "metrics", func(t *testing.T) {
		metrics, err := east.Ask(t.Context(), "/run/underlayd/underlayd.sock", "/metrics")
		require.NoError(t, err)
		require.Contains(t, metrics, `underlayd_probe_nodes_failing{cluster="west",family="ipv4"} 2`)
		require.Contains(t, metrics, `underlayd_probe_path_mtu_bytes{cluster="west",family="ipv4"} 1400`)
	})
	page.compare(t)
}

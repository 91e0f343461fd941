package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// neighbours is the lab in which another BGP speaker has port 179 on each node.
type neighbours struct {
	*containerlab.Lab
	configs map[string]string // of underlayd, by node
}

// neighbourLab makes it. Underlayd does not run yet.
func neighbourLab(t *testing.T) *neighbours {
	t.Helper()
	containerlab.Require(t, "zebra", "bgpd", "vtysh", "bird", "birdc", "ip", "go")
	l := &neighbours{configs: map[string]string{}}
	sources := map[string]string{"underlayd": built(t).underlayd}
	for _, node := range []string{"bird", "frr"} {
		l.configs[node] = emptyFolder(t)
		sources[node+"/underlayd"] = l.configs[node]
	}
	l.Lab = containerlab.UpForTest(t, filepath.Join("testdata", "neighbours", "lab.clab.yml"), containerlab.Options{Sources: sources})
	return l
}

// west are the routes of a node when all is well.
func (l *neighbours) west(node string) []string {
	link := map[string]string{"bird": "11", "frr": "12"}[node]
	return []string{"10.20.1.0/24 via 192.168." + link + ".254", "fd00:20:0:1::/64 via fd00:fab:" + link + "::fe"}
}

// configure writes the configuration of underlayd on a node, with these lines about BGP.
func (l *neighbours) configure(t *testing.T, node, bgp string) {
	t.Helper()
	number := map[string]string{"bird": "1", "frr": "2"}[node]
	text := fmt.Sprintf(`cluster: {name: east, id: 1, podCIDRs: [10.10.0.0/16, "fd00:10::/48"], reserved: [192.168.0.0/16, "fd00:fab::/32"]}
node: {name: %s, podCIDRs: [10.10.%s.0/24, "fd00:10:0:%s::/64"]}
bgp: %s
clusters: [{name: west, id: 2, podCIDRs: [10.20.0.0/16, "fd00:20::/48"]}]
`, node, number, number, bgp)
	require.NoError(t, os.WriteFile(filepath.Join(l.configs[node], "config.yaml"), []byte(text), 0o644))
}

// starts starts underlayd on a node.
func (l *neighbours) starts(t *testing.T, node, bgp string) {
	t.Helper()
	l.configure(t, node, bgp)
	_, err := l.Node(node).Start("underlayd", "underlayd", "run")
	require.NoError(t, err)
}

// well waits until a node has all routes and nothing is wrong.
func (l *neighbours) well(t *testing.T, node string) {
	t.Helper()
	becomes(t, l.Node(node), patience, l.west(node))
	is(t, l.Node(node), "ready with nothing wrong", func(s state) error {
		if s.Phase != "Ready" || len(s.Problems) > 0 {
			return fmt.Errorf("%s %v", s.Phase, s.Problems)
		}
		return nil
	})
}

// prints waits until a command's output on a node has all these words.
func prints(t *testing.T, n *containerlab.Node, argv []string, words ...string) {
	t.Helper()
	until(t, patience, strings.Join(argv, " ")+" on "+n.Name(), func(ctx context.Context) error {
		out, err := n.Output(ctx, argv...)
		for _, w := range words {
			if err == nil && !strings.Contains(out, w) {
				err = fmt.Errorf("no %q in %s", w, out)
			}
		}
		return err
	})
}

// TestASpeakerOnTheNode has underlayd learn from the node's own speaker, which has the session with the fabric.
func TestASpeakerOnTheNode(t *testing.T) {
	t.Parallel()
	l := neighbourLab(t)
	for _, node := range []string{"bird", "frr"} {
		l.starts(t, node, map[string]string{
			"bird": "{asn: 64512, port: 1790, peers: [{name: bird, address: 127.0.0.1, asn: 64512}]}",
			"frr":  "{asn: 64520, port: -1, peers: [{name: frr, address: 192.168.12.1, asn: 64512}]}",
		}[node])
	}
	step(t, "BIRD, iBGP over loopback, passes the routes of others on with their next hops", func(t *testing.T) { l.well(t, "bird") })
	step(t, "so does FRR, eBGP over the node's address, which underlayd dials", func(t *testing.T) { l.well(t, "frr") })
	step(t, "pods reach each other, as what they are", func(t *testing.T) {
		listen(t, l.Node("pod-west"))
		for pod, addresses := range map[string][2]string{
			"pod-bird": {"10.10.1.10", "fd00:10:0:1::10"}, "pod-frr": {"10.10.2.10", "fd00:10:0:2::10"},
		} {
			startStream(t, l.Node(pod), "10.20.1.10").flows(t, 10)
			require.Equal(t, addresses[0], seenAs(t, l.Node(pod), "tcp", "10.20.1.10"))
			require.Equal(t, addresses[1], seenAs(t, l.Node(pod), "tcp", "fd00:20:0:1::10"))
		}
	})
	step(t, "the speaker restarts: no route is touched", func(t *testing.T) {
		m := watchRoutes(t, l.Node("bird"))
		require.NoError(t, l.Node("bird").Process("bird").Kill())
		is(t, l.Node("bird"), "without a session", func(s state) error {
			if s.Sessions[0].State == "established" {
				return errors.New("not yet")
			}
			return nil
		})
		require.NoError(t, l.Node("bird").Launch(t.Context()))
		l.well(t, "bird")
		m.quiet(t, "10.20.", "fd00:20:")
	})
	step(t, "routes that the speaker installs itself win, and status says so", func(t *testing.T) {
		n := l.Node("frr")
		output(t, n, "vtysh", "-c", "configure", "-c", "no ip protocol bgp route-map kernel")
		is(t, n, "blaming the other route", says("kernel conflict", "10.20.1.0/24", "a foreign route (protocol 186, bgp)", "wins with metric 20"))
		output(t, n, "vtysh", "-c", "configure", "-c", "ip protocol bgp route-map kernel")
		l.well(t, "frr")
	})
}

// TestBesideASpeaker has underlayd and the node's own speaker each have a session with the fabric, from addresses of
// their own.
func TestBesideASpeaker(t *testing.T) {
	t.Parallel()
	l := neighbourLab(t)
	fabric := []string{"vtysh", "-c", "show bgp summary established"}
	step(t, "a port that is taken is said, with who has it and what to do", func(t *testing.T) {
		for node, program := range map[string]string{"bird": "bird (pid ", "frr": "bgpd (pid "} {
			l.configure(t, node, "{asn: 64512, peers: [{name: fabric, address: 192.168.1.254, asn: 65000}]}")
			said := refused(t, l.Node(node), 1, "underlayd", "run")
			for _, words := range []string{"on port 179: ", "address already in use: " + program, "set bgp.port to -1", "docs/neighbours.md"} {
				require.Contains(t, said, words)
			}
		}
	})
	step(t, "without a listener, from an address that is its own", func(t *testing.T) {
		l.starts(t, "bird", "{asn: 64512, port: -1, peers: [{name: fabric, address: 192.168.11.254, asn: 65000, localAddress: 192.168.11.2}]}")
		l.well(t, "bird")
	})
	step(t, "on another port, on which the fabric connects", func(t *testing.T) {
		l.starts(t, "frr", "{asn: 64512, port: 1790, peers: [{name: fabric, address: 192.168.12.254, asn: 65000, localAddress: 192.168.12.2, passive: true}]}")
		l.well(t, "frr")
	})
	step(t, "the fabric has two sessions with each node", func(t *testing.T) {
		prints(t, l.Node("fabric"), fabric, "192.168.11.1", "192.168.11.2", "192.168.12.1", "192.168.12.2")
	})
	step(t, "and nobody was disturbed", func(t *testing.T) {
		for _, node := range []string{"bird", "frr"} {
			require.Zero(t, stateOf(t, l.Node(node)).Sessions[0].Flaps)
		}
		require.Contains(t, output(t, l.Node("bird"), "birdc", "show", "protocols", "fabric"), "Established")
	})
}

// TestAFightOverASession has underlayd dial the fabric from the address that the node's own speaker has a session from.
func TestAFightOverASession(t *testing.T) {
	t.Parallel()
	l := neighbourLab(t)
	n := l.Node("bird")
	fight := "{asn: 64512, port: -1, connectRetry: 1s, peers: [{name: fabric, address: 192.168.11.254, asn: 65000}]}"
	rival := []string{
		"192.168.11.254 has closed ", " connections since ", "probably bird (pid ", "from the same address (192.168.11.1:",
		"to 192.168.11.254:", "RFC 4271, section 6.8", "localAddress", "docs/neighbours.md",
	}
	prints(t, n, []string{"birdc", "show", "protocols", "fabric"}, "Established")
	l.starts(t, "bird", fight)
	step(t, "it is recognised, and the other one is named", func(t *testing.T) {
		blames(t, n, "peer fabric", rival...)
	})
	step(t, "the other one's session was not lost for it", func(t *testing.T) {
		require.Contains(t, output(t, n, "birdc", "show", "protocols", "fabric"), "Established")
	})
	step(t, "it is over with another address", func(t *testing.T) {
		l.configure(t, "bird", strings.Replace(fight, "asn: 65000", "asn: 65000, localAddress: 192.168.11.2", 1))
		l.well(t, "bird")
	})
	step(t, "the fabric may take the other one for us, after a restart: then we are the ones that are turned away", func(t *testing.T) {
		output(t, n, "birdc", "disable", "fabric")
		l.configure(t, "bird", fight)
		l.well(t, "bird")
		output(t, n, "birdc", "enable", "fabric")
		prints(t, n, []string{"birdc", "show", "protocols", "fabric"}, "Established")
		blames(t, n, "peer fabric", rival...)
	})
}

// blames waits until status says so of a subject. Three connections have to be closed first, and GoBGP rests in between.
func blames(t *testing.T, n *containerlab.Node, subject string, words ...string) {
	t.Helper()
	until(t, 2*patience, n.Name()+" to blame "+subject, func(ctx context.Context) error {
		var s state
		if err := ask(ctx, n, &s, "status"); err != nil {
			return err
		}
		return says(subject, words...)(s)
	})
}

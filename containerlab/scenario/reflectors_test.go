package scenario

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// reflected is a node of the reflectors lab.
type reflected struct {
	name, cluster string
	pods          [2]string
	address       [2]string
}

func reflectedNodes() []reflected {
	var all []reflected
	for c, cluster := range []string{"east", "west"} {
		for i, name := range []string{"rr-1", "rr-2", "1", "2"} {
			all = append(all, reflected{
				name: cluster + "-" + name, cluster: cluster,
				pods:    [2]string{fmt.Sprintf("10.%d0.%d.0/24", c+1, i+1), fmt.Sprintf("fd00:%d0:0:%d::/64", c+1, i+1)},
				address: [2]string{fmt.Sprintf("192.168.0.%d%d", c+1, i+1), fmt.Sprintf("fd00:fab::%d%d", c+1, i+1)},
			})
		}
	}
	return all
}

// reflectedRoutes is what a node's kernel has when all is well: the pods of each node of the other cluster through that
// node itself, but for some nodes.
func reflectedRoutes(cluster string, without ...string) []string {
	var routes []string
	for _, n := range reflectedNodes() {
		if n.cluster != cluster && !slices.Contains(without, n.name) {
			for i := range n.pods {
				routes = append(routes, n.pods[i]+" via "+n.address[i])
			}
		}
	}
	return sorted(routes)
}

// topologyLab brings a lab up whose configurations of the named nodes the test may change.
func topologyLab(t *testing.T, path, folder string, nodes []string) *clusters {
	t.Helper()
	c := &clusters{configs: emptyFolder(t)}
	sources := map[string]string{"../bin/underlayd": built(t).underlayd}
	for _, name := range nodes {
		text, err := os.ReadFile(filepath.Join("..", folder, name, "config.yaml"))
		require.NoError(t, err)
		sources[folder+"/"+name] = filepath.Join(c.configs, name)
		require.NoError(t, os.Mkdir(filepath.Join(c.configs, name), 0o755))
		require.NoError(t, os.WriteFile(c.config(name), text, 0o644))
	}
	c.Lab = containerlab.UpForTest(t, path, containerlab.Options{Sources: sources})
	return c
}

// reflects waits until all nodes but some have all routes, and say that nothing is wrong.
func (c *clusters) reflects(t *testing.T, but ...string) {
	t.Helper()
	for _, n := range reflectedNodes() {
		if slices.Contains(but, n.name) {
			continue
		}
		becomes(t, c.Node(n.name), patience, reflectedRoutes(n.cluster))
		is(t, c.Node(n.name), "ready with nothing wrong", func(s state) error {
			if s.Phase != "Ready" || len(s.Problems) > 0 || s.ConfigProblem != "" {
				return errors.New("not yet")
			}
			return nil
		})
	}
}

// flows starts streams of both families from one pod to another.
func (c *clusters) flows(t *testing.T, from string, to ...string) []*stream {
	t.Helper()
	var all []*stream
	for _, name := range to {
		n := reflectedNodes()[slices.IndexFunc(reflectedNodes(), func(n reflected) bool { return n.name == name })]
		for _, pods := range n.pods {
			address := strings.TrimSuffix(strings.TrimSuffix(pods, "0/24"), "/64") + "10"
			all = append(all, startStream(t, c.Node("pod-"+from), address))
		}
	}
	return all
}

// lossless waits for so many more packets of each stream, ends it, and fails the test if one was lost.
func lossless(t *testing.T, streams []*stream, more uint64) {
	t.Helper()
	for _, s := range streams {
		s.flows(t, more)
		sent, lost := s.lost(t)
		require.Zero(t, lost, "of %d packets to %s", sent, s.conn.RemoteAddr())
	}
}

func TestReflectors(t *testing.T) {
	t.Parallel()
	containerlab.Require(t, "ip", "go")
	var names []string
	for _, n := range reflectedNodes() {
		names = append(names, n.name)
	}
	c := topologyLab(t, "../reflectors.clab.yml", "reflectors", names)
	c.reflects(t)
	for _, pod := range []string{"pod-east-1", "pod-west-1", "pod-west-2", "pod-west-rr-1"} {
		listen(t, c.Node(pod))
	}
	step(t, "traffic goes from node to node, both ways", func(t *testing.T) {
		lossless(t, append(c.flows(t, "east-1", "west-1", "west-2", "west-rr-1"), c.flows(t, "west-2", "east-1")...), 20)
		require.Equal(t, "10.10.3.10", seenAs(t, c.Node("pod-east-1"), "tcp", "10.20.4.10"))
	})
	step(t, "a reflector shows what it learns to pass on, and neither installs nor refuses it", func(t *testing.T) { passesOn(t, c) })
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		step(t, "a reflector's restart is not noticed: "+signal.String(), func(t *testing.T) { reflectorRestarts(t, c, signal) })
	}
	step(t, "what a node takes back goes everywhere", func(t *testing.T) {
		c.rewrite(t, "east-1", `[10.10.3.0/24, "fd00:10:0:3::/64"]`, `["fd00:10:0:3::/64"]`)
		without := slices.DeleteFunc(reflectedRoutes("west"), func(r string) bool { return strings.HasPrefix(r, "10.10.3.0/24") })
		for _, name := range []string{"west-1", "west-2", "west-rr-1", "west-rr-2"} {
			becomes(t, c.Node(name), patience, without)
		}
		c.rewrite(t, "east-1", `["fd00:10:0:3::/64"]`, `[10.10.3.0/24, "fd00:10:0:3::/64"]`)
		c.reflects(t)
	})
	step(t, "what is passed on follows the configuration, without a reset", func(t *testing.T) { passesLess(t, c) })
	step(t, "a reflector that is drained takes nobody else along", func(t *testing.T) { drainedReflector(t, c) })
	step(t, "a reflector that dies takes nobody else along", func(t *testing.T) {
		streams := append(c.flows(t, "east-1", "west-1", "west-2"), c.flows(t, "west-2", "east-1")...)
		require.NoError(t, c.Node("east-rr-1").Kill())
		for _, name := range []string{"east-1", "west-rr-1", "west-rr-2"} {
			is(t, c.Node(name), "without a session with it", func(s state) error {
				at := slices.IndexFunc(s.Sessions, func(p session) bool { return p.Peer == "east-rr-1" })
				if s.Sessions[at].State == "established" {
					return errors.New("not yet")
				}
				return nil
			})
		}
		lossless(t, streams, 100)
		has(t, c.Node("east-1"), reflectedRoutes("east"))
	})
}

// passesOn looks at the routes of a reflector.
func passesOn(t *testing.T, c *clusters) {
	var list struct {
		Items []struct {
			route
			PassedOn bool `json:"passedOn"`
		} `json:"items"`
		Summary struct{ Refused, PassedOn int } `json:"summary"`
	}
	require.NoError(t, ask(t.Context(), c.Node("east-rr-1"), &list, "routes", "--state", "passed-on"))
	var got []string
	for _, r := range list.Items {
		require.True(t, r.PassedOn)
		require.Equal(t, "PassedOn", r.Verdict)
		require.Equal(t, "east", r.Cluster)
		got = append(got, r.Prefix)
	}
	require.Equal(t, []string{"10.10.2.0/24", "10.10.3.0/24", "10.10.4.0/24", "fd00:10:0:2::/64", "fd00:10:0:3::/64", "fd00:10:0:4::/64"}, sorted(got))
	for _, p := range stateOf(t, c.Node("east-rr-1")).Sessions {
		require.Empty(t, p.RefusedTotal, p.Peer)
	}
}

// reflectorRestarts ends the daemon of a reflector and starts it again: no packet is lost and no route changes.
func reflectorRestarts(t *testing.T, c *clusters, signal syscall.Signal) {
	near, far, self := watchRoutes(t, c.Node("east-1")), watchRoutes(t, c.Node("west-2")), watchRoutes(t, c.Node("east-rr-1"))
	streams := append(c.flows(t, "east-1", "west-1", "west-2"), c.flows(t, "west-2", "east-1")...)
	streams = append(streams, c.flows(t, "east-rr-1", "west-1")...)
	daemon := c.Node("east-rr-1").Process("underlayd")
	require.NoError(t, daemon.Signal(signal))
	<-daemon.Done()
	is(t, c.Node("east-1"), "aware of it", func(s state) error {
		if s.Sessions[slices.IndexFunc(s.Sessions, func(p session) bool { return p.Peer == "east-rr-1" })].State == "established" {
			return errors.New("not yet")
		}
		return nil
	})
	require.NoError(t, c.Node("east-rr-1").Launch(t.Context()))
	c.reflects(t)
	lossless(t, streams, 50)
	near.quiet(t, "proto 200")
	far.quiet(t, "proto 200")
	self.quiet(t, "proto 200", "10.20.", "fd00:20:")
}

// passesLess takes the declaration back that lets the other cluster hear of the clients, and makes it again.
func passesLess(t *testing.T, c *clusters) {
	since := map[string]string{}
	for _, name := range []string{"east-rr-1", "east-rr-2"} {
		for _, s := range stateOf(t, c.Node(name)).Sessions {
			since[name+s.Peer] = s.Since
		}
		text, err := os.ReadFile(c.config(name))
		require.NoError(t, err)
		c.write(t, name, strings.ReplaceAll(string(text), "passOn: [east]", "passOn: []"))
	}
	becomes(t, c.Node("west-2"), patience, reflectedRoutes("west", "east-1", "east-2"))
	becomes(t, c.Node("west-rr-1"), patience, reflectedRoutes("west", "east-1", "east-2"))
	has(t, c.Node("east-1"), reflectedRoutes("east"))
	for _, name := range []string{"east-rr-1", "east-rr-2"} {
		text, err := os.ReadFile(c.config(name))
		require.NoError(t, err)
		c.write(t, name, strings.ReplaceAll(string(text), "passOn: []", "passOn: [east]"))
	}
	c.reflects(t)
	for _, name := range []string{"east-rr-1", "east-rr-2"} {
		for _, s := range stateOf(t, c.Node(name)).Sessions {
			require.Equal(t, since[name+s.Peer], s.Since, "%s, peer %s", name, s.Peer)
		}
	}
}

// drainedReflector has a reflector leave: what it passed on stays with the others through the second one, and nothing of
// it is left as a stale path.
func drainedReflector(t *testing.T, c *clusters) {
	streams := append(c.flows(t, "east-1", "west-1", "west-2"), c.flows(t, "west-2", "east-1")...)
	output(t, c.Node("east-rr-1"), "underlayd", "drain", "--reason", "test", "--grace", "1s")
	is(t, c.Node("east-rr-1"), "drained", func(s state) error {
		if s.Phase != "Drained" {
			return errors.New(s.Phase)
		}
		return nil
	})
	for _, name := range []string{"west-1", "west-2", "west-rr-1", "west-rr-2"} {
		becomes(t, c.Node(name), patience, reflectedRoutes("west", "east-rr-1"))
	}
	has(t, c.Node("east-1"), reflectedRoutes("east"))
	var list routeList
	for _, name := range []string{"west-rr-1", "east-1"} {
		require.NoError(t, ask(t.Context(), c.Node(name), &list, "routes"))
		for _, r := range list.Items {
			for _, p := range r.Paths { // refused ones are looked at now and then only
				require.False(t, p.Accepted && p.Peer == "east-rr-1", "%s at %s", r.Prefix, name)
			}
		}
	}
	lossless(t, streams, 20)
	output(t, c.Node("east-rr-1"), "underlayd", "drain", "--cancel")
	c.reflects(t)
}

package scenario

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// fullMesh is the full-mesh lab with a file of peers that the test may change.
type fullMesh struct {
	*containerlab.Lab
	etc string // what all nodes have as /etc/underlayd
}

// member is a node of the lab.
type member struct {
	cluster string
	number  int
}

func members(cluster string, numbers ...int) []member {
	var all []member
	for _, n := range numbers {
		all = append(all, member{cluster, n})
	}
	return all
}

func (m member) String() string { return fmt.Sprintf("%s-%d", m.cluster, m.number) }

func (m member) network() int { return map[string]int{"east": 10, "west": 20}[m.cluster] }

// host is the last part of its address.
func (m member) host() int { return m.network() + m.number }

func (m member) entry() string { return fmt.Sprintf("{name: %s, address: 192.168.50.%d}", m, m.host()) }

func (m member) pod4() string { return fmt.Sprintf("10.%d.%d.10", m.network(), m.number) }
func (m member) pod6() string { return fmt.Sprintf("fd00:%d:0:%d::10", m.network(), m.number) }

// routesTo is what a node of another cluster has in its kernel towards these.
func routesTo(all ...member) []string {
	var routes []string
	for _, m := range all {
		routes = append(routes,
			fmt.Sprintf("10.%d.%d.0/24 via 192.168.50.%d", m.network(), m.number, m.host()),
			fmt.Sprintf("fd00:%d:0:%d::/64 via fd00:fab:50::%d", m.network(), m.number, m.host()))
	}
	slices.Sort(routes)
	return routes
}

// raiseFullMesh brings the lab up; the daemons of those in manual are not started, and they are not in the file.
func raiseFullMesh(t *testing.T, manual ...member) *fullMesh {
	t.Helper()
	containerlab.Require(t, "ip", "ss", "go")
	m := &fullMesh{etc: emptyFolder(t)}
	folder := filepath.Join("..", "full-mesh", "etc")
	files, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(folder, f.Name()))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(m.etc, f.Name()), text, 0o644))
	}
	var names []string
	for _, n := range manual {
		m.rewrite(t, "  - "+n.entry()+"\n", "")
		names = append(names, n.String())
	}
	m.Lab = containerlab.UpForTest(t, "../full-mesh.clab.yml", containerlab.Options{
		Sources: map[string]string{"../bin/underlayd": built(t).underlayd, "full-mesh/etc": m.etc}, Manual: names,
	})
	return m
}

func (m *fullMesh) peers(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.etc, "peers.yaml"))
	require.NoError(t, err)
	return string(text)
}

// write replaces the file of peers.
func (m *fullMesh) write(t *testing.T, text string) {
	t.Helper()
	path := filepath.Join(m.etc, "peers.yaml")
	require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o644))
	require.NoError(t, os.Rename(path+".new", path))
}

func (m *fullMesh) rewrite(t *testing.T, old, new string) {
	t.Helper()
	require.Contains(t, m.peers(t), old)
	m.write(t, strings.Replace(m.peers(t), old, new, 1))
}

// settled waits until the nodes of each cluster have the routes to the other one's, and all sessions.
func (m *fullMesh) settled(t *testing.T, east, west []member) {
	t.Helper()
	for _, side := range [][2][]member{{east, west}, {west, east}} {
		for _, n := range side[0] {
			becomes(t, m.Node(n.String()), patience, routesTo(side[1]...))
			is(t, m.Node(n.String()), "ready with nothing wrong", func(s state) error {
				if s.Phase != "Ready" || len(s.Problems) > 0 || s.ConfigProblem != "" || len(s.Sessions) != len(side[1]) {
					return errors.New("not yet")
				}
				return nil
			})
		}
	}
}

// since is when each session of these nodes came up.
func (m *fullMesh) since(t *testing.T, nodes ...member) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, n := range nodes {
		for _, s := range stateOf(t, m.Node(n.String())).Sessions {
			require.Equal(t, "established", s.State)
			all[n.String()+" "+s.Peer] = s.Since
		}
	}
	return all
}

func TestAFullMesh(t *testing.T) {
	t.Parallel()
	start := time.Now()
	east, west := members("east", 1, 2, 3), members("west", 1, 2)
	newcomer := member{"west", 3}
	m := raiseFullMesh(t, newcomer)
	m.settled(t, east, west)
	t.Logf("all routes after %s", time.Since(start).Round(time.Millisecond))
	from := m.Node("pod-east-1")
	listen(t, m.Node("pod-west-1"))
	listen(t, m.Node("pod-west-3"))
	streams := []*stream{startStream(t, from, west[0].pod4()), startStream(t, from, west[0].pod6())}
	require.Equal(t, member{"east", 1}.pod4(), seenAs(t, from, "tcp", west[0].pod4()), "no NAT on the way")

	step(t, "each pair of nodes has one connection", func(t *testing.T) {
		for _, n := range slices.Concat(east, west) {
			out := output(t, m.Node(n.String()), "ss", "-Htn", "state", "established", "( sport = :179 or dport = :179 )")
			require.Len(t, strings.Split(strings.TrimSpace(out), "\n"), map[string]int{"east": len(west), "west": len(east)}[n.cluster], out)
		}
		out := output(t, m.Node("east-1"), "ss", "-Htn", "state", "established", "dport = :179")
		require.Len(t, strings.Split(strings.TrimSpace(out), "\n"), 2, "the side with the lower address has dialled")
	})
	step(t, "a node that comes disturbs nobody", func(t *testing.T) {
		before := m.since(t, slices.Concat(east, west)...)
		require.NoError(t, m.Node(newcomer.String()).Launch(t.Context()))
		m.rewrite(t, "  - "+west[1].entry()+"\n", "  - "+west[1].entry()+"\n  - "+newcomer.entry()+"\n")
		m.settled(t, east, append(west, newcomer))
		startStream(t, from, newcomer.pod4()).flows(t, 5)
		after := m.since(t, slices.Concat(east, west)...)
		for session, since := range before {
			require.Equal(t, since, after[session], session)
		}
	})
	step(t, "a broken file changes nothing, not even for a daemon that starts", func(t *testing.T) { m.broken(t, east, append(west, newcomer)) })
	step(t, "a node that goes takes its routes along and disturbs nobody", func(t *testing.T) {
		before := m.since(t, west...)
		m.rewrite(t, "  - "+newcomer.entry()+"\n", "")
		for _, n := range east {
			becomes(t, m.Node(n.String()), patience, routesTo(west...))
		}
		require.Equal(t, before, m.since(t, west...))
	})
	step(t, "a node that dies is noticed, and nobody else's packets are lost", func(t *testing.T) {
		died := time.Now()
		require.NoError(t, m.Node("west-2").LinkDown("eth1")) // no last words: a kernel that goes on would send a FIN
		require.NoError(t, m.Node("west-2").Kill())
		for _, n := range east {
			becomes(t, m.Node(n.String()), 8*time.Second, routesTo(west[0]))
		}
		t.Logf("noticed after %s", time.Since(died).Round(time.Millisecond))
		is(t, m.Node("east-1"), "naming the peer", says("peer west-2", "not established"))
	})
	for i, s := range streams {
		sent, lost := s.lost(t)
		require.Zero(t, lost, "stream %d: of %d packets", i, sent)
	}
}

// broken breaks the file of peers in several ways, and mends it.
func (m *fullMesh) broken(t *testing.T, east, west []member) {
	good := m.peers(t)
	before := m.since(t, slices.Concat(east, west)...)
	for what, text := range map[string]string{
		"half of it":                good[:strings.LastIndex(good, ", address")],
		"nothing":                   "",
		"an entry that breaks rule": strings.Replace(good, "192.168.50.23", "10.20.3.1", 1),
	} {
		m.write(t, text)
		for _, n := range east {
			is(t, m.Node(n.String()), "complaining of "+what, func(s state) error {
				return errors.Join(hasCondition("True", "ConfigInvalid")(s), says("configuration", "/etc/underlayd/peers.yaml")(s))
			})
		}
	}
	restarted := m.Node("east-2")
	require.NoError(t, restarted.Process("underlayd").Kill())
	require.NoError(t, restarted.Launch(t.Context()))
	is(t, restarted, "at work with the peers of before", func(s state) error {
		if len(s.Sessions) != len(west) || slices.ContainsFunc(s.Sessions, func(p session) bool { return p.State != "established" }) {
			return errors.New("not yet")
		}
		return nil
	})
	has(t, restarted, routesTo(west...))
	m.write(t, good)
	m.settled(t, east, west)
	after := m.since(t, slices.Concat(east, west)...)
	for session, since := range before {
		if !strings.Contains(session, "east-2") {
			require.Equal(t, since, after[session], session)
		}
	}
}

package main

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config"
)

func meshConfig(t *testing.T, path, peers string) *config.Config {
	t.Helper()
	c, err := config.Parse(strings.NewReader(`cluster: {name: east, id: 1, podCIDRs: [10.10.0.0/16]}
bgp: {asn: 64512, peersFile: `+path+`, peers: [`+peers+`]}
clusters: [{name: west, id: 2, podCIDRs: [10.20.0.0/16]}]
`), "config.yaml", config.Overrides{Hostname: func() (string, error) { return "east-1", nil }})
	require.NoError(t, err)
	return c
}

const (
	entry1 = "{name: west-1, address: 192.168.0.21}"
	entry2 = "{name: west-2, address: 192.168.0.22}"
	tor    = "{name: tor, address: 192.168.0.254, asn: 65000}"
)

func westGroup(peers ...string) string {
	return "groups:\n- {cluster: west, defaults: {asn: 64513}, peers: [" + strings.Join(peers, ", ") + "]}\n"
}

func names(c *config.Config) string {
	var all []string
	for _, p := range c.BGP.Peers {
		all = append(all, p.Name)
	}
	return strings.Join(all, " ")
}

func nobody(netip.Addr) bool { return false }

// TestAFileOfPeersIsFollowed: what is broken changes nothing, in the same run and in the next.
func TestAFileOfPeersIsFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers.yaml")
	log, hook := logtest.NewNullLogger()
	file := newPeersFile("", log)
	p := newPeering(meshConfig(t, path, tor), log, file)

	require.Equal(t, "tor", names(p.assemble(nobody)))
	require.False(t, p.known, "a file that is not there says nothing of who the peers are")
	require.ErrorContains(t, p.broken, "no such file or directory")
	file.look()
	require.Empty(t, file.changed)

	for _, row := range []struct{ what, text, want, problem string }{
		{"a good file", westGroup(entry1), "tor west-1", ""},
		{"one more", westGroup(entry1, entry2), "tor west-1 west-2", ""},
		{"half a line", westGroup(entry1)[:60], "tor west-1 west-2", "is not YAML"},
		{"nothing at all", "", "tor west-1 west-2", "groups: is required"},
		{"one that breaks a rule", westGroup("{name: tor, address: 192.168.0.23}"), "tor west-1 west-2", "is already used by bgp.peers[0].name"},
		{"one less", westGroup(entry2), "tor west-2", ""},
		{"none, when it says so", "groups: []\n", "tor", ""},
		{"and again", westGroup(entry1), "tor west-1", ""},
	} {
		write(t, path, row.text, 0o644)
		file.look()
		require.NotEmpty(t, file.changed, row.what)
		<-file.changed
		require.Equal(t, row.want, names(p.assemble(nobody)), row.what)
		require.True(t, p.known, row.what)
		require.Contains(t, p.problem(), row.problem, row.what)
		require.Equal(t, row.problem == "", p.problem() == "", row.what)
	}
	require.NoError(t, os.Remove(path))
	file.look()
	require.Equal(t, "tor west-1", names(p.assemble(nobody)), "a file that is gone")
	require.ErrorContains(t, p.broken, "no such file or directory")
	require.Len(t, hook.AllEntries(), 7, "each turn is said once: broken, good, broken three times, good, gone")

	next := newPeering(p.base, log, newPeersFile(file.good, log))
	require.Equal(t, "tor west-1", names(next.assemble(nobody)), "the next run does not find it either")
	require.True(t, next.known)
	require.Error(t, next.broken)

	own := func(a netip.Addr) bool { return a == netip.MustParseAddr("192.168.0.21") }
	require.Equal(t, "tor", names(p.assemble(own)), "what turns out to be this node is none")
}

// TestAPeerMovesBetweenTheFiles: whichever is written first, the peer is there all the time.
func TestAPeerMovesBetweenTheFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers.yaml")
	log, _ := logtest.NewNullLogger()
	file := newPeersFile("", log)
	write(t, path, westGroup(entry1, entry2), 0o644)
	p := newPeering(meshConfig(t, path, tor), log, file)
	require.Equal(t, "tor west-1 west-2", names(p.assemble(nobody)))

	moved := tor + ", {name: west-1, address: 192.168.0.21, asn: 64513}"
	p.base = meshConfig(t, path, moved)
	require.Equal(t, "tor west-1 west-2", names(p.assemble(nobody)), "the configuration goes first")
	require.ErrorContains(t, p.broken, "is already used by bgp.peers[1].name")
	write(t, path, westGroup(entry2), 0o644)
	file.look()
	require.Equal(t, "tor west-1 west-2", names(p.assemble(nobody)))
	require.NoError(t, p.broken)
	require.Empty(t, p.leftOut)

	write(t, path, westGroup(entry1, entry2), 0o644)
	file.look()
	require.Equal(t, "tor west-1 west-2", names(p.assemble(nobody)), "and the other way round")
	require.Error(t, p.broken)
	p.base = meshConfig(t, path, tor)
	require.Equal(t, "tor west-1 west-2", names(p.assemble(nobody)))
	require.NoError(t, p.broken)
}

// TestTheFileIsReadWhenItChanges: notified, and asked.
func TestTheFileIsReadWhenItChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers.yaml")
	write(t, path, westGroup(entry1), 0o644)
	log := logrus.New()
	log.SetOutput(t.Output())
	file := newPeersFile("", log)
	p := newPeering(meshConfig(t, path, tor), log, file)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- file.Run(ctx) }()
	go func() { done <- p.Run(ctx) }()
	defer func() {
		stop()
		require.NoError(t, <-done)
		require.NoError(t, <-done)
	}()
	require.Equal(t, "tor west-1", names(p.assemble(nobody)))
	becomes := func(want string) {
		t.Helper()
		limit := time.NewTimer(4 * time.Second) // less than the poll
		defer limit.Stop()
		for names(p.assemble(nobody)) != want {
			select {
			case <-p.changed:
			case <-limit.C:
				require.Fail(t, "not noticed", want)
			}
		}
	}
	require.Eventually(t, func() bool { // the watch of the directory begins a moment after the first look
		write(t, path, westGroup(entry1, entry2), 0o644)
		file.Reload()
		return names(p.assemble(nobody)) == "tor west-1 west-2"
	}, 4*time.Second, 20*time.Millisecond)
	write(t, path, westGroup(entry2), 0o644)
	becomes("tor west-2")
	require.NoError(t, os.WriteFile(path, []byte(westGroup(entry1)), 0o644))
	becomes("tor west-1")
}

package scenario

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	bothCIDRs = `podCIDRs: [10.10.1.0/24, "fd00:10:0:1::/64"]`
	onlyIPv6  = `podCIDRs: ["fd00:10:0:1::/64"]`
)

// withdrawal checks that a change of east-1's configuration takes one prefix from the other cluster's kernels and
// touches nothing else, and that undoing it brings the prefix back.
func withdrawal(t *testing.T, c *clusters, change, undo func()) {
	t.Helper()
	gone := "10.10.1.0/24"
	ups := c.ups(t)
	far := watchRoutes(t, c.Node("west-1"))
	change()
	for _, node := range []string{"west-1", "west-2"} {
		becomes(t, c.Node(node), patience, want(node, gone))
	}
	events := far.about(t, "proto 200")
	require.Len(t, events, 1)
	require.True(t, strings.HasPrefix(events[0], "Deleted "+gone), events[0])
	advertises(t, c, "fd00:10:0:1::/64")
	undo()
	c.settled(t)
	require.Equal(t, ups, c.ups(t), "no session was reset")
}

// advertises waits until east-1 says that it advertises these prefixes.
func advertises(t *testing.T, c *clusters, prefixes ...string) {
	t.Helper()
	is(t, c.Node("east-1"), "advertising", func(s state) error {
		if !slices.Equal(s.Advertised, prefixes) {
			return errors.New("not these")
		}
		return nil
	})
}

func TestAConfigurationIsReloaded(t *testing.T) {
	t.Parallel()
	c := twoClusters(t)
	n := c.Node("east-1")
	step(t, "when the file is replaced", func(t *testing.T) {
		withdrawal(t, c,
			func() { c.rewrite(t, "east-1", bothCIDRs, onlyIPv6) },
			func() { c.rewrite(t, "east-1", onlyIPv6, bothCIDRs) })
	})
	step(t, "when the file is written in place", func(t *testing.T) {
		text, err := os.ReadFile(c.config("east-1"))
		require.NoError(t, err)
		changed := strings.Replace(string(text), bothCIDRs, onlyIPv6, 1)
		withdrawal(t, c,
			func() { require.NoError(t, os.WriteFile(c.config("east-1"), []byte(changed), 0o644)) },
			func() { require.NoError(t, os.WriteFile(c.config("east-1"), text, 0o644)) })
	})
	step(t, "on SIGHUP, when nothing announces the change", func(t *testing.T) {
		// A mount over the file is such a change: inotify does not see it.
		text, err := os.ReadFile(c.config("east-1"))
		require.NoError(t, err)
		hidden := filepath.Join(emptyFolder(t), "config.yaml")
		require.NoError(t, os.WriteFile(hidden, []byte(strings.Replace(string(text), bothCIDRs, onlyIPv6, 1)), 0o644))
		hangup := func() { require.NoError(t, n.Process("underlayd").Signal(syscall.SIGHUP)) }
		withdrawal(t, c,
			func() { output(t, n, "mount", "--bind", hidden, "/etc/underlayd/config.yaml"); hangup() },
			func() { output(t, n, "umount", "/etc/underlayd/config.yaml"); hangup() })
	})
	step(t, "when the links of a ConfigMap's volume are swapped", func(t *testing.T) {
		folder := filepath.Dir(c.config("east-1"))
		text, err := os.ReadFile(c.config("east-1"))
		require.NoError(t, err)
		swap := func(version, text string) {
			require.NoError(t, os.Mkdir(filepath.Join(folder, version), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(folder, version, "config.yaml"), []byte(text), 0o644))
			require.NoError(t, os.Symlink(version, filepath.Join(folder, "..data_tmp")))
			require.NoError(t, os.Rename(filepath.Join(folder, "..data_tmp"), filepath.Join(folder, "..data")))
		}
		swap("..1", string(text))
		require.NoError(t, os.Symlink("..data/config.yaml", filepath.Join(folder, "link")))
		require.NoError(t, os.Rename(filepath.Join(folder, "link"), c.config("east-1")))
		withdrawal(t, c,
			func() { swap("..2", strings.Replace(string(text), bothCIDRs, onlyIPv6, 1)) },
			func() { swap("..3", string(text)) })
	})
	step(t, "and refused whole when it is broken", func(t *testing.T) {
		refusal(t, c, bothCIDRs, onlyIPv6+"\n  colour: blue", "config.yaml:9", "node.colour", "unknown key")
	})
	step(t, "and refused whole when a part of it needs a restart", func(t *testing.T) {
		refusal(t, c, bothCIDRs+"\nbgp:", onlyIPv6+"\nbgp:\n  routerID: 192.0.2.1", "bgp.routerID", "192.0.2.1", "NeedsRestart")
	})
}

// refusal checks that a new configuration of east-1 changes nothing but what the daemon says, and that it says no
// more once the file is as before.
func refusal(t *testing.T, c *clusters, old, new string, words ...string) {
	t.Helper()
	n, ups := c.Node("east-1"), c.ups(t)
	far, here := watchRoutes(t, c.Node("west-1")), watchRoutes(t, n)
	c.rewrite(t, "east-1", old, new)
	is(t, n, "refusing its configuration", func(s state) error {
		return errors.Join(hasCondition("True", "ConfigInvalid")(s), says("configuration", words...)(s))
	})
	advertises(t, c, "10.10.1.0/24", "fd00:10:0:1::/64")
	// Whoever asks once more gets the same answer.
	require.NoError(t, n.Process("underlayd").Signal(syscall.SIGHUP))
	c.rewrite(t, "east-1", new, old)
	c.settled(t)
	far.quiet(t, "proto 200")
	here.quiet(t, "proto 200")
	require.Equal(t, ups, c.ups(t))
}

func TestAReloadTouchesOnlyWhatDiffers(t *testing.T) {
	t.Parallel()
	c := twoClusters(t)
	step(t, "a peer's hold time resets that peer's session alone", func(t *testing.T) {
		ups := c.ups(t)
		c.rewrite(t, "west-1", "asn: 65000\n    families: [ipv6]", "asn: 65000\n    holdTime: 6s\n    families: [ipv6]")
		ups["fd00:fab:21::1"]++
		is(t, c.Node("west-1"), "with a new session", func(s state) error {
			if !slices.ContainsFunc(s.Sessions, func(p session) bool {
				return p.Peer == "fabric-ipv6" && p.State == "established" && c.holdTime(t, "fd00:fab:21::1") == 6000
			}) {
				return errors.New("not yet")
			}
			return nil
		})
		c.settled(t)
		require.Equal(t, ups, c.ups(t))
	})
	step(t, "a narrower contract takes routes away, a wider one brings them back, without a reset", func(t *testing.T) {
		ups, n := c.ups(t), c.Node("east-1")
		here := watchRoutes(t, n)
		const (
			wide   = "podCIDRs: [10.20.0.0/16, \"fd00:20::/48\"]\n  prefixLength: {ipv4: [16, 28]"
			narrow = "podCIDRs: [10.20.1.0/24, \"fd00:20::/48\"]\n  prefixLength: {ipv4: [24, 28]"
		)
		c.rewrite(t, "east-1", wide, narrow)
		becomes(t, n, patience, want("east-1", "10.20.2.0/24"))
		is(t, n, "refusing the rest", says("refused, NoContract", "10.20.2.0/24"))
		c.rewrite(t, "east-1", narrow, wide)
		becomes(t, n, patience, want("east-1"))
		for _, line := range here.about(t, "proto 200") {
			require.Contains(t, line, "10.20.2.0/24")
		}
		c.settled(t)
		require.Equal(t, ups, c.ups(t))
	})
	step(t, "a cluster that is no longer declared is no longer reached", func(t *testing.T) { undeclared(t, c) })
	step(t, "a peer that is gone and comes again", func(t *testing.T) { peerRemoved(t, c) })
}

func undeclared(t *testing.T, c *clusters) {
	ups, n := c.ups(t), c.Node("east-2")
	text, err := os.ReadFile(c.config("east-2"))
	require.NoError(t, err)
	before, _, found := strings.Cut(string(text), "clusters:\n- name: west")
	require.True(t, found)
	c.write(t, "east-2", before)
	becomes(t, n, patience, nil)
	is(t, n, "without clusters", says("configuration", "no remote clusters"))
	c.write(t, "east-2", string(text))
	c.settled(t)
	require.Equal(t, ups, c.ups(t))
}

func peerRemoved(t *testing.T, c *clusters) {
	text, err := os.ReadFile(c.config("west-2"))
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(text), "  - name: fabric-ipv6")
	require.True(t, found)
	_, after, found := strings.Cut(rest, "clusters:\n")
	require.True(t, found)
	c.write(t, "west-2", before+"clusters:\n"+after)
	becomes(t, c.Node("west-2"), patience, want("west-2", "fd00:10:0:1::/64", "fd00:10:0:2::/64"))
	becomes(t, c.Node("east-1"), patience, want("east-1", "fd00:20:0:2::/64"))
	require.Len(t, stateOf(t, c.Node("west-2")).Sessions, 1)
	c.write(t, "west-2", string(text))
	c.settled(t)
}

// holdTime is what the fabric and a neighbour have agreed on, in milliseconds.
func (c *clusters) holdTime(t *testing.T, neighbor string) int {
	t.Helper()
	return c.neighbors(t)[neighbor].BgpTimerHoldTimeMsecs
}

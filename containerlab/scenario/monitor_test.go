package scenario

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// The marks are routes in a table that nobody looks at; what happened between them is what a monitor reports.
const (
	firstMark = "203.0.113.1"
	lastMark  = "203.0.113.2"
	markTable = "7777"
)

// monitor listens to what happens to the routes of a node.
type monitor struct {
	node    *containerlab.Node
	process *containerlab.Process
}

// watchRoutes starts listening to the routes of a node, and to its next-hop objects. It returns when it hears.
func watchRoutes(t *testing.T, n *containerlab.Node) *monitor {
	t.Helper()
	p, err := n.Start("monitor", "ip", "monitor", "route", "nexthop")
	require.NoError(t, err)
	m := &monitor{node: n, process: p}
	require.NoError(t, os.Truncate(p.LogPath(), 0))
	t.Cleanup(func() { require.NoError(t, p.Kill()) })
	until(t, patience, "the monitor of "+n.Name()+" to hear", func(ctx context.Context) error {
		return m.mark(ctx, firstMark)
	})
	return m
}

// mark makes and removes a route and fails unless that is in the log.
func (m *monitor) mark(ctx context.Context, address string) error {
	for _, verb := range []string{"replace", "del"} {
		if _, err := m.node.Output(ctx, "ip", "route", verb, address, "dev", "lo", "table", markTable); err != nil {
			return err
		}
	}
	if !strings.Contains(m.process.LogTail(1<<20), "Deleted "+address) {
		return errors.New("no mark in the log")
	}
	return nil
}

// about returns what happened since the start that mentions one of the words, line by line.
func (m *monitor) about(t *testing.T, words ...string) []string {
	t.Helper()
	until(t, patience, "the monitor of "+m.node.Name(), func(ctx context.Context) error { return m.mark(ctx, lastMark) })
	lines := strings.Split(m.process.LogTail(1<<20), "\n")
	return slices.DeleteFunc(lines, func(line string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(line, w) })
	})
}

// quiet fails the test if anything happened that mentions one of the words. That the daemon tries at its start
// whether the kernel knows next-hop objects, with one that is a black hole, is nothing.
func (m *monitor) quiet(t *testing.T, words ...string) {
	t.Helper()
	heard := slices.DeleteFunc(m.about(t, words...), func(line string) bool { return strings.Contains(line, "blackhole proto 200") })
	require.Empty(t, heard, m.node.Name())
}

// carrier is a test for until: whether an interface named eth1 has a carrier.
func carrier(n *containerlab.Node, wanted string) func(context.Context) error {
	return func(ctx context.Context) error {
		out, err := n.Output(ctx, "cat", "/sys/class/net/eth1/carrier")
		if err == nil && strings.TrimSpace(out) != wanted {
			err = errors.New("the carrier is " + out)
		}
		return err
	}
}

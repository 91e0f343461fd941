package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// TestASmallMesh has five nodes in each cluster: all sessions come up, with one connection each, all routes get
// everywhere, and a daemon with nothing to do does next to nothing.
func TestASmallMesh(t *testing.T) {
	containerlab.Require(t, "ip", "go")
	binary := filepath.Join(t.TempDir(), "underlayd")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/underlayd")
	build.Dir = filepath.Join("..", "..")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	t.Run("full", func(t *testing.T) {
		t.Parallel()
		measured(t, binary, "sessions, with one connection each 25", "-nodes", "5", "-rest", "2s", "-idle", "3s")
	})
	// The death of a reflector and its restart fail the run if a node loses a route or a packet by it.
	t.Run("behind two reflectors a cluster, of five nodes", func(t *testing.T) {
		t.Parallel()
		measured(t, binary, "sessions, with one connection each 18", "-reflectors", "2", "-nodes", "5", "-rest", "100ms", "-idle", "1s", "-retry", "1s")
	})
}

// measured runs a mesh and requires a line of its table.
func measured(t *testing.T, binary, line string, args ...string) {
	t.Helper()
	o, err := parseOptions(append(args, "-changes", "3", "-bfd", "300ms", "-patience", "1m", "-underlayd", binary))
	require.NoError(t, err)
	var table strings.Builder
	start := time.Now()
	err = run(t.Context(), o, &table)
	t.Logf("in %s\n%s", time.Since(start).Round(time.Millisecond), table.String())
	require.NoError(t, err)
	require.Contains(t, strings.Join(strings.Fields(table.String()), " "), line)
}

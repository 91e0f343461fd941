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
	o, err := parseOptions([]string{"-nodes", "5", "-rest", "2s", "-idle", "3s", "-changes", "3", "-bfd", "300ms", "-patience", "1m", "-underlayd", binary})
	require.NoError(t, err)
	var table strings.Builder
	start := time.Now()
	require.NoError(t, run(t.Context(), o, &table))
	t.Logf("in %s\n%s", time.Since(start).Round(time.Millisecond), table.String())
	require.Contains(t, table.String(), "sessions")
}

package main

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// TestTheMatrix tries each way to speak with each program without anything special; `make interop` tries all cells.
func TestTheMatrix(t *testing.T) {
	t.Parallel()
	containerlab.Require(t, "zebra", "bgpd", "vtysh", "bird", "birdc", "gobgpd", "gobgp", "ip", "ping", "nft", "go")
	o := options{underlayd: filepath.Join(t.TempDir(), "underlayd"), labs: 6, folder: t.TempDir()}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", o.underlayd, "./cmd/underlayd")
	build.Dir, build.Env = filepath.Join("..", ".."), append(build.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	cells, err := matching(" (plain|add-path)$")
	require.NoError(t, err)
	for _, r := range tryAll(t.Context(), cells, o) {
		require.NotEqual(t, fails, r.Verdict, "%s: %s", r.cell, r.Observed)
	}
}

func TestEveryCellHasALabOrAReason(t *testing.T) {
	require.Len(t, matrix(), 3*4*4*9)
	for _, c := range matrix() {
		if c.reason() != "" {
			continue
		}
		path, err := newPlan(c).write(t.TempDir())
		require.NoError(t, err, c.String())
		_, err = containerlab.Load(path)
		require.NoError(t, err, c.String())
	}
}

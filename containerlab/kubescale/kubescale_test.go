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

// TestWhatAFewAgentsCost has ten times as many Nodes in the second stage as in the first. The run fails if that shows in
// what a plain agent asks for, gets or holds, or if one asks for Nodes that are not its own.
func TestWhatAFewAgentsCost(t *testing.T) {
	containerlab.Require(t, "ip", "go", "etcd")
	binary := filepath.Join(t.TempDir(), "underlayd")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/underlayd")
	build.Dir = filepath.Join("..", "..")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	o, err := parseOptions([]string{
		"-agents", "4", "-nodes", "5,50", "-status", "1m", "-rest", "1s", "-idle", "20s", "-away", "3s", "-patience", "2m", "-underlayd", binary,
	})
	require.NoError(t, err)
	var table strings.Builder
	start := time.Now()
	err = run(t.Context(), o, &table)
	t.Logf("in %s\n%s", time.Since(start).Round(time.Millisecond), table.String())
	require.NoError(t, err)
	require.Contains(t, table.String(), "a route less: until the first Node says so")
}

func TestTheMostRequestsWithinASpan(t *testing.T) {
	at := func(milliseconds ...int) (all []request) {
		for _, ms := range milliseconds {
			all = append(all, request{at: time.UnixMilli(int64(ms))})
		}
		return all
	}
	for _, row := range []struct {
		name     string
		requests []request
		most     int
	}{
		{"none", nil, 0},
		{"all far apart", at(0, 1000, 2000), 1},
		{"the last three of five", at(0, 900, 1800, 2000, 2799), 3},
	} {
		t.Run(row.name, func(t *testing.T) { require.Equal(t, row.most, peak(row.requests, time.Second)) })
	}
}

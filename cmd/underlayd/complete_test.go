package main

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/status"
)

// serving answers questions about a snapshot until the test ends.
func serving(t *testing.T, s *status.Snapshot) (folder, socket string) {
	t.Helper()
	folder, err := os.MkdirTemp("", "complete") // short enough for a socket
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(folder)) })
	socket = status.SocketPath(folder)
	board := &status.Board{}
	board.Publish(s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- status.Serve(ctx, socket, board) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	require.Eventually(t, func() bool {
		c, err := net.Dial("unix", socket)
		return err == nil && c.Close() == nil
	}, time.Minute, 10*time.Millisecond)
	return folder, socket
}

func TestTheShellCompletesWhatTheDaemonKnows(t *testing.T) {
	folder, socket := serving(t, &status.Snapshot{Sessions: []status.Session{{Peer: "tor-a"}, {Peer: "tor-b"}}, Clusters: []status.RemoteCluster{{Name: "west"}}})
	for name, row := range map[string]struct {
		args []string
		want string
	}{
		"a peer":              {[]string{"peers", "--socket", socket, ""}, "tor-a tor-b"},
		"one peer is enough":  {[]string{"peers", "--socket", socket, "tor-a", ""}, ""},
		"a cluster of routes": {[]string{"routes", "--socket", socket, "--cluster", ""}, "west"},
		"a peer of history":   {[]string{"history", "--socket", socket, "--peer", ""}, "tor-a tor-b"},
		"a format":            {[]string{"status", "-o", ""}, "table wide json yaml"},
		"a format of watch":   {[]string{"watch", "-o", ""}, "table json"},
		"without a daemon":    {[]string{"peers", "--socket", folder + "/none", ""}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			out, code := execute(t, append([]string{"__complete"}, row.args...)...)
			require.Zero(t, code, out)
			words, _, found := strings.Cut(out, ":4") // the directive: no files
			require.True(t, found, out)
			require.Equal(t, row.want, strings.Join(strings.Fields(words), " "))
		})
	}
}

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/status"
)

// terminal opens a pseudoterminal: what is written to one end can be read at the other.
func terminal(t *testing.T) (screen, program *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = screen.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = program.Close() })
	return screen, program
}

func TestColoursAreForPeopleAtATerminal(t *testing.T) {
	_, socket := serving(t, &status.Snapshot{
		Phase: status.Degraded, Sessions: []status.Session{{Peer: "established", State: "established", Complete: true}, {Peer: "tor-b", State: "idle", LastError: "\x1b[35mbye"}},
		Clusters: []status.RemoteCluster{{Name: "west", State: status.Reachable}},
	})
	for name, row := range map[string]struct {
		format, environment string
		piped, coloured     bool
	}{
		"a terminal":             {format: "table", coloured: true},
		"a terminal, wide":       {format: "wide", coloured: true},
		"a pipe":                 {format: "table", piped: true},
		"who wants none":         {format: "table", environment: "NO_COLOR=1"},
		"a terminal without any": {format: "table", environment: "TERM=dumb"},
		"JSON":                   {format: "json"},
		"YAML":                   {format: "yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("NO_COLOR", "")
			t.Setenv("TERM", "xterm")
			if key, value, set := strings.Cut(row.environment, "="); set {
				t.Setenv(key, value)
			}
			screen, program := terminal(t)
			var piped bytes.Buffer
			root := newRoot()
			root.SetOut(program)
			if row.piped {
				root.SetOut(&piped)
			}
			root.SetArgs([]string{"status", "--socket", socket, "-o", row.format})
			shown := make(chan string, 1)
			go func() {
				text, _ := io.ReadAll(screen) // it ends with an error when nobody has the other end open
				shown <- string(text)
			}()
			require.NoError(t, root.ExecuteContext(t.Context()))
			require.NoError(t, program.Close())
			text := <-shown + piped.String()
			require.Contains(t, text, "tor-b")
			if !row.coloured {
				require.NotContains(t, text, "\x1b")
				return
			}
			for _, painted := range []string{"is \x1b[33mDegraded\x1b[0m:", "\x1b[32mEstablished", "\x1b[31mIdle\x1b[0m", "\x1b[32mReachable\x1b[0m", "\x1b[31merror   \x1b[0m peer tor-b"} {
				require.Contains(t, text, painted)
			}
			require.NotContains(t, text, "\x1b[35m", "what a peer said")
			require.NotContains(t, text, "\x1b[32mestablished", "a name is no state")
		})
	}
}

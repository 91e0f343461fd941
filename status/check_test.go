package status

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// checking is a source that checks.
type checking struct {
	*Board
	given *Snapshot
}

func (c *checking) Check(_ context.Context, s *Snapshot) []Check {
	c.given = s
	return []Check{
		{Group: CheckLimits, Name: CheckLimits, Result: CheckOK, Sentence: "files can be watched"},
		{Group: CheckKernel, Name: "a", Result: CheckWarning, Sentence: "peer said \x07\nhello", Remedy: &Remedy{Action: "look", Key: "bgp.asn", Value: "1", Command: "ping\x1b", Doc: "docs/x.md#y"}},
		{Group: CheckKernel, Name: "b", Result: CheckFailed, Reason: "NoWay", Sentence: "it is gone", Remedy: &Remedy{Action: "bring it back", Doc: "docs/z.md"}},
		{Group: CheckConfig, Name: "lint", Result: CheckUnknown, Sentence: "not known"},
	}
}

func TestChecksAreSortedCountedAndWrittenSafely(t *testing.T) {
	board := &Board{}
	board.Publish(sample())
	source, path := &checking{Board: board}, SocketPath(runtimeDirectory(t))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, path, source) }()
	defer func() {
		cancel()
		require.NoError(t, <-done)
	}()
	require.Eventually(t, func() bool {
		c, err := net.Dial("unix", path)
		return err == nil && c.Close() == nil
	}, time.Minute, 10*time.Millisecond)
	l, err := NewClient(path).Check(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, source.given.Problems, "the snapshot is complete")
	require.Equal(t, []any{KindCheckList, true, 1, 1}, []any{l.Kind, l.Daemon, l.Failed, l.Warnings})
	var order []string
	for _, c := range l.Items {
		order = append(order, c.Name)
	}
	require.Equal(t, []string{"lint", "b", "a", CheckLimits}, order, "by group, the worst first")
	var out strings.Builder
	require.NoError(t, WriteCheckList(&out, l, Options{Format: Table}))
	for _, words := range []string{
		"1 thing stands in the way, and 1 warning.", "? lint: not known", "✗ b: it is gone", "      → bring it back  (docs/z.md)\n",
		"‼ peer said ? hello", "→ look; configuration bgp.asn: 1; run ping?  (docs/x.md#y)", "✓ files can be watched",
	} {
		require.Contains(t, out.String(), words)
	}
	require.NotContains(t, out.String(), "\x1b")
}

func TestAListSaysInOneSentenceHowItIs(t *testing.T) {
	for _, c := range []struct {
		failed, warnings int
		daemon           bool
		want             string
	}{
		{0, 0, true, "n: nothing stands in the way."},
		{0, 2, true, "n: nothing stands in the way, with 2 warnings."},
		{3, 0, true, "n: 3 things stand in the way."},
		{0, 0, false, "n: nothing stands in the way; underlayd does not run: this is what the configuration and the host say, without sessions and routes."},
	} {
		require.Equal(t, c.want, (&CheckList{Node: "n", Failed: c.failed, Warnings: c.warnings, Daemon: c.daemon}).sentence())
	}
}

func TestOnlyWhatChecksChecks(t *testing.T) {
	d := serve(t, sample())
	_, err := d.client.Check(t.Context())
	require.ErrorContains(t, err, "nothing to tell yet")
	code, body := d.raw(t, "GET /v1/check?colour=blue HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	require.Equal(t, 400, code)
	require.Contains(t, body, "takes no parameters")
}

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/underlayd/underlayd/containerlab"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheCorpusIsOneOfDistinctMessages(t *testing.T) {
	seen, names := map[string]string{}, map[string]bool{}
	for _, a := range corpus(200, 1) {
		require.False(t, names[a.name], a.name)
		names[a.name] = true
		seen[a.state.String()+string(a.build(targetOf(0, 0)))] = a.name
	}
	require.Greater(t, len(seen), 3500)
}

// TestTheDaemonOutlivesWhatPeersSay makes most of the attacks there are; the rest of those on families that were not
// negotiated, more random ones and floods of full size are for the command.
func TestTheDaemonOutlivesWhatPeersSay(t *testing.T) {
	containerlab.Require(t, "bird", "birdc", "ip", "go")
	topology, err := containerlab.Load("hostile.clab.yml")
	require.NoError(t, err)
	folder := t.TempDir()
	s, err := raise(t.Context(), topology, built(t), folder)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.down()) })
	before, _, err := s.resident()
	require.NoError(t, err)

	results, err := s.fight(t.Context(), sample())
	t.Logf("%d messages\n%s", len(results), table(results))
	require.NoError(t, err)
	require.NoError(t, faults(results))
	require.NoError(t, s.unimpressed(t.Context()))

	var figures strings.Builder
	err = s.drown(t.Context(), 50, &figures)
	after, peak, _ := s.resident()
	t.Logf("resident memory %.0f MiB before, %.0f after, %.0f at most\n%s", before, after, peak, figures.String())
	require.NoError(t, err)
	require.NoError(t, s.unimpressed(t.Context()))
	require.NoError(t, s.empty(t.Context()))
}

// sample leaves out what is much alike: of the sessions that end, each costs the foe some seconds of idleness.
func sample() []attack {
	var all []attack
	for i, a := range corpus(300, 1) {
		switch {
		case a.class == "families" && i%16 != 0, a.class == "OPENs" && i%8 != 0, a.class == "headers" && i%3 != 0:
		default:
			all = append(all, a)
		}
	}
	return all
}

func built(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "underlayd")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./cmd/underlayd")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	return binary
}

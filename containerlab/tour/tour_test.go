package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/k8s/apitest"
)

// What a newcomer reads is what is typed here, but for the address of the repository.
func TestTheCommandsAreThoseOfTheDocumentation(t *testing.T) {
	for file, commands := range map[string][]string{
		"README.md":       {createConfig, applyBase},
		"docs/install.md": {createConfig, applyBase, rollout, applyCleanup, deleteAll},
	} {
		text, err := os.ReadFile(filepath.Join("..", "..", file))
		require.NoError(t, err)
		lines := strings.Split(strings.ReplaceAll(string(text), "https://github.com/underlayd/underlayd/", "underlayd/"), "\n")
		for _, command := range commands {
			require.Contains(t, lines, "# "+command, file)
		}
	}
}

// The whole tour: an installation by the manifests as they are, with Pods that the DaemonSet controller made, and its end.
func TestTour(t *testing.T) {
	containerlab.Require(t, "zebra", "bgpd", "vtysh", "ip", "ping", "nft", "etcd", "setpriv", "bash")
	kubectl, err := apitest.Kubectl(t.Context())
	require.NoError(t, err)
	folder, janitor, err := containerlab.Scratch("tour-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, janitor.Close()) })
	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	s := &stage{root: root, kubectl: kubectl, folder: folder, daemon: filepath.Join(folder, "underlayd"), Narrator: containerlab.Narrator{Out: t.Output()}, began: time.Now(), prints: map[string]string{}}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", s.daemon, "./cmd/underlayd")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	t.Cleanup(func() { require.NoError(t, s.close()) })
	if err := s.play(t.Context()); err != nil {
		_ = s.lab.WriteLogs(t.Output())
		require.NoError(t, err, "%v", s.problems())
	}
}

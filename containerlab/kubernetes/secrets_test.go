package kubernetes

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// secret is something that a daemon was given and must not pass on.
type secret struct{ what, text string }

// secrets are those of a node's daemon. Whoever gives it another one adds it here.
func (w *world) secrets(t *testing.T, node string) []secret {
	t.Helper()
	text, err := os.ReadFile(w.Node(node).Path("/etc/underlayd/kubeconfig"))
	require.NoError(t, err)
	var kubeconfig struct {
		Users []struct{ User struct{ Token string } }
	}
	require.NoError(t, yaml.Unmarshal(text, &kubeconfig))
	token := kubeconfig.Users[0].User.Token
	signature := token[strings.LastIndex(token, ".")+1:]
	return []secret{
		{"the token of the kubeconfig", token},
		// What is cut short for a log line is still most of a token.
		{"the beginning of the token", token[:40]},
		{"the token's signature", signature[:40]},
	}
}

// outputs is everything that leaves the daemon of a node.
func (w *world) outputs(t *testing.T, node string) map[string]string {
	t.Helper()
	n := w.Node(node)
	daemon := n.Process("underlayd")
	log, err := os.ReadFile(daemon.LogPath())
	require.NoError(t, err)
	object, err := json.Marshal(w.get(t, node))
	require.NoError(t, err)
	lease, err := w.lease(t.Context(), node)
	require.NoError(t, err)
	about, err := json.Marshal(lease)
	require.NoError(t, err)
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(daemon.PID()), "cmdline"))
	require.NoError(t, err)
	all := map[string]string{
		"log": string(log), "Node": string(object), "Lease": string(about), "metrics": w.metrics(t, node), "command line": string(line),
	}
	for _, command := range []string{
		"underlayd status", "underlayd status -o json", "underlayd peers", "underlayd peers -o json", "underlayd routes",
		"underlayd routes -o json", "underlayd config print",
		"gobgp --target unix:///run/underlayd/gobgp.sock -j neighbor", "gobgp --target unix:///run/underlayd/gobgp.sock -j global",
	} {
		argv := strings.Fields(command)
		if argv[0] == "gobgp" {
			program, err := underlayd()
			require.NoError(t, err)
			argv[0] = program.gobgp
		}
		all[command], err = n.Output(t.Context(), argv...)
		require.NoError(t, err)
		require.NotEmpty(t, all[command], command)
	}
	run := n.Path("/run/underlayd")
	require.NoError(t, filepath.WalkDir(run, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		all["file "+entry.Name()] = string(text)
		return err
	}))
	require.Contains(t, all, "file memo.json")
	return all
}

func (w *world) metrics(t *testing.T, node string) string {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", w.Node(node).Path("/run/underlayd/underlayd.sock"))
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/metrics", nil)
	require.NoError(t, err)
	answer, err := transport.RoundTrip(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return string(text)
}

// tellNothing looks for secrets in all that leaves the daemons. That of east-2 logs at debug level, and has been without
// its API.
func (w *world) tellNothing(t *testing.T) {
	const node = "east-2"
	require.Contains(t, w.outputs(t, node)["log"], "level=debug")
	w.silent(t, node)

	// A token in a file that is not what it should be.
	broken := filepath.Join(folderForTest(t), "kubeconfig")
	token := w.secrets(t, node)[0].text
	for _, text := range []string{token, "users:\n- name: a\n  user: " + token + "\n", "apiVersion: v1\nkind: Config\nusers: [" + token} {
		require.NoError(t, os.WriteFile(broken, []byte(text), 0o600))
		c := w.Node(node).Command(t.Context(), "underlayd", "run", "--config", "/etc/underlayd/config.yaml", "--kubernetes-kubeconfig", broken,
			"--runtime-directory", "/run/other", "--log-level", "debug", "--bgp-port", "-1", "--kernel-protocol", "201")
		out, err := c.CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(out), "kubeconfig")
		for _, s := range w.secrets(t, node) {
			require.NotContains(t, string(out), s.text, s.what)
		}
	}
	for _, p := range places() {
		w.silent(t, p.name)
	}
}

func (w *world) silent(t *testing.T, node string) {
	t.Helper()
	for _, s := range w.secrets(t, node) {
		for name, text := range w.outputs(t, node) {
			require.NotContains(t, text, s.text, "%s, in %s of %s", s.what, name, node)
		}
	}
}

package kubernetes

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// guarded is the node whose session with the fabric has a password, in a file. Its daemon logs at debug level.
const (
	guarded        = "east-2"
	fabricPassword = "s3cret-0f-the-fabric"
)

// guard gives the fabric the password of a session, and the daemon the file; it returns the fabric's configuration.
func guard(t *testing.T, folder string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(folder, guarded, "fabric.key"), []byte(fabricPassword+"\n"), 0o600))
	text, err := os.ReadFile("../two-clusters/fabric/frr.conf")
	require.NoError(t, err)
	const neighbor = " neighbor 192.168.12.1 "
	group := neighbor + "peer-group east\n"
	require.Contains(t, string(text), group)
	path := filepath.Join(folder, "frr.conf")
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(text), group, group+neighbor+"password "+fabricPassword+"\n", 1)), 0o644))
	return path
}

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
	all := []secret{
		{"the token of the kubeconfig", token},
		// What is cut short for a log line is still most of a token.
		{"the beginning of the token", token[:40]},
		{"the token's signature", signature[:40]},
	}
	if node == guarded {
		all = append(all, secret{"the password of a peer", fabricPassword}, secret{"the beginning of the password", fabricPassword[:12]})
	}
	return all
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
	told, err := w.events(t.Context(), node)
	require.NoError(t, err)
	events, err := json.Marshal(told)
	require.NoError(t, err)
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(daemon.PID()), "cmdline"))
	require.NoError(t, err)
	metrics, err := n.Ask(t.Context(), "/run/underlayd/underlayd.sock", "/metrics")
	require.NoError(t, err)
	all := map[string]string{
		"log": string(log), "Node": string(object), "Lease": string(about), "Events": string(events), "metrics": metrics, "command line": string(line),
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
	all["bundle"], err = n.Output(t.Context(), "bash", "-c", "underlayd bundle -f - | tar -xzO")
	require.NoError(t, err)
	require.Contains(t, all["bundle"], "/etc/underlayd/kubeconfig", "what the files are called is told")
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

// tellNothing looks for secrets in all that leaves the daemons. That of east-2 logs at debug level, and has been without
// its API.
func (w *world) tellNothing(t *testing.T) {
	require.Contains(t, w.outputs(t, guarded)["log"], `"level":"debug"`)
	w.silent(t, guarded)
	w.brokenKubeconfig(t)
	w.brokenPassword(t)
	for _, p := range places() {
		w.silent(t, p.name)
	}
	w.crash(t)
}

// brokenKubeconfig gives a daemon a token in a file that is not what it should be.
func (w *world) brokenKubeconfig(t *testing.T) {
	broken := filepath.Join(folderForTest(t), "kubeconfig")
	token := w.secrets(t, guarded)[0].text
	for _, text := range []string{token, "users:\n- name: a\n  user: " + token + "\n", "apiVersion: v1\nkind: Config\nusers: [" + token} {
		require.NoError(t, os.WriteFile(broken, []byte(text), 0o600))
		c := w.Node(guarded).Command(t.Context(), "underlayd", "run", "--config", "/etc/underlayd/config.yaml", "--kubernetes-kubeconfig", broken,
			"--runtime-directory", "/run/other", "--log-level", "debug", "--bgp-port", "-1", "--kernel-protocol", "201")
		out, err := c.CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(out), "kubeconfig")
		for _, s := range w.secrets(t, guarded) {
			require.NotContains(t, string(out), s.text, s.what)
		}
	}
}

// brokenPassword puts the password of a session that is up into a file that is not what it should be.
func (w *world) brokenPassword(t *testing.T) {
	path := filepath.Join(w.configs, guarded, "fabric.key")
	for text, problem := range map[string]string{
		fabricPassword + "\n" + fabricPassword:   "must be one line",
		strings.Repeat(fabricPassword+" ", 5):    "has 105 bytes",
		fabricPassword + "\x00" + fabricPassword: "control characters",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		w.is(t, guarded, "saying what is wrong with the file", func(s state) error {
			for _, p := range s.Problems {
				if p.Subject == "peer fabric" && strings.Contains(p.Message, problem) && strings.Contains(p.Message, "stays in force") {
					return nil
				}
			}
			return errors.New("not yet")
		})
		w.silent(t, guarded)
	}
	require.NoError(t, os.WriteFile(path, []byte(fabricPassword), 0o600))
	w.settled(t)
}

// crash ends a daemon by a fault: what it leaves behind is its last words, and no image of its memory.
func (w *world) crash(t *testing.T) {
	daemon := w.Node(guarded).Process("underlayd")
	limits, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(daemon.PID()), "limits"))
	require.NoError(t, err)
	require.Regexp(t, `Max core file size +0 +0 `, string(limits))
	require.NoError(t, daemon.Signal(syscall.SIGABRT))
	<-daemon.Done()
	require.Error(t, daemon.Err())
	require.NotContains(t, daemon.Err().Error(), "core dumped")
	log, err := os.ReadFile(daemon.LogPath())
	require.NoError(t, err)
	require.Contains(t, string(log), "goroutine ")
	for _, s := range w.secrets(t, guarded) {
		require.NotContains(t, string(log), s.text, s.what)
	}
	w.launch(t, guarded)
	w.is(t, guarded, "telling of the crash", func(s state) error {
		for _, p := range s.Problems {
			if p.Subject == "crash" && s.Kubernetes.Synced {
				return nil
			}
		}
		return errors.New("not yet")
	})
	require.Contains(t, w.outputs(t, guarded)["file crash-last.txt"], "goroutine ")
	w.silent(t, guarded)
}

func (w *world) silent(t *testing.T, node string) {
	t.Helper()
	for _, s := range w.secrets(t, node) {
		for name, text := range w.outputs(t, node) {
			require.NotContains(t, text, s.text, "%s, in %s of %s", s.what, name, node)
		}
	}
}

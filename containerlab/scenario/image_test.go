//go:build image

package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/k8s/deploy"
)

// docker is an engine of the test's own in the network namespace of a lab's node: to a container with hostNetwork that
// node is the host. It touches nothing else of this machine.
type docker struct{ socket string }

// dockerScript ends the engine, and with it its containers, when its input ends: with the test or with its process. All
// that the engine mounts is in a mount namespace of its own.
const dockerScript = `nsenter --net="/proc/$2/ns/net" dockerd --data-root "$1/data" --exec-root "$1/exec" --pidfile "$1/pid" \
  --host "unix://$1/sock" --config-file "$1/none.json" --bridge none --iptables=false --ip6tables=false --ip-forward=false \
  --ip-masq=false >"$1/log" 2>&1 </dev/null & engine=$!
trap "" INT HUP TERM
read -r _
kill "$engine"; wait "$engine"
umount "$1/exec/netns/default" 2>/dev/null
rm -rf "$1"`

func startDocker(t *testing.T, n *containerlab.Node) docker {
	t.Helper()
	folder, err := os.MkdirTemp("", "docker") // short: it holds sockets
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "none.json"), []byte("{}"), 0o600))
	engine := exec.Command("unshare", "--mount", "sh", "-c", dockerScript, "sh", folder, fmt.Sprint(n.PID()))
	input, err := engine.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, engine.Start())
	t.Cleanup(func() {
		if log, err := os.ReadFile(filepath.Join(folder, "log")); err == nil && t.Failed() {
			t.Logf("dockerd: %s", log)
		}
		require.NoError(t, input.Close())
		_ = engine.Wait() // the engine's own exit code
		require.NoDirExists(t, folder)
	})
	d := docker{socket: "unix://" + folder + "/sock"}
	until(t, patience, "the Docker engine", func(ctx context.Context) error {
		_, err := d.try(ctx, "info")
		return err
	})
	return d
}

func (d docker) try(ctx context.Context, argv ...string) (string, error) {
	c := exec.CommandContext(ctx, "docker", argv...)
	c.Env = append(os.Environ(), "DOCKER_HOST="+d.socket)
	out, err := c.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("docker %s: %w: %s", argv[0], err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

func (d docker) do(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := d.try(t.Context(), argv...)
	require.NoError(t, err)
	return out
}

// asTheDaemonSet returns the options of docker run that say what the DaemonSet's securityContext says. RuntimeDefault
// is what Docker applies unless told otherwise.
func asTheDaemonSet(t *testing.T) []string {
	t.Helper()
	text, err := fs.ReadFile(deploy.Base(), "daemonset.yaml")
	require.NoError(t, err)
	var set struct {
		Spec struct {
			Template struct {
				Spec struct {
					Containers []struct {
						SecurityContext struct {
							RunAsUser                *int
							ReadOnlyRootFilesystem   *bool
							AllowPrivilegeEscalation *bool
							SeccompProfile           struct{ Type string }
							Capabilities             struct{ Drop, Add []string }
						}
					}
				}
			}
		}
	}
	decoder := json.NewDecoder(strings.NewReader(asJSON(t, text))) // its names have capitals, unlike YAML's
	require.NoError(t, decoder.Decode(&set))
	c := set.Spec.Template.Spec.Containers[0].SecurityContext
	require.True(t, *c.ReadOnlyRootFilesystem)
	require.False(t, *c.AllowPrivilegeEscalation)
	require.Equal(t, "RuntimeDefault", c.SeccompProfile.Type)
	options := []string{"--network", "host", "--read-only", "--security-opt", "no-new-privileges", "--user", fmt.Sprint(*c.RunAsUser)}
	for _, name := range c.Capabilities.Drop {
		options = append(options, "--cap-drop", name)
	}
	for _, name := range c.Capabilities.Add {
		options = append(options, "--cap-add", name)
	}
	return options
}

func asJSON(t *testing.T, text []byte) string {
	t.Helper()
	var v any
	require.NoError(t, yaml.Unmarshal(text, &v))
	out, err := json.Marshal(v)
	require.NoError(t, err)
	return string(out)
}

// image loads an image of the two programs, written as `make image` does.
func (d docker) image(t *testing.T) {
	t.Helper()
	out := d.do(t, "load", "--quiet", "--input", writeImage(t))
	require.Contains(t, out, "underlayd:test")
}

// TestTheImageDoesItsWork runs the image as the DaemonSet does: host network, a root file system that is read-only but
// for the runtime directory, two capabilities, the runtime's default seccomp profile.
func TestTheImageDoesItsWork(t *testing.T) {
	containerlab.Require(t, "docker", "dockerd", "containerd", "runc", "nsenter", "unshare")
	c := clustersWithout(t, "east-1")
	n, here := c.Node("east-1"), placeOf("east-1")
	d := startDocker(t, n)
	d.image(t)
	run := emptyFolder(t)
	d.do(t, append(append([]string{"run", "--detach", "--name", "underlayd"}, asTheDaemonSet(t)...),
		"--volume", run+":/run/underlayd", "--volume", filepath.Dir(c.config("east-1"))+":/etc/underlayd:ro", "underlayd:test")...)
	t.Cleanup(func() {
		if t.Failed() {
			logs, err := exec.Command("docker", "--host", d.socket, "logs", "underlayd").CombinedOutput()
			t.Logf("%s %v", logs, err)
		}
	})
	ready := func(t *testing.T) {
		t.Helper()
		until(t, patience, "the container to be ready", func(ctx context.Context) error {
			text, err := d.try(ctx, "exec", "underlayd", "underlayd", "status", "-o", "json")
			if err != nil {
				return err
			}
			var s state
			if err := json.Unmarshal([]byte(text), &s); err != nil || s.Phase != "Ready" || len(s.Problems) > 0 {
				return fmt.Errorf("%w: %s", errors.Join(err, errors.New("not yet")), text)
			}
			return nil
		})
		becomes(t, n, patience, want("east-1"))
		for _, node := range []string{"west-1", "west-2"} {
			becomes(t, c.Node(node), patience, want(node))
		}
	}
	step(t, "routes are exchanged", ready)
	step(t, "with two capabilities under a seccomp filter", func(t *testing.T) {
		pid := d.do(t, "inspect", "--format", "{{.State.Pid}}", "underlayd")
		exactly(t, pid, netAdmin|netBindService)
		text, err := os.ReadFile("/proc/" + pid + "/status")
		require.NoError(t, err)
		require.Equal(t, "2", statusOf(string(text))["Seccomp"])
		mounts, err := os.ReadFile("/proc/" + pid + "/mounts")
		require.NoError(t, err)
		require.Regexp(t, `(?m)^\S+ / \S+ ro,`, string(mounts))
	})
	step(t, "the engine finds it healthy, without a shell", func(t *testing.T) {
		d.do(t, "exec", "underlayd", "/usr/local/bin/underlayd", "health", "--ready")
		require.JSONEq(t, `["CMD", "/usr/local/bin/underlayd", "health"]`, d.do(t, "inspect", "--format", "{{json .Config.Healthcheck.Test}}", "underlayd"))
		until(t, time.Minute, "the engine's verdict", func(ctx context.Context) error {
			verdict, err := d.try(ctx, "inspect", "--format", "{{.State.Health.Status}}", "underlayd")
			if err == nil && verdict != "healthy" {
				err = errors.New(verdict)
			}
			return err
		})
	})
	step(t, "the stock gobgp command is answered", func(t *testing.T) {
		require.Contains(t, d.do(t, "exec", "underlayd", "gobgp", "--target", "unix:///run/underlayd/gobgp.sock", "neighbor"), here.fabric4)
	})
	step(t, "a configuration is reloaded", func(t *testing.T) {
		c.rewrite(t, "east-1", bothCIDRs, onlyIPv6)
		for _, node := range []string{"west-1", "west-2"} {
			becomes(t, c.Node(node), patience, want(node, here.pods4))
		}
		c.rewrite(t, "east-1", onlyIPv6, bothCIDRs)
		ready(t)
	})
	step(t, "what is deleted in the kernel comes back", func(t *testing.T) {
		output(t, n, "ip", "route", "del", "10.20.1.0/24", "proto", "200")
		becomes(t, n, patience, want("east-1"))
	})
	step(t, "a restart moves no route", func(t *testing.T) {
		m := watchRoutes(t, n)
		d.do(t, "restart", "--time", "10", "underlayd")
		ready(t)
		m.quiet(t, "proto 200")
	})
	step(t, "cleanup needs no more than the daemon", func(t *testing.T) {
		d.do(t, "stop", "--time", "10", "underlayd")
		require.Equal(t, "0", d.do(t, "inspect", "--format", "{{.State.ExitCode}}", "underlayd"))
		has(t, n, want("east-1"))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		out, err := d.try(ctx, append(append([]string{"run", "--rm"}, asTheDaemonSet(t)...),
			"--volume", run+":/run/underlayd", "--volume", filepath.Dir(c.config("east-1"))+":/etc/underlayd:ro", "underlayd:test", "cleanup")...)
		require.NoError(t, err)
		require.Regexp(t, `kernel: [1-9]\d* routes and next-hop objects removed`, out)
		has(t, n, nil)
	})
}

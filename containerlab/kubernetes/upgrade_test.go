package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/underlayd/underlayd/k8s/deploy"
)

// testUpgradeAndRemoval is the life of the DaemonSet's Pods as docs/install.md tells it. What the kubelet would do with
// them is done here, with the manifests' arguments, capabilities and probes, and tokens of the service account.
func testUpgradeAndRemoval(t *testing.T) {
	w := newWorld(t)
	for _, p := range places() {
		w.create(t, p.name, p.pods...)
	}
	before := map[string]footprint{}
	for _, p := range places() {
		before[p.name] = w.footprint(t, p.name)
	}
	old, next := older(t), versioned(t, "next")
	for _, p := range places() {
		w.pod(t, p.name, old, container(t))
	}
	w.settled(t)
	w.rollout(t, "upgrade", next)
	for _, p := range places() {
		after := w.footprint(t, p.name)
		for part := range after {
			if part != "rules" { // there are none by default
				require.NotEqual(t, before[p.name][part], after[part], "%s of %s: what is not looked at can't be found", part, p.name)
			}
		}
	}
	w.rollout(t, "undo", old)
	w.rollout(t, "upgrade again", next)

	// Removal: all Pods at once.
	cleaning := container(t)
	cleaning.Args = cleanupArgs(t)
	for _, p := range places() {
		w.stop(t, p.name)
		w.pod(t, p.name, next, cleaning)
	}
	for _, p := range places() {
		w.ready(t, p.name, next)
		s := w.state(t, p.name)
		require.Equal(t, "Drained", s.Phase, "who asks for the status of the Pod is told that nothing is left")
		w.stop(t, p.name)
	}
	for _, p := range places() {
		require.Equal(t, before[p.name], w.footprint(t, p.name), p.name)
		_, err := w.lease(t.Context(), p.name)
		require.Error(t, err)
	}
}

// versioned builds the daemon of this tree with another version.
func versioned(t *testing.T, version string) string {
	t.Helper()
	path := filepath.Join(folderForTest(t), "underlayd")
	build := exec.Command("go", "build", "-ldflags", "-X main.version="+version, "-o", path, "./cmd/underlayd")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	return path
}

// older is the daemon of before the upgrade: UNDERLAYD_TEST_OLD names one that was built from an older tree.
func older(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("UNDERLAYD_TEST_OLD"); path != "" {
		return path
	}
	return versioned(t, "old")
}

// container is the one of the DaemonSet's Pods.
func container(t *testing.T) corev1.Container {
	t.Helper()
	text, err := fs.ReadFile(deploy.Base(), "daemonset.yaml")
	require.NoError(t, err)
	return containerIn(t, text)
}

func containerIn(t *testing.T, text []byte) corev1.Container {
	t.Helper()
	var set appsv1.DaemonSet
	require.NoError(t, yaml.UnmarshalStrict(text, &set))
	require.Len(t, set.Spec.Template.Spec.Containers, 1)
	return set.Spec.Template.Spec.Containers[0]
}

// cleanupArgs are those that the first step of removal gives the container.
func cleanupArgs(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../k8s/deploy/components/cleanup/daemonset.yaml")
	require.NoError(t, err)
	return containerIn(t, text).Args
}

// pod starts what a Pod with this container would run, as the process that a daemon is.
func (w *world) pod(t *testing.T, node, program string, c corev1.Container) {
	t.Helper()
	capabilities := "-all"
	for _, name := range c.SecurityContext.Capabilities.Add {
		capabilities += ",+" + strings.ToLower(string(name))
	}
	argv := []string{"setpriv", "--bounding-set", capabilities, "--inh-caps", capabilities, "--no-new-privs", program}
	_, err := w.Node(node).Start("underlayd", append(argv, c.Args...)...)
	require.NoError(t, err)
}

// ready waits until the readiness probe of the Pod succeeds. The liveness probe may not fail once there is somebody to ask.
func (w *world) ready(t *testing.T, node, program string) {
	t.Helper()
	c := container(t)
	alive := append([]string{program}, c.LivenessProbe.Exec.Command[1:]...)
	probe := append([]string{program}, c.ReadinessProbe.Exec.Command[1:]...)
	until(t, node+" to be ready", func(ctx context.Context) error {
		_, err := w.Node(node).Output(ctx, probe...)
		return err
	})
	_, err := w.Node(node).Output(t.Context(), alive...)
	require.NoError(t, err)
}

// rollout replaces the Pods one after the other, under traffic. No packet may be lost and no route move.
func (w *world) rollout(t *testing.T, what, program string) {
	t.Helper()
	start := time.Now()
	kernels := map[string]*routeWatch{}
	for _, p := range places() {
		kernels[p.name] = watchRoutes(t, w.Node(p.name))
	}
	var pings []ping
	for _, pair := range [][2]string{{"east-1", "west-1"}, {"west-1", "east-2"}, {"west-2", "east-1"}} {
		pings = append(pings, w.startPings(t, pair[0], pair[1])...)
	}
	for _, p := range places() {
		w.stop(t, p.name)
		w.pod(t, p.name, program, container(t))
		if program == os.Getenv("UNDERLAYD_TEST_OLD") { // it may know no probes
			w.is(t, p.name, "ready", func(s state) error {
				if s.Phase != "Ready" {
					return errors.New("not yet")
				}
				return nil
			})
			continue
		}
		w.ready(t, p.name, program)
	}
	w.settled(t)
	packets := 0
	for _, p := range pings {
		packets += p.answered(t)
	}
	for name, kernel := range kernels {
		require.Empty(t, kernel.since(t, 0), "%s: routes of %s", what, name)
	}
	t.Logf("%s: four nodes in %s, %d packets, none lost, no route touched", what, time.Since(start).Round(time.Second), packets)
}

// footprint is what there is of a node that underlayd might leave something in.
type footprint map[string]string

func (w *world) footprint(t *testing.T, node string) footprint {
	t.Helper()
	found := footprint{}
	for part, command := range map[string]string{
		"routes": "ip -N route show table all", "IPv6 routes": "ip -N -6 route show table all",
		"rules": "ip -N rule show", "next-hop objects": "ip -N nexthop show", "nftables": "nft list tables",
	} {
		out, err := w.Node(node).Output(t.Context(), strings.Fields(command)...)
		require.NoError(t, err)
		lines := strings.Split(out, "\n")
		slices.Sort(lines)
		found[part] = strings.Join(lines, "\n")
	}
	object := w.get(t, node)
	var managers []string
	for _, entry := range object.ManagedFields {
		managers = append(managers, entry.Manager)
	}
	text, err := json.Marshal(map[string]any{
		"labels": object.Labels, "annotations": len(object.Annotations), "conditions": len(object.Status.Conditions),
		"spec": object.Spec, "finalizers": object.Finalizers, "owners": object.OwnerReferences, "managers": managers,
	})
	require.NoError(t, err)
	found["Node"] = string(text)
	entries, err := os.ReadDir(w.Node(node).Path("/run/underlayd"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	found["files"] = fmt.Sprint(entries)
	return found
}

package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// Bits of the sets in /proc/PID/status.
const (
	netBindService = 1 << 10
	netAdmin       = 1 << 12
)

// statusOf reads a file like /proc/PID/status.
func statusOf(text string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	return fields
}

// exactly fails the test unless every thread of a process has these capabilities, and no way to more.
func exactly(t *testing.T, pid string, set uint64) {
	t.Helper()
	threads, err := filepath.Glob("/proc/" + pid + "/task/*/status")
	require.NoError(t, err)
	require.Greater(t, len(threads), 3, "a Go process has several threads")
	all, none := fmt.Sprintf("%016x", set), fmt.Sprintf("%016x", 0)
	want := map[string]string{"CapEff": all, "CapPrm": all, "CapBnd": all, "CapInh": none, "CapAmb": none, "NoNewPrivs": "1"}
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		require.NoError(t, err)
		fields := statusOf(string(text))
		for name, value := range want {
			require.Equal(t, value, fields[name], "%s: %s", thread, name)
		}
	}
	limits, err := os.ReadFile("/proc/" + pid + "/limits")
	require.NoError(t, err)
	require.Regexp(t, `Max core file size +0 +0 `, string(limits))
}

// without is a command line that runs another as root without these capabilities.
func without(capabilities string, argv ...string) []string {
	return append([]string{"setpriv", "--bounding-set", capabilities, "--inh-caps", capabilities}, argv...)
}

func TestTheDaemonHasTwoPrivilegesAndNoMore(t *testing.T) {
	t.Parallel()
	containerlab.Require(t, "setpriv")
	c := twoClusters(t)
	n := c.Node("east-1")
	run := []string{"underlayd", "run", "--config", "/etc/underlayd/config.yaml"}
	step(t, "on every thread, while it works", func(t *testing.T) {
		for _, p := range places() {
			exactly(t, fmt.Sprint(c.Node(p.name).Process("underlayd").PID()), netAdmin|netBindService)
		}
	})
	step(t, "the other commands need none", func(t *testing.T) {
		for _, argv := range [][]string{
			{"status"}, {"peers"}, {"routes"}, {"config", "validate"}, {"config", "print"}, {"version"},
		} {
			output(t, n, without("-all", append([]string{"underlayd"}, argv...)...)...)
		}
	})
	require.NoError(t, n.Process("underlayd").Signal(syscall.SIGTERM))
	require.NoError(t, n.Process("underlayd").Wait())
	step(t, "what is missing is named", func(t *testing.T) { missingPrivileges(t, c, n, run) })
	for _, row := range []struct {
		name string
		argv []string
		set  uint64
	}{
		{"it works with the two alone", without("-all,+net_admin,+net_bind_service", run...), netAdmin | netBindService},
		{"with nothing but CAP_NET_ADMIN on a high port", without("-all,+net_admin", append(run, "--bgp-port", "1790")...), netAdmin},
		{"and gives up what a high port makes needless", append(run, "--bgp-port", "1790"), netAdmin},
	} {
		step(t, row.name, func(t *testing.T) {
			daemon, err := n.Start("daemon", row.argv...)
			require.NoError(t, err)
			c.settled(t)
			exactly(t, fmt.Sprint(daemon.PID()), row.set)
			require.NoError(t, daemon.Signal(syscall.SIGTERM))
			require.NoError(t, daemon.Wait())
		})
	}
	step(t, "it leaves no core file", func(t *testing.T) {
		require.NoError(t, n.Launch(t.Context()))
		c.settled(t)
		daemon := n.Process("underlayd")
		require.NoError(t, daemon.Signal(syscall.SIGABRT))
		<-daemon.Done()
		require.NotContains(t, fmt.Sprint(daemon.Err()), "core dumped")
	})
}

func missingPrivileges(t *testing.T, c *clusters, n *containerlab.Node, run []string) {
	problems := refused(t, n, 1, without("-net_admin", run...)...)
	require.Contains(t, problems, "CAP_NET_ADMIN is missing")
	require.NotContains(t, problems, "CAP_NET_BIND_SERVICE")
	require.Contains(t, refused(t, n, 1, without("-net_bind_service", run...)...),
		"CAP_NET_BIND_SERVICE is missing: it is needed to listen on port 179 (bgp.port)")
	problems = refused(t, n, 1, without("-all", run...)...)
	require.Contains(t, problems, "CAP_NET_ADMIN is missing")
	require.Contains(t, problems, "CAP_NET_BIND_SERVICE is missing")
	require.Contains(t, refused(t, n, 1, without("-all", "underlayd", "cleanup")...), "CAP_NET_ADMIN is missing")

	// Not only at the first reload, months later.
	file := c.config("east-1")
	require.NoError(t, os.Chmod(file, 0o600))
	require.NoError(t, os.Chown(file, 65534, 65534))
	require.Contains(t, refused(t, n, 1, run...), "permission denied: the daemon gives up CAP_DAC_OVERRIDE")
	require.NoError(t, os.Chown(file, 0, 0))
}

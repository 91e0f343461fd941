package containerlab

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// TB is the part of testing.TB that this package needs, so that programs other than tests may import it.
type TB interface {
	Helper()
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Cleanup(f func())
	Failed() bool
}

// packageOf names the Debian package that brings a tool.
func packageOf(tool string) string {
	packages := map[string]string{
		"zebra": "frr", "bgpd": "frr", "bfdd": "frr", "vtysh": "frr",
		"bird": "bird2", "birdc": "bird2",
		"gobgpd": "gobgpd", "gobgp": "gobgpd",
		"etcd": "etcd-server", "nft": "nftables",
		"ip": "iproute2", "ss": "iproute2", "bridge": "iproute2", "tc": "iproute2",
		"ping": "iputils-ping", "sysctl": "procps",
		"mount": "mount", "bash": "bash",
		"nsenter": "util-linux", "unshare": "util-linux", "setpriv": "util-linux",
		"docker": "docker.io", "dockerd": "docker.io", "promtool": "prometheus",
	}
	if p, ok := packages[tool]; ok {
		return p
	}
	return tool
}

// Require skips the test when this process is not root or a tool is missing, naming the Debian packages to install.
// With CI set in the environment it fails the test instead: there, nothing may go untested unseen.
func Require(t TB, tools ...string) {
	t.Helper()
	refuse := t.Skipf
	if os.Getenv("CI") != "" {
		refuse = t.Fatalf
	}
	if os.Geteuid() != 0 {
		refuse("needs root, to make network namespaces")
		return
	}
	var missing []string
	for _, tool := range append([]string{"bash", "mount"}, tools...) {
		if !installed(tool) {
			missing = append(missing, packageOf(tool))
		}
	}
	if len(missing) > 0 {
		refuse("needs programs that are not installed: apt-get install %s", strings.Join(missing, " "))
	}
}

func installed(tool string) bool {
	if _, err := exec.LookPath(tool); err == nil {
		return true
	}
	for _, dir := range append(filepath.SplitList(nodePath), frrPrograms) {
		if info, err := os.Stat(filepath.Join(dir, tool)); err == nil && !info.IsDir() {
			return true
		}
	}
	return false
}

// testTimeout bounds the making of a lab in a test; it takes a second or two.
const testTimeout = time.Minute

// UpForTest makes a lab of the topology at path for the time of a test; when the test fails it logs the nodes' logs.
func UpForTest(t TB, path string, o Options) *Lab {
	t.Helper()
	topology, err := Load(path)
	if err != nil {
		t.Fatalf("%s", err)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	lab, err := topology.Up(ctx, o)
	if err != nil {
		t.Fatalf("%s", err)
		return nil
	}
	t.Cleanup(func() {
		if t.Failed() {
			var logs strings.Builder
			if err := lab.WriteLogs(&logs); err != nil {
				t.Logf("logs: %s", err)
			}
			t.Logf("%s", logs.String())
		}
		if err := lab.Down(); err != nil {
			t.Fatalf("%s", err)
		}
	})
	return lab
}

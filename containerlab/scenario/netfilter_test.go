package scenario

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/containerlab"
)

// withoutNetfilter makes the test binary run the program that follows as on a kernel that has no netfilter.
const withoutNetfilter = "without-netfilter"

func runWithoutNetfilter(argv []string) int {
	runtime.LockOSThread() // the filter is this thread's, and goes with it into the program
	path, err := exec.LookPath(argv[0])
	if err == nil {
		err = containerlab.RefuseNetfilter()
	}
	if err == nil {
		err = unix.Exec(path, argv, os.Environ())
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// TestAKernelWithoutNetfilter: routing does not depend on it, and what is missing is said.
func TestAKernelWithoutNetfilter(t *testing.T) {
	t.Parallel()
	c := clustersWithout(t, "east-1")
	n := c.Node("east-1")
	self, err := os.Executable()
	require.NoError(t, err)
	daemon, err := n.Start("daemon", self, withoutNetfilter, "underlayd", "run", "--config", "/etc/underlayd/config.yaml")
	require.NoError(t, err)
	becomes(t, n, patience, want("east-1"))
	is(t, n, "without the exemption", func(s state) error {
		if s.Phase != "Ready" || s.NATExemption.State != "Failed" {
			return errors.New(s.Phase + ", " + s.NATExemption.State)
		}
		return says("NAT exemption", "this kernel has no NAT by nftables", "protocol not supported")(s)
	})
	require.Contains(t, output(t, n, "underlayd", "status"), "failed: what pods send to other clusters may be masqueraded")
	require.NoError(t, daemon.Kill())
	require.Contains(t, output(t, n, self, withoutNetfilter, "underlayd", "cleanup"), "routes and next-hop objects removed")
}

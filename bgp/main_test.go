package bgp

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// isolated marks the copy of the test binary that runs in a network namespace of its own.
const isolated = "UNDERLAYD_TEST_ISOLATED"

// TestMain runs the tests in a fresh network namespace, so that BGP speakers can have real addresses (next
// hops in 127.0.0.0/8 are refused by every speaker) and nothing is ever sent beyond it.
func TestMain(m *testing.M) {
	if os.Getenv(isolated) != "" {
		for _, args := range [][]string{
			{"link", "set", "lo", "up"},
			{"address", "replace", "192.168.0.1/32", "dev", "lo"},
			{"address", "replace", "192.168.0.2/32", "dev", "lo"},
			{"address", "replace", "192.168.0.3/32", "dev", "lo"},
			{"address", "replace", "fd00::1/128", "dev", "lo", "nodad"},
			{"address", "replace", "fd00::2/128", "dev", "lo", "nodad"},
		} {
			if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "ip %v: %v: %s\n", args, err, out)
				os.Exit(1)
			}
		}
		os.Exit(m.Run())
	}
	if os.Geteuid() != 0 {
		fmt.Println("these tests need root: they run in a network namespace of their own")
		if os.Getenv("CI") != "" {
			os.Exit(1)
		}
		os.Exit(0)
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), isolated+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

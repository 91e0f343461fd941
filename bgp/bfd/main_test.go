package bfd

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// isolated marks the copy of the test binary that runs in a network namespace of its own.
const isolated = "UNDERLAYD_TEST_ISOLATED"

// TestMain runs the tests in a fresh network namespace: they listen on ports that a BFD daemon of this machine may have,
// and nothing is ever sent beyond it.
func TestMain(m *testing.M) {
	if os.Getenv(isolated) != "" {
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "ip link set lo up: %v: %s\n", err, out)
			os.Exit(1)
		}
		if end := os.Getenv(endOf); end != "" {
			os.Exit(runEnd(end))
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

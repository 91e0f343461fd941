package containerlab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
)

// isolatedEnv marks the copy of a test binary that runs in a network namespace of its own.
const isolatedEnv = "UNDERLAYD_TEST_ISOLATED"

// InNamespace calls run, which is the Run of a testing.M, in a copy of this program that has a fresh network namespace:
// the tests may listen on every port, and send nothing beyond it. Its loopback is up and has these addresses. It returns
// what TestMain is to exit with. Without root nothing is run, which is a failure when CI is set.
func InNamespace(run func() int, addresses ...netip.Addr) int {
	if os.Getenv(isolatedEnv) != "" {
		if err := raiseLoopback(addresses); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return run()
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests need root: they run in a network namespace of their own")
		if os.Getenv("CI") != "" {
			return 1
		}
		return 0
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), isolatedEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	var ended *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &ended) && ended.ExitCode() > 0: // it has said why
		return ended.ExitCode()
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// raiseLoopback sets the loopback of this process's namespace up and gives it addresses.
func raiseLoopback(addresses []netip.Addr) error {
	commands := [][]string{{"link", "set", "lo", "up"}}
	for _, a := range addresses {
		args := []string{"address", "replace", netip.PrefixFrom(a, a.BitLen()).String(), "dev", "lo"}
		if a.Is6() {
			args = append(args, "nodad") // usable at once
		}
		commands = append(commands, args)
	}
	for _, args := range commands {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
	}
	return nil
}

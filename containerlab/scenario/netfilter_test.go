package scenario

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// withoutNetfilter makes the test binary run the program that follows as on a kernel that has no netfilter.
const withoutNetfilter = "without-netfilter"

func runWithoutNetfilter(argv []string) int {
	runtime.LockOSThread() // the filter is this thread's, and goes with it into the program
	path, err := exec.LookPath(argv[0])
	if err == nil {
		err = refuseNetfilter()
	}
	if err == nil {
		err = unix.Exec(path, argv, os.Environ())
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// refuseNetfilter has socket(2) fail for netlink sockets of netfilter.
func refuseNetfilter() error {
	const protocol = 16 + 2*8 // of seccomp_data: the third argument
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	unless := func(k uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jf: skip}
	}
	prog := []unix.SockFilter{
		load(0), unless(unix.SYS_SOCKET, 5),
		load(16), unless(unix.AF_NETLINK, 3),
		load(protocol), unless(unix.NETLINK_NETFILTER, 1),
		{Code: unix.BPF_RET | unix.BPF_K, K: 0x00050000 | uint32(unix.EPROTONOSUPPORT)}, // SECCOMP_RET_ERRNO
		{Code: unix.BPF_RET | unix.BPF_K, K: 0x7fff0000},                                // SECCOMP_RET_ALLOW
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	const filter = 2 // SECCOMP_MODE_FILTER
	return unix.Prctl(unix.PR_SET_SECCOMP, filter, uintptr(unsafe.Pointer(&unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]})), 0, 0)
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

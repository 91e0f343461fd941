package containerlab

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// RefuseNetfilter has socket(2) fail on this thread for netlink sockets of netfilter, as on a kernel that has none. The caller has
// locked the thread; the filter stays with it, and with the program that it becomes.
func RefuseNetfilter() error {
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
	//nolint:gosec // prctl(2) takes the filter by its address, and has read it when it returns
	return unix.Prctl(unix.PR_SET_SECCOMP, filter, uintptr(unsafe.Pointer(&unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]})), 0, 0)
}

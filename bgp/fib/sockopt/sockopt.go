// Package sockopt sets options of the netlink sockets of this folder, whatever they speak about.
package sockopt

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// WithoutOwn has the kernel withhold notifications of what another socket of ours wrote: 100,000 routes must not come back as
// 100,000 messages. nlmsg_pid, at offset 12, is the writer's port, and a classic filter loads it in network order.
func WithoutOwn(fd int, port uint32) error {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], port)
	prog := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 12},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 1, K: binary.BigEndian.Uint32(b[:])},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
	}
	err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]})
	if err != nil {
		return fmt.Errorf("filter netlink notifications: %w", err)
	}
	return nil
}

// ReceiveBuffer asks for a buffer of so many bytes for what comes in: beyond net.core.rmem_max only with CAP_NET_ADMIN in
// the first user namespace. Without it the kernel gives what it gives.
func ReceiveBuffer(fd, size int) { buffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, size) }

// SendBuffer likewise, for what goes out: net.core.wmem_max.
func SendBuffer(fd, size int) { buffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, size) }

func buffer(fd, force, polite, size int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, polite, size)
	}
}

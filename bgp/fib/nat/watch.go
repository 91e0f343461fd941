package nat

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/bgp/fib/sockopt"
)

// touch is that somebody else changed our table, or may have.
type touch struct {
	by string // who: "process 77 (nft)"; empty: not known
}

// monitor reads what the kernel announces of nftables.
type monitor struct {
	file  *os.File
	table string

	ours bool // an announcement of the transaction that is being read is about our table
}

// openMonitor subscribes, to what others than the socket with a given port do.
func openMonitor(table string, port uint32) (*monitor, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	sockopt.ReceiveBuffer(fd, watchBuffer)
	err = errors.Join(
		sockopt.WithoutOwn(fd, port),
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.NFNLGRP_NFTABLES))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watch nftables: %w", err), unix.Close(fd))
	}
	return &monitor{file: os.NewFile(uintptr(fd), "nftables"), table: table}, nil
}

func (m *monitor) close() error {
	if err := m.file.Close(); err != nil {
		return fmt.Errorf("close netlink socket: %w", err)
	}
	return nil
}

// watch calls sink for each transaction of others that touches our table, until ctx ends; then it returns nil. What happened
// since the monitor was opened is not missed.
func (m *monitor) watch(ctx context.Context, sink func(touch)) error {
	conn, err := m.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = m.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 1<<20)
	for {
		var n int
		var failed error
		err := conn.Read(func(fd uintptr) bool {
			n, _, failed = unix.Recvfrom(int(fd), buf, unix.MSG_TRUNC) // the whole length, be it longer than buf
			return !errors.Is(failed, unix.EAGAIN)
		})
		switch {
		case ctx.Err() != nil:
			_ = m.file.SetReadDeadline(time.Time{}) // a later watch may follow
			return nil
		case err != nil:
			return fmt.Errorf("watch nftables: %w", err)
		case errors.Is(failed, unix.ENOBUFS), n > len(buf):
			sink(touch{}) // something was lost
		case errors.Is(failed, unix.EINTR):
		case failed != nil:
			return fmt.Errorf("watch nftables: %w", failed)
		default:
			m.deliver(buf[:n], sink)
		}
	}
}

// deliver reads announcements. Each transaction ends with that of a new generation, which says whose it was.
func (m *monitor) deliver(b []byte, sink func(touch)) {
	const header, family = unix.SizeofNlMsghdr, 4
	for len(b) >= header {
		size := int(binary.NativeEndian.Uint32(b))
		kind := binary.NativeEndian.Uint16(b[4:])
		if size < header || size > len(b) {
			sink(touch{}) // unreadable: read the table instead
			return
		}
		body := b[header:size]
		b = b[min(align(size), len(b)):]
		if kind>>8 != unix.NFNL_SUBSYS_NFTABLES || len(body) < family {
			continue
		}
		of, attrs := body[0], attributes(body[family:])
		switch {
		case kind&0xff == unix.NFT_MSG_NEWGEN:
			if m.ours {
				sink(touch{by: doer(attrs)})
			}
			m.ours = false
		case of == unix.NFPROTO_INET && text(attrs[firstAttribute]) == m.table:
			m.ours = true
		}
	}
}

// firstAttribute is the name of the table in each kind of announcement.
const firstAttribute = unix.NFTA_TABLE_NAME

func attributes(b []byte) map[uint16][]byte {
	const header = unix.SizeofNlAttr
	out := map[uint16][]byte{}
	for len(b) >= header {
		size := int(binary.NativeEndian.Uint16(b))
		if size < header || size > len(b) {
			break
		}
		out[binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER)] = b[header:size]
		b = b[min(align(size), len(b)):]
	}
	return out
}

func align(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

// doer is the program behind a transaction, by the name it gave itself, which may be anything: what cannot be printed is
// left out.
func doer(attrs map[uint16][]byte) string {
	pid, name := attrs[unix.NFTA_GEN_PROC_PID], text(attrs[unix.NFTA_GEN_PROC_NAME])
	if len(pid) != 4 {
		return ""
	}
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, name)
	return fmt.Sprintf("process %d (%s)", binary.BigEndian.Uint32(pid), name)
}

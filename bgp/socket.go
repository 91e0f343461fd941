package bgp

import (
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// GoBGP does not hand out the connections of its sessions either. They are found by their ends, and known again by
// their inode: between two looks a descriptor may have become that of something else.

// socket is the connection of a session.
type socket struct {
	fd    int
	inode uint64
}

// ends are both ends of a connection, as the kernel has them; IPv4 in IPv6 is unmapped and links are left out.
type ends struct {
	peer        netip.Addr
	local, port uint16 // our port and the peer's
}

// connections finds this process's TCP connections, all in one pass: it costs two calls for each open file.
func connections() (map[ends]socket, error) {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	found := map[ends]socket{}
	for _, f := range files {
		fd, err := strconv.Atoi(f.Name())
		if err != nil {
			continue
		}
		remote, err := unix.Getpeername(fd)
		if err != nil {
			continue
		}
		local, err := unix.Getsockname(fd)
		if err != nil {
			continue
		}
		to, from := addrPort(remote), addrPort(local)
		var stat unix.Stat_t
		if !to.IsValid() || unix.Fstat(fd, &stat) != nil {
			continue
		}
		found[ends{to.Addr(), from.Port(), to.Port()}] = socket{fd, stat.Ino}
	}
	return found, nil
}

func addrPort(address unix.Sockaddr) netip.AddrPort {
	switch a := address.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// valid says whether the descriptor is still that of the connection.
func (s socket) valid() bool {
	var stat unix.Stat_t
	return unix.Fstat(s.fd, &stat) == nil && stat.Ino == s.inode
}

// received returns how many bytes the peer has sent, and how many of them GoBGP has not read yet; false when the
// connection is gone.
func (s socket) received() (bytes, unread uint64, ok bool) {
	if !s.valid() {
		return 0, 0, false
	}
	info, err := unix.GetsockoptTCPInfo(s.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, 0, false
	}
	queued, err := unix.IoctlGetInt(s.fd, unix.SIOCINQ)
	if err != nil {
		return 0, 0, false
	}
	return info.Bytes_received, min(uint64(queued), info.Bytes_received), true
}

// breakOff ends the connection as a broken cable would: no NOTIFICATION is sent, so that peers which agreed to graceful
// restart keep the routes (RFC 4724, section 4.2).
func (s socket) breakOff() error {
	return s.onCopy(func(fd int) error { return unix.Shutdown(fd, unix.SHUT_RDWR) })
}

// secure sets the key of the connection itself. One that has it is not changed; one that slipped in before the listener
// had it is worth nothing from here on, since the kernel drops what comes without.
func (s socket) secure(peer netip.Addr, key Secret) error {
	return s.onCopy(func(fd int) error { return setMD5(fd, peer, key.text) })
}

// onCopy does something to the connection on a copy of its descriptor, which can't become that of something else.
func (s socket) onCopy(f func(fd int) error) error {
	fd, err := unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if copied := (socket{fd, s.inode}); !copied.valid() {
		return unix.ENOTCONN
	}
	return f(fd)
}

// limitSending gives up on the connection when nothing of what waits to be sent gets through for a hold time: a peer
// that has stopped reading would otherwise be believed for ever (RFC 9687). GoBGP has no send hold timer of its own.
// The kernel's is exact about a closed window since Linux 5.11.
func (s socket) limitSending(hold time.Duration) error {
	return unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(hold.Milliseconds()))
}

// probe has the kernel find out whether the peer is still there, for sessions without keepalives of their own.
func (s socket) probe(hold time.Duration) error {
	third := max(1, int(hold.Seconds())/3)
	for _, option := range [][2]int{{unix.TCP_KEEPIDLE, third}, {unix.TCP_KEEPINTVL, third}, {unix.TCP_KEEPCNT, 2}} {
		if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, option[0], option[1]); err != nil {
			return err
		}
	}
	return unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
}

package bfd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The ports of RFC 5881, section 4, and RFC 5883, section 5.
const (
	singleHopPort = 3784
	multihopPort  = 4784
)

const (
	batch        = 32      // datagrams per system call
	bodyLength   = 256     // the longest packet by its length field; what follows it does not count
	nameLength   = 28      // of an IPv6 socket address
	oobLength    = 128     // TTL, destination and time need 96
	receiveQueue = 4 << 20 // bytes; two seconds of a hundred sessions at 50 ms, should we be away for that long
)

// kind is one of the four kinds of sockets that are listened on.
type kind struct {
	six, multihop bool
}

func (k kind) String() string {
	family := "IPv4"
	if k.six {
		family = "IPv6"
	}
	return fmt.Sprintf("UDP port %d (%s)", k.port(), family)
}

func (k kind) port() int {
	if k.multihop {
		return multihopPort
	}
	return singleHopPort
}

// receiver is a socket that is listened on. Its buffers are used again and again.
type receiver struct {
	kind
	file *os.File // for the runtime to wait for the socket
	fd   int      // the same socket; it is closed with the file
	seen instant  // everything that came until then has been read

	over chan struct{} // closed with the socket

	bodies   [batch][bodyLength]byte
	names    [batch][nameLength]byte
	oobs     [batch][oobLength]byte
	vectors  [batch]unix.Iovec
	messages [batch]message
}

// message is the kernel's struct mmsghdr.
type message struct {
	header unix.Msghdr
	length uint32
}

// datagram is one that was read; it is gone with the next read.
type datagram struct {
	body     []byte
	from, to netip.Addr // without zones
	link     uint32     // the interface it came in by
	ttl      int        // or hop limit
	came     time.Duration
}

// listen opens a socket. Whenever something is received, arrived is offered a word.
func listen(k kind, arrived chan<- struct{}) (*receiver, error) {
	r := &receiver{kind: k}
	var err error
	var local unix.Sockaddr = &unix.SockaddrInet4{Port: k.port()}
	family := unix.AF_INET
	if k.six {
		local, family = &unix.SockaddrInet6{Port: k.port()}, unix.AF_INET6
	}
	if r.fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return nil, fmt.Errorf("%s: %w", k, err)
	}
	r.file = os.NewFile(uintptr(r.fd), k.String())
	raw, err := r.file.SyscallConn()
	if err = errors.Join(err, r.prepare(), unix.Bind(r.fd, local)); err != nil {
		return nil, fmt.Errorf("%s: %w", k, errors.Join(err, r.file.Close()))
	}
	for i := range batch {
		r.vectors[i].Base = &r.bodies[i][0]
		r.vectors[i].SetLen(bodyLength)
		h := &r.messages[i].header
		h.Name, h.Control, h.Iov = &r.names[i][0], &r.oobs[i][0], &r.vectors[i]
		h.SetIovlen(1)
	}
	r.over = make(chan struct{})
	go r.watch(raw, arrived)
	return r, nil
}

// watch is woken by what is received until the socket is closed. It reads nothing: it only waits for the loop to.
func (r *receiver) watch(raw syscall.RawConn, arrived chan<- struct{}) {
	_ = raw.Read(func(uintptr) bool { // it ends with the file
		select {
		case arrived <- struct{}{}:
		case <-r.over:
			return true
		}
		return false
	})
}

// prepare asks for what must be known of each datagram.
func (r *receiver) prepare() error {
	// Beyond net.core.rmem_max only with NET_ADMIN; what is there otherwise holds some 270 packets.
	if unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveQueue) != nil {
		_ = unix.SetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveQueue)
	}
	options := [][2]int{{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS}, {unix.SOL_IP, unix.IP_RECVTTL}, {unix.SOL_IP, unix.IP_PKTINFO}}
	if r.six {
		options = [][2]int{
			{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS}, {unix.SOL_IPV6, unix.IPV6_V6ONLY},
			{unix.SOL_IPV6, unix.IPV6_RECVHOPLIMIT}, {unix.SOL_IPV6, unix.IPV6_RECVPKTINFO},
		}
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(r.fd, o[0], o[1], 1); err != nil {
			return fmt.Errorf("socket option %d: %w", o[1], err)
		}
	}
	return nil
}

func (r *receiver) close() {
	close(r.over)
	_ = r.file.Close()
}

// read reads up to a batch of datagrams; none is not an error. The wrappers of package unix read one at a time, allocate
// its address, and announce to the scheduler that they may block, which this never does.
func (r *receiver) read() (int, error) {
	for i := range batch {
		h := &r.messages[i].header
		h.Namelen = nameLength
		h.SetControllen(oobLength)
	}
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(r.fd),
			uintptr(unsafe.Pointer(&r.messages[0])), batch, unix.MSG_DONTWAIT, 0, 0) //nolint:gosec // the system call takes the address
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, fmt.Errorf("%s: read: %w", r.kind, errno)
		}
	}
}

// datagram is the i-th of those that were read. An incomplete one has no sender, and is nobody's.
func (r *receiver) datagram(i int) datagram {
	d := datagram{body: r.bodies[i][:min(r.messages[i].length, bodyLength)]}
	name := r.names[i][:]
	if r.six {
		d.from = netip.AddrFrom16([16]byte(name[8:24]))
	} else {
		d.from = netip.AddrFrom4([4]byte(name[4:8]))
	}
	oob := r.oobs[i][:min(int(r.messages[i].header.Controllen), oobLength)]
	for len(oob) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return datagram{}
		}
		d.note(h, data)
		oob = rest
	}
	return d
}

// note takes one control message.
func (d *datagram) note(h unix.Cmsghdr, data []byte) {
	native := binary.NativeEndian
	switch {
	case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_TIMESTAMPNS && len(data) >= 16:
		d.came = time.Duration(native.Uint64(data))*time.Second + time.Duration(native.Uint64(data[8:]))
	case h.Level == unix.SOL_IP && h.Type == unix.IP_TTL && len(data) >= 4,
		h.Level == unix.SOL_IPV6 && h.Type == unix.IPV6_HOPLIMIT && len(data) >= 4:
		d.ttl = int(native.Uint32(data))
	case h.Level == unix.SOL_IP && h.Type == unix.IP_PKTINFO && len(data) >= 12:
		d.link, d.to = native.Uint32(data), netip.AddrFrom4([4]byte(data[8:12]))
	case h.Level == unix.SOL_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= 20:
		d.to, d.link = netip.AddrFrom16([16]byte(data[:16])), native.Uint32(data[16:])
	}
}

// arrival turns the kernel's time of a datagram, which is of the wall clock, into an instant. It can't be before what was
// read before, nor later than now: a wall clock that is being set does no more harm than that.
func (r *receiver) arrival(came time.Duration, now instant, wall time.Time) instant {
	if came == 0 {
		return now
	}
	return min(max(now-(time.Duration(wall.UnixNano())-came), r.seen), now)
}

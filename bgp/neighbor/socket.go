package neighbor

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// socket sends and receives ICMPv6 on all links. To make one takes CAP_NET_RAW; to use it takes nothing.
type socket struct{ file *os.File }

func openSocket() (*socket, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMPV6)
	if errors.Is(err, unix.EPERM) {
		return nil, fmt.Errorf("ICMPv6 socket: %w (CAP_NET_RAW is missing at the start)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("ICMPv6 socket: %w", err)
	}
	s := &socket{file: os.NewFile(uintptr(fd), "icmpv6")}
	options := []struct{ option, value int }{
		{unix.IPV6_MULTICAST_HOPS, nearby}, {unix.IPV6_UNICAST_HOPS, nearby},
		{unix.IPV6_MULTICAST_LOOP, 0}, {unix.IPV6_RECVHOPLIMIT, 1},
	}
	errs := []error{filter(fd)}
	for _, o := range options {
		errs = append(errs, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, o.option, o.value))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(fmt.Errorf("ICMPv6 socket: %w", err), s.file.Close())
	}
	return s, nil
}

// filter lets in only the messages that we have a use for.
func filter(fd int) error {
	const icmp6Filter = 1 // ICMPV6_FILTER of linux/icmpv6.h; a bit that is set keeps a type out
	var f unix.ICMPv6Filter
	for i := range f.Data {
		f.Data[i] = 1<<32 - 1
	}
	for _, kind := range []uint{echoReply, routerSolicitation, routerAdvertisement} {
		f.Data[kind/32] &^= 1 << (kind % 32)
	}
	return unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, icmp6Filter, &f)
}

// sender is where a message comes from.
type sender struct {
	link int
	addr netip.Addr // of ours on the link
}

// send sends a message out of a link. That it may not arrive is in the nature of it.
func (s *socket) send(from sender, to netip.Addr, body []byte) error {
	control := unix.PktInfo6(&unix.Inet6Pktinfo{Addr: from.addr.As16(), Ifindex: uint32(from.link)})
	conn, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = conn.Control(func(fd uintptr) {
		_, sent = unix.SendmsgN(int(fd), body, control, &unix.SockaddrInet6{ZoneId: uint32(from.link), Addr: to.As16()}, unix.MSG_DONTWAIT)
	})
	return errors.Join(err, sent)
}

// receive waits for the next message. The packet uses the buffer. The error is os.ErrClosed once the socket is closed.
func (s *socket) receive(buffer []byte) (packet, error) {
	conn, err := s.file.SyscallConn()
	if err != nil {
		return packet{}, err
	}
	var p packet
	var failed error
	control := make([]byte, unix.CmsgSpace(4))
	err = conn.Read(func(fd uintptr) bool {
		n, m, _, from, err := unix.Recvmsg(int(fd), buffer, control, 0)
		if errors.Is(err, unix.EAGAIN) {
			return false
		}
		if failed = err; err != nil {
			return true
		}
		if a, ok := from.(*unix.SockaddrInet6); ok {
			p = packet{from: netip.AddrFrom16(a.Addr), link: int(a.ZoneId), hops: hopLimit(control[:m]), body: buffer[:n]}
		}
		return true
	})
	if err != nil { // the poller's own word for it is not exported
		return packet{}, os.ErrClosed
	}
	return p, failed
}

// hopLimit is -1 when it was not told.
func hopLimit(control []byte) int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return -1
	}
	for _, m := range messages {
		if m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_HOPLIMIT && len(m.Data) > 0 {
			return int(m.Data[0]) // an int, of which one byte is used
		}
	}
	return -1
}

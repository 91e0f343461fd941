package bfd

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	firstPort    = 49152 // of the source ports of RFC 5881, section 4; the last is 65535
	ports        = 65536 - firstPort
	portTries    = 100
	farthest     = 255     // the TTL of what is sent
	trafficClass = 48 << 2 // DSCP CS6, network control
	noSocket     = -1
)

// sender is the socket that a session sends from. It has a port of its own, and never receives.
type sender struct {
	fd     int
	port   int
	to     unix.RawSockaddrInet6 // or, at its beginning, an IPv4 one
	length uintptr
}

// open makes the socket; port 0 stands for any, and taken says which are in use. The port is kept when it is opened again.
func (s *sender) open(cfg Session, link uint32, taken map[int]bool) error {
	family := unix.AF_INET
	if cfg.Peer.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	port, err := bindAny(fd, cfg, link, func(tries int) int {
		if s.port != 0 && tries == 0 {
			return s.port
		}
		p := firstPort + int(random32()%ports)
		for taken[p] && len(taken) < ports {
			p = firstPort + (p-firstPort+1)%ports
		}
		return p
	})
	if err = errors.Join(err, prepareSender(fd, cfg.Peer.Is6())); err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	delete(taken, s.port)
	taken[port] = true
	s.fd, s.port = fd, port
	s.aim(cfg.Peer, kind{multihop: cfg.multihop()}.port(), link)
	return nil
}

// bindAny binds to the local address, at the first of the ports that choose returns which is free.
func bindAny(fd int, cfg Session, link uint32, choose func(tries int) int) (int, error) {
	local, err := localAddress(cfg, link)
	if err != nil {
		return 0, err
	}
	for tries := range portTries {
		port := choose(tries)
		err := unix.Bind(fd, socketAddress(local, port, link))
		if err == nil {
			return port, nil
		}
		if !errors.Is(err, unix.EADDRINUSE) {
			return 0, fmt.Errorf("local address %s: %w", local, err)
		}
	}
	return 0, fmt.Errorf("local address %s: no free port", local)
}

// localAddress is the one that is wanted, or that the kernel would take now. The socket stays with it: a peer knows the
// session by its address, and another one that is added to an interface must not change it.
func localAddress(cfg Session, link uint32) (netip.Addr, error) {
	if cfg.Local.IsValid() {
		return cfg.Local, nil
	}
	family := unix.AF_INET
	if cfg.Peer.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Connect(fd, socketAddress(cfg.Peer, singleHopPort, link)); err != nil {
		return netip.Addr{}, fmt.Errorf("no way to the peer: %w", err)
	}
	name, err := unix.Getsockname(fd)
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(a.Addr), nil
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(a.Addr), nil
	}
	return netip.Addr{}, fmt.Errorf("no way to the peer: %w", err)
}

func prepareSender(fd int, six bool) error {
	options := [][3]int{
		{unix.SOL_IP, unix.IP_TTL, farthest}, {unix.SOL_IP, unix.IP_TOS, trafficClass},
	}
	if six {
		options = [][3]int{
			{unix.SOL_IPV6, unix.IPV6_UNICAST_HOPS, farthest}, {unix.SOL_IPV6, unix.IPV6_TCLASS, trafficClass},
		}
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o[0], o[1], o[2]); err != nil {
			return fmt.Errorf("socket option %d: %w", o[1], err)
		}
	}
	// Whatever comes to this port is dropped before it takes room.
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: 1, Filter: &nothing}); err != nil {
		return fmt.Errorf("socket filter: %w", err)
	}
	return nil
}

// aim sets where packets go.
func (s *sender) aim(peer netip.Addr, port int, link uint32) {
	network := uint16(port)<<8 | uint16(port)>>8
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		network = uint16(port)
	}
	if peer.Is4() {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.to)) //nolint:gosec // as the kernel overlays them; it is the smaller one
		*four = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: network, Addr: peer.As4()}
		s.length = unix.SizeofSockaddrInet4
		return
	}
	s.to = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: network, Addr: peer.As16(), Scope_id: link}
	s.length = unix.SizeofSockaddrInet6
}

// send sends a packet, which is not empty. It never blocks, and does not announce to the scheduler that it may: see receiver.read.
func (s *sender) send(b []byte) error {
	for {
		_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd),
			uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), //nolint:gosec // the system call takes the address
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL,
			uintptr(unsafe.Pointer(&s.to)), s.length) //nolint:gosec // and this one
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno // without words: it may come every few milliseconds
		}
	}
}

// close may be called again.
func (s *sender) close() {
	if s.fd != noSocket {
		_ = unix.Close(s.fd)
	}
	s.fd = noSocket
}

func socketAddress(a netip.Addr, port int, link uint32) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: a.As4()}
	}
	s := &unix.SockaddrInet6{Port: port, Addr: a.As16()}
	if a.IsLinkLocalUnicast() {
		s.ZoneId = link
	}
	return s
}

// linkOf is the index of the interface that a zone names; 0 when there is no zone.
func linkOf(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 31); err == nil {
		return uint32(n), nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, fmt.Errorf("interface %s: %w", zone, errors.Unwrap(err))
	}
	return uint32(i.Index), nil
}

// random32 is a number that nobody can guess.
func random32() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return binary.NativeEndian.Uint32(b[:])
}

package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const maxDatagram = 1 << 16

// arrival is an authentic message for the loop.
type arrival struct {
	message
	source netip.Addr
	at     time.Time
	back   Back // what was answered to a request
}

// socket is one that is bound to an address of ours. Each has a goroutine that reads it.
type socket struct {
	conn  *net.UDPConn
	local netip.AddrPort
	done  chan struct{} // closed with the socket
	wait  sync.WaitGroup
}

// openSocket binds an address; port 0 is any. What is sent is never fragmented, whatever the kernel believes of the path,
// and refused with EMSGSIZE where it is longer than the link carries (IP_PMTUDISC_PROBE).
func openSocket(at netip.AddrPort) (*socket, error) {
	var c net.ListenConfig
	c.Control = func(_, _ string, raw syscall.RawConn) error {
		var option error
		err := raw.Control(func(fd uintptr) {
			if at.Addr().Is4() {
				option = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
				return
			}
			option = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
		})
		return errors.Join(err, option)
	}
	conn, err := c.ListenPacket(context.Background(), "udp", at.String())
	if err != nil {
		return nil, fmt.Errorf("probe: UDP %s: %w", at, err)
	}
	return &socket{conn: conn.(*net.UDPConn), local: at, done: make(chan struct{})}, nil
}

// read hands over each datagram until the socket is closed. What is handed over is gone with the next one.
func (s *socket) read(take func(datagram []byte, from netip.AddrPort)) {
	s.wait.Go(func() {
		buffer := make([]byte, maxDatagram)
		for {
			n, from, err := s.conn.ReadFromUDPAddrPort(buffer)
			switch {
			case err == nil:
				take(buffer[:n], netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port()))
			case errors.Is(err, net.ErrClosed):
				return
			}
		}
	})
}

// offer gives an arrival to the loop, unless the socket is closed.
func (s *socket) offer(to chan<- arrival, a arrival) {
	select {
	case to <- a:
	case <-s.done:
	}
}

// close ends the reading, and returns when it has ended.
func (s *socket) close() {
	close(s.done)
	_ = s.conn.Close()
	s.wait.Wait()
}

// send sends once. Local says that the kernel found it longer than the link carries.
func (s *socket) send(d []byte, to netip.AddrPort) (tooLong bool, err error) {
	_, err = s.conn.WriteToUDPAddrPort(d, to)
	return errors.Is(err, unix.EMSGSIZE), err
}

// linkMTUs are those of the links that are up, but for the loopback.
func linkMTUs() []int {
	links, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var out []int
	for _, l := range links {
		if l.Flags&net.FlagUp != 0 && l.Flags&net.FlagLoopback == 0 {
			out = append(out, l.MTU)
		}
	}
	return out
}

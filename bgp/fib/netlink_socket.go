package fib

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/bgp/fib/sockopt"
)

const (
	replyTimeout = 10 * time.Second
	replyBuffer  = 8 << 20
	watchBuffer  = 16 << 20
	receiveSize  = 64 << 10
)

// socket is a route netlink socket that is asked and answers. It stays in the network namespace
// of the thread that opened it. Not for concurrent use.
type socket struct {
	fd   int
	port uint32
	seq  uint32
	enc  encoder
	in   []byte
}

func openSocket(flags int) (int, uint32, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|flags, unix.NETLINK_ROUTE)
	if err != nil {
		return -1, 0, fmt.Errorf("open netlink socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return -1, 0, errors.Join(fmt.Errorf("bind netlink socket: %w", err), unix.Close(fd))
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return -1, 0, errors.Join(fmt.Errorf("name netlink socket: %w", err), unix.Close(fd))
	}
	// Extended acknowledgements carry the kernel's words; older kernels lack them.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	local, ok := name.(*unix.SockaddrNetlink)
	if !ok {
		return -1, 0, errors.Join(errors.New("name netlink socket: not a netlink address"), unix.Close(fd))
	}
	return fd, local.Pid, nil
}

func newSocket() (*socket, error) {
	fd, port, err := openSocket(0)
	if err != nil {
		return nil, err
	}
	sockopt.ReceiveBuffer(fd, replyBuffer)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	// Lets a dump be filtered by table (since 4.20); without it we filter ourselves.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	limit := unix.NsecToTimeval(int64(replyTimeout))
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("limit netlink socket's patience: %w", err), unix.Close(fd))
	}
	return &socket{fd: fd, port: port, in: make([]byte, receiveSize)}, nil
}

func (s *socket) close() error {
	if err := unix.Close(s.fd); err != nil {
		return fmt.Errorf("close netlink socket: %w", err)
	}
	return nil
}

func (s *socket) nextSeq() uint32 {
	s.seq++
	return s.seq
}

func (s *socket) send() error {
	err := unix.Sendto(s.fd, s.enc.buf, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	s.enc.buf = s.enc.buf[:0]
	if err != nil {
		return fmt.Errorf("send to kernel: %w", err)
	}
	return nil
}

// receive calls f for each message of the next datagrams until f says it has seen the last. The
// kernel answers at once and the socket's own timeout bounds the rest, so no context ends it: an
// answer given up half-way would be in the way of the next question.
func (s *socket) receive(f func(message) (last bool, err error)) error {
	for {
		n, err := unix.Read(s.fd, s.in) // Recvfrom would allocate an address
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("receive from kernel: %w", err)
		}
		for b := s.in[:n]; len(b) > 0; {
			var m message
			if m, b, err = next(b); err != nil {
				return fmt.Errorf("receive from kernel: %w", err)
			}
			last, err := f(m)
			if err != nil || last {
				return err
			}
		}
	}
}

// dump sends the encoded request for a dump and reads the answer.
func (s *socket) dump(ctx context.Context, seq uint32, f func(message)) error {
	if err := ctx.Err(); err != nil {
		s.enc.buf = s.enc.buf[:0]
		return err
	}
	if err := s.send(); err != nil {
		return err
	}
	err := s.collect(seq, f)
	var refused *kernelError
	if err != nil && !errors.Is(err, errInterrupted) && !errors.As(err, &refused) {
		s.drain()
	}
	return err
}

// drain throws away what is left of a dump that failed half-way: until it has been read to its
// end the kernel refuses to begin another one on this socket.
func (s *socket) drain() {
	for {
		_, _, err := unix.Recvfrom(s.fd, s.in, unix.MSG_DONTWAIT)
		if err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENOBUFS) {
			return
		}
	}
}

// collect reads the answer to a dump request with the sequence number seq.
func (s *socket) collect(seq uint32, f func(message)) error {
	interrupted := false
	err := s.receive(func(m message) (bool, error) {
		if m.seq != seq {
			return false, nil // left over from a conversation that was given up
		}
		interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
		switch m.kind {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR:
			return true, decodeError(m)
		}
		f(m)
		return false, nil
	})
	if err == nil && interrupted {
		return errInterrupted
	}
	return err
}

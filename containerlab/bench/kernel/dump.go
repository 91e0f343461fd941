package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// errInterrupted says that the table changed under a dump.
var errInterrupted = errors.New("the dump was interrupted")

// Verify reads the whole table from the kernel and compares it with what it should be: want is called with every
// route that is there and returns its sorted next hops; total is how many there should be.
func (m *Monitor) Verify(total int, want func(Key) []netip.Addr) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	fresh := newModel(m.model.watched)
	if err := m.read(fresh); err != nil {
		return err
	}
	if fresh.Routes() != total {
		return fmt.Errorf("the kernel has %d routes instead of %d", fresh.Routes(), total)
	}
	for key, r := range fresh.routes {
		if got := fresh.resolve(r.path); r.double || !slices.Equal(got, want(key)) {
			return fmt.Errorf("the route %x has the next hops %v instead of %v (several: %t)", uint64(key), got, want(key), r.double)
		}
	}
	return nil
}

// read fills an empty model from dumps; one that was interrupted is repeated.
func (m *Monitor) read(into *Model) error {
	type part struct {
		kind   uint16
		family uint8
	}
	parts := []part{{unix.RTM_GETNEXTHOP, unix.AF_UNSPEC}, {unix.RTM_GETROUTE, unix.AF_INET}, {unix.RTM_GETROUTE, unix.AF_INET6}}
	for try := 0; ; try++ {
		*into = *newModel(into.watched)
		var err error
		for _, p := range parts {
			if err = m.readPart(p.kind, p.family, into); err != nil {
				break
			}
		}
		if !errors.Is(err, errInterrupted) || try == 5 {
			return err
		}
	}
}

func (m *Monitor) readPart(kind uint16, family uint8, into *Model) error {
	header := unix.SizeofRtMsg
	if kind == unix.RTM_GETNEXTHOP {
		header = sizeofNextHopMessage
	}
	request := make([]byte, unix.SizeofNlMsghdr+header)
	binary.NativeEndian.PutUint32(request, uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], kind)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	request[unix.SizeofNlMsghdr] = family
	if err := unix.Sendto(m.dump, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("dump: %w", err)
	}
	buffer := make([]byte, datagram)
	interrupted := false
	for {
		n, _, err := unix.Recvfrom(m.dump, buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("dump: %w", err)
		}
		for h, body := range messages(buffer[:n]) {
			interrupted = interrupted || h.Flags&unix.NLM_F_DUMP_INTR != 0
			switch h.Type {
			case unix.NLMSG_ERROR:
				return fmt.Errorf("dump: %w", syscall.Errno(-int32(binary.NativeEndian.Uint32(body))))
			case unix.NLMSG_DONE:
				if interrupted {
					return errInterrupted
				}
				return nil
			}
			into.take(unix.NlMsghdr{Type: h.Type}, body, nil) // without flags: nothing replaces anything
		}
	}
}

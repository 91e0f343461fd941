package fib

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/bgp/fib/sockopt"
)

// monitor receives the kernel's notifications. It is subscribed from the moment it is made, so
// nothing between the first reading and watch is missed; at worst it overflows, which it reports.
type monitor struct {
	file  *os.File
	table uint32
}

func newMonitor(table, ours uint32) (*monitor, error) {
	fd, _, err := openSocket(unix.SOCK_NONBLOCK)
	if err != nil {
		return nil, err
	}
	sockopt.ReceiveBuffer(fd, watchBuffer)
	if err := sockopt.WithoutOwn(fd, ours); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	groups := []int{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
		unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF}
	for _, g := range groups {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g); err != nil {
			return nil, errors.Join(fmt.Errorf("subscribe to netlink group %d: %w", g, err), unix.Close(fd))
		}
	}
	// Absent before 5.3, and so are the objects it tells about.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, unix.RTNLGRP_NEXTHOP)
	return &monitor{file: os.NewFile(uintptr(fd), "netlink"), table: table}, nil
}

func (m *monitor) close() error {
	if err := m.file.Close(); err != nil {
		return fmt.Errorf("close netlink socket: %w", err)
	}
	return nil
}

func (k *netlinkKernel) watch(ctx context.Context, sink func(event)) error {
	conn, err := k.mon.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("watch kernel: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = k.mon.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, receiveSize)
	for {
		var n int
		var failed error
		err := conn.Read(func(fd uintptr) bool {
			n, failed = unix.Read(int(fd), buf)
			return !errors.Is(failed, unix.EAGAIN)
		})
		switch {
		case ctx.Err() != nil:
			_ = k.mon.file.SetReadDeadline(time.Time{}) // a later watch may follow
			return nil
		case err != nil:
			return fmt.Errorf("watch kernel: %w", err)
		case errors.Is(failed, unix.ENOBUFS):
			// The subscription stays; only what did not fit is lost.
			sink(event{kind: overflowed})
			continue
		case errors.Is(failed, unix.EINTR):
			continue
		case failed != nil:
			return fmt.Errorf("watch kernel: %w", failed)
		}
		k.deliver(buf[:n], sink)
	}
}

func (k *netlinkKernel) deliver(b []byte, sink func(event)) {
	for len(b) > 0 {
		m, rest, err := next(b)
		if err != nil {
			sink(event{kind: overflowed}) // unreadable: read everything instead
			return
		}
		if e, ok := k.decodeEvent(m); ok {
			sink(e)
		}
		b = rest
	}
}

func (k *netlinkKernel) decodeEvent(m message) (event, bool) {
	e := event{third: m.port != 0}
	switch m.kind {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		var route routeMessage
		if !route.decode(m.body) || route.flags&unix.RTM_F_CLONED != 0 || route.table == unix.RT_TABLE_LOCAL && k.table != unix.RT_TABLE_LOCAL {
			return e, false // the local table follows addresses, which are watched themselves
		}
		e.kind, e.route, e.inTable, e.table = routeAdded, route.route, route.table == k.table, route.table
		if m.kind == unix.RTM_DELROUTE {
			e.kind = routeRemoved
		}
		e.replaced = m.flags&unix.NLM_F_REPLACE != 0
		if e.inTable && uint32(e.route.protocol) == k.proto {
			e.by = k.witness.who(m.port, time.Now())
		}
		for i := range e.route.hops {
			if uint32(e.route.protocol) == k.proto {
				e.route.hops[i] = k.zoned(e.route.hops[i])
			}
		}
		return e, true
	case unix.RTM_NEWNETCONF:
		e.kind = settingsChanged
		return e, true
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		e.kind = rulesChanged
		return e, true
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		n, ok := decodeNextHop(m.body)
		e.kind, e.nextHop = nextHopAdded, n
		if m.kind == unix.RTM_DELNEXTHOP {
			e.kind = nextHopRemoved
		}
		if ours(n.id) {
			e.by = k.witness.who(m.port, time.Now())
		}
		return e, ok
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		l, ok := decodeLink(m.body, m.kind == unix.RTM_DELLINK)
		e.kind, e.link = linkChanged, l
		return e, ok
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return decodeAddress(m)
	}
	return e, false
}

func decodeAddress(m message) (event, bool) {
	e := event{kind: addressChanged, third: m.port != 0}
	if len(m.body) < unix.SizeofIfAddrmsg {
		return e, false
	}
	e.link.index, e.link.gone = int(binary.NativeEndian.Uint32(m.body[4:])), m.kind == unix.RTM_DELADDR
	for kind, v := range attributes(m.body[unix.SizeofIfAddrmsg:]) {
		// The second, if present, is the node's own end of a point-to-point link.
		if kind == unix.IFA_LOCAL || kind == unix.IFA_ADDRESS && !e.addr.IsValid() {
			e.addr = address(v)
		}
	}
	return e, true
}

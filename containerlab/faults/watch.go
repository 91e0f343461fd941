package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/containerlab"
)

const (
	protocol = 200 // marks the daemon's routes and next hops
	// markTable is a table that nobody looks at; a route in it marks a moment.
	markTable = 7777
	// watchBuffer is what the kernel may queue for us, in bytes.
	watchBuffer = 64 << 20
	datagram    = 64 << 10

	// An attribute that the unix package does not name (linux/nexthop.h).
	nhaGateway = 6
)

// event is one notification of the kernel about a route or a next-hop object.
type event struct {
	deleted  bool
	object   bool         // a next hop, not a route
	protocol uint8        // who made it
	prefix   netip.Prefix // of a route
	gateway  netip.Addr   // of a next hop; the zero Addr: a group
	table    uint32
}

func (e event) ours() bool { return e.protocol == protocol }

// String is the event as `ip monitor` would say it, shorter.
func (e event) String() string {
	what := e.prefix.String()
	if e.object {
		what = "next hop " + e.gateway.String()
	}
	if e.deleted {
		what = "deleted " + what
	}
	return fmt.Sprintf("%s proto %d table %d", what, e.protocol, e.table)
}

// watch listens to the routes and next hops of one node.
type watch struct {
	node   *containerlab.Node
	socket int
	done   chan struct{} // closed by close
	ended  chan struct{} // closed by run

	mu     sync.Mutex // guards what follows
	marks  int        // seen
	events []event
	err    error
}

func startWatch(n *containerlab.Node) (*watch, error) {
	w := &watch{node: n, done: make(chan struct{}), ended: make(chan struct{})}
	if err := n.Do(w.open); err != nil {
		return nil, fmt.Errorf("%s: watch: %w", n.Name(), err)
	}
	go w.run()
	return w, nil
}

func (w *watch) open() (err error) {
	w.socket, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	// The end of the lab ends no read: one that waits looks around four times a second.
	wait := unix.NsecToTimeval(int64(250 * time.Millisecond))
	errs := []error{
		unix.SetsockoptInt(w.socket, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBuffer),
		unix.SetsockoptTimeval(w.socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
		unix.Bind(w.socket, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
	}
	for _, group := range []int{unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_NEXTHOP} {
		errs = append(errs, unix.SetsockoptInt(w.socket, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group))
	}
	if err := errors.Join(errs...); err != nil {
		return errors.Join(err, unix.Close(w.socket))
	}
	return nil
}

func (w *watch) run() {
	defer close(w.ended)
	buffer := make([]byte, datagram)
	for {
		select {
		case <-w.done:
			return
		default:
		}
		n, _, err := unix.Recvfrom(w.socket, buffer, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		var messages []syscall.NetlinkMessage
		if err == nil {
			messages, err = syscall.ParseNetlinkMessage(buffer[:n])
		}
		w.mu.Lock()
		for _, m := range messages {
			w.take(m)
		}
		if err != nil {
			w.err = errors.Join(w.err, fmt.Errorf("watching routes: %w", err))
		}
		w.mu.Unlock()
	}
}

// take keeps what one message says.
func (w *watch) take(m syscall.NetlinkMessage) {
	var e event
	var err error
	switch m.Header.Type {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		e, err = parseRoute(m.Data)
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		e, err = parseNextHop(m.Data)
	default:
		return
	}
	e.deleted = m.Header.Type == unix.RTM_DELROUTE || m.Header.Type == unix.RTM_DELNEXTHOP
	switch {
	case err != nil:
		w.err = errors.Join(w.err, err)
	case e.table == markTable:
		w.marks++
	case e.prefix.IsValid() || e.object:
		w.events = append(w.events, e)
	}
}

func parseRoute(b []byte) (e event, err error) {
	if len(b) < unix.SizeofRtMsg {
		return e, errors.New("a route message is cut short")
	}
	header := nl.DeserializeRtMsg(b)
	attributes, err := nl.ParseRouteAttr(b[unix.SizeofRtMsg:])
	if err != nil || header.Flags&unix.RTM_F_CLONED != 0 {
		return e, err
	}
	e.protocol, e.table = header.Protocol, uint32(header.Table)
	address := netip.IPv4Unspecified()
	if header.Family == unix.AF_INET6 {
		address = netip.IPv6Unspecified()
	}
	for _, a := range attributes {
		switch a.Attr.Type {
		case unix.RTA_DST:
			address, _ = netip.AddrFromSlice(a.Value)
		case unix.RTA_TABLE:
			e.table = binary.NativeEndian.Uint32(a.Value)
		}
	}
	e.prefix = netip.PrefixFrom(address, int(header.Dst_len))
	return e, nil
}

func parseNextHop(b []byte) (e event, err error) {
	const header = 8 // struct nhmsg: family, scope, protocol, …
	if len(b) < header {
		return e, errors.New("a next-hop message is cut short")
	}
	attributes, err := nl.ParseRouteAttr(b[header:])
	e.object, e.protocol = true, b[2]
	for _, a := range attributes {
		if a.Attr.Type == nhaGateway {
			e.gateway, _ = netip.AddrFromSlice(a.Value)
		}
	}
	return e, err
}

// begin forgets what was heard.
func (w *watch) begin(ctx context.Context) error {
	_, err := w.heard(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = nil
	return err
}

// heard returns all that happened until now: a mark is made, and waited for.
func (w *watch) heard(ctx context.Context) ([]event, error) {
	w.mu.Lock()
	before := w.marks
	w.mu.Unlock()
	if err := w.node.Do(mark); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := containerlab.Until(ctx, "the kernel's notifications", func(context.Context) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.err == nil && w.marks < before+2 {
			return errors.New("no mark was heard")
		}
		return w.err
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events), err
}

// mark makes and removes a route.
func mark() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	r := &netlink.Route{
		LinkIndex: lo.Attrs().Index, Table: markTable, Scope: netlink.SCOPE_LINK,
		Dst: &net.IPNet{IP: []byte{203, 0, 113, 1}, Mask: []byte{255, 255, 255, 255}},
	}
	return errors.Join(netlink.RouteReplace(r), netlink.RouteDel(r))
}

// close ends the listening.
func (w *watch) close() error {
	close(w.done)
	<-w.ended
	return unix.Close(w.socket)
}

// kernelRoutes returns all routes of a node, the daemon's as "prefix via gateway …" and the others' as they are listed.
func kernelRoutes(n *containerlab.Node) (ours, foreign []string, err error) {
	var all []netlink.Route
	names := map[int]string{} // the number of an interface is another one when it was replaced
	err = n.Do(func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			names[l.Attrs().Index] = l.Attrs().Name
		}
		all, err = netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{}, netlink.RT_FILTER_TABLE)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: list routes: %w", n.Name(), err)
	}
	for i := range all {
		r := &all[i]
		switch {
		case r.Table == markTable, r.Dst != nil && r.Dst.IP.IsLinkLocalUnicast(): // these follow the interface's own address
		case r.Protocol == protocol:
			ours = append(ours, r.Dst.String()+" via "+strings.Join(gateways(r), " "))
		default:
			foreign = append(foreign, fmt.Sprintf("%s via %q dev %s table %d type %d metric %d", r.Dst, gateways(r), names[r.LinkIndex], r.Table, r.Type, r.Priority))
		}
	}
	slices.Sort(ours)
	slices.Sort(foreign)
	return ours, foreign, nil
}

// gateways are what a route sends to; the kernel says so also of routes that name next-hop objects.
func gateways(r *netlink.Route) []string {
	var via []string
	if r.Gw != nil {
		via = append(via, r.Gw.String())
	}
	for _, h := range r.MultiPath {
		via = append(via, h.Gw.String())
	}
	slices.Sort(via)
	return via
}

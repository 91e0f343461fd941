package fib

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// survey is a conversation beside that of the table.
type survey struct {
	mu     sync.Mutex // lets one question at a time use socket
	socket *socket    // nil after close
}

func (s *survey) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := s.socket
	s.socket = nil
	return gone.close()
}

func (k *netlinkKernel) routedInside(prefix netip.Prefix) (bool, error) {
	k.survey.mu.Lock()
	defer k.survey.mu.Unlock()
	if k.survey.socket == nil {
		return false, ErrClosed
	}
	addrs, err := k.addresses(addressAge)
	if err != nil {
		return false, err
	}
	in := insider{prefix: prefix, protocol: uint8(k.proto)}
	for _, a := range addrs {
		if own, ok := netip.AddrFromSlice(a.IP); ok {
			in.own = append(in.own, own.Unmap())
		}
	}
	if err := in.read(k.survey.socket); err != nil {
		return false, err
	}
	for _, o := range in.objects {
		hops, err := k.survey.socket.gateways(o.id)
		if err != nil {
			return false, err
		}
		in.lead(hops, o.mine)
	}
	for _, index := range in.links {
		if in.found {
			break
		}
		link, err := k.handle.LinkByIndex(index)
		var gone netlink.LinkNotFoundError
		if err != nil && !errors.As(err, &gone) {
			return false, err
		}
		in.found = err == nil && !endsHere(link)
	}
	return in.found, nil
}

// insider looks for routes of others to a part of a prefix, which lead to another host.
type insider struct {
	prefix   netip.Prefix
	protocol uint8 // ours
	own      []netip.Addr
	found    bool
	links    []int // that routes without a gateway lead to
	objects  []namedObject
}

// namedObject is a next-hop object that a route names.
type namedObject struct {
	id   uint32
	mine bool // the node has an address in the route's prefix
}

// read looks at all routes.
func (in *insider) read(s *socket) error {
	var r routeMessage
	for try := 1; ; try++ {
		seq := s.nextSeq()
		s.enc.dumpRoutes(family(in.prefix.Addr()), unix.RT_TABLE_UNSPEC, seq)
		err := s.dump(context.Background(), seq, func(m message) {
			if m.kind == unix.RTM_NEWROUTE && r.decode(m.body) {
				in.take(&r)
			}
		})
		switch {
		case errors.Is(err, errInterrupted) && try < dumpTries:
			in.found, in.links, in.objects = false, nil, nil
			continue
		case errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EOPNOTSUPP):
			return nil // no such family in this kernel
		}
		return err
	}
}

// take takes one route in. Those that are not unicast have no hops, and a next-hop object that drops has no gateway.
func (in *insider) take(m *routeMessage) {
	r := &m.route
	if in.found || m.table == unix.RT_TABLE_LOCAL || m.flags&unix.RTM_F_CLONED != 0 || !in.concerns(r) {
		return
	}
	mine := slices.ContainsFunc(in.own, r.dst.Contains)
	if r.nextHop == 0 {
		in.lead(r.hops, mine)
	} else if o := (namedObject{r.nextHop, mine}); !slices.Contains(in.objects, o) {
		in.objects = append(in.objects, o)
	}
}

// concerns says whether a route is somebody else's and to a part of the prefix.
func (in *insider) concerns(r *kernelRoute) bool {
	return r.protocol != in.protocol && r.dst.Bits() > in.prefix.Bits() && in.prefix.Contains(r.dst.Addr())
}

// lead takes in where a route leads. Where the node has an address in its prefix, one without a gateway is that of a
// subnet of the node, and so is one through that address, as some network plugins write it.
func (in *insider) lead(hops []gateway, mine bool) {
	for _, h := range hops {
		switch {
		case h.addr.IsValid():
			in.found = in.found || !mine || !slices.Contains(in.own, h.addr)
		case !mine && !slices.Contains(in.links, h.link):
			in.links = append(in.links, h.link)
		}
	}
}

// endsHere says whether what leaves through a link arrives on this node, as a rule with a pod of it.
func endsHere(link netlink.Link) bool {
	if tap, ok := link.(*netlink.Tuntap); ok {
		return tap.Mode == netlink.TUNTAP_MODE_TAP
	}
	switch link.Type() {
	case "veth", "netkit", "macvlan", "macvtap", "ipvlan", "ipvtap", "dummy":
		return true
	}
	return link.Attrs().Flags&net.FlagLoopback != 0
}

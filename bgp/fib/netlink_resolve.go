package fib

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// attrOnLink marks a gateway for which the kernel looks for no route (RTNH_F_ONLINK), as everywhere in rtnetlink.
const attrOnLink = unix.RTNH_F_ONLINK

// unnamed stands for the link's name in the address of a pinned gateway until zoned has put it there.
const unnamed = "?"

// found is the answer to one lookup.
type found struct {
	resolution
	hops   []gateway // of the route
	object uint32    // that the route names
}

func (k *netlinkKernel) resolve(ctx context.Context, addrs []netip.Addr) ([]resolution, error) {
	all := make([]resolution, len(addrs))
	some := make([]found, min(len(addrs), lookupBatch))
	links := linkCache{}
	for from := 0; from < len(addrs); from += lookupBatch {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		to := min(from+lookupBatch, len(addrs))
		clear(some)
		if err := k.lookUp(addrs[from:to], some); err != nil {
			return nil, fmt.Errorf("resolve next hops: %w", err)
		}
		if err := k.lead(addrs[from:to], some); err != nil {
			return nil, fmt.Errorf("resolve gateways of next hops: %w", err)
		}
		for i := range addrs[from:to] {
			all[from+i] = some[i].resolution
		}
	}
	// A lookup does not tell whether the link has carrier.
	for i := range all {
		if all[i].err == nil && all[i].link != 0 {
			all[i].err = links.problem(k, all[i].link)
		}
	}
	return all, nil
}

// linkCache remembers what is wrong with links for as long as one question takes.
type linkCache map[int]error

func (c linkCache) problem(k *netlinkKernel, index int) error {
	err, seen := c[index]
	if !seen {
		err = k.linkProblem(index)
		c[index] = err
	}
	return err
}

func (k *netlinkKernel) linkProblem(index int) error {
	const running = unix.IFF_UP | unix.IFF_RUNNING
	link, err := k.handle.LinkByIndex(index)
	switch {
	case err != nil || link.Attrs().RawFlags&running != running:
		return errLinkDown
	case link.Attrs().Flags&net.FlagLoopback != 0:
		return errLoopback
	}
	return nil
}

// lookUp asks which route leads to each address.
func (k *netlinkKernel) lookUp(addrs []netip.Addr, into []found) error {
	first, open := k.cmd.seq+1, 0
	for i, addr := range addrs {
		seq := k.cmd.nextSeq()
		if addr.Zone() != "" {
			into[i].resolution = k.resolveZone(addr)
			continue
		}
		k.cmd.enc.lookup(addr, seq)
		open++
	}
	if open == 0 {
		return nil
	}
	if err := k.cmd.send(); err != nil {
		return err
	}
	return k.cmd.receive(func(m message) (bool, error) {
		i := int(int32(m.seq - first))
		if i < 0 || i >= len(addrs) {
			return false, nil
		}
		into[i] = k.decodeLookup(m)
		open--
		return open == 0, nil
	})
}

func (k *netlinkKernel) decodeLookup(m message) found {
	var f found
	if m.kind == unix.NLMSG_ERROR {
		f.err = whyNone(decodeError(m))
		return f
	}
	var route routeMessage
	if !route.decode(m.body) {
		f.err = errShort
		return f
	}
	f.match, f.table, f.resolution.object = route.route.dst, route.table, route.route.nextHop != 0
	switch {
	case route.kind == unix.RTN_LOCAL:
		f.err = errOwnAddress
	case route.kind != unix.RTN_UNICAST:
		f.err = errOddRoute
	case route.table == k.table && uint32(route.route.protocol) == k.proto:
		f.err = errOurRoute
	case route.route.nextHop != 0:
		f.object = route.route.nextHop
	case route.direct:
		f.link = route.link
	default:
		f.hops = slices.Clone(route.route.hops)
	}
	return f
}

// whyNone puts into words why a lookup found no route.
func whyNone(err error) error {
	switch {
	case errors.Is(err, unix.ENETUNREACH):
		return errNoRoute
	case errors.Is(err, unix.EINVAL):
		return errBlackhole
	case errors.Is(err, unix.EHOSTUNREACH):
		return errRejecting
	case errors.Is(err, unix.EACCES):
		return errProhibiting
	}
	return wayError(fmt.Sprintf("looking for its route: %v", err))
}

// lead finds the gateways of those that are not on-link. One that its own address leads to over the same link is named by
// its address, any other one is pinned.
func (k *netlinkKernel) lead(addrs []netip.Addr, all []found) error {
	var ask []netip.Addr
	for i := range addrs {
		more, err := k.unfold(addrs[i], &all[i])
		if err != nil {
			return err
		}
		for _, g := range more {
			if !slices.Contains(ask, g) {
				ask = append(ask, g)
			}
		}
	}
	direct := make([]found, len(ask))
	for from := 0; from < len(ask); from += lookupBatch {
		to := min(from+lookupBatch, len(ask))
		if err := k.lookUp(ask[from:to], direct[from:to]); err != nil {
			return err
		}
	}
	for i := range addrs {
		for _, g := range all[i].hops {
			if at := slices.Index(ask, g.addr); at >= 0 && (direct[at].err != nil || direct[at].link != g.link) {
				g.addr = pin(g.addr, unnamed)
			}
			all[i].via = append(all[i].via, k.zoned(g).addr)
		}
	}
	return nil
}

// unfold fills in the gateways of a route, and returns those whose own route is to be looked at.
func (k *netlinkKernel) unfold(addr netip.Addr, f *found) (ask []netip.Addr, err error) {
	if f.object != 0 {
		if err := k.expand(f); err != nil {
			return nil, err
		}
	}
	for j := range f.hops {
		g := &f.hops[j]
		if !g.addr.IsValid() {
			g.addr = pin(addr, unnamed) // on the link itself, beside other ways
		}
		if g.addr.Zone() == "" && !linkLocal(g.addr) {
			ask = append(ask, g.addr)
		}
	}
	return ask, nil
}

// expand replaces the object that a route names by what the object says.
func (k *netlinkKernel) expand(f *found) error {
	hops, err := k.cmd.gateways(f.object)
	if err != nil {
		return err
	}
	f.hops = append(f.hops, hops...)
	switch {
	case len(f.hops) == 0:
		f.err = errOddRoute // a blackhole, or gone meanwhile
	case len(f.hops) == 1 && !f.hops[0].addr.IsValid():
		f.link, f.hops = f.hops[0].link, nil
	}
	return nil
}

// gateways are those that a next-hop object or group says.
func (s *socket) gateways(id uint32) (all []gateway, err error) {
	top, err := s.object(id)
	if err != nil {
		return nil, err
	}
	objects := []kernelNextHop{top}
	for _, id := range top.members {
		member, err := s.object(id)
		if err != nil {
			return nil, err
		}
		objects = append(objects, member)
	}
	for _, o := range objects {
		if o.gateway.link != 0 {
			all = append(all, o.gateway)
		}
	}
	return all, nil
}

// object reads one next-hop object; the zero one when there is none.
func (s *socket) object(id uint32) (kernelNextHop, error) {
	seq := s.nextSeq()
	s.enc.getNextHop(id, seq)
	if err := s.send(); err != nil {
		return kernelNextHop{}, err
	}
	var n kernelNextHop
	return n, s.receive(func(m message) (bool, error) {
		if m.seq != seq {
			return false, nil
		}
		if m.kind == unix.RTM_NEWNEXTHOP {
			n, _ = decodeNextHop(m.body)
		}
		return true, nil
	})
}

func (k *netlinkKernel) resolveZone(addr netip.Addr) resolution {
	link, err := k.handle.LinkByName(addr.Zone())
	if err != nil {
		return resolution{err: wayError(fmt.Sprintf("link %s: %s", addr.Zone(), err))}
	}
	return resolution{link: link.Attrs().Index}
}

// zoned gives a link-local gateway the name of its link, which is how such a next hop is asked for, and a pinned one too.
func (k *netlinkKernel) zoned(g gateway) gateway {
	if g.addr.Zone() != unnamed && !linkLocal(g.addr) {
		return g
	}
	if link, err := k.handle.LinkByIndex(g.link); err == nil {
		g.addr = g.addr.WithZone(link.Attrs().Name)
	}
	return g
}

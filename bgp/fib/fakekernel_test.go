package fib

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// model is Linux as far as this package uses it: what is silent there is silent here.
type model struct {
	inline bool // no next-hop objects

	mu        sync.Mutex // guards all that follows
	links     map[string]*linkState
	down      map[string]bool // administratively
	ruleList  []rule          // of our protocol
	addrs     []modelAddr
	list      []kernelRoute // in the order the kernel keeps: by metric, then by arrival
	hops      map[uint32]kernelNextHop
	lastIndex int
	users     []*user
	acting    *user // whose request is being carried out; it is not told of its own doing
	asked     []op  // of acting users, in order
	routeW    int
	objectW   int
	refuse    map[netip.Prefix]error // what writing a prefix fails with
	refuseID  uint32                 // the object that nobody may write
	interrupt int                    // so many dumps are interrupted
	broken    error                  // the conversation fails
}

type modelAddr struct {
	link   string
	prefix netip.Prefix
}

func newModel() *model {
	return &model{links: map[string]*linkState{}, down: map[string]bool{}, hops: map[uint32]kernelNextHop{}, refuse: map[netip.Prefix]error{}}
}

const kernelProtocol = 2

// user is one program's conversation with the model.
type user struct {
	*model
	sink    func(event)
	backlog []event
}

func (m *model) newUser() *user {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := &user{model: m}
	m.users = append(m.users, u)
	return u
}

// emit tells everybody else.
func (m *model) emit(e event) {
	if e.inTable {
		e.table = DefaultTable
	}
	for _, u := range m.users {
		switch {
		case u == m.acting:
		case u.sink == nil:
			u.backlog = append(u.backlog, e)
		default:
			u.sink(e)
		}
	}
}

func (u *user) watch(ctx context.Context, sink func(event)) error {
	u.mu.Lock()
	u.sink = sink
	for _, e := range u.backlog {
		sink(e)
	}
	u.backlog = nil
	u.mu.Unlock()
	<-ctx.Done()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sink = nil
	return nil
}

func (m *model) read(_ context.Context, sink func(*kernelRoute)) ([]kernelNextHop, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return nil, m.broken
	}
	var all []kernelNextHop
	for _, h := range m.hops {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b kernelNextHop) int { return int(a.id) - int(b.id) })
	for _, r := range append(m.connected(), m.list...) {
		r.hops = slices.Clone(r.hops)
		sink(&r)
		clear(r.hops) // not to be kept
		if m.interrupt > 0 {
			break
		}
	}
	if m.interrupt > 0 {
		m.interrupt--
		return nil, errInterrupted
	}
	return all, nil
}

func (u *user) apply(_ context.Context, reqs []request) error {
	m := u.model
	m.mu.Lock()
	defer m.mu.Unlock()
	m.acting = u
	defer func() { m.acting = nil }()
	if m.broken != nil {
		return m.broken
	}
	for i := range reqs {
		reqs[i].err = nil
		m.asked = append(m.asked, reqs[i].op)
		if err := m.carryOut(&reqs[i], ourMark); err != nil {
			var errno unix.Errno
			if !errors.As(err, &errno) {
				return err
			}
			reqs[i].err = &kernelError{errno: errno}
		}
	}
	return nil
}

func (m *model) carryOut(r *request, protocol uint8) error {
	if r.dst == (netip.Prefix{}) && r.id != 0 && r.id == m.refuseID {
		return unix.EPERM
	}
	switch r.op {
	case opCreateNextHop, opReplaceNextHop:
		return m.putHop(r, protocol)
	case opCreateGroup, opReplaceGroup:
		return m.putGroup(r, protocol)
	case opDeleteNextHop:
		if h, ok := m.hops[r.id]; ok {
			m.objectW++
			m.emit(event{kind: nextHopRemoved, third: true, nextHop: h})
			m.dropHop(r.id)
		}
		return nil
	case opCreateRoute, opAppendRoute:
		if err := m.refuse[r.dst]; err != nil {
			return err
		}
		return m.putRoute(kernelRoute{
			dst: r.dst, metric: r.metric, nextHop: r.id, protocol: protocol, drops: r.drops, hops: r.hops, options: r.options,
		}, r.op == opCreateRoute)
	default:
		if err := m.refuse[r.dst]; err != nil {
			return err
		}
		m.cutRoute(r, protocol)
		return nil
	}
}

func (m *model) up(index int) bool {
	for name, l := range m.links {
		if l.index == index {
			return l.up && !m.down[name]
		}
	}
	return false
}

func (m *model) putHop(r *request, protocol uint8) error {
	if _, ok := m.hops[r.id]; ok && r.op == opCreateNextHop {
		return unix.EEXIST
	}
	if !m.up(r.gateway.link) {
		return unix.ENETDOWN
	}
	m.hops[r.id] = kernelNextHop{id: r.id, protocol: protocol, gateway: r.gateway}
	m.objectW++
	m.emit(event{kind: nextHopAdded, third: true, nextHop: m.hops[r.id]})
	return nil
}

func (m *model) putGroup(r *request, protocol uint8) error {
	if _, ok := m.hops[r.id]; ok && r.op == opCreateGroup {
		return unix.EEXIST
	}
	for _, id := range r.members {
		if h, ok := m.hops[id]; !ok || h.members != nil {
			return unix.EINVAL
		}
	}
	if len(r.members) == 0 {
		return unix.EINVAL
	}
	m.hops[r.id] = kernelNextHop{id: r.id, protocol: protocol, members: slices.Clone(r.members)}
	m.objectW++
	m.emit(event{kind: nextHopAdded, third: true, nextHop: m.hops[r.id]})
	return nil
}

// dropHop deletes an object, takes it out of its groups and the routes off it: IPv4 silently.
func (m *model) dropHop(id uint32) {
	delete(m.hops, id)
	for gid, g := range m.hops {
		if slices.Contains(g.members, id) {
			g.members = slices.DeleteFunc(slices.Clone(g.members), func(x uint32) bool { return x == id })
			m.hops[gid] = g
			if len(g.members) == 0 {
				m.dropHop(gid)
			}
		}
	}
	m.dropRoutes(func(r kernelRoute) bool { return r.nextHop == id })
}

// dropRoutes is the kernel's own clearing up; it tells of IPv6 routes only.
func (m *model) dropRoutes(gone func(kernelRoute) bool) {
	m.list = slices.DeleteFunc(m.list, func(r kernelRoute) bool {
		if !gone(r) {
			return false
		}
		if r.dst.Addr().Is6() {
			m.emit(event{kind: routeRemoved, inTable: true, route: r})
		}
		return true
	})
}

func (m *model) putRoute(r kernelRoute, exclusive bool) error {
	source := r.options.source
	if source.IsValid() && !slices.ContainsFunc(m.addrs, func(a modelAddr) bool { return a.prefix.Addr() == source }) {
		return unix.EINVAL
	}
	if r.nextHop != 0 {
		if _, ok := m.hops[r.nextHop]; !ok {
			return unix.EINVAL
		}
	}
	for i := range m.list {
		x := &m.list[i]
		if x.dst != r.dst || x.metric != r.metric {
			continue
		}
		alike := x.nextHop == r.nextHop && sameGateways(x.hops, r.hops) // which is all that IPv6 looks at
		if exclusive || alike && (r.dst.Addr().Is6() || x.protocol == r.protocol && x.options == r.options && x.drops == r.drops) {
			return unix.EEXIST
		}
		if r.dst.Addr().Is6() && len(x.hops) > 0 && len(r.hops) > 0 {
			x.hops = append(slices.Clone(x.hops), r.hops...) // becomes one multipath route
			m.routeW++
			m.emit(event{kind: routeAdded, third: true, inTable: true, route: *x})
			return nil
		}
	}
	at := slices.IndexFunc(m.list, func(x kernelRoute) bool { return x.dst == r.dst && x.metric > r.metric })
	if at < 0 {
		at = len(m.list)
	}
	m.list = slices.Insert(m.list, at, r)
	m.routeW++
	m.emit(event{kind: routeAdded, third: true, inTable: true, route: r})
	return nil
}

func (m *model) cutRoute(r *request, protocol uint8) bool {
	for i := range m.list {
		x := &m.list[i]
		other := x.dst.Addr().Is4() && (x.options != r.options && r.options != (options{}) || r.drops && !x.drops)
		if x.dst != r.dst || x.metric != r.metric || x.protocol != protocol || x.nextHop != r.id || other {
			continue
		}
		if r.id != 0 || len(r.hops) == 0 || sameGateways(x.hops, r.hops) || x.dst.Addr().Is6() && len(without(x.hops, r.hops)) == 0 {
			m.removeAt(i)
			return true
		}
		if rest := without(x.hops, r.hops); x.dst.Addr().Is6() && len(rest) < len(x.hops) {
			m.routeW++
			m.emit(event{kind: routeRemoved, third: true, inTable: true, route: kernelRoute{dst: x.dst, metric: x.metric, protocol: x.protocol, hops: r.hops}})
			x.hops = rest
			return true
		}
	}
	return false
}

func (m *model) removeAt(at int) {
	gone := m.list[at]
	m.list = slices.Delete(m.list, at, at+1)
	m.routeW++
	m.emit(event{kind: routeRemoved, third: true, inTable: true, route: gone})
}

package fib

import (
	"context"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// connected are the routes of the addresses of links that are up.
func (m *model) connected() []kernelRoute {
	var all []kernelRoute
	for _, a := range m.addrs {
		if m.down[a.link] {
			continue
		}
		metric := uint32(0)
		if a.prefix.Addr().Is6() {
			metric = 256
		}
		all = append(all, kernelRoute{dst: a.prefix.Masked(), metric: metric, protocol: kernelProtocol, hops: []gateway{{link: m.links[a.link].index}}})
	}
	return all
}

func (m *model) resolve(_ context.Context, addrs []netip.Addr) ([]resolution, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]resolution, len(addrs))
	for i, a := range addrs {
		all[i] = m.find(a)
	}
	return all, m.broken
}

func (m *model) find(a netip.Addr) resolution {
	if a.Zone() != "" {
		l := m.links[a.Zone()]
		switch {
		case l == nil:
			return resolution{err: wayError("no such link")}
		case !l.up:
			return resolution{err: errLinkDown}
		}
		return resolution{link: l.index}
	}
	best, found := kernelRoute{}, false
	for _, x := range m.addrs {
		if x.prefix.Addr() == a {
			return resolution{err: errOwnAddress}
		}
	}
	for _, r := range append(m.connected(), m.list...) {
		closer := r.dst.Bits() > best.dst.Bits() || r.dst == best.dst && r.metric < best.metric
		if r.dst.Contains(a) && (!found || closer) {
			best, found = r, true
		}
	}
	r := resolution{match: best.dst, table: DefaultTable, object: best.nextHop != 0}
	hops := best.hops
	if best.nextHop != 0 {
		hops = m.gateways(best.nextHop)
	}
	switch {
	case !found:
		return resolution{err: errNoRoute}
	case best.protocol == ourMark:
		r.err = errOurRoute
	case len(hops) == 0:
		return resolution{err: errBlackhole}
	case hops[0].addr.IsValid():
		for _, g := range hops {
			r.via = append(r.via, g.addr)
		}
	case !m.up(hops[0].link):
		r.err = errLinkDown
	default:
		r.link = hops[0].link
	}
	return r
}

func (m *model) gateways(id uint32) []gateway {
	h := m.hops[id]
	if h.members == nil {
		return []gateway{h.gateway}
	}
	var all []gateway
	for _, id := range h.members {
		all = append(all, m.hops[id].gateway)
	}
	return all
}

// linkDown is what goes when a link loses its carrier or is set down.
func (m *model) linkDown(name string, admin bool) {
	index := m.links[name].index
	for id, h := range m.hops {
		if h.members == nil && h.gateway.link == index {
			m.dropHop(id)
		}
	}
	if !admin {
		return
	}
	m.dropRoutes(func(r kernelRoute) bool {
		return len(r.hops) > 0 && !slices.ContainsFunc(r.hops, func(g gateway) bool { return m.up(g.link) })
	})
	for i := range m.list {
		if r := &m.list[i]; r.dst.Addr().Is6() && r.nextHop == 0 {
			left := slices.DeleteFunc(slices.Clone(r.hops), func(g gateway) bool { return g.link == index })
			if len(left) < len(r.hops) {
				r.hops = left
				m.emit(event{kind: routeRemoved, inTable: true, route: kernelRoute{dst: r.dst, metric: r.metric, protocol: r.protocol}})
			}
		}
	}
	m.addrs = slices.DeleteFunc(m.addrs, func(a modelAddr) bool { return a.link == name && a.prefix.Addr().Is6() })
}

func (m *model) facts() (Facts, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var f Facts
	for _, a := range m.addrs {
		f.Addresses = append(f.Addresses, a.prefix)
		f.Connected = append(f.Connected, a.prefix.Masked())
	}
	slices.SortFunc(f.Addresses, netip.Prefix.Compare)
	slices.SortFunc(f.Connected, netip.Prefix.Compare)
	return f, nil
}

func (m *model) local(peer netip.Addr) (link string, v4, v6 netip.Addr, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.addrs {
		if a.prefix.Contains(peer) {
			link = a.link
		}
	}
	for _, a := range m.addrs {
		switch {
		case a.link != link:
		case a.prefix.Addr().Is4():
			v4 = lower(v4, a.prefix.Addr())
		default:
			v6 = lower(v6, a.prefix.Addr())
		}
	}
	if link == "" {
		err = unix.ENETUNREACH
	}
	return link, v4, v6, err
}

func (m *model) around(links []int) (s surroundings, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, l := range m.links {
		if slices.Contains(links, l.index) {
			s.names = append(s.names, name)
		}
	}
	slices.Sort(s.names)
	s.tables4, s.tables6 = []int{DefaultTable}, []int{DefaultTable}
	return s, nil
}

func (m *model) close() error { return nil }

// routedInside: all links of the model lead to pods, as a veth does; so only gateways count.
func (m *model) routedInside(prefix netip.Prefix) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.list {
		if r.protocol == ourMark || r.dst.Bits() <= prefix.Bits() || !prefix.Contains(r.dst.Addr()) {
			continue
		}
		hops := r.hops
		if r.nextHop != 0 {
			hops = m.gateways(r.nextHop)
		}
		if slices.ContainsFunc(hops, func(g gateway) bool { return g.addr.IsValid() }) {
			return true, nil
		}
	}
	return false, nil
}

func (m *model) rules() (all []rule, families []bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.ruleList), []bool{false, true}, nil
}

func (m *model) addRule(r rule) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ruleList = append(m.ruleList, r)
	m.emit(event{kind: rulesChanged})
	return nil
}

func (m *model) deleteRule(r rule) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ruleList = slices.DeleteFunc(m.ruleList, func(o rule) bool { return o == r })
	m.emit(event{kind: rulesChanged})
	return nil
}

package kernel

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// path is how a route names its next hops: an object, or a set that is written in the route.
type path struct {
	object uint32 // 0: inline
	set    uint32 // index into sets, for inline ones
}

// route is what is in the kernel for one prefix. While it is replaced by add and delete there are two of them.
type route struct {
	path   path
	second path
	double bool
}

// Counts are the notifications about watched routes. They only grow.
type Counts struct {
	Added     int // RTM_NEWROUTE for a prefix that had no route
	Rewritten int // RTM_NEWROUTE for one that had
	Deleted   int // RTM_DELROUTE that left a prefix without a route
	Objects   int // RTM_NEWNEXTHOP and RTM_DELNEXTHOP
	Lost      int // times the kernel had to drop notifications; all was read again then
}

// Model is what the kernel's routing table looks like, as far as told. Only goals given to a Monitor see it.
type Model struct {
	watched func(Key) bool
	routes  map[Key]route
	uses    map[path]int // routes by path
	sets    [][]netip.Addr
	setOf   map[string]uint32
	hops    map[uint32]netip.Addr
	groups  map[uint32][]uint32
	counts  Counts
	last    Key // of the notification that was taken in last
	text    []byte
}

func newModel(watched func(Key) bool) *Model {
	return &Model{
		watched: watched,
		routes:  map[Key]route{}, uses: map[path]int{},
		sets: [][]netip.Addr{nil}, setOf: map[string]uint32{"": 0},
		hops: map[uint32]netip.Addr{}, groups: map[uint32][]uint32{},
	}
}

// Routes is the number of prefixes that have a route.
func (m *Model) Routes() int { return len(m.routes) }

// Counts are the notifications so far.
func (m *Model) Counts() Counts { return m.counts }

// Last is the key of the route that the last notification was about, 0 when it was about a next hop.
func (m *Model) Last() Key { return m.last }

// NextHops returns the sorted next hops of a route, nil when there is no such route.
func (m *Model) NextHops(k Key) []netip.Addr {
	r, ok := m.routes[k]
	if !ok {
		return nil
	}
	return m.resolve(r.path)
}

// Uses counts the routes that send anything to a next hop. Its cost is the number of different paths.
func (m *Model) Uses(hop netip.Addr) int {
	n := 0
	for p, routes := range m.uses {
		if slices.Contains(m.resolve(p), hop) {
			n += routes
		}
	}
	return n
}

func (m *Model) resolve(p path) []netip.Addr {
	if p.object == 0 {
		return m.sets[p.set]
	}
	if hop, ok := m.hops[p.object]; ok {
		return []netip.Addr{hop}
	}
	var all []netip.Addr
	for _, id := range m.groups[p.object] {
		if hop, ok := m.hops[id]; ok {
			all = append(all, hop)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

// take applies one message; it says whether it was about something watched.
func (m *Model) take(h unix.NlMsghdr, body []byte, hops []netip.Addr) bool {
	switch h.Type {
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP:
		m.takeNextHop(h.Type == unix.RTM_NEWNEXTHOP, parseNextHop(body))
		m.last = 0
		return true
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		r, ok := parseRoute(body, hops)
		if !ok || !m.watched(r.key) {
			return false
		}
		m.last = r.key
		if h.Type == unix.RTM_NEWROUTE {
			m.add(&r, h.Flags&unix.NLM_F_REPLACE != 0)
		} else {
			m.remove(&r)
		}
		return true
	}
	return false
}

func (m *Model) takeNextHop(exists bool, n nextHopMessage) {
	m.counts.Objects++
	delete(m.hops, n.id)
	delete(m.groups, n.id)
	switch {
	case !exists:
	case n.members != nil:
		m.groups[n.id] = n.members
	case n.gateway.IsValid():
		m.hops[n.id] = n.gateway
	}
}

func (m *Model) add(r *routeMessage, replace bool) {
	p := m.pathOf(r)
	old, exists := m.routes[r.key]
	if !exists {
		m.counts.Added++
		m.uses[p]++
		m.routes[r.key] = route{path: p}
		return
	}
	m.counts.Rewritten++
	// IPv6 tells the whole of a multipath route whichever of its parts was written.
	whole := replace || r.v6 && r.nextHop == 0 && old.path.object == 0
	switch {
	case old.path == p || old.double && old.second == p:
		return
	case whole || old.double:
		m.unuse(old.path)
		if old.double {
			m.unuse(old.second)
		}
		m.routes[r.key] = route{path: p}
	default:
		m.routes[r.key] = route{path: old.path, second: p, double: true}
	}
	m.uses[p]++
}

func (m *Model) remove(r *routeMessage) {
	old, exists := m.routes[r.key]
	if !exists {
		return
	}
	p := m.pathOf(r)
	switch {
	case old.double && old.path == p:
		m.unuse(p)
		m.routes[r.key] = route{path: old.second}
	case old.double && old.second == p:
		m.unuse(p)
		m.routes[r.key] = route{path: old.path}
	case old.double:
		return // the dump will tell
	case old.path != p && old.path.object == 0 && p.object == 0 && r.v6:
		m.shrink(r.key, old.path, r.hops)
	default:
		m.counts.Deleted++
		m.unuse(old.path)
		delete(m.routes, r.key)
	}
}

// shrink takes some next hops out of an IPv6 route that holds them itself.
func (m *Model) shrink(k Key, p path, gone []netip.Addr) {
	left := slices.DeleteFunc(slices.Clone(m.sets[p.set]), func(a netip.Addr) bool { return slices.Contains(gone, a) })
	m.unuse(p)
	next := path{set: m.intern(left)}
	m.uses[next]++
	m.routes[k] = route{path: next}
}

func (m *Model) unuse(p path) {
	if m.uses[p]--; m.uses[p] == 0 {
		delete(m.uses, p)
	}
}

func (m *Model) pathOf(r *routeMessage) path {
	if r.nextHop != 0 {
		return path{object: r.nextHop}
	}
	return path{set: m.intern(r.hops)}
}

// intern numbers sets of next hops, so that a route costs no allocation.
func (m *Model) intern(hops []netip.Addr) uint32 {
	if len(hops) > 1 {
		slices.SortFunc(hops, netip.Addr.Compare)
	}
	m.text = m.text[:0]
	for _, a := range hops {
		raw := a.As16()
		m.text = append(m.text, raw[:]...)
	}
	if id, ok := m.setOf[string(m.text)]; ok {
		return id
	}
	id := uint32(len(m.sets))
	m.sets = append(m.sets, slices.Clone(hops))
	m.setOf[string(m.text)] = id
	return id
}

package fib

import (
	"net/netip"
	"slices"
)

// Our ids of next-hop objects and groups. The very last one is what Open tries with.
const (
	firstID = 0x55400000
	lastID  = 0x554fffff
)

func ours(id uint32) bool { return id >= firstID && id <= lastID }

// hop is one next hop and its object in the kernel.
type hop struct {
	addr    netip.Addr
	link    int        // as resolved; 0 when it is not, or goes through gateways
	id      uint32     // its object's id; 0 when it has none
	known   gateway    // what the object says in the kernel; zero when it is not there
	problem string     // why it cannot be used
	sets    []*pathSet // that contain it
	alone   *pathSet   // the one of them that has no other
	stale   bool       // is to be resolved again; then it is in Table.stale
	fight   fight

	// See resolve.go.
	via       []*hop  // the gateways it is reached through; none when it is on-link
	far       []*hop  // that are reached through it
	self      [1]*hop // itself, see legs
	fault     Fault   // which problem is about
	gate      bool    // something was reached through it, now or before
	followed  bool    // somebody wants to know of it though no set has it
	asked     bool    // and has not been told: that all is well is news, too
	object    bool    // the route that leads to it names a next-hop object of somebody's
	closeness int16   // the length of that route's prefix and one; 0 when that is not known
	table     uint32  // where that route is
}

// live hops can carry traffic: resolved, and in the kernel where objects are used.
func (h *hop) live(m Mode) bool {
	return h.problem == "" && h.link != 0 && (m == ModeInline || h.known == gateway{h.addr, h.link})
}

// fail notes why the hop cannot be used.
func (h *hop) fail(why string) {
	h.problem, h.fault = h.addr.String()+": "+why, 0
}

// pathSet is one distinct set of next hops, shared by all prefixes that want it.
type pathSet struct {
	key       string
	hops      []*hop       // sorted by address
	groups    []*group     // the kernel groups that stand for it; the first serves new routes
	wants     int          // prefixes that desire it
	pins      int          // moves under way that lead to it
	problem   string       // why its group could not be written
	touched   bool         // is in Table.touched
	fresh     bool         // no entry that wants it has been through a pass yet
	up        []*hop       // the live neighbours that packets are handed to, each once, as last written
	addrs     []netip.Addr // of hops, those that lead to one of up
	inline    []gateway
	outcome   *Outcome // of the prefixes that have it
	concluded uint64   // the pass that made outcome
	fight     fight

	// See failover.go.
	detour   *pathSet   // where its traffic goes instead; nil: its own way
	carries  []*pathSet // whose detour leads here
	followed bool       // entries were concluded because of its detour, or left at its groups
}

// group is a next-hop group in the kernel.
type group struct {
	id      uint32
	set     *pathSet
	members []uint32 // in the kernel, sorted; nil when it is not there
	routes  int      // our routes that name it
	kept    bool     // adopted: stays until Prune although no route names it
	idle    bool     // is in Table.idleGroups
	late    bool     // its detour ended: rewritten in the next pass when routes that do not belong have left
}

func (s *pathSet) memberIDs() []uint32 {
	ids := make([]uint32, len(s.up))
	for i, h := range s.up {
		ids[i] = h.id
	}
	slices.Sort(ids)
	return ids
}

// current says whether g's members in the kernel are those its set wants now.
func (g *group) current() bool {
	up := g.set.way().up
	if len(g.members) == 0 || len(g.members) != len(up) {
		return false
	}
	for _, h := range up {
		if _, found := slices.BinarySearch(g.members, h.id); !found {
			return false
		}
	}
	return true
}

// lookup returns the set of the given sorted, unique addresses, nil when there is none.
func (t *Table) lookup(addrs []netip.Addr) *pathSet {
	t.scratch = t.scratch[:0]
	for _, a := range addrs {
		b := a.As16()
		t.scratch = append(t.scratch, b[:]...)
		t.scratch = append(t.scratch, byte(a.BitLen()))
		t.scratch = append(append(t.scratch, a.Zone()...), 0)
	}
	return t.sets[string(t.scratch)]
}

// is says whether addrs, in this order, are the set's.
func (s *pathSet) is(addrs []netip.Addr) bool {
	if len(addrs) != len(s.hops) {
		return false
	}
	for i, h := range s.hops {
		if h.addr != addrs[i] {
			return false
		}
	}
	return true
}

// usable says whether any hop of s may carry traffic once its object is written.
func (s *pathSet) usable() bool {
	return slices.ContainsFunc(s.hops, (*hop).reachable)
}

// intern returns the set of the given sorted, unique addresses, making what does not exist.
func (t *Table) intern(addrs []netip.Addr) *pathSet {
	if s := t.lookup(addrs); s != nil {
		return s
	}
	s := &pathSet{key: string(t.scratch), hops: make([]*hop, len(addrs)), fresh: true}
	for i, a := range addrs {
		h := t.hop(a)
		h.sets = append(h.sets, s)
		s.hops[i] = h
	}
	if len(addrs) == 1 {
		s.hops[0].alone = s
	}
	t.sets[s.key] = s
	s.settle(t.mode)
	return s
}

func (t *Table) hop(a netip.Addr) *hop {
	h, ok := t.hops[a]
	if !ok {
		h = newHop(a)
		t.hops[a] = h
	}
	if h.idle() {
		t.markStale(h) // new, or adopted and never looked at
	}
	return h
}

func newHop(a netip.Addr) *hop {
	h := &hop{addr: a}
	h.self[0] = h
	return h
}

func (t *Table) markStale(h *hop) {
	if !h.stale {
		h.stale = true
		t.stale = append(t.stale, h)
	}
}

func (t *Table) touch(s *pathSet) {
	if !s.touched {
		s.touched = true
		t.touched = append(t.touched, s)
	}
}

// unwant takes one wish for s back. What still names the groups of a set that nobody wants any
// more went the way of its detour already.
func (t *Table) unwant(s *pathSet) {
	s.wants--
	if to := s.detour; s.wants == 0 && to != nil {
		t.leave(s)
		t.handOver(s, to)
		t.forget(to)
	}
	t.forget(s)
}

// forget drops a set that nobody wants, no group stands for and no detour leads to.
func (t *Table) forget(s *pathSet) {
	if s.wants > 0 || s.pins > 0 || len(s.groups) > 0 || len(s.carries) > 0 || t.sets[s.key] != s {
		return
	}
	delete(t.sets, s.key)
	if t.lastSet == s {
		t.lastSet = nil
	}
	for _, h := range s.hops {
		h.sets = slices.DeleteFunc(h.sets, func(o *pathSet) bool { return o == s })
		if h.alone == s {
			h.alone = nil
		}
		t.release(h)
	}
}

// detach takes a route off a group.
func (t *Table) detach(g *group) {
	g.routes--
	if g.routes == 0 {
		t.idles(g)
	}
}

// idles has g looked at when the flush under way, or the next one, deletes what nothing names.
func (t *Table) idles(g *group) {
	if !g.idle {
		g.idle = true
		t.idleGroups = append(t.idleGroups, g)
	}
}

// drop forgets a group that is no longer in the kernel.
func (t *Table) drop(g *group) {
	delete(t.groups, g.id)
	delete(t.usedIDs, g.id)
	g.set.groups = slices.DeleteFunc(g.set.groups, func(o *group) bool { return o == g })
	t.forget(g.set)
}

// newID returns a free id of our range, 0 when there is none. Ids are not reused soon, so that
// somebody who still looks at an old one does not see it mean something else.
func (t *Table) newID() uint32 {
	for range lastID - firstID {
		id := t.nextID
		t.nextID++
		if t.nextID >= lastID {
			t.nextID = firstID
		}
		if _, used := t.usedIDs[id]; !used {
			t.usedIDs[id] = struct{}{}
			return id
		}
	}
	return 0
}

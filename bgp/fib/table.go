package fib

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
)

// Table is our part of one kernel routing table. All methods may be called from any goroutine;
// those that talk to the kernel wait for each other.
type Table struct {
	cfg    Config
	log    logrus.FieldLogger
	mode   Mode
	kernel kernel
	host   host
	queue  *queue

	changed      chan struct{}
	factsChanged chan struct{}
	running      atomic.Bool

	mu sync.Mutex // guards all that follows

	entries map[netip.Prefix]*entry
	sets    map[string]*pathSet
	hops    map[netip.Addr]*hop
	groups  map[uint32]*group
	foreign map[netip.Prefix][]foreignRoute
	strays  map[uint32]kernelNextHop // ours in the kernel, but not of the shape we make
	usedIDs map[uint32]struct{}
	nextID  uint32
	links   map[int]linkState

	// What the next flush has to look at.
	dirty      []*entry
	doubted    []*entry // failed in a way that says we do not know the kernel well enough
	stale      []*hop
	touched    []*pathSet
	idleGroups []*group
	idleHops   []*hop

	troubled map[*entry]struct{} // with a retry or a fight under way
	pending  map[netip.Prefix]State
	known    bool      // the kernel has been read at least once
	reread   bool      // it is to be read again
	lastRead time.Time // end of the last reading
	readTook time.Duration
	hurried  int // readings that followed each other closely
	stats    Stats
	scratch  []byte
	addrs    []netip.Addr
	requests []request
	tally    map[Status]int
	closed   bool
}

// entry is one prefix that is desired, or that has a route of ours in the kernel.
type entry struct {
	dst      netip.Prefix
	want     *pathSet // nil: no route is desired
	settled  *pathSet // the set it was last installed with; a new write for it is a repair
	have     []held   // our routes to it, as far as known
	status   Status
	reason   string
	problem  string // of the flush under way
	shown    []netip.Addr
	removing bool // not desired by decision, as opposed to never spoken of
	dirty    bool
	forced   bool // written even in the middle of a fight
	unsure   bool // a notification, which may be an old one, said that a route is gone
	trouble  *trouble
}

// trouble is kept only for entries that have some.
type trouble struct {
	attempts int
	retry    time.Time // zero: none due
	fight    fight
}

// held is one route of ours in the kernel.
type held struct {
	metric  uint32
	nextHop uint32 // the object it names, 0 for inline
	group   *group // that object, when it is a group of ours
	hops    []gateway
	tos     uint8 // never one of our making
}

// foreignRoute is a route of somebody else; link is 0 when it has several or names an object.
type foreignRoute struct {
	metric   uint32
	protocol uint8
	link     int
}

func newForeign(r *kernelRoute) foreignRoute {
	f := foreignRoute{metric: r.metric, protocol: r.protocol}
	if len(r.hops) == 1 {
		f.link = r.hops[0].link
	}
	return f
}

// Open opens the kernel of the calling thread's network namespace, and stays there whatever
// thread or namespace later calls come from. It finds out by trying whether next-hop objects
// exist. It writes no route; the caller must Close.
func Open(c Config) (*Table, error) {
	c = c.complete()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("kernel configuration: %w", err)
	}
	// One thread for all sockets: the namespace is a property of the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	k, err := openNetlink(c.Table, c.Protocol)
	if err != nil {
		return nil, err
	}
	if k.objects, err = k.probe(context.Background()); err != nil {
		_ = k.close()
		return nil, err
	}
	mode := ModeObjects
	if !k.objects {
		mode = ModeInline
	}
	return newTable(c, mode, k, k), nil
}

func newTable(c Config, mode Mode, k kernel, h host) *Table {
	t := &Table{
		cfg: c, log: c.Log, mode: mode, kernel: k, host: h,
		queue:        newQueue(),
		changed:      make(chan struct{}, 1),
		factsChanged: make(chan struct{}, 1),
		links:        map[int]linkState{},
		pending:      map[netip.Prefix]State{},
	}
	t.reset()
	if mode == ModeInline {
		t.log.Warn("this kernel has no next-hop objects: next hops are written into each route, a failover rewrites each of them")
	}
	return t
}

// reset forgets all that is desired and all that was read.
func (t *Table) reset() {
	t.entries = map[netip.Prefix]*entry{}
	t.sets = map[string]*pathSet{}
	t.hops = map[netip.Addr]*hop{}
	t.groups = map[uint32]*group{}
	t.foreign = map[netip.Prefix][]foreignRoute{}
	t.strays = map[uint32]kernelNextHop{}
	t.usedIDs = map[uint32]struct{}{}
	t.nextID = firstID
	t.troubled = map[*entry]struct{}{}
	t.dirty, t.doubted, t.stale, t.touched, t.idleGroups, t.idleHops = nil, nil, nil, nil, nil, nil
	t.tally = map[Status]int{}
	t.known = false
}

// Mode says how next hops are written.
func (t *Table) Mode() Mode { return t.mode }

// Close closes the sockets and leaves the kernel as it is. Run must have returned. A second Close
// does nothing.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	return t.host.close()
}

// entry returns the entry of dst, making it.
func (t *Table) entry(dst netip.Prefix) *entry {
	e, ok := t.entries[dst]
	if !ok {
		e = &entry{dst: dst}
		t.entries[dst] = e
	}
	return e
}

func (t *Table) markDirty(e *entry) {
	if !e.dirty {
		e.dirty = true
		t.dirty = append(t.dirty, e)
	}
}

// satisfies says whether h is the route that e wants, as it should be now.
func (t *Table) satisfies(e *entry, h *held) bool {
	if e.want == nil || len(e.want.up) == 0 || h.metric != uint32(t.cfg.Metric) || h.tos != 0 {
		return false
	}
	if t.mode == ModeObjects {
		return h.group != nil && h.group.set == e.want && h.group.current()
	}
	return h.nextHop == 0 && sameGateways(h.hops, e.want.inline)
}

// installed returns the index of the route that e wants, -1 when it is not there.
func (t *Table) installed(e *entry) int {
	for i := range e.have {
		if t.satisfies(e, &e.have[i]) {
			return i
		}
	}
	return -1
}

func (t *Table) newHeld(r kernelRoute) held {
	h := held{metric: r.metric, nextHop: r.nextHop, hops: r.hops, tos: r.tos}
	if g := t.groups[r.nextHop]; g != nil && r.nextHop != 0 {
		h.group = g
		t.attach(g)
	}
	return h
}

// lose forgets e's i-th route.
func (t *Table) lose(e *entry, i int) {
	if g := e.have[i].group; g != nil {
		t.detach(g)
	}
	e.have = append(e.have[:i], e.have[i+1:]...)
}

func sameGateways(a, b []gateway) bool {
	if len(a) != len(b) {
		return false
	}
	for _, g := range a {
		if !contains(b, g) {
			return false
		}
	}
	return true
}

func contains(all []gateway, one gateway) bool {
	for _, g := range all {
		if g == one {
			return true
		}
	}
	return false
}

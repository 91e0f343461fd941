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

	"github.com/underlayd/underlayd/bgp/prefixmap"
)

// Table is our part of one kernel routing table. All methods may be called from any goroutine;
// those that talk to the kernel wait for each other.
type Table struct {
	cfg      Config
	log      logrus.FieldLogger
	mode     Mode
	kernel   kernel
	host     host
	ruler    ruler
	surveyor surveyor
	tracer   tracer // nil on a model of Linux
	queue    *queue
	names    protocolNames

	changed      chan struct{}
	factsChanged chan struct{}
	hostChanged  chan struct{}
	hopsNews     chan struct{}
	running      atomic.Bool

	mu sync.Mutex // guards all that follows

	entries prefixmap.Map[*entry]
	sets    map[string]*pathSet
	hops    map[netip.Addr]*hop
	groups  map[uint32]*group
	foreign map[netip.Prefix][]foreignRoute
	strays  map[uint32]kernelNextHop // ours in the kernel, but not of the shape we make
	usedIDs map[uint32]struct{}
	index   hopIndex
	nextID  uint32
	links   map[int]linkState
	avoid   []netip.Prefix // where no gateway may be
	// Our rules were there, and what became of them since.
	ruled       bool
	ruleDue     bool // to be looked at in a while
	ruledAt     time.Time
	ruleFight   fight
	ruleProblem string

	// What the next flush has to look at.
	dirty      []*entry
	fought     []*entry // in fights that have just begun
	doubted    []*entry // failed in a way that says we do not know the kernel well enough
	stale      []*hop
	touched    []*pathSet
	idleGroups []*group
	idleHops   []*hop

	rivalled map[*entry]struct{}       // in conflict with a foreign route
	troubled map[*entry]struct{}       // with a retry or a fight under way
	quiet    map[*pathSet][]netip.Addr // of which only the groups are written: while these next hops are used there is no news
	returned map[*pathSet]struct{}     // whose detour ended: their entries are to be looked at
	told     []*entry                  // that Drain has to tell of, each once
	gone     map[netip.Prefix]*entry   // no longer in entries; kept until Drain has told
	known    bool                      // the kernel has been read at least once
	reread   bool                      // it is to be read again
	lastRead time.Time                 // end of the last reading
	readTook time.Duration
	hurried  int // readings that followed each other closely
	stats    Stats
	tally    tally
	// What events ask for, in its own time.
	factsNews bool // factsChanged is to be poked
	factsAt   time.Time
	recheck   bool // hops that cannot be used are to be resolved again
	// Likewise, and then those whose route names an object, and all.
	objectNews, ruleNews bool
	checkedAt            time.Time
	recount              bool // Stats.NextHops is to be counted again
	passes               uint64
	closed               bool

	discards    map[netip.Prefix]*discard // nil while there was never one
	discardsDue bool                      // the next pass looks at some

	// What is said of many prefixes, and memory that is used again.
	nothing, absent *Outcome
	slab            []entry
	spare           []*entry
	extras          []*extra
	asked           []*entry
	scratch         []byte
	addrs           []netip.Addr
	requests        []request
	targets         []target
	lastSet         *pathSet // that setFor last returned
	lastOutcome     *Outcome // that share last returned
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
	t := newTable(c, mode, k, k)
	t.tracer = k
	return t, nil
}

func newTable(c Config, mode Mode, k kernel, h system) *Table {
	t := &Table{
		cfg: c, log: c.Log, mode: mode, kernel: k, host: h, ruler: h, surveyor: h,
		queue:        newQueue(),
		names:        readProtocolNames(),
		changed:      make(chan struct{}, 1),
		factsChanged: make(chan struct{}, 1),
		hostChanged:  make(chan struct{}, 1),
		hopsNews:     make(chan struct{}, 1),
		links:        map[int]linkState{},
		gone:         map[netip.Prefix]*entry{},
		nothing:      &Outcome{},
		absent:       &Outcome{Status: Absent},
	}
	t.reset()
	if mode == ModeInline {
		t.log.Warn("this kernel has no next-hop objects: next hops are written into each route, a failover rewrites each of them")
	}
	return t
}

// reset forgets all that is desired and all that was read.
func (t *Table) reset() {
	t.entries = prefixmap.Map[*entry]{}
	t.sets = map[string]*pathSet{}
	t.hops = map[netip.Addr]*hop{}
	t.groups = map[uint32]*group{}
	t.foreign = map[netip.Prefix][]foreignRoute{}
	t.strays = map[uint32]kernelNextHop{}
	t.usedIDs = map[uint32]struct{}{}
	t.nextID = firstID
	t.troubled = map[*entry]struct{}{}
	t.dirty, t.doubted, t.stale, t.touched, t.idleGroups, t.idleHops = nil, nil, nil, nil, nil, nil
	t.tally = tally{}
	t.rivalled = map[*entry]struct{}{}
	t.hopsChanged()
	t.returned, t.quiet, t.lastSet = nil, nil, nil
	t.discards, t.discardsDue = nil, false
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

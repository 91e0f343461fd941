package fib

import (
	"context"
	"errors"
	"net/netip"
)

// kernel is the seam: Linux behind one implementation, a model of Linux behind the other. Both
// pass the same conformance suite. Only Table calls it, with its lock held, except for watch.
type kernel interface {
	// apply carries out the requests in order and leaves each one's outcome in its err field.
	// The returned error is about the conversation: after one, the outcome of any request
	// that has none is unknown.
	apply(ctx context.Context, reqs []request) error
	// read returns all next-hop objects, and then hands over all routes of the table one by one,
	// whoever owns them; a route is valid during its call. When it returns an error, which is
	// errInterrupted when the kernel said that it changed meanwhile, nothing that was handed
	// over is to be believed.
	read(ctx context.Context, sink func(*kernelRoute)) ([]kernelNextHop, error)
	// resolve says over which link each address is reached directly, or through which gateways.
	resolve(ctx context.Context, addrs []netip.Addr) ([]resolution, error)
	// watch hands over what others (not we ourselves) change, until ctx ends; then it returns
	// nil. What happened since the kernel was opened is not missed.
	watch(ctx context.Context, sink func(event)) error
}

// host tells about the node's own addresses. It is safe to use from any goroutine.
type host interface {
	facts() (Facts, error)
	local(peer netip.Addr) (link string, v4, v6 netip.Addr, err error)
	around(links []int) (surroundings, error)
	close() error
}

// system is what Linux is beside a kernel.
type system interface {
	host
	ruler
	surveyor
}

// surveyor looks over the routes of all tables. It is safe to use from any goroutine.
type surveyor interface {
	routedInside(prefix netip.Prefix) (bool, error)
}

// surroundings are the names of links, sorted, without those that have gone, and the tables that the rules of each
// family look at: none where there is no such family, or no rules at all.
type surroundings struct {
	names            []string
	tables4, tables6 []int
}

var (
	errInterrupted = errors.New("dump interrupted by a change")
	errNotOnLink   = errors.New("next hop not on-link")
	errUnresolved  = errors.New("next hop unresolved")
	errOwnAddress  = errors.New("next hop is one of this node's own addresses")
	errLinkDown    = errors.New("link to the next hop is down")
)

type op uint8

const (
	opCreateNextHop  op = iota + 1 // fails with EEXIST when the id is taken
	opReplaceNextHop               // changes gateway or link in place, for all groups at once
	opDeleteNextHop                // absent is success; serves groups too
	opCreateGroup                  // fails with EEXIST when the id is taken
	opReplaceGroup                 // changes the members in place, for all routes at once
	opCreateRoute                  // fails with EEXIST when the prefix has any route of that metric
	opAppendRoute                  // adds beside what is there
	opDeleteRoute                  // deletes by exact identity; absent is success
)

// request is one change. It is a value so that thousands of them need one allocation.
type request struct {
	op      op
	drops   bool         // a discard route
	id      uint32       // next-hop object; for a route the one it names, 0 for inline next hops
	metric  uint32       // routes
	dst     netip.Prefix // routes
	tos     uint8        // routes to delete: ours have none
	gateway gateway      // next-hop objects
	hops    []gateway    // inline next hops of a route
	options options      // of a route
	members []uint32     // of a group
	err     error
}

// gateway is a next hop with its link resolved. Link-local addresses carry the link's name as zone, and so do pinned ones.
type gateway struct {
	addr netip.Addr
	link int
}

// resolution is the link of an on-link address, the gateways of another one, or why there are neither.
type resolution struct {
	link   int
	via    []netip.Addr // pinned where need be
	match  netip.Prefix // of the route that says so; the zero Prefix when that is not known
	table  uint32       // where that route is
	object bool         // it names a next-hop object
	err    error        // a wayError when it is about routes
}

// kernelRoute is a route as the kernel tells it. hops is filled only when the route names no
// next-hop object; routes that are not plain unicast have neither.
type kernelRoute struct {
	dst      netip.Prefix
	metric   uint32
	nextHop  uint32
	protocol uint8
	tos      uint8
	drops    bool // a blackhole that names no next-hop object
	hops     []gateway
	options  options
}

// kernelNextHop is a next-hop object. odd ones (blackholes, resilient or weighted groups,
// encapsulations) are never made by us and match nothing we want.
type kernelNextHop struct {
	id       uint32
	protocol uint8
	odd      bool
	gateway  gateway
	members  []uint32
}

type eventKind uint8

const (
	routeAdded eventKind = iota + 1
	routeRemoved
	nextHopAdded
	nextHopRemoved
	linkChanged
	addressChanged
	settingsChanged // of a link or of all
	rulesChanged
	overflowed // the kernel dropped notifications
)

// event is something that others did. third is set when a process did it, not the kernel itself.
type event struct {
	kind     eventKind
	third    bool
	by       *sender // who did it, when it is about something of ours; nil: not known
	replaced bool    // a route took the place of the one with its metric
	inTable  bool    // a route is in our table; others matter only for finding next hops
	table    uint32  // a route is in
	route    kernelRoute
	nextHop  kernelNextHop
	link     linkState
	addr     netip.Addr // that was added, or removed if link.gone
}

type linkState struct {
	index int
	name  string
	up    bool // administratively, and with carrier
	gone  bool
}

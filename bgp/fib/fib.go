package fib

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"
)

// Defaults that a zero Config field stands for.
const (
	DefaultTable       = 254
	DefaultProtocol    = 200
	DefaultMetric      = 512
	DefaultMaxNextHops = 16
	DefaultResync      = 2 * time.Minute
)

// Errors that callers may branch on.
var (
	// ErrClosed is returned by every method that needs the kernel after Close.
	ErrClosed = errors.New("kernel table is closed")
	// ErrRunning is returned by Run when another Run is under way.
	ErrRunning = errors.New("kernel table is already being watched")
)

// Config says where in the kernel the table lives. A zero field stands for its default.
type Config struct {
	// Table is the kernel routing table, 1..2^31-1 but not 255 (local).
	Table int
	// Protocol is the mark on everything we write, 5..255: 0 to 4 are the kernel's and the administrator's.
	Protocol int
	// Metric is the priority of our routes, 1..2^31-1; a lower one wins.
	Metric int
	// MaxNextHops is the largest number of next hops a route gets, 1..256. Of a larger set the
	// lowest addresses are used, so that every node and every restart choose the same ones.
	MaxNextHops int
	// Resync is how often everything is read again from the kernel although no event asked for
	// it; less often when a reading takes longer than 1/500 of it.
	Resync time.Duration
	// MTU is that of our routes, 0 for none.
	MTU int
	// Source4 and Source6 are the addresses that our routes prefer as source of what the node itself sends; the zero Addr
	// for none. While one is not the node's the kernel refuses the routes.
	Source4, Source6 netip.Addr
	// Rule is the priority of a rule, one for each family, that has the kernel look at Table, 1..32765; 0 for none.
	Rule int
	// Resolve says what is done with next hops that are on no link.
	Resolve Resolve
	// Log may be nil.
	Log logrus.FieldLogger
}

// Route is the desired state of one prefix: the whole set of its next hops, in any order. Empty
// NextHops means that the prefix is to have no route of ours.
type Route struct {
	Dst      netip.Prefix
	NextHops []netip.Addr
}

// Mode says how next hops are written.
type Mode string

// The two modes; Open chooses by trying.
const (
	// ModeObjects writes next-hop objects and groups which routes name by id.
	ModeObjects Mode = "NextHopObjects"
	// ModeInline writes the next hops into each route, for kernels without next-hop objects.
	ModeInline Mode = "Inline"
)

// Status is what became of a prefix in the kernel.
type Status string

// The states of a prefix.
const (
	// Installed: the route is in the kernel and traffic follows it.
	Installed Status = "Installed"
	// Failed: the route is desired and not in the kernel (or not as desired); it is retried.
	Failed Status = "Failed"
	// Conflict: a foreign route to the prefix collides with ours or wins over it.
	Conflict Status = "Conflict"
	// Absent: no route of ours is there and none is desired.
	Absent Status = "Absent"
	// Adopted: a route of ours found in the kernel that nobody has asked for yet; Prune removes it.
	Adopted Status = "Adopted"
)

// State is the state of one prefix. Those that Table hands out always have an Outcome.
type State struct {
	Dst netip.Prefix
	*Outcome
}

// Outcome is what became of a prefix. It is shared by all prefixes of which the same is to be
// said, and never changes: keep the pointer, compare it, and do not write to what it points to.
type Outcome struct {
	Status Status
	// NextHops is what was in the kernel, sorted.
	NextHops []netip.Addr
	// Reason is one human sentence, empty when all is well.
	Reason string
	// OffLink are the next hops that are not in use because no link leads to them directly, and no route that may be used,
	// sorted. Reason says so too.
	OffLink []netip.Addr
}

// Stats counts. The first group are gauges, the second only ever grows.
type Stats struct {
	Routes, Installed, Failed, Conflicts, Adopted int
	NextHops, Groups                              int
	Discards                                      int // discard routes in the kernel; Routes and the others are without them

	Operations    uint64 // requests the kernel was asked to carry out
	Errors        uint64 // requests it refused
	Repairs       uint64 // routes written again because someone else or a link took them away
	Fights        uint64 // times that repairing was slowed down because someone keeps undoing it
	Resyncs       uint64 // complete readings of the kernel
	Overflows     uint64 // times the kernel dropped notifications and all was read again
	Interrupted   uint64 // dumps thrown away because the kernel said they were inconsistent
	GroupRewrites uint64 // groups rewritten in place
}

func (c Config) complete() Config {
	if c.Table == 0 {
		c.Table = DefaultTable
	}
	if c.Protocol == 0 {
		c.Protocol = DefaultProtocol
	}
	if c.Metric == 0 {
		c.Metric = DefaultMetric
	}
	if c.MaxNextHops == 0 {
		c.MaxNextHops = DefaultMaxNextHops
	}
	if c.Resync == 0 {
		c.Resync = DefaultResync
	}
	if c.Resolve == "" {
		c.Resolve = ResolveNever
	}
	if c.Log == nil {
		quiet := logrus.New()
		quiet.SetOutput(io.Discard)
		c.Log = quiet
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.Table < 1 || c.Table > 1<<31-1 || c.Table == 255 {
		errs = append(errs, fmt.Errorf("table %d: must be 1..2147483647 and not 255", c.Table))
	}
	if c.Protocol < 5 || c.Protocol > 255 {
		errs = append(errs, fmt.Errorf("protocol %d: must be 5..255", c.Protocol))
	}
	if c.Metric < 1 || c.Metric > 1<<31-1 {
		errs = append(errs, fmt.Errorf("metric %d: must be 1..2147483647", c.Metric))
	}
	if c.MaxNextHops < 1 || c.MaxNextHops > 256 {
		errs = append(errs, fmt.Errorf("max next hops %d: must be 1..256", c.MaxNextHops))
	}
	if c.Resync < 0 {
		errs = append(errs, fmt.Errorf("resync %s: must not be negative", c.Resync))
	}
	return errors.Join(append(errs, c.validateRoutes()...)...)
}

// validateRoutes checks what says how routes look and what leads to them.
func (c Config) validateRoutes() []error {
	var errs []error
	if c.MTU != 0 && (c.MTU < 1280 || c.MTU > 65535) {
		errs = append(errs, fmt.Errorf("mtu %d: must be 0 or 1280..65535", c.MTU))
	}
	if c.Source4.IsValid() && !c.Source4.Is4() || c.Source6.IsValid() && !c.Source6.Is6() {
		errs = append(errs, fmt.Errorf("sources %s and %s: must be an IPv4 and an IPv6 address", c.Source4, c.Source6))
	}
	if c.Rule < 0 || c.Rule > 32765 {
		errs = append(errs, fmt.Errorf("rule %d: must be 0..32765", c.Rule))
	}
	switch c.Resolve {
	case ResolveNever, ResolveRoutes, ResolveAlways:
	default:
		errs = append(errs, fmt.Errorf("resolve %q: must be never, routes or always", c.Resolve))
	}
	return errs
}

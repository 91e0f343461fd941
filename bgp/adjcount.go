package bgp

import (
	"net/netip"
	"sync"
	"sync/atomic"
)

// To count what peers are told, GoBGP puts all its best paths through the export policy, once for each peer and family. So the
// counts are kept for as long as nothing happened that could make them others: an operation of ours on GoBGP, an event of a session,
// and, where what is learned is passed on to somebody, a change of a best path. Where it is not, what is told are own prefixes
// alone, and a table that never rests costs nothing here.
type adjOutCounts struct {
	operations atomic.Uint64 // of ours that may change something
	events     atomic.Uint64 // of sessions and, as far as they matter, of paths

	mu    sync.Mutex // guards what follows
	stamp countStamp // when counts was true
	known map[netip.Addr]advertisedCounts
}

// countStamp is a moment, by what had happened until then.
type countStamp struct{ operations, events uint64 }

// advertisedCounts are what one peer is told.
type advertisedCounts struct{ all, v4, v6 int }

// now is to be read before GoBGP is asked: what happens meanwhile has it asked again.
func (c *adjOutCounts) now() countStamp {
	return countStamp{c.operations.Load(), c.events.Load()}
}

// at returns the counts if they are those of this moment.
func (c *adjOutCounts) at(stamp countStamp) (map[netip.Addr]advertisedCounts, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known, c.known != nil && c.stamp == stamp
}

// keep remembers what GoBGP answered.
func (c *adjOutCounts) keep(stamp countStamp, details map[netip.Addr]Details) {
	known := make(map[netip.Addr]advertisedCounts, len(details))
	for peer, d := range details {
		known[peer] = advertisedCounts{d.Advertised, d.IPv4.Advertised, d.IPv6.Advertised}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stamp, c.known = stamp, known
}

// recall puts counts that are known into details that have none.
func recall(known map[netip.Addr]advertisedCounts, details map[netip.Addr]Details) {
	for peer, d := range details {
		n := known[peer]
		d.Advertised, d.IPv4.Advertised, d.IPv6.Advertised = n.all, n.v4, n.v6
		details[peer] = d
	}
}

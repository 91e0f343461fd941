package status

import (
	"net/netip"
	"sync/atomic"
)

// The trail remembers the last trailChunks*trailRows steps of single prefixes: of what happened to a prefix that goes up and
// down, every time. Its chunks are made when they are needed and given up as a whole.
const (
	trailChunks = 32
	trailRows   = 1024
)

// step is that an entry is about a prefix.
type step struct {
	prefix netip.Prefix
	entry  uint64
	at     int64 // nanoseconds of Unix time
}

// trail has one writer. Rows below used are never changed, so that readers need no lock.
type trail struct {
	chunks  [trailChunks]atomic.Pointer[trailChunk]
	current int
}

type trailChunk struct {
	rows [trailRows]step
	used atomic.Int32
}

func (t *trail) add(s step) {
	c := t.chunks[t.current].Load()
	if c != nil && c.used.Load() == trailRows {
		t.current = (t.current + 1) % trailChunks
		c = nil
	}
	if c == nil {
		c = &trailChunk{}
		t.chunks[t.current].Store(c)
	}
	n := c.used.Load()
	c.rows[n] = s
	c.used.Store(n + 1)
}

// about calls yield with the steps of the prefixes that cover p or lie inside it, in no particular order.
func (t *trail) about(p netip.Prefix, yield func(step)) {
	for i := range t.chunks {
		c := t.chunks[i].Load()
		if c == nil {
			continue
		}
		for _, s := range c.rows[:c.used.Load()] {
			if s.prefix.Overlaps(p) {
				yield(s)
			}
		}
	}
}

package bgp

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// table is what GoBGP's callbacks write and the agent reads: the best paths of each learned prefix,
// which prefixes changed, and the state of each session.
type table struct {
	ownASN  uint32
	changed chan struct{} // capacity one: "look again"

	mu       sync.Mutex // guards the maps below; held only for map operations, never over a call out
	paths    map[netip.Prefix][]Path
	dirty    map[netip.Prefix]struct{}
	sessions map[netip.Addr]*session
}

func newTable(ownASN uint32) *table {
	return &table{
		ownASN:   ownASN,
		changed:  make(chan struct{}, 1),
		paths:    map[netip.Prefix][]Path{},
		dirty:    map[netip.Prefix]struct{}{},
		sessions: map[netip.Addr]*session{},
	}
}

// poke wakes the reader without ever blocking the writer.
func (t *table) poke() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// update applies one best-path event. With multiple paths enabled GoBGP sends per-prefix deltas,
// withdrawn paths first; at subscription it sends whole sets. Both are "this peer's path is now that".
func (t *table) update(events []*apiutil.Path) {
	now := time.Now()
	t.mu.Lock()
	for _, event := range events {
		if event == nil || !event.PeerAddress.IsValid() {
			continue // our own advertisement
		}
		prefix, ok := prefixOf(event)
		if !ok {
			continue
		}
		if s := t.sessions[event.PeerAddress]; s != nil {
			s.lastPath = now
		}
		t.set(prefix, event)
	}
	t.mu.Unlock()
	t.poke()
}

// set replaces or removes the path of one peer for one prefix.
func (t *table) set(prefix netip.Prefix, event *apiutil.Path) {
	old := t.paths[prefix]
	at := slices.IndexFunc(old, func(p Path) bool { return p.Peer == event.PeerAddress })
	var paths []Path // a new slice: drained ones are shared with the reader
	switch {
	case event.Withdrawal && at < 0:
		return
	case event.Withdrawal:
		paths = slices.Concat(old[:at], old[at+1:])
	default:
		path := newPath(event, t.ownASN)
		switch {
		case at < 0:
			paths = append(slices.Clip(slices.Clone(old)), path)
		case old[at].equal(path):
			return
		default:
			paths = slices.Clone(old)
			paths[at] = path
		}
	}
	if len(paths) == 0 {
		delete(t.paths, prefix)
	} else {
		t.paths[prefix] = paths
	}
	t.dirty[prefix] = struct{}{}
}

func (t *table) drain() []Change {
	t.mu.Lock()
	defer t.mu.Unlock()
	changes := make([]Change, 0, len(t.dirty))
	for prefix := range t.dirty {
		changes = append(changes, Change{Prefix: prefix, Paths: t.paths[prefix]})
	}
	clear(t.dirty)
	return changes
}

// endOfRIB records that a peer has sent its initial routes of one family (RFC 4724, section 2).
func (t *table) endOfRIB(peer netip.Addr, family gobgp.Family) {
	t.mu.Lock()
	if s := t.sessions[peer]; s != nil {
		s.endOfRIB[family] = true
	}
	t.mu.Unlock()
	t.poke()
}

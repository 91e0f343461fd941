package bgp

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"

	"github.com/underlayd/underlayd/bgp/prefixmap"
)

// table is what GoBGP's callbacks write and the agent reads: the best paths of each learned prefix,
// which prefixes changed, and the state of each session.
type table struct {
	changed chan struct{} // capacity one: "look again"
	awoken  chan struct{} // likewise, for the tender
	looped  chan struct{} // likewise: a path came back to its reflector
	started time.Time     // what learned.at counts from
	counts  adjOutCounts

	mu       sync.Mutex // guards all below; held only for operations in memory, never over a call out
	prefixes prefixmap.Map[*learned]
	dirty    []*learned // those marked so, each once
	whole    bool       // dirty holds something that is to be handed over in one piece
	last     *learned   // looked up last: the events of one prefix come together
	sets     pathSets
	sessions map[netip.Addr]*session
	awake    bool         // the tender looks often
	fallen   bool         // a session ended since the agent asked last
	turned   []netip.Addr // whose session.plain became another
	unseen   uint64       // changes that did not show in the best paths
	relaying bool         // what is learned is passed on to somebody
	gone     map[netip.Prefix]struct{}
	reader   pathReader
	scratch  []Path
}

// learned is one prefix. One without paths is kept until the agent has heard of it.
type learned struct {
	prefix netip.Prefix
	best   *PathSet
	spare  *PathSet      // the next best, as far as known
	at     time.Duration // when the oldest path that has not been handed over was learned, since table.started; 0: none
	mark   mark
	lost   bool // the last path was not withdrawn, its session was disconnected
	// several says that it has had paths of several peers, or several of one
	several bool
}

type mark uint8

const (
	clean mark = iota
	dirty      // in table.dirty
	held       // in the held list of a session
)

func newTable(ownASN, cluster uint32) *table {
	return &table{
		changed:  make(chan struct{}, 1),
		awoken:   make(chan struct{}, 1),
		looped:   make(chan struct{}, 1),
		started:  time.Now(),
		sets:     pathSets{sets: map[string]*PathSet{}},
		sessions: map[netip.Addr]*session{},
		reader:   pathReader{ownASN: ownASN, cluster: cluster},
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
// An event without paths says that something changed which is not among the best.
func (t *table) update(events []*apiutil.Path) {
	now := time.Now()
	t.mu.Lock()
	left, hold := false, t.holder(events, now)
	var last netip.Prefix
	for _, event := range events {
		if event == nil || !event.PeerAddress.IsValid() {
			continue // our own advertisement
		}
		prefix, ok := prefixOf(event)
		if !ok {
			continue
		}
		s := t.sessions[event.PeerAddress]
		if s != nil {
			s.lastPath = now
		}
		t.set(prefix, event, hold, now)
		last, left = prefix, left || event.Withdrawal && (s == nil || !s.falling)
	}
	// A path that left the best ones, of a prefix that still has some, need not be gone.
	if l := t.get(last); len(events) == 0 || left && l != nil && l.best != nil {
		t.unseen++
	}
	if t.relaying {
		t.counts.events.Add(1)
	}
	waiting := len(t.dirty) > 0
	t.wake()
	t.mu.Unlock()
	if waiting {
		t.poke()
	}
}

// holder returns the session for which the changes of an event are held back, nil for none; see note.
func (t *table) holder(events []*apiutil.Path, now time.Time) *session {
	for _, event := range events {
		if event == nil {
			continue
		}
		s := t.sessions[event.PeerAddress]
		switch {
		case s == nil:
		case event.Withdrawal:
			if !s.Established && !s.falling && s.gone {
				s.falling, s.holding = true, now // what was kept for a restart is given up
			}
			if s.falling {
				return s
			}
		case t.adds(event) && s.burst(now):
			return s
		}
	}
	return nil
}

// adds says whether an event adds a path to a prefix that has some.
func (t *table) adds(event *apiutil.Path) bool {
	prefix, ok := prefixOf(event)
	if !ok {
		return false
	}
	l := t.get(prefix)
	return l != nil && l.best != nil && l.best.from(event.PeerAddress, event.RemoteID) < 0
}

// get finds a prefix; nil if it is not known.
func (t *table) get(prefix netip.Prefix) *learned {
	if t.last == nil || t.last.prefix != prefix {
		t.last = t.prefixes.Get(prefix)
	}
	return t.last
}

// set replaces or removes a path of one peer for one prefix.
func (t *table) set(prefix netip.Prefix, event *apiutil.Path, hold *session, now time.Time) {
	l := t.get(prefix)
	if l == nil {
		if event.Withdrawal {
			return
		}
		l = &learned{prefix: prefix}
		t.prefixes.Set(prefix, l)
		t.last = l
	}
	known := l.best != nil || l.mark != clean
	at, count := l.best.from(event.PeerAddress, event.RemoteID), 0
	paths := append(t.scratch[:0], l.best.All()...)
	switch {
	case event.Withdrawal && at < 0:
		return
	case event.Withdrawal:
		paths, count = slices.Delete(paths, at, at+1), -1
	case at < 0:
		l.several = l.several || known
		paths, count = append(paths, t.reader.read(event)), 1
	default:
		paths[at] = t.reader.read(event)
	}
	if !event.Withdrawal {
		t.tellLoop(paths, at)
	}
	t.scratch = paths
	s := t.sessions[event.PeerAddress]
	if s != nil {
		s.paths += count
	}
	best := t.sets.intern(paths)
	t.sets.release(l.best) // or the second user of the same
	if best == l.best {
		return
	}
	if l.best == nil && l.mark == clean {
		hold = nil // it is new
	}
	if l.spare != nil {
		t.unseen++ // which is the next best now has to be found out
		t.putSpare(l, nil)
	}
	l.best = best
	t.noteGone(l)
	l.stamp(event, now.Sub(t.started))
	l.lost = best == nil && s != nil && s.gone && (s.cause == Disconnected || s.cause == Restarting)
	t.note(l, hold)
}

// note marks a prefix as changed.
//
// Two kinds of changes are held back to be handed over in one piece, because what all prefixes of a set of next hops
// have in common can then be changed once for all of them, without touching a route. What is withdrawn because its
// session ended waits for the rest of it: the agent has been told, and the traffic is on its way already. What a session
// adds to prefixes that have paths waits for the end of its initial routes, or for the end of a burst: nothing is missing
// meanwhile, and if another session ends it is released at once.
func (t *table) note(l *learned, hold *session) {
	switch {
	case l.mark == dirty, l.mark == held && hold != nil:
	case hold != nil:
		hold.held = append(hold.held, l)
		l.mark = held
	default:
		l.mark = dirty
		t.dirty = append(t.dirty, l)
	}
}

// putSpare replaces the next best paths of a prefix.
func (t *table) putSpare(l *learned, spare *PathSet) {
	t.countSpares(l.spare, -1)
	t.countSpares(spare, +1)
	t.sets.release(l.spare)
	l.spare = spare
}

func (t *table) countSpares(set *PathSet, by int) {
	for _, p := range set.All() {
		if s := t.sessions[p.Peer]; s != nil {
			s.spares += by
		}
	}
}

// drain hands changed prefixes over, and pokes if there are more.
func (t *table) drain(limit int) []Change {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settle(time.Now())
	n := len(t.dirty)
	if limit > 0 && !t.whole {
		n = min(n, limit)
	}
	changes := make([]Change, n)
	for i, l := range t.dirty[:n] {
		changes[i] = Change{Prefix: l.prefix, Paths: l.best, Spare: l.spare, Lost: l.lost, Learned: t.learned(l)}
		l.mark, l.at = clean, 0
		if l.best == nil {
			t.prefixes.Delete(l.prefix)
		}
	}
	t.last = nil
	t.dirty, t.whole = t.dirty[n:], false
	if len(t.dirty) > 0 {
		t.poke()
		return changes
	}
	t.dirty = nil
	return changes
}

// stamp notes when the first path since the last handing over was learned.
func (l *learned) stamp(event *apiutil.Path, at time.Duration) {
	if !event.Withdrawal && l.at == 0 {
		l.at = at
	}
}

// learned is when the oldest path of a change was learned; zero if none was.
func (t *table) learned(l *learned) time.Time {
	if l.at == 0 {
		return time.Time{}
	}
	return t.started.Add(l.at)
}

// endOfRIB records that a peer has sent its initial routes of one family (RFC 4724, section 2).
func (t *table) endOfRIB(peer netip.Addr, family gobgp.Family) {
	t.mu.Lock()
	if s := t.sessions[peer]; s != nil {
		s.endOfRIB[family] = true
		t.settle(time.Now())
	}
	t.mu.Unlock()
	t.poke()
}

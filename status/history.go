package status

import (
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Kind says what happened.
type Kind string

// The kinds of entries.
const (
	SessionUp       Kind = "SessionUp"
	SessionDown     Kind = "SessionDown" // Cause: who ended it and how
	BFDUp           Kind = "BFDUp"
	BFDDown         Kind = "BFDDown"
	Failover        Kind = "Failover" // sets of next hops were rewritten at once; Count counts sets
	PrefixAccepted  Kind = "PrefixAccepted"
	PrefixRefused   Kind = "PrefixRefused" // Cause: the verdict
	PrefixWithdrawn Kind = "PrefixWithdrawn"
	PrefixStale     Kind = "PrefixStale"   // its peer restarts and keeps it; Count counts paths
	PrefixKept      Kind = "PrefixKept"    // its sessions are lost, and it stays for a while
	NextHopsMoved   Kind = "NextHopsMoved" // of a prefix that stays accepted
	KernelInstalled Kind = "KernelInstalled"
	KernelAdopted   Kind = "KernelAdopted"
	KernelRemoved   Kind = "KernelRemoved"
	KernelFailed    Kind = "KernelFailed"
	KernelConflict  Kind = "KernelConflict"
	KernelRepaired  Kind = "KernelRepaired" // routes that somebody removed were put back; Count counts routes
	KernelFight     Kind = "KernelFight"    // somebody keeps undoing the repairs
	ClusterChanged  Kind = "ClusterChanged" // Cause: the new state
	PhaseChanged    Kind = "PhaseChanged"   // Cause: the new phase
	ConfigAccepted  Kind = "ConfigAccepted"
	ConfigRejected  Kind = "ConfigRejected"
	PodCIDRsChanged Kind = "PodCIDRsChanged" // what this node advertises
	RolesChanged    Kind = "RolesChanged"
	DrainChanged    Kind = "DrainChanged"    // Cause: the stage
	APIFailing      Kind = "APIFailing"      // reading or writing the Node
	APIRecovered    Kind = "APIRecovered"    // both work again
	NATRepaired     Kind = "NATRepaired"     // the nftables table was put back
	NATChanged      Kind = "NATChanged"      // Cause: the new state
	DaemonStarted   Kind = "DaemonStarted"   // the first entry of each run
	PeersChanged    Kind = "PeersChanged"    // peers came or went; Count counts them
	ClustersChanged Kind = "ClustersChanged" // likewise, declared clusters
	ProbeChanged    Kind = "ProbeChanged"    // Cause: what the probe says of a cluster now
)

// Entry is one change, or many of one kind that have one cause. It is immutable: one that grew has a higher Revision and
// takes the place of what it was.
type Entry struct {
	// ID counts the entries of a run, from 1. Revision is higher with each change of any entry.
	ID       uint64    `json:"id"`
	Revision uint64    `json:"revision"`
	Time     time.Time `json:"time"`          // of the first
	Last     time.Time `json:"last,omitzero"` // of the last one, if there are several
	Kind     Kind      `json:"kind"`
	Peer     string    `json:"peer,omitempty"`
	Cluster  string    `json:"cluster,omitempty"`
	Cause    string    `json:"cause,omitempty"`  // in a word, for programs
	Detail   string    `json:"detail,omitempty"` // in words; of several, that of the first
	Count    int       `json:"count"`
	// Prefixes are the first few of those it is about.
	Prefixes []netip.Prefix `json:"prefixes,omitempty"`
	// Unsure marks an entry in an answer about one prefix: it is about more prefixes than are remembered one by one, and
	// that one may be among them.
	Unsure bool `json:"unsure,omitempty"`

	first, last netip.Prefix // of all it is about, in order
	partly      bool         // not all of them are in the trail
}

// Note is what a History is told. Prefix is set for what happened to one prefix: such notes are folded whatever their Detail
// is, others only if it is the same.
type Note struct {
	Kind                         Kind
	Peer, Cluster, Cause, Detail string
	Prefix                       netip.Prefix
	Count                        int // 0 is 1
}

// The bounds of a History: some 4 MB when all is full. An entry takes in what follows until it has rested for foldRest, and
// for foldMost at most; of one storm no more than stormTrail prefixes are remembered one by one, so that it does not wash
// away what is known of others.
const (
	historyEntries = 4096
	detailBytes    = 300
	foldRest       = 5 * time.Second
	foldMost       = time.Minute
	stormTrail     = 4096
	prefixExamples = 3
)

// History remembers what changed, the last historyEntries entries of it, and why. The zero History is empty and ready to
// use. Note and Publish belong to one goroutine, which never waits for a reader; readers may be many and never wait for
// it.
type History struct {
	ring    [historyEntries]atomic.Pointer[Entry] // by ID
	next    atomic.Uint64                         // the ID before the next entry's
	revised atomic.Uint64                         // the last revision that was published
	trail   trail

	open  map[noteKey]*growing
	last  *growing // the one that grew last: in a storm the next note is for it too
	dirty []*growing
	swept time.Time
}

// noteKey is what notes that are folded have in common.
type noteKey struct {
	kind                         Kind
	peer, cluster, cause, detail string
}

// growing is an entry that still takes in what follows.
type growing struct {
	Entry
	key     noteKey
	noted   int // prefixes in the trail
	unsaved bool
}

// Note takes in what happened at a time. It is told to readers by the next Publish. Where it is folded it allocates nothing.
func (h *History) Note(now time.Time, n *Note) {
	key := noteKey{n.Kind, n.Peer, n.Cluster, n.Cause, ""}
	if !n.Prefix.IsValid() {
		key.detail = n.Detail
	}
	g := h.last
	if g == nil || g.key != key {
		g = h.open[key]
	}
	if g == nil || now.Sub(g.latest()) > foldRest || now.Sub(g.Time) > foldMost {
		g = h.begin(now, key, n.Detail)
	}
	h.last = g
	count := max(n.Count, 1)
	if g.Count > 0 {
		g.Last = now
	}
	g.Count += count
	if n.Prefix.IsValid() {
		h.follow(g, n.Prefix, now)
	}
	if !g.unsaved {
		g.unsaved = true
		h.dirty = append(h.dirty, g)
	}
}

func (h *History) begin(now time.Time, key noteKey, detail string) *growing {
	if h.open == nil {
		h.open = map[noteKey]*growing{}
	}
	g := &growing{key: key, Entry: Entry{
		ID: h.next.Add(1), Time: now, Kind: key.kind, Peer: key.peer, Cluster: key.cluster, Cause: key.cause, Detail: clip(detail),
	}}
	h.open[key] = g
	return g
}

// follow notes that an entry is about a prefix.
func (h *History) follow(g *growing, p netip.Prefix, now time.Time) {
	if !g.first.IsValid() || p.Compare(g.first) < 0 {
		g.first = p
	}
	if !g.last.IsValid() || p.Compare(g.last) > 0 {
		g.last = p
	}
	if len(g.Prefixes) < prefixExamples && !slices.Contains(g.Prefixes, p) {
		g.Prefixes = append(g.Prefixes, p)
	}
	if g.noted == stormTrail {
		g.partly = true
		return
	}
	g.noted++
	h.trail.add(step{prefix: p, entry: g.ID, at: now.UnixNano()})
}

// Publish shows readers what was noted. Its cost is the number of entries that changed, not of notes.
func (h *History) Publish(now time.Time) {
	for i, g := range h.dirty {
		h.dirty[i], g.unsaved = nil, false
		if g.ID+historyEntries <= h.next.Load() { // its place is another one's by now
			continue
		}
		g.Revision = h.revised.Load() + 1
		e := g.Entry // its examples may grow behind what this one shows of them
		h.ring[e.ID%historyEntries].Store(&e)
		h.revised.Store(e.Revision)
	}
	h.dirty = h.dirty[:0]
	if now.Sub(h.swept) > foldRest {
		h.swept = now
		for key, g := range h.open {
			if now.Sub(g.latest()) > foldRest {
				delete(h.open, key)
			}
		}
	}
}

// clip bounds what a peer or an API server may have us remember.
func clip(s string) string {
	if len(s) > detailBytes {
		s = s[:detailBytes] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}

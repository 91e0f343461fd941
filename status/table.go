package status

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
	"sort"
)

// Row is one route of a table. It is immutable. Most rows are never looked at: Route works out what it says only when
// somebody asks.
type Row interface {
	Key() netip.Prefix // the route's prefix
	Route() *Route     // shared or made for the caller, who must not change it
}

// RouteTable is an immutable, sorted set of routes. With makes a changed one that shares all it can with the
// old: the cost of publishing is the size of the change, and readers keep the table they have for as long as
// they like. The nil table is empty and ready to use.
type RouteTable struct {
	chunks [][]Row // sorted; none empty
	length int
	epoch  uint64 // how often it was renewed
}

// Chunks are split above chunkMax and merged with their left neighbour while both fit in chunkMax/2: small enough to
// copy for one change, large enough that the list of chunks of 100,000 routes has only some hundred entries.
const chunkMax = 256

// Renewed returns the same table for when rows that were not replaced tell something else now, because of what they
// share: what was derived of them is derived anew. The receiver stays as it was; nil, which has no rows, stays nil.
func (t *RouteTable) Renewed() *RouteTable {
	if t == nil {
		return nil
	}
	next := *t
	next.epoch++
	return &next
}

// Len is the number of routes.
func (t *RouteTable) Len() int {
	if t == nil {
		return 0
	}
	return t.length
}

// All yields the routes in order of prefix, IPv4 first.
func (t *RouteTable) All() iter.Seq[*Route] { return worked(t.Rows()) }

// Rows yields the same without working them out.
func (t *RouteTable) Rows() iter.Seq[Row] {
	return func(yield func(Row) bool) {
		if t == nil {
			return
		}
		for _, chunk := range t.chunks {
			for _, r := range chunk {
				if !yield(r) {
					return
				}
			}
		}
	}
}

func worked(rows iter.Seq[Row]) iter.Seq[*Route] {
	return func(yield func(*Route) bool) {
		for r := range rows {
			if !yield(r.Route()) {
				return
			}
		}
	}
}

// Get finds the route of exactly this prefix.
func (t *RouteTable) Get(p netip.Prefix) (*Route, bool) {
	for r := range t.from(p) {
		if r.Key() == p {
			return r.Route(), true
		}
		break
	}
	return nil, false
}

// from yields the rows that sort at p or after.
func (t *RouteTable) from(p netip.Prefix) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		if t == nil {
			return
		}
		first := sort.Search(len(t.chunks), func(i int) bool { return last(t.chunks[i]).Compare(p) >= 0 })
		for i := first; i < len(t.chunks); i++ {
			chunk := t.chunks[i]
			if i == first {
				at, _ := slices.BinarySearchFunc(chunk, p, compareRoute)
				chunk = chunk[at:]
			}
			for _, r := range chunk {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// Overlapping yields the routes that cover p, widest first, and then those that are p or lie inside it.
func (t *RouteTable) Overlapping(p netip.Prefix) iter.Seq[*Route] {
	return func(yield func(*Route) bool) {
		if t == nil || !p.IsValid() {
			return
		}
		p = p.Masked()
		for bits := range p.Bits() {
			wider, _ := p.Addr().Prefix(bits)
			if r, ok := t.Get(wider); ok && !yield(r) {
				return
			}
		}
		for r := range t.from(p) {
			if !p.Contains(r.Key().Addr()) || !yield(r.Route()) {
				return
			}
		}
	}
}

// Covering yields the routes that cover p, p itself among them, widest first. It takes a look-up for each length.
func (t *RouteTable) Covering(p netip.Prefix) iter.Seq[*Route] {
	return func(yield func(*Route) bool) {
		for bits := range p.Bits() + 1 {
			wider, _ := p.Addr().Prefix(bits)
			if r, ok := t.Get(wider); ok && !yield(r) {
				return
			}
		}
	}
}

// Inside yields the rows of prefixes inside p, p itself among them, in their order and without working them out.
func (t *RouteTable) Inside(p netip.Prefix) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		p = p.Masked()
		for r := range t.from(p) {
			if !p.Contains(r.Key().Addr()) || r.Key().Bits() >= p.Bits() && !yield(r) {
				return
			}
		}
	}
}

// insideAfter yields the rows of prefixes inside p that sort at a prefix or after, which sorts after p.
func (t *RouteTable) insideAfter(p, after netip.Prefix) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		for r := range t.from(after) {
			if !p.Contains(r.Key().Addr()) || !yield(r) {
				return
			}
		}
	}
}

// With returns the table after the changed routes were put in (or replaced the one of the same prefix) and the
// removed prefixes taken out. If a prefix is in both, it is removed; of two changes of one prefix the last one
// stands. The receiver stays as it was. The routes are kept, not copied: their maker must not touch them again.
func (t *RouteTable) With(changed []Row, removed []netip.Prefix) *RouteTable {
	edits := edits(changed, removed)
	next := &RouteTable{}
	var old [][]Row
	if t != nil {
		old, next.epoch = t.chunks, t.epoch
	}
	if len(old) == 0 {
		old = [][]Row{nil}
	}
	for i, chunk := range old {
		n := len(edits) // the last chunk takes all that is left
		if i < len(old)-1 {
			border := last(chunk)
			n = sort.Search(len(edits), func(j int) bool { return edits[j].prefix.Compare(border) > 0 })
		}
		if n == 0 {
			next.push(chunk)
			continue
		}
		for part := range slices.Chunk(merge(chunk, edits[:n]), chunkMax) {
			next.push(part)
		}
		edits = edits[n:]
	}
	return next
}

func (t *RouteTable) push(chunk []Row) {
	if len(chunk) == 0 {
		return
	}
	t.length += len(chunk)
	if n := len(t.chunks); n > 0 && len(t.chunks[n-1])+len(chunk) <= chunkMax/2 {
		t.chunks[n-1] = slices.Concat(t.chunks[n-1], chunk)
		return
	}
	t.chunks = append(t.chunks, chunk)
}

type edit struct {
	prefix netip.Prefix
	row    Row // nil: remove
	rank   int // of several for one prefix the lowest stands
}

// edits brings the changes into the table's order, one for each prefix.
func edits(changed []Row, removed []netip.Prefix) []edit {
	out := make([]edit, 0, len(changed)+len(removed))
	for _, p := range removed {
		out = append(out, edit{prefix: p})
	}
	for i, r := range changed {
		out = append(out, edit{prefix: r.Key(), row: r, rank: len(changed) - i})
	}
	slices.SortFunc(out, func(a, b edit) int { return cmp.Or(a.prefix.Compare(b.prefix), a.rank-b.rank) })
	return slices.CompactFunc(out, func(a, b edit) bool { return a.prefix == b.prefix })
}

func merge(chunk []Row, edits []edit) []Row {
	out := make([]Row, 0, len(chunk)+len(edits))
	for _, e := range edits {
		at, found := slices.BinarySearchFunc(chunk, e.prefix, compareRoute)
		out = append(out, chunk[:at]...)
		chunk = chunk[at:]
		if found {
			chunk = chunk[1:]
		}
		if e.row != nil {
			out = append(out, e.row)
		}
	}
	return append(out, chunk...)
}

func last(chunk []Row) netip.Prefix { return chunk[len(chunk)-1].Key() }

func compareRoute(r Row, p netip.Prefix) int { return r.Key().Compare(p) }

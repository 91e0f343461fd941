package main

import (
	"net/netip"
	"time"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/ipam"
)

// record is all that is known of one prefix, from received to kernel. A record is replaced, never changed,
// once it is in the book, except for its kernel state.
type record struct {
	prefix   netip.Prefix
	best     []bgp.Path     // what the speaker selected
	paths    []bgp.Path     // what was judged: best, or more if best was unusable
	verdicts []ipam.Verdict // one for each path
	verdict  ipam.Verdict   // the one that counts
	hops     []netip.Addr   // what the kernel was asked for, sorted
	owner    string         // cluster whose contract holds an adopted prefix; empty: none
	fallback bool           // a better path was unusable, so look again now and then
	kernel   fib.Outcome
	since    time.Time
}

// tally counts the prefixes of one cluster. Routable ones are those to which packets find their way now.
type tally struct{ accepted, refused, routable int }

// book keeps the records with the sums that would otherwise need a walk over all of them.
type book struct {
	records  map[netip.Prefix]*record
	changed  map[netip.Prefix]struct{} // since the last snapshot
	fallen   map[netip.Prefix]struct{}
	clusters map[string]*tally
	accepted map[netip.Addr]int // paths, by peer
}

func newBook() *book {
	return &book{
		records: map[netip.Prefix]*record{}, changed: map[netip.Prefix]struct{}{}, fallen: map[netip.Prefix]struct{}{},
		clusters: map[string]*tally{},
		accepted: map[netip.Addr]int{},
	}
}

func (b *book) get(prefix netip.Prefix) *record { return b.records[prefix] }

// prefixes returns all of them.
func (b *book) prefixes() []netip.Prefix { return keys(b.records) }

// fallbacks returns those whose best path was unusable.
func (b *book) fallbacks() []netip.Prefix { return keys(b.fallen) }

func keys[V any](m map[netip.Prefix]V) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}

// put replaces the record of a prefix; one without paths that is not in the kernel either is dropped.
func (b *book) put(r *record) {
	if old := b.records[r.prefix]; old != nil {
		b.count(old, -1)
	}
	b.changed[r.prefix] = struct{}{}
	delete(b.fallen, r.prefix)
	if r.fallback {
		b.fallen[r.prefix] = struct{}{}
	}
	b.count(r, +1)
	b.records[r.prefix] = r
	b.settle(r)
}

func (b *book) count(r *record, by int) {
	if len(r.paths) > 0 {
		t := b.tally(r.verdict.Cluster)
		if r.verdict.Accepted {
			t.accepted += by
		} else {
			t.refused += by
		}
	}
	for i, p := range r.paths {
		if r.verdicts[i].Accepted {
			b.accepted[p.Peer] += by
		}
	}
	if cluster, ok := r.routable(); ok {
		b.tally(cluster).routable += by
	}
}

func (b *book) tally(cluster string) *tally {
	t := b.clusters[cluster]
	if t == nil {
		t = &tally{}
		b.clusters[cluster] = t
	}
	return t
}

// routable says whether packets to the prefix find their way now, and to which cluster. A route that an earlier
// run left does its work until it is pruned.
func (r *record) routable() (cluster string, ok bool) {
	switch {
	case r.verdict.Accepted:
		return r.verdict.Cluster, r.kernel.Status == fib.Installed || r.kernel.Status == fib.Adopted
	case len(r.paths) == 0:
		return r.owner, r.owner != "" && r.kernel.Status == fib.Adopted
	default:
		return "", false
	}
}

// observe takes the kernel's state of a prefix; an adopted route nobody announced gets a record too. Owner is the
// cluster that may send the prefix.
func (b *book) observe(s fib.State, owner string) {
	r := b.records[s.Dst]
	if r == nil {
		if s.Status == fib.Absent {
			return
		}
		r = &record{prefix: s.Dst}
		b.records[s.Dst] = r
	}
	b.changed[s.Dst] = struct{}{}
	b.count(r, -1)
	if r.kernel.Status != s.Status {
		r.since = time.Now()
	}
	r.kernel, r.owner = *s.Outcome, owner
	b.count(r, +1)
	b.settle(r)
}

// settle drops a record that says nothing any more.
func (b *book) settle(r *record) {
	gone := r.kernel.Status == "" || r.kernel.Status == fib.Absent
	if len(r.paths) == 0 && gone {
		delete(b.records, r.prefix)
		delete(b.fallen, r.prefix)
	}
}

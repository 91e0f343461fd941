package main

import (
	"net/netip"
	"time"

	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/bgp/prefixmap"
	"github.com/underlayd/underlayd/ipam"
	"github.com/underlayd/underlayd/status"
)

// record is all that is known of one prefix, from received to kernel. There are as many as routes, so that what
// prefixes have in common is shared, and what a person may ask is worked out when one does (see Route).
type record struct {
	prefix  netip.Prefix
	way     *way          // what was made of its paths; nil: nobody announces it
	verdict *ipam.Verdict // the one that counts; without a way it only names the cluster whose contract holds the prefix
	kernel  *fib.Outcome  // nil: nothing of ours is there
	seat    *ipam.Seat    // in its cluster's contract
	since   int64         // when verdict or kernel state changed last, in nanoseconds of Unix time
	listed  bool          // it is on the board: from now on it is replaced and not changed
	changed bool          // it is in book.changed
	kept    bool          // nobody announces it any more, see brake.go
	awaits  instant       // since when its route is not confirmed in the kernel; 0: it is, or is not measured
}

// tally counts the prefixes of one cluster. Routable ones are those to which packets find their way now.
type tally struct{ accepted, refused, routable, kept, passedOn int }

// book keeps the records with the sums that would otherwise need a walk over all of them.
type book struct {
	records  prefixmap.Map[*record]
	ways     map[wayKey]*way
	changed  []netip.Prefix // since the last snapshot
	fallen   map[netip.Prefix]struct{}
	kept     map[keepKey]*keep
	clusters map[string]*tally
	unheard  *ipam.Verdict // on what nobody has announced, of no known cluster
	started  time.Time     // what instants count from
	latency  status.InstallLatency
}

func newBook() *book {
	return &book{
		ways: map[wayKey]*way{}, fallen: map[netip.Prefix]struct{}{}, kept: map[keepKey]*keep{},
		clusters: map[string]*tally{}, unheard: &ipam.Verdict{}, started: time.Now(),
	}
}

func (b *book) get(prefix netip.Prefix) *record { return b.records.Get(prefix) }

// prefixes returns all of them.
func (b *book) prefixes() []netip.Prefix {
	out := make([]netip.Prefix, 0, b.records.Len())
	for prefix := range b.records.All() {
		out = append(out, prefix)
	}
	return out
}

// fallbacks returns some of those whose best path was unusable, others each time.
func (b *book) fallbacks(limit int) []netip.Prefix {
	var out []netip.Prefix
	for prefix := range b.fallen {
		if len(out) == limit {
			break
		}
		out = append(out, prefix)
	}
	return out
}

// edit returns the record of a prefix to be changed, given the one there is, and notes the change.
func (b *book) edit(prefix netip.Prefix, r *record) *record {
	switch {
	case r == nil:
		r = &record{prefix: prefix, verdict: b.unheard}
		b.records.Set(prefix, r)
	case r.listed:
		copied := *r
		copied.listed = false
		r = &copied
		b.records.Set(prefix, r)
	}
	if !r.changed {
		r.changed = true
		b.changed = append(b.changed, prefix)
	}
	return r
}

// decision is what the plan says of a prefix.
type decision struct {
	way     *way // nil: it was withdrawn
	verdict *ipam.Verdict
	seat    *ipam.Seat
	learned time.Time // when its paths were; zero for what is old
	awaits  instant
}

// put takes a decision on a prefix, given the record there is.
func (b *book) put(prefix netip.Prefix, old *record, d decision, now time.Time) {
	r := b.edit(prefix, old)
	b.count(r, -1)
	b.unkeep(r)
	if d.way != nil {
		d.way.users++
	}
	b.leave(r.way)
	if old == nil || *r.verdict != *d.verdict || !sameHops(r.hops(), d.hops()) {
		r.since = now.UnixNano()
	}
	if r.way != nil && r.way.fallback() {
		delete(b.fallen, prefix)
	}
	r.way, r.verdict, r.seat, r.awaits = d.way, d.verdict, d.seat, d.awaits
	if d.way != nil && d.way.fallback() && !d.passedOn() {
		b.fallen[prefix] = struct{}{}
	}
	b.count(r, +1)
	b.settle(r)
}

// stuck is the same way with no hope of other paths.
func (b *book) stuck(w *way) *way {
	return b.way(judged{w.view, w.best, w.paths, w.spare, appendRefused([]byte(w.refused), allStuck)})
}

func (b *book) leave(w *way) {
	if w == nil {
		return
	}
	if w.users--; w.users == 0 {
		delete(b.ways, w.key())
	}
}

// spurn forgets a way that was made for a decision nobody took.
func (b *book) spurn(w *way) {
	if w != nil && w.users == 0 {
		delete(b.ways, w.key())
	}
}

func (b *book) count(r *record, by int) {
	if r.way != nil {
		t := b.tally(r.verdict.Cluster)
		if r.kept {
			t.kept += by
		}
		switch {
		case r.verdict.Accepted:
			t.accepted += by
		case r.verdict.Reason == ipam.PassedOn:
			t.passedOn += by
		default:
			t.refused += by
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

// accepted counts the accepted paths of each peer.
func (b *book) accepted() map[netip.Addr]int {
	sums := map[netip.Addr]int{}
	for _, w := range b.ways {
		for _, u := range w.usable {
			sums[u.peer] += w.users
		}
	}
	return sums
}

// observe takes the kernel's state of a prefix; an adopted route nobody announced gets a record too. Owner says which
// cluster may send a prefix.
func (b *book) observe(s fib.State, owner func(netip.Prefix) *ipam.Verdict, now time.Time) {
	old, absent := b.records.Get(s.Dst), s.Status == fib.Absent
	if old == nil && absent {
		return
	}
	r := b.edit(s.Dst, old)
	b.count(r, -1)
	if r.status() != s.Status {
		r.since = now.UnixNano()
	}
	r.kernel = s.Outcome
	if absent {
		r.kernel = nil
	}
	if r.way == nil {
		r.verdict = owner(s.Dst)
	}
	b.confirm(r, now)
	b.count(r, +1)
	b.settle(r)
}

// settle drops a record that says nothing any more.
func (b *book) settle(r *record) {
	if r.way == nil && r.kernel == nil {
		b.records.Delete(r.prefix)
		delete(b.fallen, r.prefix)
	}
}

// status is the kernel's.
func (r *record) status() fib.Status {
	if r.kernel == nil {
		return fib.Absent
	}
	return r.kernel.Status
}

// hops is what the kernel is asked for.
func (r *record) hops() []netip.Addr { return decision{way: r.way, verdict: r.verdict}.hops() }

func (d decision) hops() []netip.Addr {
	if d.way == nil || !d.verdict.Accepted {
		return nil
	}
	return d.way.hops
}

// routable says whether packets to the prefix find their way now, and to which cluster. A route that an earlier
// run left does its work until it is pruned.
func (r *record) routable() (cluster string, ok bool) {
	switch status := r.status(); {
	case r.verdict.Accepted:
		return r.verdict.Cluster, status == fib.Installed || status == fib.Adopted
	case r.way == nil:
		return r.verdict.Cluster, r.verdict.Cluster != "" && status == fib.Adopted
	default:
		return "", false
	}
}

// sameHops compares slices that mostly are one and the same.
func sameHops(a, b []netip.Addr) bool {
	if len(a) != len(b) {
		return false
	}
	if len(a) == 0 || &a[0] == &b[0] {
		return true
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

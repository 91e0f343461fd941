package main

import (
	"net/netip"
	"slices"

	"github.com/underlayd/underlayd/bgp"
)

// way is what was made of a set of paths. Prefixes with the same paths and the same verdicts about each of them share
// one, so that there are as many ways as there are different answers, however many prefixes.
type way struct {
	view    *view        // what they were judged by
	best    *bgp.PathSet // what the speaker selected
	paths   *bgp.PathSet // what was judged: best, or more if best was unusable
	spare   *bgp.PathSet // what would be the best without them
	refused string       // which of paths and spare, counted through, are refused: two bytes each, see mark
	stuck   bool         // the kernel reaches none of hops, and there were no other paths; refused says so too
	usable  []hop        // the accepted of paths
	backup  []hop        // the accepted of spare
	hops    []netip.Addr // the addresses of usable: sorted, each once
	users   int          // prefixes
}

// hop is where one peer wants the traffic sent.
type hop struct{ peer, address netip.Addr }

// wayKey is what makes a way.
type wayKey struct {
	view               *view
	best, paths, spare *bgp.PathSet
	refused            string
}

func (w *way) key() wayKey {
	return wayKey{w.view, w.best, w.paths, w.spare, w.refused}
}

// fallback says that a better path was unusable, so that it is looked at again now and then.
func (w *way) fallback() bool { return w.paths != w.best || len(w.hops) == 0 || w.stuck }

// judged is a set of paths and which of them are refused.
type judged struct {
	view               *view
	best, paths, spare *bgp.PathSet
	refused            []byte
}

// way returns the way of judged paths.
func (b *book) way(j judged) *way {
	if w := b.ways[wayKey{j.view, j.best, j.paths, j.spare, string(j.refused)}]; w != nil {
		return w
	}
	w := &way{view: j.view, best: j.best, paths: j.paths, spare: j.spare, refused: string(j.refused)}
	w.stuck = w.marked(allStuck)
	for i, p := range j.paths.All() {
		if !w.refuses(i) {
			w.usable = append(w.usable, hop{p.Peer, p.NextHop})
		}
	}
	for i, p := range j.spare.All() {
		if !w.refuses(j.paths.Len() + i) {
			w.backup = append(w.backup, hop{p.Peer, p.NextHop})
		}
	}
	w.hops = addresses(w.usable, nil)
	b.ways[w.key()] = w
	return w
}

// mark is what is noted of the i-th path: i if it is refused, i with lostPath if that is because the kernel does not reach
// its next hop. One number is no path's and says that the kernel reaches none of hops.
type mark int

const (
	lostPath mark = 1 << 15
	allStuck mark = 1<<16 - 1
)

// appendRefused notes that a path is refused.
func appendRefused(refused []byte, m mark) []byte { return append(refused, byte(m>>8), byte(m)) }

// refuses says whether the i-th path is refused.
func (w *way) refuses(i int) bool { return w.marked(mark(i)) || w.lost(i) }

// lost says whether the i-th path is refused because the kernel does not reach its next hop.
func (w *way) lost(i int) bool { return w.marked(mark(i) | lostPath) }

func (w *way) marked(m mark) bool {
	for at := 0; at < len(w.refused); at += 2 {
		if mark(w.refused[at])<<8|mark(w.refused[at+1]) == m {
			return true
		}
	}
	return false
}

// without returns the next hops that are left without some peers: those of the other paths, or else the backup's.
func (w *way) without(gone []netip.Addr) []netip.Addr {
	if hops := addresses(w.usable, gone); len(hops) > 0 {
		return hops
	}
	return addresses(w.backup, gone)
}

// addresses returns where the peers that are not gone want the traffic sent: sorted, each once.
func addresses(hops []hop, gone []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, h := range hops {
		if !slices.Contains(gone, h.peer) {
			out = append(out, h.address)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

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
	refused string       // which of paths and spare, counted through, are refused: two bytes each
	lost    string       // which of those because the kernel does not reach their next hops, likewise
	stuck   bool         // it reaches none of hops, and there were no better paths
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
	refused, lost      string
	stuck              bool
}

func (w *way) key() wayKey {
	return wayKey{w.view, w.best, w.paths, w.spare, w.refused, w.lost, w.stuck}
}

// fallback says that a better path was unusable, so that it is looked at again now and then.
func (w *way) fallback() bool { return w.paths != w.best || len(w.hops) == 0 || w.stuck }

// judged is a set of paths and which of them are refused.
type judged struct {
	view               *view
	best, paths, spare *bgp.PathSet
	refused, lost      []byte
	stuck              bool
}

// way returns the way of judged paths.
func (b *book) way(j judged) *way {
	if w := b.ways[wayKey{j.view, j.best, j.paths, j.spare, string(j.refused), string(j.lost), j.stuck}]; w != nil {
		return w
	}
	w := &way{view: j.view, best: j.best, paths: j.paths, spare: j.spare, refused: string(j.refused), lost: string(j.lost), stuck: j.stuck}
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

// appendRefused notes that the i-th path is refused.
func appendRefused(refused []byte, i int) []byte { return append(refused, byte(i>>8), byte(i)) }

// refuses says whether the i-th path is refused.
func (w *way) refuses(i int) bool { return marked(w.refused, i) }

// marked says whether i is among the numbers that appendRefused put into list.
func marked(list string, i int) bool {
	for at := 0; at < len(list); at += 2 {
		if int(list[at])<<8|int(list[at+1]) == i {
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

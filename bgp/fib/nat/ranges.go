package nat

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"go4.org/netipx"
)

// The sets, as indexes of contents: of each family two for what is exempt and, on a gateway, two for what passes through.
const (
	local4 = iota
	remote4
	local6
	remote6
	transit4
	far4
	transit6
	far6
	numSets

	numExempt = transit4 // of those that are always there
)

// contents is what the sets hold: ranges that neither overlap nor touch each other, in order.
type contents [numSets][]netipx.IPRange

// unite makes the contents of prefixes in any order that may overlap.
func unite(want Sides) (contents, error) {
	var c contents
	if err := want.check(); err != nil {
		return c, err
	}
	for i, side := range [][]netip.Prefix{want.Local, want.Remote} {
		for _, p := range side {
			at := local4 + i
			if p.Addr().Is6() {
				at = local6 + i
			}
			c[at] = append(c[at], netipx.RangeOfPrefix(p))
		}
	}
	for i := range c {
		c[i] = merge(c[i])
	}
	return c, c.pass(want)
}

// pass takes in what passes through; if that is nothing, the sets for it are empty.
func (c *contents) pass(want Sides) error {
	if len(want.Transit) == 0 || len(want.Far) == 0 {
		return nil
	}
	var transit, far netipx.IPSetBuilder
	for _, p := range slices.Concat(want.Transit, want.Far) {
		transit.AddPrefix(p)
	}
	for _, p := range slices.Concat(want.Own, want.Local) {
		transit.RemovePrefix(p)
	}
	for _, p := range want.Far {
		far.AddPrefix(p)
	}
	for i, side := range []*netipx.IPSetBuilder{&transit, &far} {
		set, err := side.IPSet()
		if err != nil {
			return fmt.Errorf("ranges in transit: %w", err)
		}
		for _, r := range set.Ranges() {
			at := transit4 + i
			if r.From().Is6() {
				at = transit6 + i
			}
			c[at] = append(c[at], r)
		}
	}
	if !c.transits() {
		clear(c[numExempt:])
	}
	return nil
}

// merge makes as few ranges of some of one family as there are for all of their addresses.
func merge(all []netipx.IPRange) []netipx.IPRange {
	slices.SortFunc(all, func(a, b netipx.IPRange) int { return a.From().Compare(b.From()) })
	out := all[:0]
	for _, r := range all {
		if len(out) == 0 {
			out = append(out, r)
			continue
		}
		before := &out[len(out)-1]
		switch end := before.To().Next(); {
		case end.IsValid() && end.Less(r.From()): // there is a gap
			out = append(out, r)
		case before.To().Less(r.To()):
			*before = netipx.IPRangeFrom(before.From(), r.To())
		}
	}
	return out
}

// idle says whether no packet can match.
func (c *contents) idle() bool {
	return (len(c[local4]) == 0 || len(c[remote4]) == 0) && (len(c[local6]) == 0 || len(c[remote6]) == 0) && !c.transits()
}

// transits says whether a packet can match that passes through.
func (c *contents) transits() bool {
	return len(c[transit4]) > 0 && len(c[far4]) > 0 || len(c[transit6]) > 0 && len(c[far6]) > 0
}

// sets is how many sets there are for it.
func (c *contents) sets() int {
	if c.transits() {
		return numSets
	}
	return numExempt
}

// prefixes are the contents as prefixes.
func (c *contents) prefixes() (s Sides) {
	for i, side := range []*[]netip.Prefix{&s.Local, &s.Remote, &s.Transit, &s.Far} {
		at := i%2 + i/2*numExempt
		for _, ranges := range [][]netipx.IPRange{c[at], c[at+2]} {
			for _, r := range ranges {
				*side = r.AppendPrefixes(*side)
			}
		}
	}
	return s
}

func (c *contents) equal(d *contents) bool {
	for i := range c {
		if !slices.Equal(c[i], d[i]) {
			return false
		}
	}
	return true
}

// difference returns which ranges are in old only and which are in new only.
func difference(old, new []netipx.IPRange) (gone, added []netipx.IPRange) {
	for len(old) > 0 && len(new) > 0 {
		switch order := old[0].From().Compare(new[0].From()); {
		case old[0] == new[0]:
			old, new = old[1:], new[1:]
		case order <= 0:
			gone, old = append(gone, old[0]), old[1:]
		default:
			added, new = append(added, new[0]), new[1:]
		}
	}
	return append(gone, old...), append(added, new...)
}

// elements are ranges as the kernel has them: where each begins, and where it has ended. One that goes on to the last
// address there is has no end.
func elements(ranges []netipx.IPRange) []nftables.SetElement {
	out := make([]nftables.SetElement, 0, 2*len(ranges))
	for _, r := range ranges {
		out = append(out, nftables.SetElement{Key: r.From().AsSlice()})
		if end := r.To().Next(); end.IsValid() {
			out = append(out, nftables.SetElement{Key: end.AsSlice(), IntervalEnd: true})
		}
	}
	return out
}

var errNoRanges = errors.New("elements that are no ranges")

// ranges are what elements of the kernel, in whatever order, stand for. Ranges that touch each other stay two: that is
// not how we write them.
func ranges(all []nftables.SetElement) ([]netipx.IPRange, error) {
	slices.SortFunc(all, func(a, b nftables.SetElement) int {
		// Where one range ends and the next begins, the end is first.
		return cmp.Or(bytes.Compare(a.Key, b.Key), compareBool(b.IntervalEnd, a.IntervalEnd))
	})
	var out []netipx.IPRange
	var from netip.Addr
	for i, e := range all {
		addr, ok := netip.AddrFromSlice(e.Key)
		switch {
		case !ok:
			return nil, errNoRanges
		case e.IntervalEnd && from.IsValid():
			out, from = append(out, netipx.IPRangeFrom(from, addr.Prev())), netip.Addr{}
		case !e.IntervalEnd && !from.IsValid():
			from = addr
		case e.IntervalEnd && i == 0: // nft's own mark that a set begins with a gap
		default:
			return nil, errNoRanges
		}
	}
	if from.IsValid() {
		out = append(out, netipx.IPRangeFrom(from, last(from)))
	}
	return out, nil
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// last is the last address of a family.
func last(of netip.Addr) netip.Addr {
	return netipx.PrefixLastIP(netip.PrefixFrom(of, 0).Masked())
}

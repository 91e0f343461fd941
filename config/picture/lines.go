package picture

import (
	"cmp"
	"fmt"
	"slices"
)

// bundle is all that joins two boxes.
type bundle struct {
	a, b     *box // a is the upper one, or the left one
	sessions []Session
	cable    string // what it joins, for people; empty: there is none
	ax, bx   int    // where it leaves the two
}

// bundles puts together what joins the same two, in a fixed order.
func (d *drawing) bundles() []*bundle {
	var all []*bundle
	find := func(one, other string) *bundle {
		a, b := d.boxes[one], d.boxes[other]
		if a == nil || b == nil {
			return nil
		}
		if a.row > b.row || a.row == b.row && a.x > b.x {
			a, b = b, a
		}
		for _, known := range all {
			if known.a == a && known.b == b {
				return known
			}
		}
		all = append(all, &bundle{a: a, b: b})
		return all[len(all)-1]
	}
	for _, l := range d.Links {
		if k := find(l.A, l.B); k != nil {
			k.cable = fmt.Sprintf("%s %s – %s %s", d.boxes[l.A].title, l.AInterface, d.boxes[l.B].title, l.BInterface)
		}
	}
	for _, s := range d.Sessions {
		if k := find(s.A, s.B); k != nil {
			k.sessions = append(k.sessions, s)
		}
	}
	d.spread(all)
	return all
}

// spread gives each bundle its place on the sides of its boxes, in the order of where it goes.
func (d *drawing) spread(all []*bundle) {
	type leaving struct {
		k   *bundle
		far *box
		at  *int
	}
	type side struct {
		of    *box
		below bool
	}
	sides := map[side][]leaving{}
	for _, k := range all {
		level := k.a.row == k.b.row
		if level && !d.between(k) {
			continue // straight from one to the other
		}
		up, down := side{k.b, level}, side{k.a, true}
		sides[down] = append(sides[down], leaving{k, k.b, &k.ax})
		sides[up] = append(sides[up], leaving{k, k.a, &k.bx})
	}
	for s, list := range sides {
		slices.SortStableFunc(list, func(k, l leaving) int { return cmp.Compare(k.far.middle(), l.far.middle()) })
		step := 30
		if n := len(list) - 1; n > 0 {
			step = min(step, (s.of.w-36)/n)
		}
		for i, one := range list {
			*one.at = s.of.middle() + (2*i-len(list)+1)*step/2
		}
	}
}

// path is a bundle's line, moved sideways by so many pixels, with the point where a label goes.
func (d *drawing) path(k *bundle, aside int) (line string, x, y int) {
	if k.a.row != k.b.row {
		top, bottom := k.a.y+k.a.h, k.b.y
		half := (bottom - top) / 2
		return fmt.Sprintf("M%d %dC%d %d %d %d %d %d", k.ax+aside, top, k.ax+aside, top+half, k.bx+aside, bottom-half, k.bx+aside, bottom),
			(k.ax+k.bx)/2 + aside, top + half
	}
	if !d.between(k) {
		at := k.a.y + min(k.a.h, k.b.h)/2 + aside
		return fmt.Sprintf("M%d %dL%d %d", k.a.x+k.a.w, at, k.b.x, at), (k.a.x + k.a.w + k.b.x) / 2, at
	}
	foot := max(k.a.y+k.a.h, k.b.y+k.b.h)
	low := foot + arcHigh + aside
	return fmt.Sprintf("M%d %dC%d %d %d %d %d %d", k.ax+aside, k.a.y+k.a.h, k.ax+aside, low+6, k.bx-aside, low+6, k.bx-aside, k.b.y+k.b.h),
		(k.ax + k.bx) / 2, foot + arcHigh*3/4 + aside
}

// between says whether a box stands between the two of a bundle that are side by side.
func (d *drawing) between(k *bundle) bool {
	for _, b := range d.boxes {
		if b.y == k.a.y && b.x > k.a.x && b.x < k.b.x {
			return true
		}
	}
	return false
}

package picture

import (
	"cmp"
	"slices"
)

// place gives everything its coordinates: the clusters first, the routers above them where their neighbours are.
func (d *drawing) place() {
	widest := 0
	for _, level := range d.levels {
		width := -clusterGap
		for _, f := range level {
			f.measure()
			width += f.w + clusterGap
		}
		widest = max(widest, width)
	}
	for _, level := range d.routers {
		width := -routerGap
		for _, b := range level {
			width += b.w + routerGap
		}
		widest = max(widest, width)
	}
	d.w = max(widest, 0) + 2*margin
	y := margin + len(d.routers)*(routerHigh+rowGap)
	row := 0
	for _, level := range d.levels {
		width, height := -clusterGap, 0
		for _, f := range level {
			width += f.w + clusterGap
			height = max(height, f.h)
		}
		x := (d.w - width) / 2
		for _, f := range level {
			f.put(x, y, row)
			x += f.w + clusterGap
		}
		y, row = y+height+rowGap, row+2
	}
	d.h = max(y-rowGap+margin, 2*margin)
	for i, level := range d.routers {
		d.placeRouters(level, margin+(len(d.routers)-1-i)*(routerHigh+rowGap))
		for _, b := range level {
			b.row = -1 - i
		}
	}
}

// measure finds the size of a frame.
func (f *frame) measure() {
	f.w = max(textWidth(f.title, 94)+textWidth(f.note, 66)+24, textWidth(f.ranges, monoChar))
	f.h = headHeight + 2*padding
	for i, rank := range f.ranks {
		width, height := -nodeGap, 0
		for _, b := range rank {
			width += b.w + nodeGap
			height = max(height, b.h)
		}
		f.w = max(f.w, width)
		f.h += height
		if i > 0 {
			f.h += rankGap
		}
	}
	if f.arcs {
		f.h += arcHigh
	}
	f.w += 2 * padding
}

// put places a frame and its nodes. What is written is on the side that no sessions come to.
func (f *frame) put(x, y, row int) {
	f.x, f.y = x, y
	at := y + padding
	f.headY = y + f.h - headHeight
	if !f.below {
		f.headY = y + padding
		at += headHeight
	}
	for i, rank := range f.ranks {
		width, height := -nodeGap, 0
		for _, b := range rank {
			width += b.w + nodeGap
			height = max(height, b.h)
		}
		left := x + (f.w-width)/2
		for _, b := range rank {
			b.x, b.y, b.row = left, at, row+i
			left += b.w + nodeGap
		}
		at += height + rankGap
	}
}

// placeRouters orders a level by the middle of what each router is connected to below, and keeps them apart.
func (d *drawing) placeRouters(level []*box, y int) {
	wish := map[*box]int{}
	for _, b := range level {
		wish[b] = d.wish(b)
	}
	slices.SortStableFunc(level, func(a, b *box) int { return cmp.Compare(wish[a], wish[b]) })
	right, drift := -1<<30, 0
	for _, b := range level {
		b.y, b.x = y, max(wish[b]-b.w/2, right)
		drift += b.middle() - wish[b]
		right = b.x + b.w + routerGap
	}
	shift := drift / max(len(level), 1)
	shift = min(shift, level[0].x-margin)
	shift = max(shift, right-routerGap-(d.w-margin))
	for _, b := range level {
		b.x -= shift
	}
}

// wish is where a router wants its middle to be. Levels are placed from the nodes up.
func (d *drawing) wish(b *box) int {
	sum, count := 0, 0
	add := func(id string) {
		if o := d.boxes[id]; o != nil && (o.cluster >= 0 || o.x > 0) {
			sum += o.middle()
			count++
		}
	}
	for _, s := range d.Sessions {
		switch b.id {
		case s.A:
			add(s.B)
		case s.B:
			add(s.A)
		}
	}
	for _, l := range d.Links {
		switch b.id {
		case l.A:
			add(l.B)
		case l.B:
			add(l.A)
		}
	}
	if count == 0 {
		return d.w / 2
	}
	return sum / count
}

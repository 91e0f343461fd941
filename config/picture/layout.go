package picture

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Measures of a drawing, in pixels. All coordinates are whole numbers: the same on every machine.
const (
	margin      = 24
	nodeGap     = 20 // between nodes of a cluster
	routerGap   = 40
	clusterGap  = 44
	rankGap     = 64 // between the nodes with sessions outside and the others
	rowGap      = 104
	padding     = 18 // between a cluster's frame and its nodes
	headHeight  = 44 // of what is written of a cluster
	nodeHeight  = 34 // and lineHeight for each line more
	lineHeight  = 15
	routerWidth = 128
	routerHigh  = 46
	arcHigh     = 30
)

// box is a node or a router with its place.
type box struct {
	id         string
	title      string
	lines      []string
	router     bool
	stack      bool
	cluster    int // index; -1: none
	row        int // of all that are side by side
	x, y, w, h int
}

func (b *box) middle() int { return b.x + b.w/2 }

// frame is a cluster with its place.
type frame struct {
	title, note string
	ranges      string
	x, y, w, h  int
	headY       int
	below       bool // its sessions come from above, and what is written is below
	ranks       [][]*box
	arcs        bool
}

// drawing is a picture with places.
type drawing struct {
	*Picture
	w, h    int
	boxes   map[string]*box
	routers [][]*box // by level, the ones next to the nodes first
	frames  []*frame
	levels  [][]*frame // of clusters, from above
	bridges []string
}

func lay(p *Picture) *drawing {
	d := &drawing{Picture: p.collapsed(), boxes: map[string]*box{}}
	d.addNodes()
	d.addRouters()
	d.rankFrames()
	d.place()
	return d
}

// textWidth is how wide a text is about; fonts differ.
func textWidth(text string, perChar int) int { return len([]rune(text)) * perChar / 10 }

const (
	boldChar = 78 // tenths of a pixel
	monoChar = 68
)

func (d *drawing) addNodes() {
	width := 0
	var all []*box
	for i, c := range d.Clusters {
		for _, n := range c.Nodes {
			b := &box{id: n.ID, title: n.Name, cluster: i, stack: n.many > 1}
			switch {
			case n.many > 1:
				b.lines = append(b.lines, fmt.Sprintf("%d nodes", n.many))
			case c.asn() == 0:
				b.lines = append(b.lines, asn(n.ASN))
			}
			b.lines = append(b.lines, shorten(n.PodCIDRs)...)
			b.h = nodeHeight + lineHeight*len(b.lines)
			width = max(width, textWidth(b.title, boldChar)+28, 96)
			for _, line := range b.lines {
				width = max(width, textWidth(line, monoChar)+24)
			}
			d.boxes[n.ID] = b
			all = append(all, b)
		}
	}
	for _, b := range all {
		b.w = width
	}
}

// shorten lists what there is room for.
func shorten[T fmt.Stringer](all []T) []string {
	const most = 3
	var out []string
	for i, one := range all {
		if i == most-1 && len(all) > most {
			return append(out, fmt.Sprintf("and %d more", len(all)-i))
		}
		out = append(out, one.String())
	}
	return out
}

// addRouters puts routers on levels by how far from the nodes they are: leaves, then spines. Bridges are only named:
// they are no speakers, and lines through them would hide the sessions.
func (d *drawing) addRouters() {
	near := map[string][]string{}
	for _, s := range d.Sessions {
		near[s.A], near[s.B] = append(near[s.A], s.B), append(near[s.B], s.A)
	}
	for _, l := range d.Links {
		near[l.A], near[l.B] = append(near[l.A], l.B), append(near[l.B], l.A)
	}
	level := map[string]int{}
	var queue []string
	for _, c := range d.Clusters {
		for _, n := range c.Nodes {
			level[n.ID] = 0
			queue = append(queue, n.ID)
		}
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, id := range near[at] {
			if _, known := level[id]; !known {
				level[id] = level[at] + 1
				queue = append(queue, id)
			}
		}
	}
	for _, r := range d.Routers {
		if r.Bridge {
			d.bridges = append(d.bridges, r.Name)
			continue
		}
		at := max(level[r.ID], 1)
		for len(d.routers) < at {
			d.routers = append(d.routers, nil)
		}
		b := &box{id: r.ID, title: r.Name, router: true, cluster: -1, h: routerHigh, w: max(routerWidth, textWidth(r.Name, boldChar)+40)}
		if r.ASN != 0 {
			b.lines = []string{asn(r.ASN)}
		}
		d.boxes[r.ID] = b
		d.routers[at-1] = append(d.routers[at-1], b)
	}
}

// rankFrames makes the clusters' frames: which level each is on, and which of its nodes are next to the others.
func (d *drawing) rankFrames() {
	outward := d.outward()
	for _, c := range d.Clusters {
		f := &frame{title: c.Name, note: c.note(), below: true}
		f.ranges = strings.Join(shorten(c.PodCIDRs), "  ")
		var front, rest []*box
		for _, n := range c.Nodes {
			if b := d.boxes[n.ID]; outward[n.ID] || len(outward) == 0 {
				front = append(front, b)
			} else {
				rest = append(rest, b)
			}
		}
		f.ranks = slices.DeleteFunc([][]*box{front, rest}, func(r []*box) bool { return len(r) == 0 })
		d.frames = append(d.frames, f)
	}
	d.level()
	for _, f := range d.frames {
		f.arcs = d.arcsWithin(f)
	}
}

// arcsWithin says whether nodes that stand in one row with another one between them have sessions: with nodes of their own
// cluster, or of another one that is on the same level.
func (d *drawing) arcsWithin(f *frame) bool {
	place := map[*box][3]int{}
	for _, level := range d.levels {
		if !slices.Contains(level, f) {
			continue
		}
		for i, g := range level {
			for j, rank := range g.ranks {
				for k, b := range rank {
					place[b] = [3]int{i, j, k}
				}
			}
		}
	}
	return slices.ContainsFunc(d.Sessions, func(s Session) bool {
		a, b := d.boxes[s.A], d.boxes[s.B]
		at, aHere := place[a]
		to, bHere := place[b]
		ours := aHere && bHere && (d.frames[a.cluster] == f || d.frames[b.cluster] == f)
		return ours && at[1] == to[1] && (at[0] != to[0] || at[2]-to[2] > 1 || to[2]-at[2] > 1)
	})
}

// level puts clusters that have sessions with each other one above the other: the one with the most others first.
func (d *drawing) level() {
	for i, at := range d.depths(d.others()) {
		for len(d.levels) <= at {
			d.levels = append(d.levels, nil)
		}
		d.levels[at] = append(d.levels[at], d.frames[i])
	}
	if len(d.levels) > 1 && len(d.routers) == 0 {
		for _, f := range d.levels[0] {
			f.below = false
			slices.Reverse(f.ranks)
		}
	}
}

// others tells for each cluster which other ones it has sessions with.
func (d *drawing) others() []map[int]bool {
	all := make([]map[int]bool, len(d.frames))
	for i := range all {
		all[i] = map[int]bool{}
	}
	for _, s := range d.Sessions {
		a, b := d.boxes[s.A], d.boxes[s.B]
		if a != nil && b != nil && a.cluster >= 0 && b.cluster >= 0 && a.cluster != b.cluster {
			all[a.cluster][b.cluster], all[b.cluster][a.cluster] = true, true
		}
	}
	return all
}

// depths says how many steps each cluster is from the first of those that it is connected with.
func (d *drawing) depths(others []map[int]bool) []int {
	order, depth := make([]int, len(others)), make([]int, len(others))
	for i := range order {
		order[i], depth[i] = i, -1
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(others[b]), len(others[a])) })
	for _, start := range order {
		if depth[start] >= 0 {
			continue
		}
		depth[start] = 0
		for queue := []int{start}; len(queue) > 0; queue = queue[1:] {
			for next := range others {
				if depth[next] < 0 && others[queue[0]][next] {
					depth[next] = depth[queue[0]] + 1
					queue = append(queue, next)
				}
			}
		}
	}
	return depth
}

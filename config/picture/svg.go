package picture

import (
	"fmt"
	"html"
	"io"
	"strings"
)

// WriteSVG draws the picture, readable on light and on dark. It needs no fonts but the reader's.
func (p *Picture) WriteSVG(w io.Writer) error {
	d := lay(p)
	lines := d.bundles()
	entries := d.legend()
	s := &sheet{}
	height := d.h
	if len(entries) > 0 {
		height += 34
	}
	width := max(d.w, legendWidth(entries)+2*margin)
	s.line(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`, width, height, width, height)
	s.line("<title>%s</title>", escape(d.summary()))
	s.b.WriteString(style)
	s.line(`<rect class="page" width="%d" height="%d" rx="12"/>`, width, height)
	s.line(`<g transform="translate(%d 0)">`, (width-d.w)/2)
	for i, f := range d.frames {
		s.frame(i, f)
	}
	for _, k := range lines {
		s.cable(d, k)
	}
	for _, k := range lines {
		s.sessions(d, k)
	}
	for i, f := range d.frames {
		s.head(i, f)
	}
	for _, c := range d.Clusters {
		for _, n := range c.Nodes {
			s.box(d.boxes[n.ID])
		}
	}
	for _, r := range d.Routers {
		if b := d.boxes[r.ID]; b != nil {
			s.box(b)
		}
	}
	s.line("</g>")
	s.legend(entries, (width-legendWidth(entries))/2, height-28)
	s.line("</svg>")
	_, err := io.WriteString(w, s.b.String())
	return err
}

// summary says for those who can't see the drawing what is in it.
func (d *drawing) summary() string {
	var names []string
	for _, c := range d.Clusters {
		names = append(names, c.Name)
	}
	text := "Clusters " + strings.Join(names, ", ")
	if d.Title != "" {
		text = d.Title + ": " + text
	}
	return text
}

// sheet is an SVG being written.
type sheet struct{ b strings.Builder }

func (s *sheet) line(format string, args ...any) {
	fmt.Fprintf(&s.b, format, args...)
	s.b.WriteByte('\n')
}

func escape(text string) string { return html.EscapeString(text) }

const colours = 5 // of clusters

func (s *sheet) frame(i int, f *frame) {
	s.line(`<rect class="c c%d" x="%d" y="%d" width="%d" height="%d" rx="14"/>`, i%colours, f.x, f.y, f.w, f.h)
}

// head writes what a cluster is, over whatever line comes through.
func (s *sheet) head(i int, f *frame) {
	width := max(textWidth(f.title, 94)+textWidth(f.note, 66)+14, textWidth(f.ranges, monoChar)) + 8
	s.line(`<rect class="c%d" style="stroke:none" x="%d" y="%d" width="%d" height="38"/>`, i%colours, f.x+padding-4, f.headY-4, min(width, f.w-padding))
	s.line(`<text class="h" x="%d" y="%d">%s<tspan class="n" dx="10">%s</tspan></text>`, f.x+padding, f.headY+12, escape(f.title), escape(f.note))
	s.line(`<text class="m" x="%d" y="%d">%s</text>`, f.x+padding, f.headY+29, escape(f.ranges))
}

func (s *sheet) box(b *box) {
	if b.stack {
		s.line(`<rect class="b" x="%d" y="%d" width="%d" height="%d" rx="8"/>`, b.x+6, b.y+6, b.w, b.h)
		s.line(`<rect class="b" x="%d" y="%d" width="%d" height="%d" rx="8"/>`, b.x+3, b.y+3, b.w, b.h)
	}
	class, radius := "b", 8
	if b.router {
		class, radius = "b r", b.h/2
	}
	s.line(`<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="%d"/>`, class, b.x, b.y, b.w, b.h, radius)
	top := b.y + 22
	if b.router {
		top = b.y + b.h/2 + 5 - 8*len(b.lines)
	}
	s.line(`<text class="t" x="%d" y="%d">%s</text>`, b.middle(), top, escape(b.title))
	for i, text := range b.lines {
		s.line(`<text class="m k" x="%d" y="%d">%s</text>`, b.middle(), top+17+i*lineHeight, escape(text))
	}
}

const lineApart = 6 // pixels between sessions of a bundle

func (s *sheet) cable(d *drawing, k *bundle) {
	if k.cable == "" {
		return
	}
	path, _, _ := d.path(k, 0)
	s.line(`<path class="w" d="%s" stroke-width="%d"><title>%s</title></path>`, path, max(len(k.sessions)*lineApart+4, 5), escape(k.cable))
}

// mostLabels is how many sessions can have their families written beside them.
const mostLabels = 10

func (s *sheet) sessions(d *drawing, k *bundle) {
	for i, one := range k.sessions {
		aside := (2*i - len(k.sessions) + 1) * lineApart / 2
		path, x, y := d.path(k, aside)
		class := "s " + one.carries()
		if one.Internal {
			class += " i"
		}
		if one.down() {
			class += " d"
		}
		if one.OneSided {
			class += " o"
		}
		s.line(`<path class="%s" d="%s"><title>%s – %s: %s</title></path>`, class, path,
			escape(d.boxes[one.A].title), escape(d.boxes[one.B].title), escape(one.label()))
		text := ""
		switch {
		case one.many > 1:
			text = fmt.Sprintf("%d sessions", one.many)
		case len(d.Sessions) <= mostLabels && one.down():
			text = one.State
		}
		if text != "" {
			s.line(`<text class="m k a" x="%d" y="%d">%s</text>`, x, y+4, escape(text))
		}
	}
}

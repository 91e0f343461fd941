package picture

import (
	"slices"
	"strings"
)

// entry is a line of the legend: a class of lines and what it stands for.
type entry struct{ class, text string }

// legend lists the kinds of lines that are there.
func (d *drawing) legend() []entry {
	var all []entry
	has := func(f func(Session) bool) bool {
		for _, s := range d.Sessions {
			if f(s) {
				return true
			}
		}
		return false
	}
	add := func(class, text string, f func(Session) bool) {
		if has(f) {
			all = append(all, entry{class, text})
		}
	}
	carries := func(what string, internal bool) func(Session) bool {
		return func(s Session) bool {
			return s.carries() == what && s.Internal == internal && !s.down() && !s.OneSided
		}
	}
	for _, internal := range []bool{false, true} {
		kind, class := "eBGP, ", "s "
		if internal {
			kind = "iBGP, "
		}
		for _, f := range [][2]string{{"both", "IPv4 and IPv6"}, {"ipv4", "IPv4"}, {"ipv6", "IPv6"}} {
			name := class + f[0]
			if internal {
				name += " i"
			}
			add(name, kind+f[1], carries(f[0], internal))
		}
	}
	add("s d", "not established", Session.down)
	add("s o", "one-sided", func(s Session) bool { return s.OneSided })
	drawn := func(l Link) bool { return d.boxes[l.A] != nil && d.boxes[l.B] != nil }
	if slices.ContainsFunc(d.Links, drawn) {
		all = append(all, entry{"w", "cable"})
	}
	if len(d.bridges) == 1 {
		all = append(all, entry{"", "over the segment " + d.bridges[0]})
	} else if len(d.bridges) > 1 {
		all = append(all, entry{"", "over the segments " + strings.Join(d.bridges, ", ")})
	}
	return all
}

const swatch = 34 // pixels of a line in the legend

// width of an entry, and where its text begins.
func (e entry) width() (all, text int) {
	if e.class != "" {
		text = swatch + 10
	}
	return text + textWidth(e.text, 66) + 18, text
}

func legendWidth(all []entry) int {
	sum := 0
	for _, e := range all {
		width, _ := e.width()
		sum += width
	}
	return sum
}

func (s *sheet) legend(all []entry, x, y int) {
	for _, e := range all {
		if e.class != "" {
			s.line(`<path class="%s" d="M%d %dh%d"%s/>`, e.class, x, y, swatch, map[bool]string{true: ` stroke-width="6"`}[e.class == "w"])
		}
		width, text := e.width()
		s.line(`<text class="n" x="%d" y="%d">%s</text>`, x+text, y+4, escape(e.text))
		x += width
	}
}

// style has no variables: not everything that shows SVG knows them.
const style = `<style>
text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","DejaVu Sans",sans-serif;fill:#1f2933}
.page{fill:#fff}
.c{stroke-width:1.5}
.c0{fill:#eef5fd;stroke:#9cc3ee}.c1{fill:#fdf4e3;stroke:#e8c27a}.c2{fill:#eaf7ef;stroke:#93d3ac}.c3{fill:#fbeef4;stroke:#e3a6c4}.c4{fill:#f2effb;stroke:#b9aae6}
.b{fill:#fff;stroke:#8795a6;stroke-width:1.2}.r{fill:#f3f5f7}
.h{font-size:15px;font-weight:600}.t{font-size:13px;font-weight:600;text-anchor:middle}.n{font-size:12px;font-weight:400;fill:#52606d}
.m{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:11px;fill:#52606d}.k{text-anchor:middle}
.a{stroke:#fff;stroke-width:5;paint-order:stroke;stroke-linejoin:round}
.w{fill:none;stroke:#d9dfe5;stroke-linecap:round}
.s{fill:none;stroke-width:1.8;stroke:#4a4fb5}.ipv4{stroke:#1b74c5}.ipv6{stroke:#0a8a6a}.i{stroke-dasharray:6 4}
.d{stroke:#c62f3b;stroke-dasharray:2 4}.o{stroke:#c96a12;stroke-dasharray:2 4}
@media (prefers-color-scheme:dark){
text{fill:#e4e9ee}.page{fill:#0f141a}
.c0{fill:#12202f;stroke:#2f5f8f}.c1{fill:#271f10;stroke:#7d622b}.c2{fill:#11241a;stroke:#34704c}.c3{fill:#281722;stroke:#7f4462}.c4{fill:#1d1930;stroke:#5c4d94}
.b{fill:#1a2129;stroke:#697786}.r{fill:#232c35}.n,.m{fill:#a3b0bd}
.a{stroke:#0f141a}.w{stroke:#303a45}
.s{stroke:#9aa0ff}.ipv4{stroke:#62b0f5}.ipv6{stroke:#3ecfa4}.d{stroke:#ff7a84}.o{stroke:#f5a04c}
}
</style>
`

package status

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// table lines up its columns. It writes in blocks, so that 100,000 rows need little memory; columns may grow
// from one block to the next but never shrink, so that they stay in line.
type table struct {
	page   *page
	widths []int
	block  [][]string
	rows   int
	// states are the columns whose words have a colour.
	states map[int]bool
}

const blockRows = 500

func newTable(p *page, header []string) *table {
	t := &table{page: p, states: map[int]bool{}}
	for i, name := range header {
		t.states[i] = stateColumn(name)
	}
	if len(header) > 0 {
		t.block = append(t.block, header)
	}
	return t
}

// row adds one; empty cells are written as "-" except in the last column.
func (t *table) row(cells ...string) {
	for i, c := range cells {
		if c = clean(c); c == "" && i < len(cells)-1 {
			c = "-"
		}
		cells[i] = c
	}
	t.rows++
	if t.block = append(t.block, cells); len(t.block) >= blockRows {
		t.end()
	}
}

// end writes what is left.
func (t *table) end() {
	for _, cells := range t.block {
		for i, c := range cells {
			if i == len(t.widths) {
				t.widths = append(t.widths, 0)
			}
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, cells := range t.block {
		var b strings.Builder
		for i, c := range cells {
			if t.states[i] {
				b.WriteString(t.page.paint(c, c))
			} else {
				b.WriteString(c)
			}
			if i < len(cells)-1 {
				b.WriteString(strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(c)+2))
			}
		}
		t.page.line("%s", strings.TrimRight(b.String(), " "))
	}
	t.block = nil
}

// clean keeps what others wrote (a peer's shutdown message, RFC 9003) from moving the cursor or breaking a table.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// since counts from a moment to the page's now, in the two units that matter; "-" for no moment.
func (p *page) since(from time.Time) string {
	if from.IsZero() {
		return "-"
	}
	return Humanise(p.now.Sub(from))
}

// Humanise writes a duration in at most two units: 42s, 3m12s, 25m, 2h5m, 3d4h. Negative ones, which come from
// a clock that was set back, are 0s.
func Humanise(d time.Duration) string {
	day, hour, minute, second := unit{24 * time.Hour, "d"}, unit{time.Hour, "h"}, unit{time.Minute, "m"}, unit{time.Second, "s"}
	d = max(d, 0).Truncate(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < 10*time.Minute:
		return units(d, minute, second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < day.length:
		return units(d, hour, minute)
	default:
		return units(d, day, hour)
	}
}

type unit struct {
	length time.Duration
	name   string
}

func units(d time.Duration, big, small unit) string {
	out := fmt.Sprintf("%d%s", d/big.length, big.name)
	if rest := d % big.length / small.length; rest > 0 {
		out += fmt.Sprintf("%d%s", rest, small.name)
	}
	return out
}

// stateName writes a session's state as RFC 4271 does.
func stateName(s string) string {
	switch s {
	case "":
		return "Unknown"
	case "opensent":
		return "OpenSent"
	case "openconfirm":
		return "OpenConfirm"
	default:
		return strings.ToUpper(s[:1]) + s[1:]
	}
}

func count[N int | uint64](n N, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, many)
}

func number[N int | uint32 | uint64](n N) string { return fmt.Sprint(n) }

func maybe(n *int) string {
	if n == nil {
		return ""
	}
	return fmt.Sprint(*n)
}

func text(a netip.Addr) string {
	if !a.IsValid() {
		return "-"
	}
	return a.String()
}

// few names the first of many.
func few(list []netip.Prefix) string {
	const shown = 4
	if len(list) <= shown {
		return join(list)
	}
	return fmt.Sprintf("%s and %d more", join(list[:shown]), len(list)-shown)
}

func join[T fmt.Stringer](list []T) string {
	out := make([]string, 0, len(list))
	for _, x := range list {
		out = append(out, x.String())
	}
	return strings.Join(out, ",")
}

package status

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// WriteHistory writes what happened, the oldest first.
func WriteHistory(w io.Writer, l *HistoryList, o Options) error {
	if o.Format == JSON {
		return writeJSON(w, l)
	}
	p := newPage(w, o)
	if l.Omitted > 0 {
		p.line("%s before these: --limit shows more.", count(l.Omitted, "entry", "entries"))
	}
	if !l.Since.IsZero() {
		p.line("What happened before %s is forgotten.", p.moment(l.Since))
	}
	if len(l.Items) == 0 {
		p.line("There is nothing to show.")
		return p.flush()
	}
	t := p.table("TIME", "WHAT", "PEER", "CLUSTER", "COUNT", "PREFIXES", "WHY")
	for i := range l.Items {
		e := &l.Items[i]
		t.row(p.moment(e.Time), string(e.Kind), e.Peer, e.Cluster, e.times(), e.examples(), e.why())
	}
	t.end()
	return p.flush()
}

// moment is a time as the clock on the wall shows it.
func (p *page) moment(t time.Time) string { return t.In(p.where).Format("2006-01-02 15:04:05.000") }

// times says how often, and within how long.
func (e *Entry) times() string {
	if e.Last.IsZero() || e.Last.Sub(e.Time) < time.Second {
		return number(e.Count)
	}
	return fmt.Sprintf("%d in %s", e.Count, Humanise(e.Last.Sub(e.Time)))
}

func (e *Entry) examples() string {
	text := join(e.Prefixes)
	if e.Count > len(e.Prefixes) && len(e.Prefixes) == prefixExamples {
		text += ",…"
	}
	return text
}

func (e *Entry) why() string {
	parts := []string{e.Cause}
	if e.Detail != "" {
		parts = append(parts, e.Detail)
	}
	why := strings.TrimPrefix(strings.Join(parts, ": "), ": ")
	if e.Unsure {
		why += " (of so many prefixes that not all are remembered: it may be among them)"
	}
	return why
}

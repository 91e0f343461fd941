package status

import (
	"fmt"
	"io"
	"strings"
)

// WriteCheckList writes a list of checks: in one sentence how it is, then a line for each check, and below it what to do.
func WriteCheckList(w io.Writer, l *CheckList, o Options) error {
	if o.Format == JSON {
		return writeJSON(w, l)
	}
	p := newPage(w, o)
	p.line("%s", clean(l.sentence()))
	group := ""
	for _, c := range l.Items {
		if c.Group != group {
			group = c.Group
			p.line("")
			p.line("%s", clean(group))
		}
		p.line("  %s %s", c.Result.mark(), clean(c.line()))
		if c.Remedy != nil {
			p.hint(c.Remedy)
		}
	}
	return p.flush()
}

func (r CheckResult) mark() string {
	switch r {
	case CheckOK:
		return "✓"
	case CheckWarning:
		return "‼"
	case CheckFailed:
		return "✗"
	default:
		return "?"
	}
}

// line is the name and the sentence, which may begin with it.
func (c Check) line() string {
	if c.Name == c.Group || c.Result == CheckOK || strings.Contains(c.Sentence, strings.TrimPrefix(c.Name, "peer ")) {
		return c.Sentence
	}
	return c.Name + ": " + c.Sentence
}

// hint is a remedy in one line.
func (p *page) hint(r *Remedy) {
	text := r.Action
	if r.Key != "" {
		text += "; configuration " + r.Key + after(": ", r.Value)
	}
	p.line("      → %s%s%s", clean(text), clean(after("; run ", r.Command)), clean(after("  (", r.Doc))+strings.Repeat(")", min(len(r.Doc), 1)))
}

func (l *CheckList) sentence() string {
	how := "nothing stands in the way"
	switch {
	case l.Failed > 0 && l.Warnings > 0:
		how = fmt.Sprintf("%s in the way, and %s", count(l.Failed, "thing stands", "things stand"), count(l.Warnings, "warning", "warnings"))
	case l.Failed > 0:
		how = count(l.Failed, "thing stands", "things stand") + " in the way"
	case l.Warnings > 0:
		how += ", with " + count(l.Warnings, "warning", "warnings")
	}
	if !l.Daemon {
		how += "; underlayd does not run: this is what the configuration and the host say, without sessions and routes"
	}
	return l.Node + ": " + how + "."
}

package status

import (
	"fmt"
	"io"
	"strings"
)

// WriteExplanation writes an explanation: the answer, what to do, and then the steps with what they are made of.
func WriteExplanation(w io.Writer, e *Explanation, o Options) error {
	if o.Format == JSON {
		return writeJSON(w, e)
	}
	p := newPage(w, o)
	p.line("%s", clean(e.Answer))
	for _, s := range e.Steps {
		if s.Remedy != nil {
			p.remedy(s.Remedy)
		}
	}
	p.line("")
	t := p.table("STEP", "RESULT", "WHAT")
	for _, s := range e.Steps {
		result := string(s.Result)
		if s.Reason != "" {
			result += " (" + s.Reason + ")"
		}
		t.row(s.Name, result, s.Sentence)
	}
	t.end()
	p.explainedPaths(append(e.step(StepReceived).Paths, e.step(StepChoice).Paths...))
	if sessions := e.step(StepReceived).Sessions; len(sessions) > 0 {
		p.sessions(sessions)
	}
	p.packets(append(e.step(StepNextHop).NextHops, e.step(StepLookup).Packets...))
	p.parts(e)
	return p.flush()
}

func (p *page) remedy(r *Remedy) {
	p.line("")
	p.line("What to do: %s", clean(r.Action))
	if r.Key != "" {
		value := ""
		if r.Value != "" {
			value = ": " + r.Value
		}
		p.line("  configuration  %s%s", clean(r.Key), clean(value))
	}
	if r.Command != "" {
		p.line("  command        %s", clean(r.Command))
	}
	if r.Doc != "" {
		p.line("  see            %s", clean(r.Doc))
	}
}

func (p *page) explainedPaths(paths []ExplainedPath) {
	if len(paths) == 0 {
		return
	}
	p.line("")
	t := p.table("PREFIX", "PEER", "NEXT HOP", "AS PATH", "PREF", "VERDICT", "USED", "WHY NOT")
	for _, x := range paths {
		used := "no"
		if x.Used {
			used = "yes"
		}
		path := strings.Trim(fmt.Sprint(x.ASPath), "[]")
		t.row(x.Prefix.String(), x.Peer, text(x.NextHop), path, number(x.LocalPref), x.Verdict, used, x.Decided)
	}
	t.end()
}

func (p *page) packets(packets []Packet) {
	if len(packets) == 0 {
		return
	}
	p.line("")
	t := p.table("PACKET TO", "FROM", "IN", "FATE", "GATEWAY", "LINK", "NEIGHBOUR", "ROUTE", "TABLE", "PROTOCOL", "RULE")
	for _, x := range packets {
		route, table := "", ""
		if x.Prefix.IsValid() {
			route, table = x.Prefix.String(), number(x.Table)
		}
		link := x.Link
		if x.LinkDown {
			link += " (down)"
		}
		t.row(x.Destination.String(), text(x.Source), x.In, x.Fate, text(x.Gateway), link, x.Neighbour, route, table, x.Protocol, x.Rule)
	}
	t.end()
}

func (p *page) parts(e *Explanation) {
	if len(e.Parts) == 0 {
		return
	}
	p.line("")
	t := p.table("PART", "CLUSTER", "VERDICT", "KERNEL", "NEXT HOPS")
	for _, x := range e.Parts {
		verdict := x.Verdict
		if x.Hole {
			verdict = "no route"
		}
		t.row(x.Prefix.String(), x.Cluster, verdict, x.Kernel, join(x.NextHop))
	}
	t.end()
	if e.PartsLeftOut > 0 {
		p.line("and %d more; ask for a smaller prefix", e.PartsLeftOut)
	}
}

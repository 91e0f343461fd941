package picture

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/underlayd/underlayd/config"
)

// WriteDOT writes the picture for Graphviz.
func (p *Picture) WriteDOT(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "graph %s {\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n", strconv.Quote(p.Title))
	for _, r := range p.Routers {
		fmt.Fprintf(&b, "  %s [label=%s, shape=%s];\n", strconv.Quote(r.ID), strconv.Quote(join(r.Name, asn(r.ASN))), map[bool]string{true: "underline", false: "ellipse"}[r.Bridge])
	}
	for i, c := range p.Clusters {
		fmt.Fprintf(&b, "  subgraph cluster_%d {\n    label=%s;\n", i, strconv.Quote(c.Name))
		for _, n := range c.Nodes {
			fmt.Fprintf(&b, "    %s [label=%s];\n", strconv.Quote(n.ID), strconv.Quote(join(n.Name, asn(n.ASN))))
		}
		b.WriteString("  }\n")
	}
	for _, l := range p.Links {
		fmt.Fprintf(&b, "  %s -- %s [color=gray80, penwidth=4, taillabel=%s, headlabel=%s];\n", strconv.Quote(l.A), strconv.Quote(l.B),
			strconv.Quote(l.AInterface), strconv.Quote(l.BInterface))
	}
	for _, s := range p.Sessions {
		style := "solid"
		if s.Internal {
			style = "dashed"
		}
		if s.down() || s.OneSided {
			style += `", color="red`
		}
		fmt.Fprintf(&b, "  %s -- %s [style=\"%s\", label=%s];\n", strconv.Quote(s.A), strconv.Quote(s.B), style, strconv.Quote(s.label()))
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteMermaid writes the picture as a Mermaid flowchart, which GitHub shows in a ```mermaid block.
func (p *Picture) WriteMermaid(w io.Writer) error {
	var b strings.Builder
	ids := map[string]string{}
	id := func(of string) string {
		if ids[of] == "" {
			ids[of] = "n" + strconv.Itoa(len(ids))
		}
		return ids[of]
	}
	text := func(s string) string { return strings.NewReplacer(`"`, "#quot;", "\n", "<br/>").Replace(s) }
	b.WriteString("flowchart TD\n")
	for _, r := range p.Routers {
		fmt.Fprintf(&b, "  %s([\"%s\"])\n", id(r.ID), text(join(r.Name, asn(r.ASN))))
	}
	for i, c := range p.Clusters {
		fmt.Fprintf(&b, "  subgraph c%d [\"%s\"]\n", i, text(c.Name))
		for _, n := range c.Nodes {
			fmt.Fprintf(&b, "    %s[\"%s\"]\n", id(n.ID), text(join(n.Name, asn(n.ASN))))
		}
		b.WriteString("  end\n")
	}
	between := map[[2]string]bool{}
	for _, s := range p.Sessions {
		line := "---"
		if s.Internal || s.down() || s.OneSided {
			line = "-.-"
		}
		between[[2]string{s.A, s.B}], between[[2]string{s.B, s.A}] = true, true
		fmt.Fprintf(&b, "  %s %s|\"%s\"| %s\n", id(s.A), line, text(s.label()), id(s.B))
	}
	for _, l := range p.Links {
		if !between[[2]string{l.A, l.B}] {
			fmt.Fprintf(&b, "  %s === %s\n", id(l.A), id(l.B))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func join(name, asn string) string {
	if asn == "" {
		return name
	}
	return name + "\n" + asn
}

func asn(number uint32) string {
	if number == 0 {
		return ""
	}
	return fmt.Sprintf("AS %d", number)
}

// note is what is said of a cluster beside its name.
func (c Cluster) note() string {
	note := strings.TrimPrefix(fmt.Sprintf("%s · id %d", asn(c.asn()), c.ID), " · ")
	if len(c.Networks) > 0 {
		note += " · network " + strings.Join(c.Networks, ", ")
	}
	return note
}

// Networks are those worth telling: where nobody says anything all are in one.
func Networks(of []string) []string {
	if len(of) == 1 && of[0] == config.DefaultNetwork {
		return nil
	}
	return of
}

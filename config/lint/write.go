package lint

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/underlayd/underlayd/config"
)

// Count returns how many findings there are of each severity.
func (r *Report) Count() (errors, warnings int) {
	for _, f := range r.Findings {
		if f.Severity == Error {
			errors++
		} else {
			warnings++
		}
	}
	return errors, warnings
}

// Summary is the report in one line.
func (r *Report) Summary() string {
	errors, warnings := r.Count()
	found := "nothing found"
	if errors+warnings > 0 {
		found = number(errors, "error") + ", " + number(warnings, "warning")
	}
	return fmt.Sprintf("%s in %s of %s", found, number(r.Nodes, "configuration"), number(r.Clusters, "cluster"))
}

func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// WriteText writes the report for people: each finding with its places and what to do.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%s %s: %s\n", f.Severity, f.Code, f.Message)
		for _, p := range f.Places {
			fmt.Fprintf(&b, "    %s\n", p)
		}
		if f.More > 0 {
			fmt.Fprintf(&b, "    and %s more that are the same\n", number(f.More, "file"))
		}
		fmt.Fprintf(&b, "    fix: %s\n", f.Fix)
	}
	for _, what := range r.NotChecked {
		fmt.Fprintf(&b, "not checked: %s\n", what)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// String is "file:line:column: path: value".
func (p Place) String() string {
	text := config.Place{Source: p.File, Line: p.Line, Column: p.Column}.String() + ": " + p.Path
	if p.Value != "" {
		text += ": " + p.Value
	}
	return text
}

// WriteJSON writes the report for programs. Fields are added, never renamed or removed.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		*Report
	}{"underlayd.io/v1", "LintReport", r})
}

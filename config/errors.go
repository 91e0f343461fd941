package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Error is one broken rule.
type Error struct {
	Source string // the file, or the flag or variable the value came from
	Line   int    // 1-based; 0 when there is no line, as for a flag
	Column int    // 1-based; 0 when unknown
	Path   string // bgp.peers[1].asn; empty for the file as a whole
	Value  string // as written; empty when there is none
	Rule   string // what is wanted, and where possible what to write instead
}

// Error returns "file:line:column: path: value: rule", without the parts that are absent.
func (e Error) Error() string {
	var parts []string
	if e.Source != "" {
		at := e.Source
		if e.Line > 0 {
			at += ":" + strconv.Itoa(e.Line)
		}
		if e.Line > 0 && e.Column > 0 {
			at += ":" + strconv.Itoa(e.Column)
		}
		parts = append(parts, at)
	}
	if e.Path != "" {
		parts = append(parts, printable(e.Path))
	}
	if e.Value != "" {
		parts = append(parts, printable(e.Value))
	}
	return strings.Join(append(parts, e.Rule), ": ")
}

// Errors is every broken rule of a configuration: flags and variables first, then the file from top to
// bottom. It is never empty when returned as an error.
type Errors []Error

// Error returns one line per error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.Is and errors.As access to each Error.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, err := range e {
		all[i] = err
	}
	return all
}

func (e Errors) sort() {
	slices.SortStableFunc(e, func(a, b Error) int {
		return cmp.Or(
			cmp.Compare(min(a.Line, 1), min(b.Line, 1)),
			cmp.Compare(a.Source, b.Source),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
		)
	})
}

const longestQuote = 80 // bytes of a value worth repeating to its author

// printable keeps what a file says from garbling a terminal or a log line.
func printable(text string) string {
	if text == `""` {
		return text
	}
	if len(text) > longestQuote {
		text = strings.ToValidUTF8(text[:longestQuote], "") + "…"
	}
	if quoted := strconv.Quote(text); quoted != `"`+text+`"` || strings.Contains(text, ": ") {
		return quoted
	}
	return text
}

// broken is shorthand for the error of a kind: the rule that a value breaks.
func broken(format string, args ...any) error { return fmt.Errorf(format, args...) }

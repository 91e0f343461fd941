package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// show writes the matrix: a table for each program, a row for each way to speak with it, a column for each feature; below
// it what stands behind numbers and failures.
func show(w io.Writer, results []result) {
	var reasons []string
	for _, d := range daemons() {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintf(t, "%s\t%s\n", strings.ToUpper(d), strings.Join(features(), "\t"))
		rows := 0
		for _, transport := range transports() {
			for _, relation := range relations() {
				if row := marks(results, cell{Daemon: d, Transport: transport, Relation: relation}, &reasons); row != nil {
					fmt.Fprintf(t, "%s %s\t%s\n", transport, relation, strings.Join(row, "\t"))
					rows++
				}
			}
		}
		if rows > 0 {
			_ = t.Flush()
			fmt.Fprintln(w)
		}
	}
	for i, why := range reasons {
		fmt.Fprintf(w, "-%d  %s\n", i+1, why)
	}
	fmt.Fprintf(w, "\n%d cells: %d work, %d fail, %d are not supported by the peer or have no meaning\n",
		len(results), count(results, works), count(results, fails), count(results, unsupported))
	for _, r := range results {
		if r.Verdict == fails {
			fmt.Fprintf(w, "\nFAIL %s\n  %s\n", r.cell, strings.ReplaceAll(r.Observed, "\n", "\n  "))
		}
	}
}

// marks is a row of the table, a mark for each feature; nil if none was tried.
func marks(results []result, c cell, reasons *[]string) []string {
	row, any := make([]string, len(features())), false
	for n, f := range features() {
		c.Feature = f
		if i := slices.IndexFunc(results, func(r result) bool { return r.cell == c }); i >= 0 {
			row[n], any = mark(results[i], reasons), true
		}
	}
	if !any {
		return nil
	}
	return row
}

// mark is a result in the table; reasons are numbered.
func mark(r result, reasons *[]string) string {
	switch r.Verdict {
	case works:
		return "ok"
	case fails:
		return "FAIL"
	}
	i := slices.Index(*reasons, r.Observed)
	if i < 0 {
		*reasons = append(*reasons, r.Observed)
		i = len(*reasons) - 1
	}
	return fmt.Sprintf("-%d", i+1)
}

func count(results []result, v verdict) (n int) {
	for _, r := range results {
		if r.Verdict == v {
			n++
		}
	}
	return n
}

func writeJSON(path string, results []result) error {
	text, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// verdict is the last column.
func (r *result) verdict() string {
	if r.ok() {
		return "ok"
	}
	return "FAIL"
}

// show writes the table, and below it why rows failed.
func show(w io.Writer, results []*result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FAULT\tREQUIRED\tOBSERVED\tLOST PACKETS\tVERDICT")
	area := ""
	for _, r := range results {
		if r.Area != area {
			area = r.Area
			fmt.Fprintf(t, "%s\t\t\t\t\n", strings.ToUpper(area))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", r.Fault, r.Required, r.Observed, r.Lost, r.verdict())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range results {
		if !r.ok() {
			explain(w, r)
		}
	}
	return nil
}

// explain says all that is known of a row that failed.
func explain(w io.Writer, r *result) {
	fmt.Fprintf(w, "\nFAIL %s: %s\n  required: %s\n  observed: %s\n", r.Area, r.Fault, r.Required, r.Observed)
	for _, f := range r.Failures {
		fmt.Fprintf(w, "  - %s\n", f)
	}
	if r.Log != "" {
		fmt.Fprintf(w, "  the daemon's log:\n    %s\n", strings.ReplaceAll(r.Log, "\n", "\n    "))
	}
}

// record is what -json writes.
type record struct {
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	Failed  int       `json:"failed"`
	Rows    []*result `json:"rows"`
}

// MarshalJSON adds the verdict.
func (r *result) MarshalJSON() ([]byte, error) {
	type plain result
	return json.Marshal(struct {
		*plain
		Verdict string `json:"verdict"`
	}{(*plain)(r), r.verdict()})
}

func failed(results []*result) int {
	n := 0
	for _, r := range results {
		if !r.ok() {
			n++
		}
	}
	return n
}

func writeJSON(w io.Writer, began time.Time, results []*result) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(record{Started: began, Seconds: time.Since(began).Seconds(), Failed: failed(results), Rows: results})
}

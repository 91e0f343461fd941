// Command summary reads the events of `go test -json`, prints what `go test` would print and closes with one
// sentence about all of it. It fails when a test failed, and when one was skipped: here everything can run.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	s := summary{out: os.Stdout, output: map[string]*bytes.Buffer{}, began: time.Now()}
	err := s.read(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "summary:", err)
	}
	if !s.close() || err != nil {
		os.Exit(1)
	}
}

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64 // seconds
}

func (e event) name() string { return e.Package + "." + e.Test }

type summary struct {
	out      io.Writer
	began    time.Time
	output   map[string]*bytes.Buffer // of running tests, by name
	running  []event                  // the first event of each
	passed   []event
	failed   []event // tests, and packages that fail as a whole
	skipped  []event
	packages int
}

func (s *summary) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		switch {
		case len(line) == 0:
		case line[0] == '{' && json.Unmarshal(line, &e) == nil:
			s.take(e)
		default: // the go command itself has something to say
			fmt.Fprintf(s.out, "%s", line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *summary) take(e event) {
	switch e.Action {
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "output":
		s.hear(e)
	case "pass", "fail", "skip":
		s.finish(e)
	}
}

// hear keeps what a test says until it is known whether it fails, and passes on what a package says.
func (s *summary) hear(e event) {
	switch {
	case e.Test != "":
		if s.output[e.name()] == nil {
			s.output[e.name()] = &bytes.Buffer{}
			s.running = append(s.running, e)
		}
		s.output[e.name()].WriteString(e.Output)
	case e.Output == "PASS\n", strings.Contains(e.Output, "[no test files]"), strings.HasPrefix(e.Output, "testing: warning: no tests to run"):
	default:
		fmt.Fprint(s.out, e.Output)
	}
}

func (s *summary) finish(e event) {
	if e.Test == "" {
		s.finishPackage(e)
		return
	}
	said := s.output[e.name()]
	delete(s.output, e.name())
	s.running = slices.DeleteFunc(s.running, func(r event) bool { return r.name() == e.name() })
	switch e.Action {
	case "pass":
		s.passed = append(s.passed, e)
		return
	case "fail":
		s.failed = append(s.failed, e)
	case "skip":
		s.skipped = append(s.skipped, e)
	}
	if said != nil {
		fmt.Fprint(s.out, said.String())
	}
}

func (s *summary) finishPackage(e event) {
	if e.Action == "skip" {
		return // no test files
	}
	s.packages++
	for _, r := range slices.Clone(s.running) { // the process ended before they did
		if r.Package == e.Package {
			s.finish(event{Action: "fail", Package: r.Package, Test: r.Test})
		}
	}
	if e.Action == "fail" && !slices.ContainsFunc(s.failed, func(f event) bool { return f.Package == e.Package }) {
		s.failed = append(s.failed, e)
	}
}

// close prints the last words and returns whether all is well.
func (s *summary) close() bool {
	slow := slices.DeleteFunc(slices.Clone(s.passed), func(e event) bool { return strings.Contains(e.Test, "/") })
	slices.SortStableFunc(slow, func(a, b event) int { return cmp.Compare(b.Elapsed, a.Elapsed) })
	fmt.Fprintln(s.out)
	for _, e := range slow[:min(5, len(slow))] {
		fmt.Fprintf(s.out, "slow: %5.1f s  %s %s\n", e.Elapsed, e.Package, e.Test)
	}
	for _, e := range s.skipped {
		fmt.Fprintf(s.out, "skipped: %s %s\n", e.Package, e.Test)
	}
	for _, e := range s.failed {
		fmt.Fprintf(s.out, "failed: %s %s\n", e.Package, e.Test)
	}
	fmt.Fprintf(s.out, "%d tests passed, %d failed, %d skipped, in %d packages, in %s\n", len(s.passed), len(s.failed),
		len(s.skipped), s.packages, time.Since(s.began).Round(time.Second))
	return len(s.passed) > 0 && len(s.failed) == 0 && len(s.skipped) == 0
}

// Command faults brings about what goes wrong in the life of a node, for real, in a running mesh of network namespaces
// with traffic between pods at 1 kHz, and asserts what has to be true of the daemon meanwhile and afterwards: nothing of
// others is touched, nobody else's session is reset, no packet is lost that need not be, and the fault has a name.
//
// It needs root, FRR, BIRD, GoBGP and nftables, and leaves nothing behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/underlayd/underlayd/containerlab"
)

// options are what a run may be told.
type options struct {
	root, underlayd string
	pattern         string
	json            string
	labs            int
	list            bool
	outage          time.Duration // how long the API is away in the row of the long outage
	here            string        // this package's folder
	folder          string        // where labs have their files; it goes with this process
}

func main() {
	os.Exit(containerlab.Program("faults", parseOptions, run))
}

func parseOptions(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("faults", flag.ContinueOnError)
	f.StringVar(&o.root, "root", ".", "the repository")
	f.StringVar(&o.underlayd, "underlayd", "bin/underlayd", "the binary to test")
	f.StringVar(&o.pattern, "run", "", "only rows that match this `regexp`, as area: fault")
	f.StringVar(&o.json, "json", "", "a `file` for the results, - for standard output instead of the table")
	f.IntVar(&o.labs, "labs", 3, "how many labs work side by side")
	f.DurationVar(&o.outage, "outage", 5*time.Minute, "how long the API is away in the chaos row of that")
	f.BoolVar(&o.list, "list", false, "list the rows")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || o.labs < 1 {
		return o, errors.New("there are no arguments, and there is at least one lab")
	}
	o.here = filepath.Join(o.root, "containerlab", "faults")
	return o, nil
}

// chosen returns the rows that match a pattern.
func chosen(rows []row, pattern string) ([]row, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	var out []row
	for _, r := range rows {
		if re.MatchString(r.area + ": " + r.name) {
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no row matches %q", pattern)
	}
	return out, nil
}

func run(ctx context.Context, o options) error {
	rows, err := chosen(catalogue(), o.pattern)
	if err != nil {
		return err
	}
	if o.list {
		for _, r := range rows {
			fmt.Printf("%s: %s\n\t%s\n", r.area, r.name, r.required)
		}
		return nil
	}
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root: run it as root")
	}
	if o.underlayd, err = filepath.Abs(o.underlayd); err != nil {
		return err
	}
	folder, janitor, err := containerlab.Scratch("faults-")
	if err != nil {
		return err
	}
	defer janitor.Close()
	o.folder = folder
	began := time.Now()
	b := &bench{options: o, progress: os.Stderr}
	results, err := b.run(ctx, rows)
	if err != nil {
		return err
	}
	if err := o.report(began, results); err != nil {
		return err
	}
	if n := failed(results); n > 0 {
		return fmt.Errorf("%d of %d rows failed", n, len(results))
	}
	return nil
}

// report writes the table, the JSON, or both.
func (o options) report(began time.Time, results []*result) error {
	if o.json == "-" {
		return writeJSON(os.Stdout, began, results)
	}
	if o.json != "" {
		f, err := os.Create(o.json)
		if err != nil {
			return err
		}
		if err := errors.Join(writeJSON(f, began, results), f.Close()); err != nil {
			return err
		}
	}
	fmt.Println()
	err := show(os.Stdout, results)
	fmt.Printf("\n%d rows, %d failed, %s\n", len(results), failed(results), time.Since(began).Round(time.Second))
	return err
}

// Command interop tries underlayd with other BGP speakers: every combination of program, transport, relation and feature,
// each in a lab of its own with real programs in network namespaces, and prints what it saw as a matrix. A combination
// that is not tried has a reason.
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
	"sync"
	"time"

	"github.com/underlayd/underlayd/containerlab"
)

// options are what a run may be told.
type options struct {
	underlayd string
	pattern   string
	json      string
	labs      int
	list      bool
	folder    string // where labs have their files; it goes with this process
}

func main() {
	os.Exit(containerlab.Program("interop", parseOptions, run))
}

func parseOptions(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("interop", flag.ContinueOnError)
	f.StringVar(&o.underlayd, "underlayd", "bin/underlayd", "the binary to test")
	f.StringVar(&o.pattern, "run", "", "only cells that match this `regexp`, as in frr ipv4 ebgp plain")
	f.StringVar(&o.json, "json", "", "a `file` for the results")
	f.IntVar(&o.labs, "labs", 8, "how many labs work side by side")
	f.BoolVar(&o.list, "list", false, "list the cells")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || o.labs < 1 {
		return o, errors.New("there are no arguments, and there is at least one lab")
	}
	var err error
	o.underlayd, err = filepath.Abs(o.underlayd)
	return o, err
}

// result is what became of a cell.
type result struct {
	cell
	Verdict  verdict `json:"verdict"`
	Observed string  `json:"observed"` // or why it was not tried, or what failed
	Seconds  float64 `json:"seconds"`
}

type verdict string

const (
	works       verdict = "works"
	fails       verdict = "fails"
	unsupported verdict = "unsupported"
)

func run(ctx context.Context, o options) (err error) {
	cells, err := matching(o.pattern)
	if err != nil {
		return err
	}
	if o.list {
		for _, c := range cells {
			fmt.Println(c, c.reason())
		}
		return nil
	}
	if o.folder, err = os.MkdirTemp("", "interop-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.folder)) }()
	results := tryAll(ctx, cells, o)
	if err := ctx.Err(); err != nil {
		return err
	}
	show(os.Stdout, results)
	if o.json != "" {
		if err := writeJSON(o.json, results); err != nil {
			return err
		}
	}
	if n := count(results, fails); n > 0 {
		return fmt.Errorf("%d of %d cells fail", n, len(results))
	}
	return nil
}

// tryAll tries the cells, some of them at a time, and returns what became of them in their order.
func tryAll(ctx context.Context, cells []cell, o options) []result {
	results := make([]result, len(cells))
	todo := make(chan int)
	var workers sync.WaitGroup
	for range o.labs {
		workers.Go(func() {
			for i := range todo {
				results[i] = outcome(ctx, cells[i], o)
				fmt.Fprintf(os.Stderr, "%s %s (%.0f s)\n", results[i].Verdict, cells[i], results[i].Seconds)
			}
		})
	}
	for i := range cells {
		select {
		case todo <- i:
		case <-ctx.Done():
		}
	}
	close(todo)
	workers.Wait()
	return results
}

func outcome(ctx context.Context, c cell, o options) result {
	if why := c.reason(); why != "" {
		return result{cell: c, Verdict: unsupported, Observed: why}
	}
	began := time.Now()
	observed, err := try(ctx, c, o)
	r := result{cell: c, Verdict: works, Observed: observed, Seconds: time.Since(began).Seconds()}
	if err != nil {
		r.Verdict, r.Observed = fails, err.Error()
	}
	return r
}

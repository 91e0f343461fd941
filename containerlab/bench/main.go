// Command bench measures underlayd against BIRD and FRR, all in the same topology: a BGP peer that writes UPDATEs as
// fast as TCP takes them, the speaker under test, and the kernel, whose own notifications say when it is done.
//
// Every measurement is made in a fresh lab of network namespaces, speakers taking turns, and every result is verified
// with a dump of the kernel's routes. It needs root, and a machine with nothing else to do.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/underlayd/underlayd/containerlab"
)

// options are what a run may be told.
type options struct {
	root, underlayd, out string
	profiles             string
	workloads, speakers  string
	routes, million      int
	rounds, probes       int
	patience, rest       time.Duration
	settle               time.Duration // how long a speaker that is done is left alone before the next step
	idle, churn          time.Duration
	quick, verbose       bool
	topology             *containerlab.Topology
}

func main() {
	os.Exit(containerlab.Program("bench", parseOptions, run))
}

// parseOptions reads flags; ROUTES and the like may come from the environment too, as make passes them on.
func parseOptions(args []string) (options, error) {
	o := options{settle: time.Second}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.root, "root", ".", "the repository")
	f.StringVar(&o.underlayd, "underlayd", "bin/underlayd", "the binary to measure")
	f.StringVar(&o.out, "out", "bench.json", "where the figures go")
	f.StringVar(&o.profiles, "profiles", "", "a folder for CPU profiles of underlayd, one of each measurement; it is slower meanwhile")
	f.StringVar(&o.workloads, "workloads", "", "only these, with commas: "+workloadNames())
	f.StringVar(&o.speakers, "speakers", "", "only these, with commas: underlayd,BIRD,FRR")
	f.IntVar(&o.routes, "routes", fromEnv("ROUTES", 100_000), "prefixes in most workloads")
	f.IntVar(&o.million, "million", 1_000_000, "prefixes in the workload named so")
	f.IntVar(&o.rounds, "rounds", fromEnv("ROUNDS", 5), "how often everything is measured")
	f.IntVar(&o.probes, "probes", 1000, "changes of single prefixes")
	f.DurationVar(&o.patience, "patience", 2*time.Minute, "how long one measurement may take")
	f.DurationVar(&o.rest, "rest", 5*time.Second, "how long a speaker is left alone before its memory is read")
	f.DurationVar(&o.idle, "idle", 130*time.Second, "how long CPU time is counted while nothing happens; longer than every speaker's reconciliation interval")
	f.DurationVar(&o.churn, "churn", 30*time.Second, "how long prefixes flap")
	f.BoolVar(&o.quick, "quick", false, "a smoke test in one or two minutes: 10,000 routes, one round, short waits")
	f.BoolVar(&o.verbose, "v", false, "print the logs of labs in which something failed")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.quick {
		o.routes, o.million, o.rounds, o.probes = 10_000, 20_000, 1, 100
		o.settle, o.rest, o.idle, o.churn = 200*time.Millisecond, 300*time.Millisecond, time.Second, 2*time.Second
	}
	if f.NArg() > 0 || o.routes < 100 || o.routes > mostNets || o.million < 100 || o.million > mostNets || o.rounds < 1 || o.probes < 4 {
		return o, fmt.Errorf("routes must be 100 to %d, rounds and probes positive, and there are no arguments", mostNets)
	}
	return o, nil
}

func fromEnv(name string, otherwise int) int {
	if v, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return v
	}
	return otherwise
}

func workloadNames() string {
	var names []string
	for _, w := range workloads() {
		names = append(names, w.name)
	}
	return strings.Join(names, ",")
}

// chosen picks the things named in a list with commas; an empty list picks all.
func chosen[T any](all []T, list string, name func(T) string) ([]T, error) {
	if list == "" {
		return all, nil
	}
	var out []T
	for _, want := range strings.Split(list, ",") {
		at := slices.IndexFunc(all, func(x T) bool { return strings.EqualFold(name(x), strings.TrimSpace(want)) })
		if at < 0 {
			return nil, fmt.Errorf("there is no %q", want)
		}
		out = append(out, all[at])
	}
	return out, nil
}

func run(ctx context.Context, o options) error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root: run it as root")
	}
	var err error
	if o.underlayd, err = filepath.Abs(o.underlayd); err != nil {
		return err
	}
	if o.profiles != "" {
		if o.profiles, err = filepath.Abs(o.profiles); err != nil {
			return err
		}
		if err := os.MkdirAll(o.profiles, 0o755); err != nil {
			return err
		}
	}
	if o.topology, err = containerlab.Load(filepath.Join(o.root, "containerlab", "bench", "bench.clab.yml")); err != nil {
		return err
	}
	list, err := chosen(workloads(), o.workloads, func(w workload) string { return w.name })
	if err != nil {
		return err
	}
	field, err := chosen(speakers(o), o.speakers, func(s speaker) string { return s.name })
	if err != nil {
		return err
	}
	c := &contest{options: o, workloads: list, speakers: field, results: newResults(), out: os.Stdout}
	return c.run(ctx)
}

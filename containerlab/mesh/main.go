// Command mesh measures a full mesh: the nodes of two clusters on one Ethernet, each with a daemon that peers with every
// node of the other cluster. It says how long it takes until all routes are in all kernels, how long a new pod CIDR
// takes to get everywhere, how soon the death of a node is noticed, and what a daemon costs meanwhile.
//
// With -reflectors some nodes of each cluster are its route reflectors, as in containerlab/reflectors: they alone have
// sessions with the other cluster, the others with them. Then the death and the restart of a reflector are measured too:
// no node may lose a route or a packet by them.
//
// It needs root. Fifty by fifty nodes take some 6 GB of memory, a hundred by a hundred behind reflectors less.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/underlayd/underlayd/containerlab"
)

// options are what a run may be told.
type options struct {
	underlayd  string
	nodes      int // of each cluster
	reflectors int // of these; 0: a full mesh
	hold       time.Duration
	retry      time.Duration
	bfd        time.Duration
	rest       time.Duration
	idle       time.Duration
	changes    int
	patience   time.Duration
	profile    string
}

// mostNodes is what the addresses of the lab have room for.
const mostNodes = 100

func main() {
	os.Exit(containerlab.Program("mesh", parseOptions, func(ctx context.Context, o options) error { return run(ctx, o, os.Stdout) }))
}

func parseOptions(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("mesh", flag.ContinueOnError)
	f.StringVar(&o.underlayd, "underlayd", "bin/underlayd", "the binary to measure")
	f.IntVar(&o.nodes, "nodes", 50, "nodes of each of the two clusters")
	f.IntVar(&o.reflectors, "reflectors", 0, "how many of these are route reflectors; 0: none, the mesh is full")
	f.DurationVar(&o.hold, "hold", 9*time.Second, "the hold time of the sessions")
	f.DurationVar(&o.retry, "retry", 5*time.Second, "how long after a failed connection the next one is tried")
	f.DurationVar(&o.bfd, "bfd", 0, "the interval of BFD; 0: none")
	f.DurationVar(&o.rest, "rest", 15*time.Second, "how long the mesh is left alone before memory and CPU time are read")
	f.DurationVar(&o.idle, "idle", time.Minute, "how long CPU time is counted while nothing happens")
	f.IntVar(&o.changes, "changes", 10, "how many pod CIDRs are added")
	f.DurationVar(&o.patience, "patience", 6*time.Minute, "how long each step may take")
	f.StringVar(&o.profile, "profile", "", "write a CPU profile of one daemon, a reflector's if there are any, for as long as it runs, to this file")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || o.nodes < 1 || o.nodes > mostNodes || o.changes < 1 {
		return o, fmt.Errorf("nodes must be 1 to %d and changes positive, and there are no arguments", mostNodes)
	}
	if o.reflectors != 0 && (o.reflectors < 2 || o.reflectors >= o.nodes) {
		return o, fmt.Errorf("reflectors must be none, or 2 to %d: one is to be taken away, and there are other nodes", o.nodes-1)
	}
	return o, nil
}

// run raises the mesh, measures it and prints a table.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root: run it as root")
	}
	if o.underlayd, err = filepath.Abs(o.underlayd); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "mesh-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	m, err := raise(ctx, o, folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.down()) }()
	err = m.measure(ctx)
	return errors.Join(m.report.Write(out), err)
}

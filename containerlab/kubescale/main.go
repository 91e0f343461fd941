// Command kubescale measures what underlayd costs a Kubernetes API server, and whether that grows with the number of Nodes:
// a real API server with many Nodes, whose heartbeats are written as kubelets write them, and some real daemons in network
// namespaces, each with a token and with the rights that the manifests give it. They have sessions with two routers of
// another cluster, so that there are routes to tell of.
//
// For each number of Nodes the same daemons are started anew, left alone, told of a route and of its loss, and the API
// server is taken away from them and brought back. Requests are those of the API server's audit log, bytes those that went
// over each daemon's connections.
//
// It needs root, and some 7 GB for a hundred daemons.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/underlayd/underlayd/containerlab"
)

// options are what a run may be told.
type options struct {
	underlayd  string
	calico     string
	nodes      []int // how many there are, one stage after the other
	agents     int
	blocks     int
	selectable bool
	status     time.Duration
	rest       time.Duration
	idle       time.Duration
	away       time.Duration
	patience   time.Duration
}

const (
	mostAgents = 250 // what the addresses of the lab have room for
	mostNodes  = 1900
)

func main() {
	os.Exit(containerlab.Program("kubescale", parseOptions, func(ctx context.Context, o options) error { return run(ctx, o, os.Stdout) }))
}

func parseOptions(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("kubescale", flag.ContinueOnError)
	f.StringVar(&o.underlayd, "underlayd", "bin/underlayd", "the binary to measure")
	f.StringVar(&o.calico, "calico", "k8s/testdata/calico", "the folder with the definition of Calico's block affinities")
	nodes := f.String("nodes", "100,300,1000", "numbers of Nodes, in ascending order")
	f.IntVar(&o.agents, "agents", 100, "daemons; two of them have bgp.nodePeers and are counted apart")
	f.IntVar(&o.blocks, "blocks", 0, "block affinities of Calico for each Node, 0 to 4; 0: there is no such kind")
	f.BoolVar(&o.selectable, "selectable", false, "the API server selects block affinities by node (selectableFields)")
	f.DurationVar(&o.status, "status", 5*time.Minute, "how often a kubelet writes the status of its Node")
	f.DurationVar(&o.rest, "rest", 15*time.Second, "how long the agents are left alone before they are measured")
	f.DurationVar(&o.idle, "idle", 2*time.Minute, "how long is measured while nothing happens")
	f.DurationVar(&o.away, "away", 20*time.Second, "how long the API server is away")
	f.DurationVar(&o.patience, "patience", 6*time.Minute, "how long each step may take")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	for text := range strings.SplitSeq(*nodes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < o.agents || n > mostNodes || len(o.nodes) > 0 && n <= o.nodes[len(o.nodes)-1] {
			return o, fmt.Errorf("nodes must be numbers from that of the agents to %d, in ascending order, with commas between them", mostNodes)
		}
		o.nodes = append(o.nodes, n)
	}
	if f.NArg() > 0 || o.agents < 3 || o.agents > mostAgents || o.blocks < 0 || o.blocks > 4 {
		return o, fmt.Errorf("agents must be 3 to %d and blocks 0 to 4, and there are no arguments", mostAgents)
	}
	return o, nil
}

// run brings everything up, measures it and prints a table.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root: run it as root")
	}
	if o.underlayd, err = filepath.Abs(o.underlayd); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "kubescale-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	s := &scale{options: o, folder: folder}
	defer func() { err = errors.Join(err, s.down()) }()
	if err := s.up(ctx); err != nil {
		return err
	}
	err = s.measure(ctx)
	return errors.Join(s.report.write(out), err)
}

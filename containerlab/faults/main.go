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
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
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
	o, err := parseOptions(os.Args[1:])
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		err = run(ctx, o)
		stop()
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
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
	folder, janitor, err := scratch()
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

// scratch makes a folder that goes when this process ends, however it ends: a shell reads from a pipe whose other end
// lives as long as the process, and the returned file.
func scratch() (folder string, janitor *os.File, err error) {
	if folder, err = os.MkdirTemp("", "faults-"); err != nil {
		return "", nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return "", nil, err
	}
	defer read.Close()
	shell := exec.Command("sh", "-c", `trap "" HUP INT TERM; read -r _; rm -rf -- "$0"`, folder)
	shell.Stdin = read
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return folder, write, shell.Start()
}

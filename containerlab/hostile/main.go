// Command hostile replays malformed and hostile BGP messages against the real daemon, from many peers at once and in
// every state of a session, and says what became of each. The daemon must not die, a friend beside it must not notice
// anything, and no route may stay that a message, however broken, was about.
//
// It needs root. `make test` runs most of it; this program has more random changes, and volumes of full size.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/underlayd/underlayd/containerlab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("hostile", flag.ContinueOnError)
	root := flags.String("root", ".", "the repository")
	binary := flags.String("underlayd", "bin/underlayd", "the daemon")
	only := flags.String("only", "", "only attacks whose names have this in them")
	scale := flags.Int("scale", 1, "the floods have their full size divided by this")
	random := flags.Int("random", 5000, "how many announcements are changed at random")
	seed := flags.Uint64("seed", 1, "of the random changes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	topology, err := containerlab.Load(filepath.Join(*root, "containerlab/hostile/hostile.clab.yml"))
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "hostile-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	daemon, err := filepath.Abs(*binary)
	if err != nil {
		return err
	}
	s, err := raise(ctx, topology, daemon, folder)
	if err != nil {
		return err
	}
	defer func() { _ = s.down() }()
	before, _, err := s.resident()
	if err != nil {
		return err
	}
	began := time.Now()
	all := slices.DeleteFunc(corpus(*random, *seed), func(a attack) bool { return !strings.Contains(a.name, *only) })
	results, err := s.fight(ctx, all)
	fmt.Fprintln(out, table(results))
	if bad := faults(results); bad != nil {
		fmt.Fprintln(out, bad)
	}
	if err != nil {
		return err
	}
	after, peak, err := s.resident()
	fmt.Fprintf(out, "%d sessions ended before they were attacked\n", s.again.Load())
	fmt.Fprintf(out, "%d messages in %s; resident memory %.0f MiB before, %.0f after, %.0f at most\n",
		len(results), time.Since(began).Round(time.Second), before, after, peak)
	if err == nil {
		err = s.drown(ctx, *scale, out)
	}
	if err != nil {
		return err
	}
	return errors.Join(s.unimpressed(ctx), s.empty(ctx))
}

// corpus is everything there is to say.
func corpus(random int, seed uint64) []attack {
	var all []attack
	for _, part := range [][]attack{
		headerAttacks(), openAttacks(), orderAttacks(), attributeAttacks(), updateAttacks(), notificationAttacks(), refreshAttacks(),
		randomAttacks(random, seed),
	} {
		all = append(all, part...)
	}
	return all
}

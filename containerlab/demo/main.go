// Command demo shows the main job on one machine: pods of two clusters reach each other over BGP, through an FRR
// router, with their own addresses. It needs root, FRR and the binaries of `make build`, but neither containers
// nor Kubernetes, and leaves nothing behind unless it is told to keep the lab.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/underlayd/underlayd/containerlab"
)

func main() {
	keep := flag.Bool("keep", false, "leave the lab up and say how to look around")
	root := flag.String("root", ".", "the repository")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, *root, *keep)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, root string, keep bool) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root: run it as root")
	}
	s := &stage{Narrator: containerlab.Narrator{Out: os.Stdout}, root: root}
	if s.config, err = s.copyConfig(); err != nil {
		return err
	}
	if !keep {
		defer func() { _ = os.RemoveAll(filepath.Dir(s.config)) }()
	}
	if err := s.raise(ctx, keep); err != nil {
		return err
	}
	if err := s.play(ctx); err != nil {
		return errors.Join(err, s.lab.WriteLogs(os.Stderr), s.lab.Down())
	}
	if keep {
		return s.restore(ctx)
	}
	s.Say("Clean up: the lab and everything in it goes.")
	return s.lab.Down()
}

// copyConfig makes the copy of west-1's configuration that the demo will change.
func (s *stage) copyConfig() (string, error) {
	folder := filepath.Join(s.root, "bin", "demo", changed)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(s.root, "containerlab", topology, changed, configFile))
	if err != nil {
		return "", err
	}
	s.original = text
	return filepath.Abs(folder)
}

// raise brings the lab up.
func (s *stage) raise(ctx context.Context, keep bool) error {
	s.Say("Bring up the lab: clusters east and west with two nodes each, a pod on every node, and an FRR router between\n" +
		"them. The nodes are network namespaces; underlayd runs on every node.")
	if err := s.write(s.original); err != nil {
		return err
	}
	t, err := containerlab.Load(filepath.Join(s.root, "containerlab", topology+".clab.yml"))
	if err != nil {
		return err
	}
	s.lab, err = t.Up(ctx, containerlab.Options{
		Keep:    keep,
		Sources: map[string]string{topology + "/" + changed: s.config},
	})
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// processRows are about the life and death of the daemon's process.
func processRows() []row {
	return slices.Concat(aliveRows(), absentRows(), crashRows(), privilegeRows())
}

func aliveRows() []row {
	return []row{
		{
			name: "SIGKILL, and started again", fast: true,
			required: "no route touched, no packet lost, converged < 15 s",
			touches:  []string{everyone}, restarts: true,
			inject: func(ctx context.Context, s *scene) error { return s.restart(ctx, syscall.SIGKILL) },
		},
		{
			name: "SIGTERM, and started again", fast: true,
			required: "as SIGKILL; exit code 0 within 2 s",
			touches:  []string{everyone}, restarts: true,
			inject: func(ctx context.Context, s *scene) error { return s.restart(ctx, syscall.SIGTERM) },
		},
		{
			name: "killed five times in a row", required: "no route touched, no packet to the peers lost; their patience is theirs",
			touches: []string{everyone}, restarts: true, back: unlimited,
			inject: crashLoop,
		},
		{
			name: "upgraded to another binary, and back", fast: true, required: "as SIGTERM, twice",
			touches: []string{everyone}, restarts: true,
			inject: upgrade,
		},
		{
			name: "frozen for 3 s, less than the hold time", fast: true, required: "nothing happens",
			inject: func(ctx context.Context, s *scene) error { return s.freeze(ctx, 3*time.Second) },
		},
		{
			name: "frozen for 10 s, more than the hold time", required: "the node and peers that know RFC 8538 keep each other's routes; back by itself",
			touches: []string{everyone}, exempt: []string{"bird", "raw"}, rewrites: true, says: []string{"not established"},
			inject: func(ctx context.Context, s *scene) error { return s.freeze(ctx, 10*time.Second) },
		},
		{
			name: "a second daemon on the node", fast: true, required: "it ends with an error that names the first, which does not notice",
			inject: func(ctx context.Context, s *scene) error {
				return s.second(ctx, `another underlayd runs on this node: pid \d+`)
			},
		},
		{
			name: "sockets and lock of a dead daemon are left over", fast: true, required: "started as if they were not there",
			touches: []string{everyone}, restarts: true,
			inject: leftovers,
		},
		{
			name: "graceful restart turned off, killed and started again", fast: true,
			required: "packets are lost: the bench sees it when they are",
			touches:  []string{everyone}, restarts: true, rewrites: true, lost: unlimited, back: unlimited, mustLose: true,
			prepare: withoutGR, inject: ungraceful,
		},
		{
			name: "graceful restart turned off, started", required: "converged < 15 s",
			touches: []string{everyone}, restarts: true, rewrites: true, lost: unlimited, back: unlimited,
			prepare: withoutGR,
			inject:  func(ctx context.Context, s *scene) error { return s.restart(ctx, syscall.SIGTERM) },
		},
	}
}

// converged waits until a daemon that was started is done with it.
func (s *scene) converged(ctx context.Context) error {
	took, err := s.until(ctx, 15*time.Second, "convergence", func(ctx context.Context) error {
		now, err := s.daemon.state(ctx)
		if err == nil {
			err = settledState(now)
		}
		return err
	})
	if err == nil {
		s.note("converged after %s", took)
	}
	return err
}

// stop ends the daemon and waits for its end.
func (s *scene) stop(signal syscall.Signal) error {
	p := s.daemon.process()
	began := time.Now()
	if err := p.Signal(signal); err != nil {
		return err
	}
	select {
	case <-p.Done():
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("it did not end on %s", signal), p.Kill())
	}
	took := time.Since(began)
	if signal != syscall.SIGTERM {
		return nil
	}
	const limit = 2 * time.Second
	switch {
	case p.Err() != nil:
		return fmt.Errorf("it ended with %w", p.Err())
	case took > limit:
		return fmt.Errorf("it took %s to end", took)
	}
	s.note("ended after %s", took.Round(time.Millisecond))
	return nil
}

// restart ends the daemon, leaves the node without for a moment, and starts it again.
func (s *scene) restart(ctx context.Context, signal syscall.Signal) error {
	if err := s.stop(signal); err != nil {
		return err
	}
	if err := pause(ctx, 500*time.Millisecond); err != nil {
		return err
	}
	if err := s.east.Launch(ctx); err != nil {
		return err
	}
	return s.converged(ctx)
}

func crashLoop(ctx context.Context, s *scene) error {
	for range 4 {
		if err := errors.Join(s.stop(syscall.SIGKILL), s.east.Launch(ctx), pause(ctx, time.Second)); err != nil {
			return err
		}
	}
	return s.restart(ctx, syscall.SIGKILL)
}

// upgrade replaces the binary by one of another version, then by the first again.
func upgrade(ctx context.Context, s *scene) error {
	other := filepath.Join(s.folder, "other")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=v99.0.0-other", "-o", other, "./cmd/underlayd")
	build.Dir = s.o.root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	for _, binary := range []string{other, s.o.underlayd} {
		if err := copyFile(binary, filepath.Join(s.folder, "bin", "underlayd")); err != nil {
			return err
		}
		if err := s.restart(ctx, syscall.SIGTERM); err != nil {
			return err
		}
		if binary == other && !strings.Contains(s.daemon.process().LogTail(1000), "v99.0.0-other") {
			return errors.New("it is not the other binary that runs")
		}
	}
	return nil
}

// freeze stops the daemon for a while, as a node does that is starved of CPU.
func (s *scene) freeze(ctx context.Context, d time.Duration) error {
	p := s.daemon.process()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	err := pause(ctx, d)
	return errors.Join(err, p.Signal(syscall.SIGCONT), pause(ctx, time.Second))
}

// second starts another daemon beside the first; it must end with words that match.
func (s *scene) second(ctx context.Context, pattern string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := s.east.Command(ctx, "underlayd", "run").CombinedOutput()
	if err == nil || ctx.Err() != nil {
		return fmt.Errorf("it runs: %s", out)
	}
	return matches(string(out), pattern)
}

func leftovers(ctx context.Context, s *scene) error {
	if err := s.stop(syscall.SIGKILL); err != nil {
		return err
	}
	out, err := s.east.Output(ctx, "ls", "/run/underlayd")
	if err != nil {
		return err
	}
	for _, file := range []string{"underlayd.sock", "gobgp.sock"} {
		if !strings.Contains(out, file) {
			return fmt.Errorf("nothing is left over: %q", out)
		}
	}
	if err := s.east.Launch(ctx); err != nil {
		return err
	}
	return s.converged(ctx)
}

// withoutGR turns graceful restart off, which resets all sessions.
func withoutGR(ctx context.Context, s *scene) error {
	if err := s.edit("east-1", "config.yaml", "gracefulRestart: {", "gracefulRestart: {enabled: false, "); err != nil {
		return err
	}
	return s.sessionIs(ctx, "frr", false, patience)
}

// ungraceful is the test of the bench: what graceful restart is for must be seen when it is missing.
func ungraceful(ctx context.Context, s *scene) error {
	if err := s.stop(syscall.SIGKILL); err != nil {
		return err
	}
	if err := s.east.Launch(ctx); err != nil {
		return err
	}
	return s.flows(ctx, patience)
}

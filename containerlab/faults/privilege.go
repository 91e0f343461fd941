package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// privilegeRows are about what the daemon may do.
func privilegeRows() []row {
	missing := func(short, says string) row {
		return row{
			name:     "started without CAP_" + strings.ToUpper(short),
			required: "it ends with exit code 1 and an error that names it; no route touched, no packet lost",
			touches:  []string{everyone}, restarts: true,
			inject: func(ctx context.Context, s *scene) error { return s.startWithout(ctx, short, says) },
		}
	}
	return []row{
		missing("net_admin", "CAP_NET_ADMIN is missing"),
		missing("net_bind_service", `CAP_NET_BIND_SERVICE is missing: it is needed to listen on port 179 \(bgp\.port\)`),
		{
			name: "started with all privileges", fast: true, required: "it has two left, on every thread, and no way to more",
			touches: []string{everyone}, restarts: true,
			inject: func(ctx context.Context, s *scene) error {
				return errors.Join(s.confined("before"), s.restart(ctx, syscall.SIGTERM), s.confined("after the start"))
			},
		},
	}
}

// startWithout starts the daemon as root without a capability.
func (s *scene) startWithout(ctx context.Context, capability, says string) error {
	if err := s.stop(syscall.SIGTERM); err != nil {
		return err
	}
	short, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	command := s.east.Command(short, "setpriv", "--bounding-set", "-"+capability, "--inh-caps", "-"+capability, "underlayd", "run")
	out, err := command.CombinedOutput()
	switch {
	case short.Err() != nil || err == nil:
		err = fmt.Errorf("it runs: %s", out)
	case command.ProcessState.ExitCode() != 1:
		err = fmt.Errorf("its exit code is %d: %s", command.ProcessState.ExitCode(), out)
	default:
		err = matches(string(out), says)
	}
	s.note("%s", lastLines(string(out), 1))
	return errors.Join(err, s.routesAre(wanted()), s.east.Launch(ctx), s.converged(ctx))
}

// confined makes sure that every thread of the daemon has CAP_NET_ADMIN and CAP_NET_BIND_SERVICE alone.
func (s *scene) confined(when string) error {
	const two, none = "0000000000001400", "0000000000000000"
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", s.daemon.process().PID()))
	if err != nil || len(threads) < 2 {
		return errors.Join(err, fmt.Errorf("%s: it has %d threads", when, len(threads)))
	}
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if errors.Is(err, os.ErrNotExist) {
			continue // it has ended
		}
		if err != nil {
			return err
		}
		for _, line := range []string{"CapEff:\t" + two, "CapPrm:\t" + two, "CapBnd:\t" + two, "CapInh:\t" + none, "CapAmb:\t" + none, "NoNewPrivs:\t1"} {
			if !strings.Contains(string(text), line+"\n") {
				return fmt.Errorf("%s: %s does not say %q", when, thread, line)
			}
		}
	}
	s.note("%d threads %s", len(threads), when)
	return nil
}

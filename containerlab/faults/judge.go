package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// before is what is known of the lab when a row begins.
type before struct {
	state   *state
	pid     int
	foreign []string
	log     int64
	metrics []byte
	heard   *overheard
}

// result is what came of a row.
type result struct {
	Fault    string        `json:"fault"`
	Area     string        `json:"area"`
	Required string        `json:"required"`
	Observed string        `json:"observed"`
	Lost     string        `json:"lost"`
	Flows    []tally       `json:"flows"` // those that lost something
	Failures []string      `json:"failures,omitempty"`
	Log      string        `json:"log,omitempty"` // the end of the daemon's, when it failed
	Took     time.Duration `json:"tookNanoseconds"`
	broken   bool          // the lab is not as before
}

func (r *result) ok() bool { return len(r.Failures) == 0 }

func (r *result) fail(format string, a ...any) {
	r.Failures = append(r.Failures, fmt.Sprintf(format, a...))
}

func (r *result) failWith(what string, err error) {
	if err != nil {
		r.fail("%s: %s", what, err)
	}
}

// play runs one row in a lab where all is well.
func play(ctx context.Context, l *lab, r *row) *result {
	began := time.Now()
	out := &result{Fault: r.name, Area: r.area, Required: r.required, broken: r.breaks}
	s := &scene{lab: l, row: r}
	defer func() { out.Took = time.Since(began) }()
	b, err := s.begin(ctx)
	if err != nil {
		out.fail("before the fault: %s", err)
		out.broken = true
		return out
	}
	out.failWith("the fault", r.inject(ctx, s))
	if !r.breaks {
		recovering := time.Now()
		if err := l.settle(ctx); err != nil {
			out.fail("afterwards: %s", err)
			out.broken = true
		} else if took := time.Since(recovering).Round(10 * time.Millisecond); took > time.Second {
			s.note("all well %s later", took)
		}
	}
	s.judge(ctx, b, out)
	out.Observed = strings.Join(s.notes, "; ")
	if !out.ok() {
		out.Log = lastLines(l.daemon.logSince(b.log), 40)
	}
	if !out.broken {
		if err := s.cleanUp(ctx); err != nil {
			out.fail("cleaning up: %s", err)
			out.broken = true
		}
	}
	return out
}

// cleanUp undoes what the row left to be undone, and the node's configuration; then all has to be well again.
func (s *scene) cleanUp(ctx context.Context) error {
	slices.Reverse(s.undo)
	for _, f := range s.undo {
		if err := f(ctx); err != nil {
			return err
		}
	}
	if err := s.restore("east-1", "config.yaml"); err != nil {
		return err
	}
	if len(s.undo) > 0 { // sessions that end because of it are not to end in the next row
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
	return s.settle(ctx)
}

func (s *scene) begin(ctx context.Context) (before, error) {
	var b before
	var err error
	if s.row.prepare != nil {
		if err := errors.Join(s.row.prepare(ctx, s), s.settle(ctx)); err != nil {
			return b, err
		}
	}
	if b.state, err = s.daemon.state(ctx); err != nil {
		return b, err
	}
	s.before = b.state
	if _, b.foreign, err = kernelRoutes(s.east); err != nil {
		return b, err
	}
	b.pid, b.log = s.daemon.process().PID(), s.daemon.logSize()
	if b.metrics, err = s.daemon.get(ctx, "/metrics"); err != nil {
		return b, err
	}
	if err := s.watch.begin(ctx); err != nil {
		return b, err
	}
	s.traffic.begin()
	b.heard = s.daemon.listen(ctx)
	return b, nil
}

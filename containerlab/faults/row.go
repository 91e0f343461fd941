package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/underlayd/underlayd/containerlab"
)

// unlimited is a budget of packets that is never exceeded.
const unlimited = -1

// row is one fault with what is required of the daemon meanwhile.
type row struct {
	name     string // what happens, a sentence
	area     string // the table it is from
	required string // for people
	fast     bool   // it is part of the Go test
	// touches names the neighbours whose sessions, routes and traffic the fault concerns; all the others must notice
	// nothing of it. everyone stands for all of them.
	touches []string
	// lost and back are how many packets a flow of a touched neighbour may lose, to it and from it.
	lost, back int
	// exempt names touched neighbours whose flows may lose any number.
	exempt []string
	// mustLose makes sure that the bench sees losses.
	mustLose bool
	// rewrites allows routes of touched neighbours to change in the kernel; otherwise nothing of ours may.
	rewrites bool
	// foreign allows others' routes to change meanwhile. Afterwards they must be as before.
	foreign bool
	// restarts allows the daemon's process to be another one afterwards.
	restarts bool
	// says are patterns of what the daemon must have complained about, in status and its conditions, and in its metrics.
	says []string
	// logs are patterns of lines that must be in the daemon's log.
	logs []string
	// metrics are the beginnings of lines of counters that must have grown.
	metrics []string
	// breaks has the lab made anew for the next row.
	breaks bool
	// prepare makes the lab what the fault needs, before anything is counted.
	prepare func(context.Context, *scene) error
	// inject brings the fault about and returns when it is over; the bench then waits until all is well.
	inject func(context.Context, *scene) error
}

const everyone = "everyone"

func (r *row) touched(peer string) bool {
	return slices.Contains(r.touches, peer) || slices.Contains(r.touches, everyone)
}

// catalogue is all rows, by area.
func catalogue() []row {
	var all []row
	for _, area := range []struct {
		name string
		rows []row
	}{
		{"chaos", chaosRows()}, // first, for it takes longest
		{"process", processRows()}, {"sessions", sessionRows()}, {"hostile", hostileRows()}, {"kernel", kernelRows()},
		{"state", stateRows()}, {"api", apiRows()},
	} {
		for _, r := range area.rows {
			r.area = area.name
			all = append(all, r)
		}
	}
	return all
}

// scene is one row in one lab.
type scene struct {
	*lab
	row    *row
	before *state
	notes  []string
	undo   []func(context.Context) error // after all is judged, the last first
}

// later has something done when all is judged.
func (s *scene) later(f func(context.Context) error) { s.undo = append(s.undo, f) }

// note adds something to what was observed.
func (s *scene) note(format string, a ...any) { s.notes = append(s.notes, fmt.Sprintf(format, a...)) }

// until waits for something that must come about within a limit, and returns how long it took. What it returns when it
// does not is the last error that was not brought about by the limit.
func (s *scene) until(ctx context.Context, limit time.Duration, what string, f func(context.Context) error) (time.Duration, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s is the limit", limit))
	defer cancel()
	var last error
	err := containerlab.Until(ctx, what, func(ctx context.Context) error {
		if err := f(ctx); err == nil || last == nil || ctx.Err() == nil {
			last = err
		}
		return last
	})
	return time.Since(began).Round(time.Millisecond), err
}

// during fails if f fails at any time within a period.
func (s *scene) during(ctx context.Context, period time.Duration, what string, f func(context.Context) error) error {
	end := time.Now().Add(period)
	for time.Now().Before(end) {
		if err := f(ctx); err != nil {
			return fmt.Errorf("%s, after %s of %s: %w", what, (period - time.Until(end)).Round(time.Millisecond), period, err)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// says waits until the daemon complains in words that match.
func (s *scene) says(ctx context.Context, limit time.Duration, pattern string) error {
	wanted, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	took, err := s.until(ctx, limit, "the daemon to complain of "+pattern, func(ctx context.Context) error {
		now, err := s.daemon.state(ctx)
		if err == nil && !slices.ContainsFunc(now.complaints(), wanted.MatchString) {
			err = fmt.Errorf("it says %q", now.complaints())
		}
		return err
	})
	if err == nil {
		s.note("named after %s", took)
	}
	return err
}

// sessionIs waits until the session with a neighbour is up or not.
func (s *scene) sessionIs(ctx context.Context, peer string, up bool, limit time.Duration) error {
	what := map[bool]string{true: "up", false: "lost"}[up]
	took, err := s.until(ctx, limit, "the session with "+peer+" to be "+what, func(ctx context.Context) error {
		now, err := s.daemon.state(ctx)
		if err != nil {
			return err
		}
		if state := now.session(peer).State; (state == "established") != up {
			return errors.New("it is " + state)
		}
		return nil
	})
	if err == nil {
		s.note("%s %s after %s", peer, what, took)
	}
	return err
}

// routes waits until the kernel has all our routes but for those from neighbours left out.
func (s *scene) routes(ctx context.Context, limit time.Duration, without ...string) error {
	took, err := s.until(ctx, limit, "routes", func(context.Context) error { return s.routesAre(wanted(without...)) })
	if err == nil && len(without) > 0 {
		s.note("routes of %s gone after %s", strings.Join(without, ", "), took)
	}
	return err
}

// flows waits until packets of all flows arrive.
func (s *scene) flows(ctx context.Context, limit time.Duration) error {
	_, err := s.until(ctx, limit, "traffic", func(context.Context) error { return s.traffic.alive() })
	return err
}

// run runs a command in a node.
func (s *scene) run(ctx context.Context, node string, argv ...string) error {
	_, err := s.Node(node).Output(ctx, argv...)
	return err
}

// shell runs a script in the node under test.
func (s *scene) shell(ctx context.Context, script string) error {
	return s.run(ctx, s.east.Name(), "sh", "-ec", script)
}

func (s *scene) read(node, file string) (string, error) {
	text, err := os.ReadFile(s.path(node, file))
	return string(text), err
}

// edit changes the configuration of a node by replacing one text in it. When all is judged it is restored.
func (s *scene) edit(node, file, old, replacement string) error {
	text, err := s.read(node, file)
	if err != nil {
		return err
	}
	if !strings.Contains(text, old) {
		return fmt.Errorf("%s of %s does not say %q", file, node, old)
	}
	s.later(func(context.Context) error { return s.restore(node, file) })
	return s.write(node, file, strings.Replace(text, old, replacement, 1))
}

// inContracts says whether a prefix may be in the kernel at all.
func inContracts(p netip.Prefix) bool {
	return slices.ContainsFunc(contracts(), func(c netip.Prefix) bool { return c.Contains(p.Addr()) && c.Bits() <= p.Bits() })
}

// announcer is the neighbour that announces a prefix in good times; empty: nobody.
func announcer(p netip.Prefix) string {
	for _, n := range neighbours() {
		if slices.Contains(n.prefixes(), p) {
			return n.name
		}
	}
	return ""
}

// matches says whether a text has what it should.
func matches(text, pattern string) error {
	re, err := regexp.Compile(pattern)
	if err == nil && !re.MatchString(text) {
		err = fmt.Errorf("%q does not match %q", text, pattern)
	}
	return err
}

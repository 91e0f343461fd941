package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// judge asserts what is true of every row, and what the row adds to it.
func (s *scene) judge(ctx context.Context, b before, out *result) {
	said, measured := b.heard.end()
	s.judgeTraffic(s.traffic.tallies(ctx), out)
	events, err := s.watch.heard(ctx)
	out.failWith("watching the kernel", err)
	s.judgeEvents(events, out)
	if !s.row.breaks {
		_, foreign, err := kernelRoutes(s.east)
		out.failWith("others' routes", err)
		if err == nil && !slices.Equal(foreign, b.foreign) {
			out.fail("others' routes: gone are %q, new are %q", without(b.foreign, foreign), without(foreign, b.foreign))
		}
		s.judgeDaemon(ctx, b, out)
	}
	log := s.daemon.logSince(b.log)
	s.named(said, log, out)
	s.measured(said, measured, out)
	if strings.Contains(log, "panic:") || strings.Contains(log, "DATA RACE") {
		out.fail("the daemon panicked")
	}
	s.judgeMetrics(ctx, b, out)
}

// judgeTraffic compares losses with the budgets.
func (s *scene) judgeTraffic(all []tally, out *result) {
	touched, others, most := 0, 0, time.Duration(0)
	for _, t := range all {
		budget := 0
		switch {
		case !s.row.touched(t.peer):
			others += t.Lost
		case slices.Contains(s.row.exempt, t.peer):
			budget = unlimited
		case t.out:
			budget = s.row.lost
		default:
			budget = s.row.back
		}
		if s.row.touched(t.peer) {
			touched += t.Lost
		}
		if t.Lost == 0 {
			continue
		}
		most = max(most, t.Gap)
		out.Flows = append(out.Flows, t)
		if budget != unlimited && t.Lost > budget {
			out.fail("%s lost %d of %d packets, at most %s in a row; %d are allowed", t.Flow, t.Lost, t.Sent, t.Gap.Round(time.Millisecond), budget)
		}
	}
	if s.row.mustLose && touched == 0 {
		out.fail("no packet was lost: the bench would not see losses elsewhere either")
	}
	switch {
	case touched+others == 0:
		out.Lost = "0"
	case others == 0:
		out.Lost = fmt.Sprintf("%d in %s", touched, most.Round(time.Millisecond))
	default:
		out.Lost = fmt.Sprintf("%d in %s, %d of others", touched, most.Round(time.Millisecond), others)
	}
}

// judgeEvents looks at what the kernel told of routes and next hops meanwhile.
func (s *scene) judgeEvents(events []event, out *result) {
	told := map[string]bool{}
	once := func(format string, a ...any) {
		if text := fmt.Sprintf(format, a...); !told[text] && len(told) < 5 {
			told[text] = true
			out.Failures = append(out.Failures, text)
		}
	}
	added, gone := 0, 0
	for _, e := range events {
		switch {
		case !e.ours():
			if !s.row.foreign {
				once("a route of others was changed: %s", e)
			}
		case e.object:
			s.judgeObject(e, once)
		default:
			if e.deleted {
				gone++
			} else {
				added++
			}
			s.judgeRoute(e, once)
		}
	}
	if added+gone > 0 {
		s.note("%d routes written, %d deleted", added, gone)
	}
}

func (s *scene) judgeRoute(e event, fail func(string, ...any)) {
	if !e.deleted && !inContracts(e.prefix) {
		fail("outside all contracts: %s", e)
		return
	}
	peer := announcer(e.prefix)
	switch {
	case !s.row.rewrites:
		fail("a route was touched: %s", e)
	case peer != "" && !s.row.touched(peer):
		fail("a route of %s was touched: %s", peer, e)
	}
}

// judgeObject knows a neighbour by its address; groups and the object that the daemon tries the kernel with at its
// start are nobody's.
func (s *scene) judgeObject(e event, fail func(string, ...any)) {
	for _, p := range neighbours() {
		if e.gateway != p.address(false) && e.gateway != p.address(true) {
			continue
		}
		if !s.row.rewrites || !s.row.touched(p.name) {
			fail("the next hop %s was touched: %s", p.name, e)
		}
	}
}

// judgeDaemon compares the process and the sessions with those of before.
func (s *scene) judgeDaemon(ctx context.Context, b before, out *result) {
	pid := s.daemon.process().PID()
	if pid != b.pid {
		if !s.row.restarts {
			out.fail("the daemon was process %d and is %d", b.pid, pid)
		}
		return
	}
	now, err := s.daemon.state(ctx)
	if err != nil {
		out.failWith("status", err)
		return
	}
	for _, p := range neighbours() {
		was, is := b.state.session(p.name), now.session(p.name)
		switch {
		case s.row.touched(p.name):
			if n := is.Flaps - was.Flaps; n > 0 {
				s.note("%s lost %s", p.name, times(n))
			}
		case was.Flaps != is.Flaps || !was.Since.Equal(is.Since):
			out.fail("the session with %s was reset: %s", p.name, is.LastError)
		}
	}
}

// without returns what is in one list and not in the other.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// named makes sure that the fault has a name in what the daemon said.
func (s *scene) named(said []string, log string, out *result) {
	for _, pattern := range s.row.says {
		if re, err := regexp.Compile(pattern); err != nil || !slices.ContainsFunc(said, re.MatchString) {
			out.fail("no problem in the status matches %q: it said %q", pattern, said)
		}
	}
	for _, pattern := range s.row.logs {
		if re, err := regexp.Compile(pattern); err != nil || !re.MatchString(log) {
			out.fail("no line of the log matches %q", pattern)
		}
	}
}

// measured makes sure that what the status named was in the metrics as well.
func (s *scene) measured(said, measured []string, out *result) {
	for _, pattern := range s.row.says {
		re, err := regexp.Compile(pattern)
		if err != nil {
			continue // it was said
		}
		found, about := false, []string(nil)
		for _, line := range said {
			if re.MatchString(line) {
				about = append(about, subject(line))
				found = found || slices.Contains(measured, subject(line))
			}
		}
		if len(about) > 0 && !found {
			out.fail("the metrics tell of none of %q: there are %q", about, measured)
		}
	}
}

// judgeMetrics makes sure that the fault was counted.
func (s *scene) judgeMetrics(ctx context.Context, b before, out *result) {
	if len(s.row.metrics) == 0 || s.row.breaks {
		return
	}
	text, err := s.daemon.get(ctx, "/metrics")
	out.failWith("metrics", err)
	if err != nil {
		return
	}
	for _, start := range s.row.metrics {
		was, _ := metricValue(b.metrics, start)
		if s.daemon.process().PID() != b.pid {
			was = 0
		}
		if is, found := metricValue(text, start); !found || is <= was {
			out.fail("the metric %s was %g and is %g", start, was, is)
		}
	}
}

func lastLines(text string, n int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-n):], "\n")
}

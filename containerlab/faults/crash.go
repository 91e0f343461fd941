package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// probation is how long it takes to let five peers in one by one after a crash.
const probation = 30 * time.Second

// crashRows are about a daemon that ends by a fault of its own, which SIGQUIT does to a Go program, and about one that
// gets no CPU.
func crashRows() []row {
	return []row{
		{
			name: "a crash, and started again", required: "peers are let in one by one, and it is said; no route touched, no packet lost",
			touches: []string{everyone}, restarts: true,
			says: []string{"crash: .*once within .*one after the other"}, logs: []string{"the last run ended by a fault of its own", "all peers are in again"},
			inject: crashOnce,
		},
		{
			name: "a crash, and another after a peer was let in", required: "that peer is quarantined, and named; all others run; nothing of theirs is touched",
			touches: []string{everyone}, restarts: true, rewrites: true, exempt: []string{"frr"},
			says: []string{"crash: .*2 times within", "peer frr: .*quarantine"}, logs: []string{"peer in quarantine"},
			inject: crashTwice,
		},
		{
			name: "the daemon gets 5 % of a CPU for 10 s", required: "nothing happens",
			inject: starve,
		},
	}
}

// crash ends the daemon as a fault would, and starts it again.
func (s *scene) crash(ctx context.Context) error {
	return errors.Join(s.stop(syscall.SIGQUIT), s.east.Launch(ctx))
}

// forgive has the daemon forget its crashes, as it does by itself after ten minutes.
func (s *scene) forgive(ctx context.Context) error {
	return errors.Join(s.stop(syscall.SIGTERM), s.shell(ctx, "rm /run/underlayd/memo.json /run/underlayd/crash-last.txt"), s.east.Launch(ctx), s.converged(ctx))
}

// mourns makes sure that the last words of the last run were kept.
func (s *scene) mourns(ctx context.Context) error {
	text, err := s.east.Output(ctx, "cat", "/run/underlayd/crash-last.txt")
	return errors.Join(err, matches(text, "SIGQUIT"))
}

func crashOnce(ctx context.Context, s *scene) error {
	if err := s.crash(ctx); err != nil {
		return err
	}
	began := time.Now()
	err := errors.Join(s.says(ctx, 5*time.Second, "crash: .*one after the other"), s.mourns(ctx))
	if err == nil {
		err = s.oneByOne(ctx)
	}
	if err == nil {
		err = s.admitted(ctx)
	}
	s.note("all peers in after %s", time.Since(began).Round(time.Millisecond))
	return errors.Join(err, s.forgive(ctx))
}

// oneByOne makes sure that the first peer is in some time before the last.
func (s *scene) oneByOne(ctx context.Context) error {
	if err := s.sessionIs(ctx, "frr", true, 10*time.Second); err != nil {
		return err
	}
	now, err := s.daemon.state(ctx)
	if err == nil && now.session("raw").State == "established" {
		err = errors.New("the last peer is in as soon as the first")
	}
	return err
}

// admitted waits until all peers have been let in, whatever is complained about.
func (s *scene) admitted(ctx context.Context, but ...string) error {
	_, err := s.until(ctx, probation, "all peers to be let in", func(ctx context.Context) error {
		now, err := s.daemon.state(ctx)
		if err != nil {
			return err
		}
		for _, p := range neighbours() {
			if state := now.session(p.name).State; state != "established" && !slices.Contains(but, p.name) {
				err = errors.Join(err, fmt.Errorf("%s is %s", p.name, state))
			}
		}
		if slices.ContainsFunc(now.complaints(), func(c string) bool { return strings.Contains(c, "one after the other") }) {
			err = errors.Join(err, errors.New("it is not done"))
		}
		return err
	})
	return err
}

func crashTwice(ctx context.Context, s *scene) error {
	if err := errors.Join(s.crash(ctx), s.sessionIs(ctx, "frr", true, 10*time.Second), s.lastIn("frr")); err != nil {
		return errors.Join(err, s.forgive(ctx))
	}
	err := errors.Join(s.crash(ctx), s.says(ctx, 5*time.Second, "peer frr: .*quarantine"), s.mourns(ctx))
	if err == nil {
		err = s.admitted(ctx, "frr")
	}
	if err == nil {
		err = s.routes(ctx, 25*time.Second, "frr") // after the start limit
	}
	if err == nil {
		err = s.during(ctx, 2*time.Second, "the others", func(context.Context) error { return s.routesAre(wanted("frr")) })
	}
	return errors.Join(err, s.forgive(ctx))
}

// lastIn makes sure which peer was let in last.
func (s *scene) lastIn(peer string) error {
	all := regexp.MustCompile(`letting a peer in"? .*peer=(\S+)`).FindAllStringSubmatch(s.daemon.process().LogTail(200), -1)
	if len(all) == 0 || all[len(all)-1][1] != peer {
		return fmt.Errorf("%s was not the last to be let in: %q", peer, all)
	}
	return nil
}

// starve lets the daemon run for 5 of every 100 ms, as a quota of cgroups does.
func starve(ctx context.Context, s *scene) error {
	const period, share = 100 * time.Millisecond, 5 * time.Millisecond
	p := s.daemon.process()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		err := errors.Join(p.Signal(syscall.SIGSTOP), pause(ctx, period-share), p.Signal(syscall.SIGCONT), pause(ctx, share))
		if err != nil {
			return err
		}
	}
	return nil
}

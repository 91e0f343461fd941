package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/underlayd/underlayd/containerlab/bench/wire"
)

// staleTime is the cap that rows put on how long the routes of a peer that restarts are kept; longer is that of one whose
// peer has to be back before.
const (
	staleTime = 5 * time.Second
	longer    = 10 * time.Second
)

// brakeTime is for how long rows have the brake keep routes.
const brakeTime = 10 * time.Second

// gracefulRows are about peers that restart and do not keep what they promised, and about losses of very many routes.
func gracefulRows() []row {
	const kept = `cluster west: \d+ of its \d+ routes have lost every session .* kept until`
	mass := func(name, required, says string, hold time.Duration, inject func(context.Context, *scene) error) row {
		return row{
			name: name, required: required, says: []string{says},
			touches: []string{everyone}, rewrites: true, lost: unlimited, back: unlimited,
			prepare: keepsFor(staleTime, hold), inject: inject,
		}
	}
	return []row{
		{
			name: "a peer that restarts never returns, and staleTime is shorter than what it asked for", required: "its routes stay for staleTime, and it is said, and go then",
			touches: []string{"frr"}, rewrites: true, lost: unlimited, back: unlimited,
			says: []string{"peer frr: .*not established.*graceful restart"}, logs: []string{"graceful restart is over"},
			prepare: keepsFor(staleTime, 0), inject: staleAndGone,
		},
		{
			name: "a peer returns with graceful restart and never says End-of-RIB", required: "after staleTime it is asked for all again; what it does not say then either goes after another staleTime, and nothing else does",
			touches: []string{"raw"}, rewrites: true, lost: unlimited,
			logs:    []string{"graceful restart is over: .*not told all"},
			prepare: keepsFor(longer, 0), inject: neverComplete,
		},
		mass("all peers die at once and return, the brake on", "all routes are kept, and named; none is touched", kept+".*bgp.brake", 5*time.Minute, massReturns),
		mass("four of five peers die at once and never return, the brake on", "all routes are kept for bgp.brake.hold, named, and go then", kept+".*bgp.brake", brakeTime, massGone),
		mass("four of five peers die at once and never return, the brake off", "their routes go after staleTime, nobody else's", "peer frr: .*not established", 0, massGoneUnbraked),
		mass("a peer without graceful restart dies along with all others, the brake off", "its routes go at once, those of the others stay", "peer raw: .*not established", 0, massWithRaw),
		mass("a live peer withdraws a prefix while the brake keeps those of dead peers", "that one goes at once, and nothing else", kept+".*bgp.brake", 5*time.Minute, withdrawnWhileBraked),
	}
}

// keepsFor sets for how long routes are kept after the end of their sessions.
func keepsFor(stale, brake time.Duration) func(context.Context, *scene) error {
	return func(_ context.Context, s *scene) error {
		return errors.Join(
			s.edit("east-1", "config.yaml", "gracefulRestart: {", fmt.Sprintf("gracefulRestart: {staleTime: %s, ", stale)),
			s.edit("east-1", "config.yaml", "  startLimit: 20s\n", fmt.Sprintf("  startLimit: 20s\n  brake: {hold: %s}\n", brake)))
	}
}

func staleAndGone(ctx context.Context, s *scene) error {
	n := s.Node("frr")
	if err := n.Process("bgpd").Kill(); err != nil {
		return err
	}
	const slack = time.Second
	err := s.during(ctx, staleTime-slack, "routes", func(context.Context) error { return s.routesAre(wanted()) })
	if err == nil {
		err = s.routes(ctx, 2*slack, "frr")
	}
	return errors.Join(err, n.Launch(ctx))
}

// neverComplete has the raw peer restart gracefully, and return with one of its two prefixes and no End-of-RIB.
func neverComplete(ctx context.Context, s *scene) error {
	if err := s.waiting(ctx); err != nil {
		return err
	}
	defer s.raw.resume()
	p := s.raw.peer()
	p.GracefulRestart = true
	short, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	first, err := p.Dial(short)
	if err != nil {
		return err
	}
	if err := errors.Join(first.Write(s.raw.announcement()), s.routes(ctx, patience), pause(ctx, time.Second), first.Die()); err != nil {
		return err
	}
	lost := time.Now()
	less := wire.AppendUpdate(nil, rawPath(false), 1, neighbourOf("raw").prefixes()[0])
	var again *wire.Session
	back := func(ctx context.Context) (err error) { // as often as its session is ended
		if again != nil {
			select {
			case <-again.Done():
			default:
				return nil
			}
		}
		if again, err = p.Dial(ctx); err == nil {
			err = again.Write(less)
		}
		return err
	}
	defer func() {
		if again != nil {
			_ = again.Die()
		}
	}()
	err = s.during(ctx, longer-time.Second, "routes", func(ctx context.Context) error { return errors.Join(back(ctx), s.routesAre(wanted())) })
	if err == nil {
		_, err = s.until(ctx, longer+5*time.Second, "what was not said again to go", func(ctx context.Context) error {
			return errors.Join(back(ctx), s.hasRoute("10.20.5.0/24", true), s.hasRoute("fd00:20:0:5::/64", false))
		})
		s.note("gone %s after the loss", time.Since(lost).Round(time.Millisecond))
	}
	return err
}

// die ends the daemons of peers as closely together as can be.
func (s *scene) die(peers ...string) error {
	errs := make([]error, len(peers))
	var all sync.WaitGroup
	for i, p := range peers {
		all.Go(func() {
			if p == "raw" {
				errs[i] = s.raw.hush()
			} else {
				errs[i] = s.Node(p).Process(neighbourOf(p).process).Kill()
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// revive starts the daemons of peers again.
func (s *scene) revive(ctx context.Context, peers ...string) error {
	var errs []error
	for _, p := range peers {
		if p == "raw" {
			s.raw.resume()
		} else {
			errs = append(errs, s.Node(p).Launch(ctx))
		}
	}
	return errors.Join(errs...)
}

// gracefulPeers are those that know graceful restart.
func gracefulPeers() []string { return []string{"frr", "bird", "gobgp", "west-1"} }

func allPeers() []string { return append(gracefulPeers(), "raw") }

func massReturns(ctx context.Context, s *scene) error {
	err := s.die(allPeers()...)
	if err == nil {
		err = s.during(ctx, staleTime+3*time.Second, "routes", func(context.Context) error { return s.routesAre(wanted()) })
	}
	return errors.Join(err, s.revive(ctx, allPeers()...))
}

func massGone(ctx context.Context, s *scene) error { return s.goAfter(ctx, brakeTime) }

func massGoneUnbraked(ctx context.Context, s *scene) error { return s.goAfter(ctx, staleTime) }

// goAfter makes sure that the routes of peers that died go after a while, no earlier and not much later.
func (s *scene) goAfter(ctx context.Context, kept time.Duration) error {
	const slack = time.Second
	err := s.die(gracefulPeers()...)
	if err == nil {
		err = s.during(ctx, kept-slack, "routes", func(context.Context) error { return s.routesAre(wanted()) })
	}
	if err == nil {
		err = s.routes(ctx, 3*slack, gracefulPeers()...)
	}
	return errors.Join(err, s.revive(ctx, gracefulPeers()...))
}

func massWithRaw(ctx context.Context, s *scene) error {
	err := s.die(allPeers()...)
	if err == nil {
		err = s.routes(ctx, time.Second, "raw")
	}
	if err == nil {
		err = s.during(ctx, staleTime-2*time.Second, "routes", func(context.Context) error { return s.routesAre(wanted("raw")) })
	}
	return errors.Join(err, s.revive(ctx, allPeers()...))
}

// withdrawnWhileBraked has the raw peer live on.
func withdrawnWhileBraked(ctx context.Context, s *scene) error {
	dead := gracefulPeers()
	extra := netip.MustParsePrefix(legal4)
	all := append(wanted(), legal4+" via "+neighbourOf("raw").address(false).String())
	slices.Sort(all)
	if err := s.raw.write(announce(nil, nil, extra)); err != nil {
		return err
	}
	kept := func(want []string) func(context.Context) error {
		return func(context.Context) error { return s.routesAre(want) }
	}
	_, err := s.until(ctx, 2*time.Second, "the prefix", kept(all))
	if err == nil {
		err = s.die(dead...)
	}
	if err == nil {
		err = s.during(ctx, staleTime+2*time.Second, "routes", kept(all))
	}
	err = errors.Join(err, s.raw.write(withdraw(extra)))
	if err == nil {
		var took time.Duration
		took, err = s.until(ctx, time.Second, "the prefix to go", kept(wanted()))
		s.note("gone after %s", took)
	}
	if err == nil {
		err = s.during(ctx, 2*time.Second, "routes", kept(wanted()))
	}
	return errors.Join(err, s.revive(ctx, dead...))
}

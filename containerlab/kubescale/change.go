package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/containerlab/bench/gauge"
)

// interval is the least time between two ordinary writes of a Node: who has written none for longer has nothing to say.
const interval = 10 * time.Second

// published, leased and watched recognise what an agent has to have done.
func published(r request) bool { return r.verb == "patch" && r.what == "nodes/status" && r.code < 300 }

func leased(r request) bool {
	return (r.verb == "create" || r.verb == "update") && r.what == "leases" && r.code < 300
}

func watched(r request) bool { return r.verb == "watch" && r.what == "nodes" && r.code < 300 }

// deed is what each agent has to have done.
type deed func(request) bool

// firsts waits until each plain agent has done each of these since a time, and returns when the first and the last one did the
// last of them for the first time.
func (s *scale) firsts(ctx context.Context, since time.Time, deeds ...deed) (first, last time.Time, err error) {
	err = containerlab.Until(ctx, "all agents", func(ctx context.Context) error {
		if err := gauge.Pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
		if err := s.journal.update(); err != nil {
			return containerlab.Permanent(err)
		}
		first, last = time.Time{}, time.Time{}
		missing := s.count(plain) * len(deeds)
		for _, d := range deeds {
			done := map[string]bool{}
			for _, r := range s.journal.between(since, time.Now(), s.named(plain)) {
				if !d(r) || done[r.agent] {
					continue
				}
				done[r.agent] = true
				if missing--; first.IsZero() || r.at.Before(first) {
					first = r.at
				}
				if r.at.After(last) {
					last = r.at
				}
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d are missing", missing)
		}
		return nil
	})
	return first, last, err
}

// settled is firsts, and waits until no plain agent has anything to write any more. It returns when the last one had. The
// others have peers that never come up, and are done when the time for a start is over.
func (s *scale) settled(ctx context.Context, since time.Time, deeds ...deed) (time.Time, error) {
	_, last, err := s.firsts(ctx, since, deeds...)
	if err != nil {
		return last, err
	}
	err = containerlab.Until(ctx, "the last write", func(ctx context.Context) error {
		if err := gauge.Pause(ctx, time.Second); err != nil {
			return err
		}
		if err := s.journal.update(); err != nil {
			return containerlab.Permanent(err)
		}
		for _, r := range s.journal.between(since, time.Now(), s.named(plain)) {
			if published(r) && r.at.After(last) {
				last = r.at
			}
		}
		if quiet := time.Since(last); quiet < interval+2*time.Second {
			return fmt.Errorf("there was one %s ago", quiet)
		}
		return nil
	})
	return last, err
}

// noteCost reports what agents have asked for from a time to another one.
func (s *scale) noteCost(what string, from, to time.Time) {
	to = to.Add(100 * time.Millisecond) // for the answer
	s.report.add(what+": until the last agent is done", unit{"s", 2}, to.Sub(from).Seconds())
	requests, err := s.requests(from, to, plain)
	if err != nil {
		s.faults = append(s.faults, err)
	}
	s.report.add(what+": requests of an agent", unit{"", 2}, float64(len(requests))/float64(s.count(plain)))
	for r := range roles {
		t := s.meter.between(from, to.Add(time.Second), r) // for answers that take their time
		s.report.add(what+": received"+r.of(), unit{"KiB", 1}, float64(t.received)/1024/float64(s.count(r)))
		s.report.add(what+": sent"+r.of(), unit{"KiB", 1}, float64(t.sent)/1024/float64(s.count(r)))
	}
	s.report.add(what+": requests of all agents, most in a second", unit{"", 0}, float64(peak(requests, time.Second)))
	s.report.add("… "+what+": in a tenth of a second", unit{"", 0}, float64(peak(requests, time.Second/10)))
}

// gain has a route more in all nodes.
func (s *scale) gain(ctx context.Context) error { return s.change(ctx, "a route more", 1) }

// lose takes it away again.
func (s *scale) lose(ctx context.Context) error { return s.change(ctx, "a route less", 0) }

// change has the hubs announce so many more routes than at the start, and waits until each Node says so.
func (s *scale) change(ctx context.Context, what string, routes int) error {
	if err := gauge.Pause(ctx, interval+2*time.Second); err != nil { // since the last write
		return err
	}
	for _, h := range s.hubs {
		h.routes = routes
		if err := s.configureHub(h); err != nil {
			return err
		}
	}
	from := time.Now()
	for _, h := range s.hubs {
		if err := h.node.Process("underlayd").Signal(syscall.SIGHUP); err != nil {
			return err
		}
	}
	first, _, err := s.firsts(ctx, from, published)
	if err != nil {
		return err
	}
	last, err := s.settled(ctx, from, published)
	if err != nil {
		return err
	}
	s.report.add(what+": until the first Node says so", unit{"s", 2}, first.Sub(from).Seconds())
	s.noteCost(what, from, last)
	return nil
}

// outage takes the API server away for a while.
func (s *scale) outage(ctx context.Context) error {
	if err := gauge.Pause(ctx, interval); err != nil {
		return err
	}
	s.api.Stop()
	if err := gauge.Pause(ctx, s.away); err != nil {
		return errors.Join(err, s.api.Resume(context.WithoutCancel(ctx)))
	}
	from := time.Now()
	if err := s.api.Resume(ctx); err != nil {
		return err
	}
	s.report.add("outage: the API server is ready after", unit{"s", 2}, time.Since(from).Seconds())
	last, err := s.settled(ctx, from, watched, leased)
	if err != nil {
		return err
	}
	s.noteCost("outage", from, last)
	s.report.add("outage: connections of all agents, most in a second", unit{"", 0}, float64(s.meter.peakConnections(from, last, plain)))
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/containerlab/bench/gauge"
	"github.com/underlayd/underlayd/k8s/apitest"
)

// measure takes all figures of each number of Nodes.
func (s *scale) measure(ctx context.Context) error {
	before, had := gauge.LoadAverage(), 0
	for _, nodes := range s.nodes {
		s.report.columns = append(s.report.columns, fmt.Sprint(nodes))
		for _, step := range []struct {
			what string
			f    func(context.Context) error
		}{
			{"nodes", func(ctx context.Context) error { return s.populate(ctx, had, nodes) }},
			{"start", s.start}, {"rest", s.idleness}, {"memory", s.noteMemory}, {"route", s.gain}, {"loss", s.lose}, {"outage", s.outage},
			{"end", s.stop},
		} {
			limited, cancel := context.WithTimeout(ctx, s.patience)
			err := step.f(limited)
			cancel()
			if s.noteRefused(step.what); err != nil {
				return errors.Join(fmt.Errorf("%d nodes: %s: %w", nodes, step.what, err), s.explain())
			}
		}
		had = nodes
	}
	s.judge()
	written, failed := s.kubelets.Writes()
	s.report.note("heartbeats of kubelets", fmt.Sprintf("%d, and %d while the API was away", written, failed))
	s.report.note("load of the machine, before and after", before+", "+gauge.LoadAverage())
	return errors.Join(s.faults...)
}

// noteRefused reports what the API server refused since it did so last.
func (s *scale) noteRefused(step string) {
	if err := s.journal.update(); err != nil {
		s.faults = append(s.faults, err)
	}
	now := time.Now()
	for what, n := range refused(s.journal.between(s.asked, now, s.named(plain, hubby, curious))) {
		s.report.note(step+": refused "+what, fmt.Sprint(n))
	}
	s.asked = now
}

// populate makes Nodes until there are so many, and gives the agents their credentials with the first of them.
func (s *scale) populate(ctx context.Context, had, nodes int) error {
	var specs []apitest.NodeSpec
	for i := had + 1; i <= nodes; i++ {
		// No daemon can reach those that are in no namespace.
		spec := apitest.NodeSpec{Name: nodeName(i), Address: fmt.Sprintf("172.20.%d.%d", i>>8, i&255), PodCIDR: podNetwork(i) + ".0/24", Hub: i <= 2}
		if i <= len(s.agents) {
			spec.Address = s.agents[i-1].address()
		}
		specs = append(specs, spec)
	}
	if err := s.kubelets.Register(ctx, specs); err != nil {
		return err
	}
	if s.blocks > 0 {
		if err := s.putBlocks(ctx, had+1, nodes); err != nil {
			return err
		}
		s.stir(nodes)
	}
	if had > 0 {
		return nil
	}
	for _, a := range s.agents {
		agent, err := s.api.Agent(ctx, a.String())
		if err != nil {
			return err
		}
		path, err := s.api.Kubeconfig(agent)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := s.write(a.String(), "kubeconfig", string(text)); err != nil {
			return err
		}
	}
	return nil
}

// start starts all daemons at once, on nodes that know nothing of them, and waits until all Nodes say what they should.
func (s *scale) start(ctx context.Context) error {
	began := time.Now()
	apiBefore, err := s.apiUse(ctx)
	if err != nil {
		return err
	}
	group, launching := errgroup.WithContext(ctx)
	for _, a := range s.agents {
		group.Go(func() error {
			err := a.node.Launch(launching)
			a.daemon = a.node.Process("underlayd")
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	last, err := s.settled(ctx, began, published, leased)
	if err != nil {
		return err
	}
	apiAfter, err := s.apiUse(ctx)
	if err != nil {
		return err
	}
	s.noteCost("start", began, last)
	s.report.add("start: CPU time of the API server", unit{"s", 1}, (apiAfter.cpu - apiBefore.cpu).Seconds())
	s.report.add("start: memory of the API server", unit{"MiB", 0}, apiAfter.memory)
	return nil
}

// idleness measures while nothing happens.
func (s *scale) idleness(ctx context.Context) error {
	if err := gauge.Pause(ctx, s.rest); err != nil {
		return err
	}
	apiBefore, err := s.apiUse(ctx)
	if err != nil {
		return err
	}
	before, err := s.cpu()
	if err != nil {
		return err
	}
	from := time.Now()
	if err := gauge.Pause(ctx, s.idle); err != nil {
		return err
	}
	to := time.Now()
	used, err := s.cpu()
	if err != nil {
		return err
	}
	apiAfter, err := s.apiUse(ctx)
	if err != nil {
		return err
	}
	span := to.Sub(from)
	requests, err := s.requests(from, to, plain)
	if err != nil {
		return err
	}
	n := float64(s.count(plain))
	perMinute := func(count int) float64 { return float64(count) / n / span.Minutes() }
	s.report.add("idle: requests of an agent", unit{"1/min", 2}, perMinute(len(requests)))
	s.report.add("… renewals of its Lease", unit{"1/min", 2}, perMinute(about(requests, "update", "leases")))
	s.report.add("… looks for kinds that are not there", unit{"1/min", 2}, perMinute(about(requests, "get", "/apis")))
	s.report.add("… writes of its Node", unit{"1/min", 2}, perMinute(about(requests, "patch", "nodes/status")))
	for r := range roles {
		t := s.meter.between(from, to, r)
		s.report.add("idle: received"+r.of(), unit{"B/s", 1}, float64(t.received)/float64(s.count(r))/span.Seconds())
		s.report.add("idle: sent"+r.of(), unit{"B/s", 1}, float64(t.sent)/float64(s.count(r))/span.Seconds())
		s.report.add("idle: CPU"+r.of(), unit{"% of a core", 2}, 100*(used[r]-before[r]).Seconds()/float64(s.count(r))/span.Seconds())
	}
	s.report.add("idle: CPU of the API server", unit{"% of a core", 1}, 100*(apiAfter.cpu-apiBefore.cpu).Seconds()/span.Seconds())
	s.report.add("… requests of everybody, with the Nodes' heartbeats", unit{"1/s", 1}, (apiAfter.requests-apiBefore.requests)/span.Seconds())
	return nil
}

// noteMemory reports the memory of the daemons.
func (s *scale) noteMemory(context.Context) error {
	var resident, own, most [roles]float64
	for _, a := range s.agents {
		m, err := gauge.ReadMemory(a.daemon.PID())
		if err != nil {
			return err
		}
		resident[a.role], own[a.role], most[a.role] = resident[a.role]+m.Resident, own[a.role]+m.Own, max(most[a.role], m.Peak)
	}
	for r := range roles {
		n := 1024 * float64(s.count(r))
		s.report.add("memory (RSS)"+r.of(), unit{"MiB", 1}, resident[r]/n)
		s.report.add("… of its own (without the program's pages)"+r.of(), unit{"MiB", 1}, own[r]/n)
		s.report.add("… at its peak, of the largest"+r.of(), unit{"MiB", 1}, most[r]/1024)
	}
	return nil
}

// stop ends the daemons and removes what they leave behind, so that the next start is like the first one.
func (s *scale) stop(ctx context.Context) error {
	if len(s.report.columns) == len(s.nodes) {
		return nil // there is no next one
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, a := range s.agents {
		group.Go(func() error {
			if err := a.daemon.Stop(ctx); err != nil {
				return err
			}
			// What the API server refuses is reported by the next stage.
			return containerlab.Until(ctx, "cleanup", func(ctx context.Context) error {
				_, err := a.node.Output(ctx, "underlayd", "cleanup", "--config", "/etc/underlayd/config.yaml")
				return err
			})
		})
	}
	return group.Wait()
}

// explain says of the first agent that has ended what it logged last.
func (s *scale) explain() error {
	for _, a := range s.agents {
		if a.daemon != nil && !a.daemon.Running() {
			return fmt.Errorf("%s has ended; its log ends:\n%s", a, a.daemon.LogTail(20))
		}
	}
	return nil
}

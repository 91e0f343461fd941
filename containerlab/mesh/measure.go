package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/containerlab/bench/gauge"
	"github.com/underlayd/underlayd/containerlab/bench/kernel"
)

// step is a part of the measurement.
type step struct {
	what string
	f    func(context.Context) error
}

// measure takes all figures, one after the other.
func (m *mesh) measure(ctx context.Context) error {
	steps := []step{{"start", m.start}, {"connections", m.countConnections}, {"rest", m.idleness}, {"change", m.change}}
	if m.reflectors > 0 {
		steps = append(steps, m.reflectorSteps()...)
	}
	before := gauge.LoadAverage()
	for _, step := range append(steps, step{"death", m.death}) {
		limited, cancel := context.WithTimeout(ctx, m.patience)
		err := step.f(limited)
		cancel()
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", step.what, err), m.explain())
		}
	}
	m.report.Add("load of the machine, before and after", before+", "+gauge.LoadAverage())
	return errors.Join(m.faults...)
}

// wanted is how many routes a node should have.
func (m *mesh) wanted(h *host) int {
	n := 0
	for _, other := range m.hosts {
		if other.cluster != h.cluster && !other.dead {
			n += len(other.podCIDRs())
		}
	}
	return n
}

// explain says of the first node that is not as it should be what it logged last.
func (m *mesh) explain() error {
	for _, h := range m.hosts {
		if h.daemon != nil && (!h.daemon.Running() || !h.dead && h.kernel.Routes() != m.wanted(h)) {
			return fmt.Errorf("%s has %d routes; its log ends:\n%s", h, h.kernel.Routes(), h.daemon.LogTail(20))
		}
	}
	return nil
}

// start starts all daemons at once and waits until all routes are in all kernels.
func (m *mesh) start(ctx context.Context) error {
	began := time.Now()
	var group errgroup.Group
	for _, h := range m.hosts {
		group.Go(func() error {
			err := h.node.Launch(ctx)
			h.daemon = h.node.Process("underlayd")
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	m.report.Add("all daemons started", gauge.Seconds(time.Since(began)))
	last, err := m.await(ctx, m.hosts)
	if err != nil {
		return err
	}
	m.report.Add("all routes in all kernels", gauge.Seconds(last.Sub(began)))
	used, err := m.cpu()
	for _, k := range m.kinds() {
		m.report.Add("… CPU time of "+k.name, gauge.Seconds(k.mean(used)))
	}
	return err
}

// await waits until the kernels have the routes that they should have, and returns when the last one had.
func (m *mesh) await(ctx context.Context, hosts []*host) (time.Time, error) {
	times := make([]time.Time, len(hosts))
	group, ctx := errgroup.WithContext(ctx)
	for i, h := range hosts {
		wanted := m.wanted(h)
		group.Go(func() (err error) {
			times[i], err = h.kernel.Await(ctx, func(k *kernel.Model) bool { return k.Routes() == wanted })
			if err != nil {
				return fmt.Errorf("%s has %d routes and not %d: %w", h, h.kernel.Routes(), wanted, err)
			}
			return nil
		})
	}
	err := group.Wait()
	var last time.Time
	for _, at := range times {
		if at.After(last) {
			last = at
		}
	}
	return last, err
}

// countConnections waits until each session has one connection. Where one side was late with its turn both may have
// dialled, and one of the two connections goes.
func (m *mesh) countConnections(ctx context.Context) error {
	first, sessions := 0, m.sessions()
	err := containerlab.Until(ctx, "one connection for each session", func(context.Context) error {
		ends, err := m.ends()
		first = max(first, ends)
		if err == nil && ends != 2*sessions {
			err = fmt.Errorf("there are %d ends of connections and not %d", ends, 2*sessions)
		}
		return err
	})
	m.report.Add("sessions, with one connection each", fmt.Sprint(sessions))
	m.report.Add("… and connections that were too many", fmt.Sprint(max(0, first/2-sessions)))
	return err
}

// ends counts the ends of established BGP connections in all nodes.
func (m *mesh) ends() (int, error) {
	ends := 0
	for _, h := range m.hosts {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", h.daemon.PID()))
		if err != nil {
			return 0, err
		}
		for line := range bytes.Lines(text) {
			// local address, remote address, state; 00B3 is port 179 and 01 ESTABLISHED
			f := bytes.Fields(line)
			if len(f) > 3 && (bytes.HasSuffix(f[1], []byte(":00B3")) || bytes.HasSuffix(f[2], []byte(":00B3"))) && string(f[3]) == "01" {
				ends++
			}
		}
	}
	return ends, nil
}

// idleness counts what the daemons use while nothing happens, and what they hold.
func (m *mesh) idleness(ctx context.Context) error {
	if err := gauge.Pause(ctx, m.rest); err != nil {
		return err
	}
	before, err := m.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := gauge.Pause(ctx, m.idle); err != nil {
		return err
	}
	used, err := m.cpu()
	if err != nil {
		return err
	}
	span := time.Since(began)
	for h := range used {
		used[h] -= before[h]
	}
	for _, k := range m.kinds() {
		var most time.Duration
		for _, h := range k.hosts {
			most = max(most, used[h])
		}
		m.report.Add("idle, CPU of "+k.name, gauge.Percent(k.mean(used), span))
		m.report.Add("… of the busiest", gauge.Percent(most, span))
	}
	return m.noteMemory()
}

// change adds pod CIDRs to one node, one after the other, and takes the time until each is everywhere.
func (m *mesh) change(ctx context.Context) error {
	h := m.hosts[m.reflectors]
	var took []time.Duration
	for i := range m.changes {
		h.extra = i + 1
		if err := m.configure(h); err != nil {
			return err
		}
		began := time.Now()
		if err := h.daemon.Signal(syscall.SIGHUP); err != nil {
			return err
		}
		last, err := m.await(ctx, m.others(h))
		if err != nil {
			return err
		}
		took = append(took, last.Sub(began))
	}
	m.report.Add("a pod CIDR appears: in all kernels, median", gauge.Milliseconds(gauge.Median(took)))
	m.report.Add("… at most", gauge.Milliseconds(slices.Max(took)))
	return nil
}

// others are the nodes of the other cluster.
func (m *mesh) others(h *host) []*host {
	if h.cluster == 0 {
		return m.hosts[m.nodes:]
	}
	return m.hosts[:m.nodes]
}

// death cuts a node off, none of the reflectors, and takes the time until nobody sends to it any more.
func (m *mesh) death(ctx context.Context) error {
	h := m.hosts[m.reflectors]
	h.dead = true
	began := time.Now()
	if err := h.node.LinkDown("eth1"); err != nil {
		return err
	}
	last, err := m.await(ctx, m.others(h))
	if err != nil {
		return err
	}
	m.report.Add("a node dies: gone from all kernels", gauge.Seconds(last.Sub(began)))
	return nil
}

// cpu is the CPU time of each daemon, user and system.
func (m *mesh) cpu() (map[*host]time.Duration, error) {
	used := make(map[*host]time.Duration, len(m.hosts))
	for _, h := range m.hosts {
		t, err := gauge.CPU(h.daemon.PID())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h, err)
		}
		used[h] = t
	}
	return used, nil
}

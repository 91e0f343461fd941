package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/containerlab/bench/kernel"
)

// measure takes all figures, one after the other.
func (m *mesh) measure(ctx context.Context) error {
	for _, step := range []struct {
		what string
		f    func(context.Context) error
	}{
		{"start", m.start},
		{"connections", m.countConnections},
		{"rest", m.idleness},
		{"change", m.change},
		{"death", m.death},
	} {
		limited, cancel := context.WithTimeout(ctx, m.patience)
		err := step.f(limited)
		cancel()
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", step.what, err), m.explain())
		}
	}
	return nil
}

// explain says of the first node that is not complete what it logged last.
func (m *mesh) explain() error {
	for _, h := range m.hosts {
		if h.daemon != nil && (!h.daemon.Running() || h.kernel.Routes() < 2*m.nodes) {
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
	m.report.add("all daemons started", seconds(time.Since(began)))
	last, err := m.await(ctx, m.hosts, func(*host) int { return 2 * m.nodes })
	if err != nil {
		return err
	}
	m.report.add("all routes in all kernels", seconds(last.Sub(began)))
	used, _, err := m.cpu()
	m.report.add("… CPU time of a daemon", seconds(used/time.Duration(len(m.hosts))))
	return err
}

// await waits until the kernels have so many routes, and returns when the last one had.
func (m *mesh) await(ctx context.Context, hosts []*host, routes func(*host) int) (time.Time, error) {
	times := make([]time.Time, len(hosts))
	group, ctx := errgroup.WithContext(ctx)
	for i, h := range hosts {
		group.Go(func() (err error) {
			times[i], err = h.kernel.Await(ctx, func(k *kernel.Model) bool { return k.Routes() == routes(h) })
			if err != nil {
				return fmt.Errorf("%s: %w", h, err)
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
	first := 0
	err := containerlab.Until(ctx, "one connection for each session", func(context.Context) error {
		ends, err := m.ends()
		first = max(first, ends)
		if err == nil && ends != 2*m.nodes*m.nodes {
			err = fmt.Errorf("there are %d ends of connections and not %d", ends, 2*m.nodes*m.nodes)
		}
		return err
	})
	m.report.add("sessions, with one connection each", fmt.Sprint(m.nodes*m.nodes))
	m.report.add("… and connections that were too many", fmt.Sprint(max(0, first/2-m.nodes*m.nodes)))
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
	if err := pause(ctx, m.rest); err != nil {
		return err
	}
	before, each, err := m.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := pause(ctx, m.idle); err != nil {
		return err
	}
	after, now, err := m.cpu()
	if err != nil {
		return err
	}
	span := time.Since(began)
	var most time.Duration
	for i := range now {
		most = max(most, now[i]-each[i])
	}
	m.report.add("idle, CPU of a daemon", percent(after-before, span*time.Duration(len(m.hosts))))
	m.report.add("… of the busiest", percent(most, span))
	return m.noteMemory()
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// change adds pod CIDRs to one node, one after the other, and takes the time until each is everywhere.
func (m *mesh) change(ctx context.Context) error {
	h := m.hosts[0]
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
		last, err := m.await(ctx, m.others(0), func(*host) int { return 2*m.nodes + i + 1 })
		if err != nil {
			return err
		}
		took = append(took, last.Sub(began))
	}
	m.report.add("a pod CIDR appears: in all kernels, median", milliseconds(median(took)))
	m.report.add("… at most", milliseconds(slices.Max(took)))
	return nil
}

// others are the nodes of the other cluster.
func (m *mesh) others(cluster int) []*host {
	if cluster == 0 {
		return m.hosts[m.nodes:]
	}
	return m.hosts[:m.nodes]
}

// death cuts a node off and takes the time until nobody sends to it any more.
func (m *mesh) death(ctx context.Context) error {
	began := time.Now()
	if err := m.hosts[0].node.LinkDown("eth1"); err != nil {
		return err
	}
	last, err := m.await(ctx, m.others(0), func(*host) int { return 2 * (m.nodes - 1) })
	if err != nil {
		return err
	}
	m.report.add("a node dies: gone from all kernels", seconds(last.Sub(began)))
	return nil
}

// cpu is the CPU time of all daemons, user and system, and of each.
func (m *mesh) cpu() (sum time.Duration, each []time.Duration, err error) {
	for _, h := range m.hosts {
		var t unix.Timespec
		// The CPU clock of another process, see MAKE_PROCESS_CPUCLOCK in linux/posix-timers.h.
		if err := unix.ClockGettime(int32(^h.daemon.PID())<<3|2, &t); err != nil {
			return 0, nil, fmt.Errorf("CPU time of %s: %w", h, err)
		}
		each = append(each, time.Duration(t.Nano()))
		sum += time.Duration(t.Nano())
	}
	return sum, each, nil
}

// noteMemory reports the resident memory of the daemons, and the part of it that a daemon has for itself.
func (m *mesh) noteMemory() error {
	var all, own, most float64
	for _, h := range m.hosts {
		rss, private, err := memory(h.daemon.PID())
		if err != nil {
			return err
		}
		all, own, most = all+rss, own+private, max(most, rss)
	}
	n := float64(len(m.hosts))
	m.report.add("memory of a daemon (RSS)", mebibytes(all/n))
	m.report.add("… of the largest", mebibytes(most))
	m.report.add("… of its own (without the program's pages)", mebibytes(own/n))
	return nil
}

// memory is the resident memory of a process in KiB, and what of it no file backs.
func memory(pid int) (rss, private float64, err error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		into := map[string]*float64{"VmRSS": &rss, "RssAnon": &private}[key]
		if into == nil {
			continue
		}
		if _, err := fmt.Sscan(value, into); err != nil {
			return 0, 0, err
		}
	}
	return rss, private, nil
}

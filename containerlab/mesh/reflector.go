package main

import (
	"context"
	"fmt"
	"time"

	"github.com/underlayd/underlayd/containerlab/bench/gauge"
)

// reflectorSteps take a reflector away and bring it back, in two ways.
func (m *mesh) reflectorSteps() []step {
	return []step{{"a reflector's death", m.reflectorDies}, {"a reflector's restart", m.reflectorRestarts}}
}

// reflectorDies pulls the cable of a reflector and puts it back. Nobody else may lose a route or a packet.
func (m *mesh) reflectorDies(ctx context.Context) error {
	h := m.hosts[0]
	w, err := m.watch(ctx, h)
	if err != nil {
		return err
	}
	defer w.end()
	h.dead = true
	began := time.Now()
	if err := m.lab.Node("ether").LinkDown(h.String()); err != nil {
		return err
	}
	last, err := m.await(ctx, m.others(h))
	if err != nil {
		return err
	}
	m.report.Add("a reflector dies: its own pods are gone from all kernels", gauge.Seconds(last.Sub(began)))
	h.dead = false
	began = time.Now()
	if err := m.lab.Node("ether").LinkUp(h.String()); err != nil {
		return err
	}
	if err := m.restored(ctx, w, "… and is back: all sessions and routes as before", began); err != nil {
		return err
	}
	m.report.Add("… routes missing at other nodes meanwhile, but for its own pods'", m.none(w.missing(h), "routes were missing while a reflector was dead"))
	return w.judgeTraffic(ctx, "… packets lost between other nodes", "packets were lost while a reflector was dead")
}

// reflectorRestarts ends a reflector's daemon as an upgrade does and starts it again. Nobody at all may lose a route or
// a packet, and neither may the pods of the reflector.
func (m *mesh) reflectorRestarts(ctx context.Context) error {
	h := m.hosts[1]
	w, err := m.watch(ctx, nil)
	if err != nil {
		return err
	}
	defer w.end()
	began := time.Now()
	if err := h.daemon.Stop(ctx); err != nil {
		return err
	}
	if err := h.node.Launch(ctx); err != nil {
		return err
	}
	h.daemon = h.node.Process("underlayd")
	if err := m.restored(ctx, w, "a reflector's daemon is restarted: all sessions and routes as before", began); err != nil {
		return err
	}
	m.report.Add("… routes missing at any node meanwhile", m.none(w.missing(nil), "routes were missing while a reflector was restarted"))
	return w.judgeTraffic(ctx, "… packets lost", "packets were lost while a reflector was restarted")
}

// none reports a number, and that it is a fault unless it is 0.
func (m *mesh) none(n int, fault string) string {
	if n != 0 {
		m.faults = append(m.faults, fmt.Errorf("%d %s", n, fault))
	}
	return fmt.Sprint(n)
}

// restored waits until routes and sessions are what they were.
func (m *mesh) restored(ctx context.Context, w *watch, what string, began time.Time) error {
	if _, err := m.await(ctx, m.hosts); err != nil {
		return err
	}
	for missing := w.different(ctx); missing != ""; {
		if err := gauge.Pause(ctx, look); err != nil {
			return fmt.Errorf("%s: %w", missing, err)
		}
		if now := w.different(ctx); ctx.Err() == nil {
			missing = now
		}
	}
	m.report.Add(what, gauge.Seconds(time.Since(began)))
	return nil
}

// look is how long daemons are left alone between two questions: to answer costs a reflector milliseconds.
const look = 200 * time.Millisecond

// different names the first session that is not as it was; empty for none.
func (w *watch) different(ctx context.Context) string {
	for _, h := range w.mesh.hosts {
		now, err := h.sessions(ctx)
		if err != nil {
			return err.Error() // it is starting
		}
		for peer, was := range w.sessions[h] {
			if !now[peer].asGoodAs(was) {
				return fmt.Sprintf("%s: the session with %s is %v and was %v", h, peer, now[peer], was)
			}
		}
	}
	return ""
}

// watch is what is observed while something happens to a reflector.
type watch struct {
	mesh     *mesh
	sessions map[*host]map[string]session
	deleted  map[*host]int
	dropped  int // packets, by the machine
	traffic  *traffic
}

// watch begins to observe, with packets between all nodes but one that is about to die.
func (m *mesh) watch(ctx context.Context, dying *host) (*watch, error) {
	w := &watch{mesh: m, sessions: map[*host]map[string]session{}, deleted: map[*host]int{}}
	for _, h := range m.hosts {
		w.deleted[h] = h.kernel.Counts().Deleted
		var err error
		if w.sessions[h], err = h.sessions(ctx); err != nil {
			return nil, err
		}
		for peer, s := range w.sessions[h] {
			if s.State != "established" {
				return nil, fmt.Errorf("%s: the session with %s is %s", h, peer, s.State)
			}
		}
	}
	var err error
	if w.dropped, err = machineDropped(); err != nil {
		return nil, err
	}
	w.traffic, err = m.startTraffic(dying)
	return w, err
}

// missing counts the routes that were deleted at any time, even if they came back: all but those to a dead node, and
// those that it had itself.
func (w *watch) missing(dead *host) int {
	n := 0
	for h, before := range w.deleted {
		if h == dead {
			continue
		}
		n += h.kernel.Counts().Deleted - before
		if dead != nil && h.cluster != dead.cluster {
			n -= len(dead.podCIDRs())
		}
	}
	return n
}

func (w *watch) end() { w.traffic.end() }

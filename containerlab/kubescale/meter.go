package main

import (
	"sync"
	"time"
)

// meter reads the bytes of the agents' connections now and then.
type meter struct {
	agents []*agent
	stop   chan struct{}
	wait   sync.WaitGroup

	mu      sync.Mutex // guards samples
	samples []sample
}

// sample is what all agents of a role have sent and received, and how many connections they have made.
type sample struct {
	at  time.Time
	sum [roles]traffic
}

type traffic struct{ connections, sent, received int64 }

func (t traffic) minus(u traffic) traffic {
	return traffic{t.connections - u.connections, t.sent - u.sent, t.received - u.received}
}

const meterTick = 50 * time.Millisecond

func startMeter(agents []*agent) *meter {
	m := &meter{agents: agents, stop: make(chan struct{})}
	m.wait.Go(func() {
		tick := time.NewTicker(meterTick)
		defer tick.Stop()
		for {
			m.sample()
			select {
			case <-m.stop:
				return
			case <-tick.C:
			}
		}
	})
	return m
}

func (m *meter) close() {
	close(m.stop)
	m.wait.Wait()
}

func (m *meter) sample() {
	s := sample{at: time.Now()}
	for _, a := range m.agents {
		t, sum := a.forward.Traffic(), &s.sum[a.role]
		sum.connections, sum.sent, sum.received = sum.connections+t.Connections, sum.sent+t.Sent, sum.received+t.Received
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.samples = append(m.samples, s)
}

// between returns what the agents of a role sent and received in a span of time, as exactly as the samples are close.
func (m *meter) between(from, to time.Time, r role) traffic {
	m.mu.Lock()
	defer m.mu.Unlock()
	var before, after traffic
	for _, s := range m.samples {
		if !s.at.After(from) {
			before = s.sum[r]
		}
		if !s.at.After(to.Add(meterTick)) {
			after = s.sum[r]
		}
	}
	return after.minus(before)
}

// peakConnections is the most connections that agents of a role made within a second.
func (m *meter) peakConnections(from, to time.Time, r role) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var most int64
	first := 0
	for _, s := range m.samples {
		for s.at.Sub(m.samples[first].at) > time.Second {
			first++
		}
		if s.at.After(from) && s.at.Before(to) {
			most = max(most, s.sum[r].connections-m.samples[first].sum[r].connections)
		}
	}
	return most
}

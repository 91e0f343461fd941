package main

import (
	"os"
	"runtime/debug"
	"time"
)

// Routes come in bursts: at the start, and when a peer returns. A burst leaves twice as much garbage behind as it leaves
// routes, and then nothing happens for hours. So the collector gets more room than it takes by default while there is
// one, which halves what it costs, and little afterwards, when what is left over is returned to the system.
const (
	busyPercent  = 200 // GOGC: the heap may grow to three times of what is in use
	quietPercent = 50
	quietAfter   = 2 * time.Second
)

// memory sets the collector to what is going on. An environment that sets GOGC has its way; GOMEMLIMIT is heeded in any
// case: near the limit the collector takes less room.
type memory struct {
	fixed   bool // by the environment
	busy    bool
	last    time.Time // when it was busy last
	changes int       // since the last tick
}

// newMemory expects a burst: the start is one.
func newMemory() memory {
	m := memory{fixed: os.Getenv("GOGC") != "", busy: true, last: time.Now()}
	if !m.fixed {
		debug.SetGCPercent(busyPercent)
	}
	return m
}

// changed tells of changes that came together.
func (m *memory) changed(n int) {
	m.changes += n
	if m.fixed || m.changes < burst {
		return
	}
	m.last = time.Now()
	if !m.busy {
		m.busy = true
		debug.SetGCPercent(busyPercent)
	}
}

// settle is called at each tick. Once a burst is over it gives up what is left of it, beside everything else.
func (m *memory) settle() {
	m.changes = 0
	if m.fixed || !m.busy || time.Since(m.last) < quietAfter {
		return
	}
	m.busy = false
	debug.SetGCPercent(quietPercent)
	go debug.FreeOSMemory()
}

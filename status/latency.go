package status

import (
	"sort"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// InstallLatency is how long routes took from learned to confirmed in the kernel, since the start.
type InstallLatency struct{ IPv4, IPv6 Latencies }

// latencySteps is the number of upper bounds in latencyBounds.
const latencySteps = 15

// latencyBounds are the upper bounds of the steps, in seconds.
func latencyBounds() [latencySteps]float64 {
	return [...]float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}
}

// Latencies counts durations by size. The zero value has none.
type Latencies struct {
	counts [latencySteps + 1]uint64 // the last one: above all bounds
	sum    time.Duration
}

// Observe counts one. It costs no memory.
func (l *Latencies) Observe(d time.Duration) {
	bounds, seconds := latencyBounds(), d.Seconds()
	l.counts[sort.SearchFloat64s(bounds[:], seconds)]++
	l.sum += d
}

// Count is how many there were.
func (l *Latencies) Count() uint64 {
	var n uint64
	for _, c := range l.counts {
		n += c
	}
	return n
}

func (l InstallLatency) collect(e emitter) {
	what := [2]string{
		"install_latency_seconds",
		"How long a route took from its path being learned until the kernel confirmed it; what waits on purpose is left out.",
	}
	e.latencies(what, &l.IPv4, "family", "ipv4")
	e.latencies(what, &l.IPv6, "family", "ipv6")
}

// latencies writes what was counted; the label is a name and a value.
func (e emitter) latencies(what [2]string, l *Latencies, label ...string) {
	cumulative, n := make(map[float64]uint64, latencySteps), uint64(0)
	for i, bound := range latencyBounds() {
		n += l.counts[i]
		cumulative[bound] = n
	}
	desc := prometheus.NewDesc("underlayd_"+what[0], what[1], label[:1], nil)
	m, err := prometheus.NewConstHistogram(desc, l.Count(), l.sum.Seconds(), cumulative, label[1:]...)
	if err != nil {
		m = prometheus.NewInvalidMetric(desc, err)
	}
	e.out <- m
}

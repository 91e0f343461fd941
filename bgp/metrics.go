package bgp

import (
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/pkg/metrics"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// To count what is advertised, GoBGP's collector walks over all routes, once for each peer, and GoBGP does nothing else
	// meanwhile. It rests at least so many times as long as that took: half a percent of a core.
	collectRest = 200
	// collectAtLeast is how old what it said may be in any case.
	collectAtLeast = 5 * time.Second
	// collectTimeout is how long a scrape waits for it.
	collectTimeout = 5 * time.Second
)

// Collector returns GoBGP's own collector, bgp_*, unchanged but for how often it is asked: the larger the table, the
// more seldom. In between, and while GoBGP does not answer, what it said last is told again.
func (s *Speaker) Collector() prometheus.Collector {
	return &collector{gobgp: metrics.NewBgpCollector(s.server)}
}

// collector passes on what another one says, and asks it seldom.
type collector struct {
	gobgp prometheus.Collector

	mu     sync.Mutex    // guards what follows
	asking chan struct{} // closed when the answer that is waited for is there; nil: none is
	said   []prometheus.Metric
	next   time.Time // when it may be asked again
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) { c.gobgp.Describe(out) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	if answered := c.ask(); answered != nil {
		select {
		case <-answered:
		case <-time.After(collectTimeout):
		}
	}
	c.mu.Lock()
	said := c.said
	c.mu.Unlock()
	for _, m := range said {
		out <- m
	}
}

// ask has GoBGP asked if it is time, by one goroutine at a time, and returns what is closed with its answer.
func (c *collector) ask() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asking == nil && !time.Now().Before(c.next) {
		c.asking = make(chan struct{})
		go c.collect(c.asking)
	}
	return c.asking
}

func (c *collector) collect(answered chan struct{}) {
	started := time.Now()
	stream := make(chan prometheus.Metric)
	go func() {
		defer close(stream)
		c.gobgp.Collect(stream)
	}()
	var said []prometheus.Metric
	for m := range stream {
		said = append(said, m)
	}
	c.mu.Lock()
	c.said, c.asking = said, nil
	ended := time.Now()
	c.next = ended.Add(max(collectAtLeast, collectRest*ended.Sub(started)))
	c.mu.Unlock()
	close(answered)
}

package main

import (
	"fmt"
	"math"
)

// row is one line of the table: a figure, and what it has to reach. The figure of every speaker is the median of its
// rounds.
type row struct {
	Workload string
	Metric   string
	Title    string
	Unit     string
	Target   *target
}

// target is what underlayd's figure has to reach: the product of Factor and the smaller figure of the Others, and the
// Limit, both if both are set.
type target struct {
	Others []string
	Factor float64
	Limit  float64
	Under  bool // there is a limit; it may be 0
}

func than(factor float64, others ...string) *target { return &target{Others: others, Factor: factor} }

func limit(v float64) *target { return &target{Factor: 1, Limit: v, Under: true} }

// String is the target in words.
func (t *target) String() string {
	var text string
	switch {
	case len(t.Others) == 1:
		text = fmt.Sprintf("≤ %.2g × %s", t.Factor, t.Others[0])
	case len(t.Others) > 1:
		text = fmt.Sprintf("≤ %.2g × the faster", t.Factor)
	}
	if t.Under {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("≤ %g", t.Limit)
	}
	return text
}

// met says whether the target is reached, given the figures by speaker; known is false when one of those that it
// compares is missing.
func (t *target) met(figures map[string]float64) (met, known bool) {
	value, known := figures[ours]
	best := math.Inf(1)
	for _, other := range t.Others {
		v, ok := figures[other]
		best, known = min(best, v), known && ok
	}
	return known && !(t.Under && value > t.Limit) && value <= t.Factor*best, known
}

// rows returns the table's lines in their order.
func rows(o options) []row {
	n, m := thousands(o.routes), thousands(o.million)
	faster := []string{"BIRD", "FRR"}
	failover := than(0.1, faster...)
	failover.Limit, failover.Under = 0.1, true
	return []row{
		{"spread", "install", n + " IPv4 /24, one per UPDATE, 4,000 next hops", "s", than(0.8, faster...)},
		{"spread", "installCPU", "… CPU time of the speaker", "s", nil},
		{"packed", "install", n + " IPv4 /24, 100 per UPDATE", "s", than(1, "FRR")},
		{"spread6", "install", n + " IPv6 /64, one per UPDATE, 4,000 next hops", "s", than(1, faster...)},
		{"packed6", "install", n + " IPv6 /64, 100 per UPDATE", "s", than(1, faster...)},
		{"million", "install", m + " IPv4 /24, 100 per UPDATE", "s", than(0.8, "FRR")},
		{"million", "rss", m + ": memory", "MiB", than(0.8, "FRR")},
		{"ecmp", "failover", n + " ECMP: one of two peers dies", "s", failover},
		{"ecmp", "rewritten", "… notifications about routes", "", nil},
		{"backup", "failover", n + " primary/backup: the primary dies", "s", than(0.3, faster...)},
		{"packed", "withdraw", n + " withdrawn, 100 per UPDATE", "s", than(1, "FRR")},
		{"single", "p50", "one prefix moves, " + n + " stand: median", "ms", nil},
		{"single", "p99", "… p99", "ms", limit(10)},
		{"single", "cpu", "… CPU time each", "ms", limit(1)},
		{"idle", "cpu", fmt.Sprintf("idle for %s with %s", o.idle, n), "% of a core", limit(0.5)},
		{"restart", "cold", "cold start to " + n + " installed", "s", nil},
		{"restart", "pruned", "SIGKILL, start, stale 1 % pruned", "s", nil},
		{"restart", "ratio", "… as a multiple of the cold start", "×", limit(1.5)},
		{"restart", "deleted", "… routes deleted that still existed", "", limit(0)},
		{"restart", "rewritten", "… unchanged routes rewritten", "", limit(0)},
		{"spread", "rss", "memory with " + n + " and 4,000 next hops", "MiB", than(0.8, "FRR")},
		{"spread", "peak", "… at its peak", "MiB", nil},
		{"peers", "install", fmt.Sprintf("%d peers × %d prefixes at once", mostPeers, netsPerPeer), "s", than(1, faster...)},
		{"churn", "rate", fmt.Sprintf("%s flapping for %s: changes taken", thousands(flapping), o.churn), "1/s", nil},
		{"churn", "growth", "… memory grew by", "%", limit(10)},
		{"churn", "quiet", "… another prefix moves, before: p99", "ms", nil},
		{"churn", "busy", "… meanwhile: p99", "ms", limit(10)},
	}
}

// thousands writes a number for people.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

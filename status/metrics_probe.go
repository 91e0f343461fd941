package status

import "github.com/prometheus/client_golang/prometheus"

// ProbeBuckets are the upper bounds of a Probe's RTT, in seconds.
func ProbeBuckets() []float64 {
	return []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1}
}

// collectProbes tells what the probe counts. The clusters are those of the configuration.
func (c collector) collectProbes(e emitter) {
	if c.Probes == nil {
		return
	}
	for _, family := range sortedKeys(c.Probes.Unauthentic) {
		e.counter("probe_unauthentic_total", "Datagrams at the probe's port that do not carry its key.", float64(c.Probes.Unauthentic[family]), "family", family)
		e.counter("probe_limited_total", "Datagrams at the probe's port that were beyond the limits.", float64(c.Probes.Limited[family]), "family", family)
	}
	for i := range c.Probes.Results {
		p := &c.Probes.Results[i]
		labels := []string{"cluster", p.Cluster, "family", p.Family}
		e.counter("probe_sent_total", "Probes sent to nodes of the cluster.", float64(p.Sent), labels...)
		e.counter("probe_lost_total", "Those of them that were not answered by the way of pods.", float64(p.Lost), labels...)
		e.gauge("probe_nodes", "Nodes of the cluster that are probed now, and of which enough is known.", float64(p.Judged), labels...)
		e.gauge("probe_nodes_failing", "Those of them that do not answer.", float64(p.Failing), labels...)
		if p.Judged > p.Failing {
			e.gauge("probe_source_preserved", "0 if the source address of packets to the cluster is rewritten on the way, 1 if not.", oneIf(p.State != "NAT"), labels...)
		}
		if p.PathMTU > 0 {
			e.gauge("probe_path_mtu_bytes", "The longest packet that reaches all nodes of the cluster that are probed now.", float64(p.PathMTU), labels...)
			e.gauge("probe_link_mtu_bytes", "The longest packet that this node's link there carries.", float64(p.LinkMTU), labels...)
		}
		e.histogram(p, labels)
	}
}

// histogram tells the round trip times.
func (e emitter) histogram(p *Probe, labels []string) {
	desc := prometheus.NewDesc("underlayd_probe_rtt_seconds", "Round trip times of the answered probes to the cluster.", []string{labels[0], labels[2]}, nil)
	buckets, total := map[float64]uint64{}, uint64(0)
	for i, bound := range ProbeBuckets() {
		if i < len(p.RTT) {
			total += p.RTT[i]
		}
		buckets[bound] = total
	}
	if n := len(ProbeBuckets()); n < len(p.RTT) {
		total += p.RTT[n]
	}
	m, err := prometheus.NewConstHistogram(desc, total, p.RTTSum.Seconds(), buckets, labels[1], labels[3])
	if err != nil {
		m = prometheus.NewInvalidMetric(desc, err)
	}
	e.out <- m
}

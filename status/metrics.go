package status

import (
	"errors"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics answers with the state in Prometheus' text format. It has nothing of its own: what is counted, the snapshot
// counts, and whatever status calls wrong is in underlayd_problems. Labels take the names that the configuration
// gives, and words of the program; nothing that peers send becomes one.
type metrics struct {
	source   Source
	surveyor *surveyor
	lasting  *prometheus.Registry // what others have to tell
	problem  error                // of those others
}

// ProcessMetrics are go_* and process_*, as every Go program has them.
func ProcessMetrics() []prometheus.Collector {
	return []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})}
}

func newMetrics(source Source, s *surveyor, more []prometheus.Collector) *metrics {
	m := &metrics{source: source, surveyor: s, lasting: prometheus.NewRegistry()}
	for _, c := range more {
		m.problem = errors.Join(m.problem, m.lasting.Register(c))
	}
	return m
}

// ServeHTTP implements http.Handler, for any listener.
func (m *metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := orNotYet(w, r, m.source.Summary)
	if s == nil {
		return
	}
	registry := prometheus.NewRegistry()
	if err := errors.Join(m.problem, registry.Register(collector{s.finish(m.surveyor.survey(s.Table))})); err != nil {
		refuse(w, http.StatusInternalServerError, "metrics: %s", err)
		return
	}
	// What one of them can't tell does not keep the others from it.
	options := promhttp.HandlerOpts{DisableCompression: true, ErrorHandling: promhttp.ContinueOnError}
	promhttp.HandlerFor(prometheus.Gatherers{registry, m.lasting}, options).ServeHTTP(w, r)
}

// collector is one finished snapshot.
type collector struct{ *Snapshot }

// Describe implements prometheus.Collector. It describes nothing: the collector lives for one answer.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	e := emitter{out}
	c.collectDaemon(e)
	c.collectSessions(e)
	c.collectClusters(e)
	c.collectRoutes(e)
	c.collectKernel(e)
	c.InstallLatency.collect(e)
	c.collectExemption(e)
	c.collectProbes(e)
	c.collectKubernetes(e)
	c.collectProblems(e)
}

// emitter writes metrics by name, without their prefix.
type emitter struct{ out chan<- prometheus.Metric }

// labels are pairs of name and value.
func (e emitter) gauge(name, help string, value float64, labels ...string) {
	e.emit(prometheus.GaugeValue, [2]string{name, help}, value, labels)
}

func (e emitter) counter(name, help string, value float64, labels ...string) {
	e.emit(prometheus.CounterValue, [2]string{name, help}, value, labels)
}

func (e emitter) emit(kind prometheus.ValueType, what [2]string, value float64, labels []string) {
	var names, values []string
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	desc := prometheus.NewDesc("underlayd_"+what[0], what[1], names, nil)
	m, err := prometheus.NewConstMetric(desc, kind, value, values...)
	if err != nil {
		m = prometheus.NewInvalidMetric(desc, err)
	}
	e.out <- m
}

func (c collector) collectDaemon(e emitter) {
	e.gauge("build_info", "Always 1; the version is in the label.", 1, "version", c.Version)
	e.gauge("node_info", "Always 1; the labels say which node of which cluster this is.", 1, "cluster", c.Cluster.Name, "node", c.Node)
	if !c.Started.IsZero() {
		e.gauge("start_time_seconds", "When the daemon was started, in seconds since 1970.", float64(c.Started.UnixNano())/1e9)
	}
	for _, phase := range []Phase{Starting, Learning, Ready, Degraded, Draining, Drained} {
		e.gauge("phase", "1 for the phase the daemon is in, 0 for the others.", oneIf(c.Phase == phase), "phase", string(phase))
	}
	for _, condition := range c.Conditions {
		for _, status := range []string{"True", "False", "Unknown"} {
			e.gauge("condition", "1 for the status that the Node's condition has, 0 for the others.", oneIf(condition.Status == status),
				"condition", condition.Type, "status", status)
		}
		e.gauge("condition_reason", "Always 1; why the Node's condition is as it is.", 1,
			"condition", condition.Type, "reason", condition.Reason)
	}
	e.gauge("config_refused", "1 if the last reload was refused and an older configuration is in force.", oneIf(c.ConfigProblem != ""))
	e.gauge("advertised_prefixes", "Pod CIDRs of this node that are advertised.", float64(len(c.Advertised)))
	if c.Gateway != nil {
		e.gauge("gateway_advertised_prefixes", "Ranges of this cluster that are advertised to other networks.", float64(len(c.Gateway.Advertised)))
		e.gauge("gateway_blackhole_routes", "Blackhole routes for these ranges that are in the kernel.", float64(c.Gateway.installed()))
	}
	e.gauge("not_advertised_prefixes", "Pod CIDRs of this node that may not be advertised.", float64(len(c.NotAdvertised)))
}

func (c collector) collectSessions(e emitter) {
	for _, s := range c.Sessions {
		e.gauge("session_up", "1 if the BGP session is established.", oneIf(s.State == Established), "peer", s.Peer)
		e.counter("session_flaps_total", "How often an established session was lost.", float64(s.Flaps), "peer", s.Peer)
		e.gauge("session_accepted_prefixes", "Prefixes of the peer that the plan accepts.", float64(s.Accepted), "peer", s.Peer)
		e.gauge("session_complete", "1 if all initial routes of the peer have arrived (End-of-RIB).", oneIf(s.Complete), "peer", s.Peer)
		for _, reason := range sortedKeys(s.RefusedTotal) {
			e.counter("session_refused_paths_total", "Paths of the peer refused since the start; one that goes on being refused counts once.",
				float64(s.RefusedTotal[reason]), "peer", s.Peer, "reason", reason)
		}
		if s.Received != nil {
			e.gauge("session_received_prefixes", "Prefixes that the peer sent.", float64(*s.Received), "peer", s.Peer)
		}
		if !s.Since.IsZero() {
			e.gauge("session_changed_timestamp_seconds", "When the session came up or went down last, in seconds since 1970.",
				float64(s.Since.UnixNano())/1e9, "peer", s.Peer)
		}
	}
}

func (c collector) collectClusters(e emitter) {
	for _, r := range c.Clusters {
		for _, state := range []ClusterState{Reachable, Partial, Unreachable} {
			e.gauge("cluster_state", "1 for the state that a remote cluster is in, 0 for the others.", oneIf(r.State == state),
				"cluster", r.Name, "state", string(state))
		}
		e.gauge("cluster_peers", "Peers that may announce the cluster.", float64(r.Peers), "cluster", r.Name)
		e.gauge("cluster_peers_up", "Those of them with an established session.", float64(r.PeersUp), "cluster", r.Name)
		e.gauge("cluster_accepted_prefixes", "Prefixes of the cluster that the plan accepts.", float64(r.Accepted), "cluster", r.Name)
		e.gauge("cluster_installed_prefixes", "Those of them that are in the kernel.", float64(r.Installed), "cluster", r.Name)
		e.gauge("cluster_refused_prefixes", "Prefixes of the cluster that the plan refuses.", float64(r.Refused), "cluster", r.Name)
		e.gauge("cluster_prefixes_limit", "How many prefixes its contract allows.", float64(r.MaxPrefixes), "cluster", r.Name)
	}
}

func (c collector) collectRoutes(e emitter) {
	e.gauge("prefixes", "Prefixes learned, or found in the kernel as ours.", float64(c.Routes.Total))
	counts := c.Routes.counts()
	for i, state := range states() {
		e.gauge("routes", "Routes by state; one may be in several states.", float64(*counts[i]), "state", state)
	}
	for _, reason := range sortedKeys(c.Routes.Refusals) {
		e.gauge("refused_routes", "Routes that are refused now, by the reason.", float64(c.Routes.Refusals[reason]), "reason", reason)
	}
}

func (c collector) collectKernel(e emitter) {
	k := c.Kernel
	e.gauge("kernel_routes", "Routes of ours in the kernel.", float64(k.Routes), "mode", k.Mode)
	e.gauge("kernel_conflicts", "Prefixes for which somebody else's route stands in the way.", float64(k.Conflicts))
	e.counter("kernel_operations_total", "Requests that the kernel was asked to carry out.", float64(k.Operations))
	e.counter("kernel_errors_total", "Requests that the kernel refused.", float64(k.Errors))
	e.counter("kernel_repairs_total", "Routes put back after somebody removed them.", float64(k.Repairs))
}

func (c collector) collectKubernetes(e emitter) {
	k := c.Kubernetes
	e.gauge("kubernetes_enabled", "1 if the daemon works with the Kubernetes API.", oneIf(k.Enabled))
	if !k.Enabled {
		return
	}
	e.gauge("kubernetes_synced", "1 once the Node's pod CIDRs were read.", oneIf(k.Synced))
	e.gauge("kubernetes_failing", "1 while something about the API fails, or pod CIDRs that vanished from the Node wait for confirmation.",
		oneIf(k.LastError != ""))
	e.counter("kubernetes_node_writes_total", "Writes of the Node's status.", float64(k.Writes))
}

func (c collector) collectProblems(e emitter) {
	type kind struct {
		severity Severity
		subject  string
	}
	counts := map[kind]int{}
	for _, p := range c.Problems {
		// One label that is not UTF-8, as the name of a link may be, would take all metrics with it.
		counts[kind{p.Severity, strings.ToValidUTF8(p.Subject, "\uFFFD")}]++
	}
	for k, n := range counts {
		e.gauge("problems", "What `underlayd status` calls wrong, by severity and by what it is about.", float64(n),
			"severity", string(k.severity), "subject", k.subject)
	}
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

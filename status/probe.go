package status

import (
	"net/netip"
	"time"
)

// Probe is what the echo found out about the way to the nodes of a cluster, in one family. It changes no route.
type Probe struct {
	Cluster string `json:"cluster"`
	Family  string `json:"family"` // ipv4 or ipv6
	// State is Ok, Loss, MTU, NAT, OneWay or Silent; empty: too little is known yet.
	State string `json:"state,omitempty"`
	// Sentence says what is wrong; empty if nothing is.
	Sentence string `json:"sentence,omitempty"`
	Targets  int    `json:"targets"` // nodes that answer probes, by their routes
	Judged   int    `json:"judged"`  // of those that are probed now, those of which enough is known
	Failing  int    `json:"failing"` // of these, those that do not answer
	// Sent and Lost never decrease while the cluster has targets.
	Sent    uint64        `json:"sent"`
	Lost    uint64        `json:"lost"`
	RTT     []uint64      `json:"rtt"` // answers by ProbeBuckets, and above; not cumulative
	RTTSum  time.Duration `json:"rttSumNanoseconds"`
	PathMTU int           `json:"pathMTU,omitempty"` // the least of its nodes'; 0: not known
	LinkMTU int           `json:"linkMTU,omitempty"` // of the links there
	Nodes   []ProbeNode   `json:"nodes,omitempty"`   // those that are probed now
}

// ProbeNode is one node that is probed.
type ProbeNode struct {
	Address     netip.Addr    `json:"address"`
	Node        string        `json:"node,omitempty"` // as it calls itself
	NodeAddress netip.Addr    `json:"nodeAddress,omitzero"`
	State       string        `json:"state,omitempty"`
	Sent        int           `json:"sent"` // of the last few
	Lost        int           `json:"lost"`
	Min         time.Duration `json:"minNanoseconds,omitempty"`
	Avg         time.Duration `json:"avgNanoseconds,omitempty"`
	P99         time.Duration `json:"p99Nanoseconds,omitempty"`
	Last        time.Time     `json:"last,omitzero"` // that it answered
	Source      netip.Addr    `json:"source,omitzero"`
	Seen        netip.Addr    `json:"seen,omitzero"` // the source that it saw
	// Arrives is yes or no: whether our packets arrive, where that is known.
	Arrives string `json:"arrives,omitempty"`
	// Back is what the node says of its way back: Ok, NoContract, Refused, NotAnnounced, NotInstalled.
	Back    string `json:"back,omitempty"`
	MTU     int    `json:"mtu,omitempty"`
	Problem string `json:"problem,omitempty"`
}

// Asked is another cluster whose nodes probe us.
type Asked struct {
	Cluster string     `json:"cluster"` // as it calls itself
	ID      uint32     `json:"id"`
	Node    string     `json:"node,omitempty"`
	From    netip.Addr `json:"from"`
	Back    string     `json:"back"` // whether we have a way back, as ProbeNode has it
	Last    time.Time  `json:"last"`
}

// Probes is all of the probe; nil where it is off.
type Probes struct {
	Port    int          `json:"port"`
	Local   []netip.Addr `json:"local,omitempty"` // what it is sent from and answered at
	Results []Probe      `json:"results,omitempty"`
	Asked   []Asked      `json:"asked,omitempty"`
	// Unauthentic and Limited count what was not heeded, by family.
	Unauthentic map[string]uint64 `json:"unauthentic,omitempty"`
	Limited     map[string]uint64 `json:"limited,omitempty"`
	// Before is what the last run said of clusters of which this one, just started, does not know enough yet.
	Before map[string]string `json:"-"`
}

// Of returns the worst state of a cluster's families, empty for none.
func (p *Probes) Of(cluster string) string {
	if p == nil {
		return ""
	}
	worst := ""
	for _, r := range p.Results {
		if r.Cluster == cluster && rank(r.State) > rank(worst) {
			worst = r.State
		}
	}
	if worst == "" {
		return p.Before[cluster]
	}
	return worst
}

// rank orders the states of a Probe, the worst last.
func rank(state string) int {
	for i, s := range []string{"Ok", "Loss", "MTU", "NAT", "OneWay", "Silent"} {
		if s == state {
			return i + 1
		}
	}
	return 0
}

package status

import (
	"fmt"
	"time"
)

// probes writes how packets pass to each cluster; with details, to each node that is probed now.
func (p *page) probes(s *Probes, details bool) {
	if s == nil || len(s.Results) == 0 {
		return
	}
	p.line("")
	t := p.table("PROBED", "FAMILY", "STATE", "NODES", "FAILING", "SENT", "LOST", "RTT", "PATH MTU")
	for i := range s.Results {
		r := &s.Results[i]
		t.row(r.Cluster, r.Family, r.State, fmt.Sprintf("%d/%d", r.Judged, r.Targets), number(r.Failing), number(r.Sent), number(r.Lost), r.rtt(), mtu(r.PathMTU))
	}
	t.end()
	if !details {
		return
	}
	p.line("")
	t = p.table("PROBED NODE", "ADDRESS", "STATE", "LOST", "MIN", "AVG", "P99", "MTU", "SEEN AS", "WAY BACK")
	for i := range s.Results {
		for _, n := range s.Results[i].Nodes {
			seen := ""
			if n.Seen.IsValid() {
				seen = n.Seen.String()
			}
			t.row(n.Node, n.Address.String(), n.State, fmt.Sprintf("%d/%d", n.Lost, n.Sent), short(n.Min), short(n.Avg), short(n.P99), mtu(n.MTU), seen, n.Back)
		}
	}
	t.end()
}

// rtt is the mean of all answers.
func (r *Probe) rtt() string {
	if r.Sent <= r.Lost {
		return ""
	}
	return short(r.RTTSum / time.Duration(r.Sent-r.Lost))
}

// short writes a round trip with three digits.
func short(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	default:
		return d.Round(100 * time.Microsecond).String()
	}
}

func mtu(bytes int) string {
	if bytes == 0 {
		return ""
	}
	return number(bytes)
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/underlayd/underlayd/containerlab/bench/gauge"
)

// of names agents of a role that are not like most, for a line of the table.
func (r role) of() string {
	return [...]string{"", ", with nodePeers of two Nodes by label", ", with nodePeers of all Nodes"}[r]
}

// count is how many agents of a role there are.
func (s *scale) count(r role) int { return len(s.named(r)) }

// named is the names of the agents of some roles.
func (s *scale) named(roles ...role) map[string]bool {
	names := map[string]bool{}
	for _, a := range s.agents {
		for _, r := range roles {
			if a.role == r {
				names[a.String()] = true
			}
		}
	}
	return names
}

// requests returns those of agents of a role in a span of time. A plain agent that asks for other Nodes than its own is
// noted as a fault, once for each span.
func (s *scale) requests(from, to time.Time, r role) ([]request, error) {
	if err := s.journal.update(); err != nil {
		return nil, err
	}
	found := s.journal.between(from, to, s.named(r))
	for _, request := range found {
		if wide := request.wide(); r == plain && wide != "" {
			s.faults = append(s.faults, fmt.Errorf("%s", wide))
			break
		}
	}
	return found, nil
}

// cpu is the CPU time that all agents of each role have used.
func (s *scale) cpu() (sum [roles]time.Duration, err error) {
	for _, a := range s.agents {
		used, err := gauge.CPU(a.daemon.PID())
		if err != nil {
			return sum, fmt.Errorf("%s: %w", a, err)
		}
		sum[a.role] += used
	}
	return sum, nil
}

// apiUse is what the API server says of itself.
type apiUse struct {
	cpu      time.Duration
	memory   float64 // MiB
	requests float64 // of everybody
}

func (s *scale) apiUse(ctx context.Context) (u apiUse, err error) {
	text, err := s.api.Client().CoreV1().RESTClient().Get().AbsPath("/metrics").Do(ctx).Raw()
	if err != nil {
		return u, err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if i := strings.LastIndex(lines.Text(), "} "); i >= 0 { // there may be spaces in labels
			name, value = lines.Text()[:i], lines.Text()[i+2:]
		}
		name, _, _ = strings.Cut(name, "{")
		switch name {
		case "process_cpu_seconds_total", "process_resident_memory_bytes", "apiserver_request_total":
		default:
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return u, fmt.Errorf("metric %s: %w", name, err)
		}
		switch name {
		case "process_cpu_seconds_total":
			u.cpu = time.Duration(number * float64(time.Second))
		case "process_resident_memory_bytes":
			u.memory = number / (1 << 20)
		default:
			u.requests += number
		}
	}
	return u, lines.Err()
}

// judge compares the last number of Nodes with the first: what a plain agent costs must not depend on it.
func (s *scale) judge() {
	heartbeat := 14 * 1024 / s.idle.Seconds() // one of its Node more, by chance, with what else there is
	for _, limit := range []struct {
		what  string
		slack float64 // what may come by chance
	}{
		{"start: requests of an agent", 3}, {"idle: requests of an agent", 2}, {"idle: sent", 40}, {"idle: received", 100 + heartbeat},
		{"start: received", 40}, {"a route more: requests of an agent", 1}, {"… of its own (without the program's pages)", 5},
	} {
		if s.blocks > 0 && !s.selectable {
			break // each agent follows the affinities of all Nodes
		}
		values := s.report.values(limit.what)
		if first, last := values[0], values[len(values)-1]; last > 1.3*first+limit.slack {
			s.faults = append(s.faults, fmt.Errorf("%s: %.1f with the fewest Nodes, %.1f with the most", limit.what, first, last))
		}
	}
}

package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// state is what `underlayd status -o json` says, as far as the scenarios look at it. The names are written out here:
// scripts depend on them.
type state struct {
	APIVersion    string      `json:"apiVersion"`
	Kind          string      `json:"kind"`
	Node          string      `json:"node"`
	Phase         string      `json:"phase"`
	PID           int         `json:"pid"`
	ConfigProblem string      `json:"configProblem"`
	Conditions    []condition `json:"conditions"`
	Sessions      []session   `json:"sessions"`
	Clusters      []struct {
		Name   string `json:"name"`
		State  string `json:"state"`
		Reason string `json:"reason"`
	} `json:"clusters"`
	Advertised []string `json:"advertised"`
	Gateway    *struct {
		Networks   []string `json:"networks"`
		Advertised []string `json:"advertised"`
		Isolated   bool     `json:"isolated"`
		Blackholes []struct {
			Prefix string `json:"prefix"`
			Status string `json:"status"`
		} `json:"blackholes"`
	} `json:"gateway"`
	Kernel struct {
		Routes    int    `json:"routes"`
		Repairs   uint64 `json:"repairs"`
		Conflicts int    `json:"conflicts"`
	} `json:"kernel"`
	NATExemption struct {
		State   string `json:"state"`
		Table   string `json:"table"`
		Local   int    `json:"local"`
		Remote  int    `json:"remote"`
		Transit int    `json:"transit"`
		Far     int    `json:"far"`
		Repairs uint64 `json:"repairs"`
	} `json:"natExemption"`
	Probes struct {
		Results []struct {
			Cluster  string `json:"cluster"`
			Family   string `json:"family"`
			State    string `json:"state"`
			Sentence string `json:"sentence"`
		} `json:"results"`
	} `json:"probes"`
	Problems []problem `json:"problems"`
}

type condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

type session struct {
	Peer      string   `json:"peer"`
	Address   string   `json:"address"`
	Interface string   `json:"interface"`
	State     string   `json:"state"`
	Since     string   `json:"since"`
	Families  []string `json:"families"`
	Flaps     int      `json:"flaps"`
	LastError string   `json:"lastError"`

	ExtendedNextHop bool `json:"extendedNextHop"`
	BFD             struct {
		State         string        `json:"state"`
		Problem       string        `json:"problem"`
		DetectionTime time.Duration `json:"detectionTimeNanoseconds"`
	} `json:"bfd"`

	RefusedTotal map[string]uint64 `json:"refusedTotal"`
}

type problem struct {
	Severity string `json:"severity"`
	Subject  string `json:"subject"`
	Message  string `json:"message"`
}

// routeList is what `underlayd routes -o json` says.
type routeList struct {
	APIVersion string  `json:"apiVersion"`
	Kind       string  `json:"kind"`
	Items      []route `json:"items"`
}

type route struct {
	Prefix   string   `json:"prefix"`
	Cluster  string   `json:"cluster"`
	Accepted bool     `json:"accepted"`
	Verdict  string   `json:"verdict"`
	Detail   string   `json:"detail"`
	NextHops []string `json:"nextHops"`
	Paths    []struct {
		Peer     string `json:"peer"`
		Accepted bool   `json:"accepted"`
		Verdict  string `json:"verdict"`
	} `json:"paths"`
	Kernel struct {
		Status   string   `json:"status"`
		NextHops []string `json:"nextHops"`
		Gateways []string `json:"gateways"`
		Reason   string   `json:"reason"`
	} `json:"kernel"`
}

// ask runs one of the daemon's commands with JSON output.
func ask(ctx context.Context, n *containerlab.Node, into any, argv ...string) error {
	out, err := n.Output(ctx, append(append([]string{"underlayd"}, argv...), "-o", "json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("%s: %w", out, err)
	}
	return nil
}

func stateOf(t *testing.T, n *containerlab.Node) state {
	t.Helper()
	var s state
	require.NoError(t, ask(t.Context(), n, &s, "status"))
	return s
}

// is waits until what a node says of itself is as wanted.
func is(t *testing.T, n *containerlab.Node, what string, f func(state) error) {
	t.Helper()
	until(t, patience, n.Name()+" to be "+what, func(ctx context.Context) error {
		var s state
		if err := ask(ctx, n, &s, "status"); err != nil {
			return err
		}
		if err := f(s); err != nil {
			return fmt.Errorf("%w: %+v", err, s)
		}
		return nil
	})
}

// condition returns the one condition there is.
func (s state) condition() condition {
	for _, c := range s.Conditions {
		if c.Type == "UnderlayRoutesReady" {
			return c
		}
	}
	return condition{}
}

// blames returns the message of the problem about a subject, or an empty string.
func (s state) blames(subject string) string {
	for _, p := range s.Problems {
		if p.Subject == subject {
			return p.Message
		}
	}
	return ""
}

// hasCondition is a test for is.
func hasCondition(status, reason string) func(state) error {
	return func(s state) error {
		if c := s.condition(); c.Status != status || c.Reason != reason {
			return fmt.Errorf("the condition is %s, %s", c.Status, c.Reason)
		}
		return nil
	}
}

// says is a test for is: the problem about a subject has all these words.
func says(subject string, words ...string) func(state) error {
	return func(s state) error {
		message := s.blames(subject)
		if message == "" {
			return errors.New("nothing is wrong with " + subject)
		}
		for _, w := range words {
			if !strings.Contains(message, w) {
				return fmt.Errorf("%q does not say %q", message, w)
			}
		}
		return nil
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/underlayd/underlayd/status"
)

// notReachedError is that something waited for did not come about in time. It has an exit code of its own, so that scripts
// can tell it from a daemon that does not run.
type notReachedError struct{ error }

func (e notReachedError) Unwrap() error { return e.error }

// goal is a state to wait for, and how what is asked for looks now.
type goal func(*status.Snapshot) (reached bool, now string)

// parseGoal reads ready, phase=PHASE, cluster/NAME=STATE or peer/NAME=STATE. Letters may be large or small, as states are
// written differently here and there.
func parseGoal(s string) (goal, error) {
	if s == "ready" {
		return func(s *status.Snapshot) (bool, string) {
			return s.Phase == status.Ready || s.Phase == status.Degraded, "the phase is " + string(s.Phase)
		}, nil
	}
	what, want, found := strings.Cut(s, "=")
	kind, name, named := strings.Cut(what, "/")
	switch {
	case !found || want == "" || named == (kind == "phase") || named && name == "":
	case kind == "phase" && known(want, status.Starting, status.Learning, status.Ready, status.Degraded, status.Draining, status.Drained):
		return func(s *status.Snapshot) (bool, string) {
			return strings.EqualFold(string(s.Phase), want), "the phase is " + string(s.Phase)
		}, nil
	case kind == "cluster" && known(want, status.Reachable, status.Partial, status.Unreachable):
		return func(s *status.Snapshot) (bool, string) {
			for _, c := range s.Clusters {
				if c.Name == name {
					return strings.EqualFold(string(c.State), want), "it is " + string(c.State) + optional(": ", c.Reason, "")
				}
			}
			return false, "no such cluster is declared"
		}, nil
	case kind == "peer" && known(want, "idle", "connect", "active", "opensent", "openconfirm", status.Established):
		return func(s *status.Snapshot) (bool, string) {
			for _, p := range s.Sessions {
				if p.Peer == name {
					return strings.EqualFold(p.State, want), "it is " + p.State + optional(": ", p.LastError, "")
				}
			}
			return false, "no such peer is configured"
		}, nil
	}
	return nil, fmt.Errorf("--for %q: must be ready, phase=PHASE, cluster/NAME=Reachable, Partial or Unreachable, or peer/NAME=STATE such as peer/tor-a=established", s)
}

func known[S ~string](want string, states ...S) bool {
	for _, s := range states {
		if strings.EqualFold(string(s), want) {
			return true
		}
	}
	return false
}

// awaitGoals asks the daemon until all goals are reached at once, and returns the answer in which they are. That it does not
// run yet, or not for a moment, is part of the waiting.
func awaitGoals(ctx context.Context, client *status.Client, timeout time.Duration, goals map[string]goal) (*status.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	timer := time.NewTicker(tick)
	defer timer.Stop()
	missing := errors.New("the daemon has not answered")
	for {
		s, err := client.Status(ctx)
		switch {
		case err == nil:
			if missing = missed(s, goals); missing == nil {
				return s, nil
			}
		case ctx.Err() == nil:
			missing = err
		}
		select {
		case <-ctx.Done():
			return nil, notReachedError{fmt.Errorf("not reached within %s: %w", timeout, missing)}
		case <-timer.C:
		}
	}
}

// missed says what is not reached; nil if nothing is.
func missed(s *status.Snapshot, goals map[string]goal) error {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(goals)) {
		if reached, now := goals[name](s); !reached {
			parts = append(parts, name+" ("+now+")")
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return errors.New(strings.Join(parts, ", "))
}

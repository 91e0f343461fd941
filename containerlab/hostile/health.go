package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/underlayd/underlayd/containerlab"
)

// status is what the daemon says of itself, as far as it matters here.
type status struct {
	PID      int       `json:"pid"`
	Phase    string    `json:"phase"`
	Sessions []session `json:"sessions"`
}

type session struct {
	Peer      string `json:"peer"`
	State     string `json:"state"`
	Since     string `json:"since"`
	Flaps     int    `json:"flaps"`
	LastError string `json:"lastError"`
}

func (s status) friend() session { return s.of("friend") }

func (s status) of(peer string) session {
	for _, p := range s.Sessions {
		if p.Peer == peer {
			return p
		}
	}
	return session{}
}

func (s *stage) status(ctx context.Context) (status, error) {
	var out status
	text, err := s.node.Output(ctx, "underlayd", "status", "-o", "json")
	if err == nil {
		err = json.Unmarshal([]byte(text), &out)
	}
	return out, err
}

// healthy fails if the daemon died, a route is where none may be, or the friend noticed anything. It is cheap.
func (s *stage) healthy() error {
	if !s.daemon.Running() {
		return fmt.Errorf("the daemon died: %w\n%s", s.daemon.Err(), s.daemon.LogTail(60))
	}
	if err := s.eye.violations(); err != nil {
		return err
	}
	if err := s.ask(); err != nil {
		return fmt.Errorf("the friend can't be reached: %w", err)
	}
	return nil
}

// unimpressed is what takes longer: the daemon says that it is the same process and that the friend's session never
// went down, the friend says so too, and nothing of what was said can move a cursor.
func (s *stage) unimpressed(ctx context.Context) error {
	if err := s.healthy(); err != nil {
		return err
	}
	state, err := s.status(ctx)
	if err != nil {
		return fmt.Errorf("the daemon does not answer: %w", err)
	}
	if f := state.friend(); state.PID != s.pid || f.State != "established" || f.Flaps != 0 || f.Since != s.since {
		return fmt.Errorf("pid %d (was %d), friend %+v", state.PID, s.pid, f)
	}
	for _, p := range state.Sessions {
		if !printable(p.LastError) {
			return fmt.Errorf("the last error of %s is not printable: %q", p.Peer, p.LastError)
		}
	}
	if log := strings.ReplaceAll(s.daemon.LogTail(1<<20), "\n", ""); !printable(log) {
		return errors.New("the log has control characters")
	}
	return nil
}

func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

// resident is the daemon's resident memory, now and at most, in MiB.
func (s *stage) resident() (now, peak float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.daemon.PID()))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		var kib float64
		switch key {
		case "VmRSS", "VmHWM":
			if _, err := fmt.Sscan(value, &kib); err != nil {
				return 0, 0, fmt.Errorf("%s: %w", key, err)
			}
		}
		switch key {
		case "VmRSS":
			now = kib / 1024
		case "VmHWM":
			peak = kib / 1024
		}
	}
	return now, peak, nil
}

// empty waits until nothing of what the foes announced is left in the kernel.
func (s *stage) empty(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("routes of peers that are gone are left"))
	defer cancel()
	return containerlab.Until(ctx, "the kernel to be empty of foes", func(context.Context) error {
		if n := s.eye.foreign(); n > 0 {
			return fmt.Errorf("%d routes", n)
		}
		return nil
	})
}

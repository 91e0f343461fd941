package main

import (
	"fmt"
	"time"

	"github.com/underlayd/underlayd/containerlab/bench/gauge"
)

// cpu is the CPU time that the speaker's programs have used.
func (s *stage) cpu() (time.Duration, error) {
	var sum time.Duration
	for _, p := range s.programs {
		used, err := gauge.CPU(p.PID())
		if err != nil {
			return 0, fmt.Errorf("%s: %w", p.Name(), err)
		}
		sum += used
	}
	return sum, nil
}

// memory is the resident memory of the speaker's programs in MiB: now, and the sum of what each had at most.
func (s *stage) memory() (now, peak float64, err error) {
	for _, p := range s.programs {
		memory, err := gauge.ReadMemory(p.PID())
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", p.Name(), err)
		}
		now, peak = now+memory.Resident/1024, peak+memory.Peak/1024
	}
	return now, peak, nil
}

// noteMemory records the memory some time after the last change.
func (s *stage) noteMemory() error {
	if err := s.pause(s.options.rest); err != nil {
		return err
	}
	now, peak, err := s.memory()
	s.note("rss", now)
	s.note("peak", peak)
	return err
}

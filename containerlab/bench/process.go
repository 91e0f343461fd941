package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpu is the CPU time that the speaker's programs have used, user and system, with the kernel's own precision.
func (s *stage) cpu() (time.Duration, error) {
	var sum time.Duration
	for _, p := range s.programs {
		var t unix.Timespec
		// The CPU clock of another process, see MAKE_PROCESS_CPUCLOCK in linux/posix-timers.h.
		if err := unix.ClockGettime(int32(^p.PID())<<3|2, &t); err != nil {
			return 0, fmt.Errorf("CPU time of %s: %w", p.Name(), err)
		}
		sum += time.Duration(t.Nano())
	}
	return sum, nil
}

// memory is the resident memory of the speaker's programs in MiB: now, and the sum of what each had at most.
func (s *stage) memory() (now, peak float64, err error) {
	for _, p := range s.programs {
		f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.PID()))
		if err != nil {
			return 0, 0, fmt.Errorf("memory of %s: %w", p.Name(), err)
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			key, value, _ := strings.Cut(lines.Text(), ":")
			var kib float64
			if key != "VmRSS" && key != "VmHWM" {
				continue
			}
			if _, err := fmt.Sscan(value, &kib); err != nil {
				return 0, 0, fmt.Errorf("memory of %s: %w", p.Name(), err)
			}
			if key == "VmRSS" {
				now += kib / 1024
			} else {
				peak += kib / 1024
			}
		}
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

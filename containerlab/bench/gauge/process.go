// Package gauge reads what processes use, and prints figures: for the programs that measure.
package gauge

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is the CPU time that a process has used, user and system, with the kernel's own precision.
func CPU(pid int) (time.Duration, error) {
	var t unix.Timespec
	// The CPU clock of another process, see MAKE_PROCESS_CPUCLOCK in linux/posix-timers.h.
	if err := unix.ClockGettime(int32(^pid)<<3|2, &t); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// Memory is the memory of a process in KiB.
type Memory struct {
	Resident float64
	Own      float64 // what of it no file backs: not the program's pages, which all its processes share
	Peak     float64 // the most that was ever resident
}

// ReadMemory returns the memory of a process.
func ReadMemory(pid int) (m Memory, err error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return m, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		into := map[string]*float64{"VmRSS": &m.Resident, "RssAnon": &m.Own, "VmHWM": &m.Peak}[key]
		if into == nil {
			continue
		}
		if _, err := fmt.Sscan(value, into); err != nil {
			return m, fmt.Errorf("memory of process %d: %s: %w", pid, key, err)
		}
	}
	return m, lines.Err()
}

// LoadAverage is that of the last minute: what figures share the machine with is in it.
func LoadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err.Error()
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

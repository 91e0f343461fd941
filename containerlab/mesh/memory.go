package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
)

// noteMemory reports the resident memory of the daemons, and the part of it that a daemon has for itself.
func (m *mesh) noteMemory() error {
	for _, k := range m.kinds() {
		var all, own, most float64
		for _, h := range k.hosts {
			rss, private, err := memory(h.daemon.PID())
			if err != nil {
				return err
			}
			all, own, most = all+rss, own+private, max(most, rss)
		}
		n := float64(len(k.hosts))
		m.report.add("memory of "+k.name+" (RSS)", mebibytes(all/n))
		m.report.add("… of the largest", mebibytes(most))
		m.report.add("… of its own (without the program's pages)", mebibytes(own/n))
	}
	return nil
}

// memory is the resident memory of a process in KiB, and what of it no file backs.
func memory(pid int) (rss, private float64, err error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		into := map[string]*float64{"VmRSS": &rss, "RssAnon": &private}[key]
		if into == nil {
			continue
		}
		if _, err := fmt.Sscan(value, into); err != nil {
			return 0, 0, err
		}
	}
	return rss, private, nil
}

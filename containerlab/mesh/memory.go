package main

import "github.com/underlayd/underlayd/containerlab/bench/gauge"

// noteMemory reports the resident memory of the daemons, and the part of it that a daemon has for itself.
func (m *mesh) noteMemory() error {
	for _, k := range m.kinds() {
		var all, own, most float64
		for _, h := range k.hosts {
			memory, err := gauge.ReadMemory(h.daemon.PID())
			if err != nil {
				return err
			}
			all, own, most = all+memory.Resident, own+memory.Own, max(most, memory.Resident)
		}
		n := float64(len(k.hosts))
		m.report.Add("memory of "+k.name+" (RSS)", gauge.Mebibytes(all/n))
		m.report.Add("… of the largest", gauge.Mebibytes(most))
		m.report.Add("… of its own (without the program's pages)", gauge.Mebibytes(own/n))
	}
	return nil
}

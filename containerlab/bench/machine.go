package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// machine says what the figures were taken on.
type machine struct {
	Kernel  string  `json:"kernel"`
	CPU     string  `json:"cpu"`
	Cores   int     `json:"cores"`
	Memory  float64 `json:"memoryMiB"`
	Go      string  `json:"go"`
	LoadAvg string  `json:"loadAverage"` // before the first measurement: whether the machine was ours alone
}

func readMachine() machine {
	m := machine{Cores: runtime.NumCPU(), Go: runtime.Version(), CPU: "unknown CPU"}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err == nil {
		m.Memory = float64(info.Totalram) * float64(info.Unit) / (1 << 20)
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.LoadAvg = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	return m
}

// String is the machine in one line.
func (m machine) String() string {
	return fmt.Sprintf("%s, %d cores, %.0f MiB, Linux %s, %s, load %s", m.CPU, m.Cores, m.Memory, m.Kernel, m.Go, m.LoadAvg)
}

package fib

import (
	"bufio"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// seenLines are the lines of the monitor so far.
type seenLines struct {
	mu  sync.Mutex // guards all
	all []string
}

func (s *seenLines) put(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, line)
}

// touches counts what the monitor has been told of the prefixes of these routes of ours.
func (l *linux) touches(routes ...string) int {
	l.lines.mu.Lock()
	defer l.lines.mu.Unlock()
	n := 0
	for _, line := range l.lines.all {
		for _, r := range routes {
			if strings.Contains(line, strings.Fields(r)[0]+" ") && strings.Contains(line, fmt.Sprintf("proto %d", ourMark)) {
				n++
			}
		}
	}
	return n
}

// writes counts what `ip monitor`, an observer of its own, has been told of our protocol. A marker
// route shows that everything before it has been seen.
func (l *linux) writes(t *testing.T) (int, int) {
	if l.marker == 0 {
		l.monitor(t)
	}
	l.mark(t)
	within(t, func() bool { return l.markers.Load() >= l.marker }, "ip monitor to see mark %d", l.marker)
	return int(l.routeEvents.Load()), int(l.nhEvents.Load())
}

const markerTable = "4242"

func (l *linux) mark(t *testing.T) {
	l.marker++
	l.ip(t, "route", "replace", "blackhole", fmt.Sprintf("198.18.%d.%d", l.marker/256, l.marker%256), "table", markerTable)
}

func (l *linux) monitor(t *testing.T) {
	cmd := exec.Command("ip", "-N", "-o", "monitor", "route", "nexthop")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // the pinned thread outlives it
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	seen := make(chan struct{})
	go func() {
		defer close(seen)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			l.count(lines.Text())
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Kill())
		<-seen
		_ = cmd.Wait()
	})
	// It subscribes a moment after its start: mark until it notices.
	within(t, func() bool { l.mark(t); return l.markers.Load() > 0 }, "ip monitor to start")
}

func (l *linux) count(line string) {
	var high, low int64
	if at := strings.Index(line, "198.18."); at >= 0 && strings.Contains(line, markerTable) {
		if n, _ := fmt.Sscanf(line[at:], "198.18.%d.%d", &high, &low); n == 2 {
			l.markers.Store(high*256 + low)
		}
		return
	}
	l.lines.put(line)
	switch {
	case !strings.Contains(line, fmt.Sprintf("proto %d", ourMark)):
	case strings.Contains(line, "metric "):
		l.routeEvents.Add(1)
	default:
		l.nhEvents.Add(1)
	}
}

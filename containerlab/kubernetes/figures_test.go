package kubernetes

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// figuresEnv names the file that figures are appended to, a JSON object a line. Without it they are not taken.
const figuresEnv = "UNDERLAYD_FIGURES"

// figure logs a measured value and appends it to the file of figures.
func figure(t *testing.T, name string, values map[string]any) {
	t.Helper()
	values["figure"] = name
	line, err := json.Marshal(values)
	require.NoError(t, err)
	t.Logf("%s", line)
	file, err := os.OpenFile(os.Getenv(figuresEnv), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	require.NoError(t, err)
	_, err = file.Write(append(line, '\n'))
	require.NoError(t, err)
	require.NoError(t, file.Close())
}

// TestFigures measures; what it finds never fails it.
func TestFigures(t *testing.T) {
	if os.Getenv(figuresEnv) == "" {
		return // not skipped: nothing is left untested without it
	}
	t.Run("with Kubernetes", func(t *testing.T) {
		w := newWorld(t)
		for _, p := range places() {
			w.create(t, p.name, p.pods...)
		}
		w.launch(t)
		w.settled(t)
		w.idle(t, "with Kubernetes")
		kernel := watchRoutes(t, w.Node("east-1"))
		figure(t, "pod CIDR assigned in the API → both its routes in the other cluster's kernel", w.exchanges(t, kernel, 100, func(i int) (began, confirmed time.Time) {
			return w.reassign(t, "west-2", podCIDRs(20, 100+i)...)
		}).values())
		w.reassign(t, "west-2", placeOf("west-2").pods...)
		w.settled(t)
		w.countWrites(t, kernel)
		w.settled(t)
		w.firstRoute(t, kernel, "with Kubernetes")
	})
	t.Run("without Kubernetes", func(t *testing.T) {
		w := newPlainWorld(t)
		w.launch(t)
		for _, p := range places() {
			w.routed(t, p.name)
		}
		w.idle(t, "without Kubernetes")
		w.firstRoute(t, watchRoutes(t, w.Node("east-1")), "without Kubernetes")
	})
}

// idle measures the four daemons while nothing happens.
func (w *world) idle(t *testing.T, how string) {
	t.Helper()
	const span = 30 * time.Second
	wait(t, 15*time.Second) // for the last writes and the first garbage collection after the start
	before := map[string]time.Duration{}
	for _, p := range places() {
		before[p.name] = cpuTime(t, w.Node(p.name).Process("underlayd").PID())
	}
	start := time.Now()
	wait(t, span)
	var used []time.Duration
	var resident, own []int
	for _, p := range places() {
		pid := w.Node(p.name).Process("underlayd").PID()
		used = append(used, cpuTime(t, pid)-before[p.name])
		resident = append(resident, statusField(t, pid, "VmRSS"))
		own = append(own, statusField(t, pid, "RssAnon"))
	}
	elapsed := time.Since(start)
	slices.Sort(used)
	slices.Sort(resident)
	slices.Sort(own)
	figure(t, "an idle daemon "+how, map[string]any{
		"daemons": len(used), "seconds": elapsed.Seconds(), "rssKiB": resident, "ofThatAnonymousKiB": own,
		"cpuMilliseconds":  []int64{used[0].Milliseconds(), used[len(used)-1].Milliseconds()},
		"cpuPercentOfCore": fmt.Sprintf("%.3f to %.3f", 100*used[0].Seconds()/elapsed.Seconds(), 100*used[len(used)-1].Seconds()/elapsed.Seconds()),
	})
}

// cpuTime is what all threads of a process have run, from the scheduler's own account in nanoseconds.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	var sum time.Duration
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		ran, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		require.NoError(t, err)
		sum += time.Duration(ran)
	}
	return sum
}

// statusField is a size of /proc/PID/status in KiB.
func statusField(t *testing.T, pid int, name string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			size, err := strconv.Atoi(strings.Fields(rest)[0])
			require.NoError(t, err)
			return size
		}
	}
	require.FailNow(t, "no "+name)
	return 0
}

// countWrites counts the writes on a Node during a burst of 1,000 route changes, and while as many are spread over
// half a minute, half of them losses.
func (w *world) countWrites(t *testing.T, kernel *routeWatch) {
	t.Helper()
	prefixes, writes := flaps(500), w.watchWrites(t, "east-1")
	start := time.Now()
	took := w.changes(t, kernel, prefixes)
	wait(t, 15*time.Second)
	w.told(t, "east-1")
	figure(t, "writes on a Node for 1,000 route changes at once", map[string]any{
		"writes": writes.count(t), "burstSeconds": took.Seconds(), "allowed": allowed(time.Since(start)),
	})

	// 20 come and 20 others go every second: the Node is never right for long.
	const stay = 5
	before, start := writes.count(t), time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	chunks := slices.Collect(slices.Chunk(prefixes, 20))
	for i := range len(chunks) + stay {
		<-tick.C
		if i < len(chunks) {
			w.flap(t, true, chunks[i])
		}
		if i >= stay {
			w.flap(t, false, chunks[i-stay])
		}
	}
	took = time.Since(start)
	w.told(t, "east-1")
	figure(t, "writes on a Node for 1,000 route changes over half a minute", map[string]any{
		"writes": writes.count(t) - before, "burstSeconds": took.Seconds(), "allowed": allowed(time.Since(start)),
	})
}

// firstRoute measures how long it takes from the start of a daemon on a clean node to its first route.
func (w *world) firstRoute(t *testing.T, kernel *routeWatch, how string) {
	t.Helper()
	var first, all []time.Duration
	for range 10 {
		w.stop(t, "east-1")
		_, err := w.Node("east-1").Output(t.Context(), "underlayd", "cleanup", "--config", "/etc/underlayd/config.yaml")
		require.NoError(t, err)
		mark, start := kernel.mark(), time.Now()
		w.launch(t, "east-1")
		all = append(all, kernel.await(t, mark, false, w.remote("east-1")...).Sub(start))
		first = append(first, kernel.since(t, mark)[0].at.Sub(start))
		w.routed(t, "east-1")
	}
	figure(t, "daemon started → first route in the kernel, "+how, map[string]any{
		"tries": len(first), "medianSeconds": quantile(first, 50).Seconds(), "maxSeconds": quantile(first, 100).Seconds(),
		"medianSecondsToAllRoutes": quantile(all, 50).Seconds(),
	})
}

package bfd

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/containerlab"
)

// endOf marks a copy of the test binary that is one end of many sessions: "1" of them, or "2".
const endOf = "UNDERLAYD_TEST_END"

const (
	loadSessions = 100
	loadInterval = 50 * ms
)

var loadFor = flag.Duration("load", 3*time.Second, "how long the load test goes on for")

// account is what an end says of itself.
type account struct {
	Up        int
	Lost      int // sessions, so far
	Expired   int // of those, the ones that this end found out about
	Sent      uint64
	CPU, Late time.Duration // CPU time of the process so far; Delay since the last account
	Problem   string
}

// loadAddress is the i-th address of an end.
func loadAddress(end string, i int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("10.1.%s.%d", end, i+1))
}

// runEnd keeps the sessions of one end until its input ends. Each line of it is a wish: "busy" has the process work as hard
// as it can, "idle" ends that, and "report" is answered by an account.
func runEnd(end string) int {
	other := map[string]string{"1": "2", "2": "1"}[end]
	m := New()
	var sessions []Session
	for i := range loadSessions {
		sessions = append(sessions, Session{
			Peer: loadAddress(other, i), Local: loadAddress(end, i), Hops: 1, Interval: loadInterval, Multiplier: 3,
		})
	}
	if err := m.SetSessions(sessions); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := m.Run(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	})
	idle, a := func() {}, account{}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch lines.Text() {
		case "busy":
			idle = busy()
		case "idle":
			idle()
		case "report":
			a.add(m)
			_ = json.NewEncoder(os.Stdout).Encode(a)
		}
	}
	cancel()
	wait.Wait()
	return 0
}

// add brings an account up to date.
func (a *account) add(m *Monitor) {
	a.Up, a.Sent, a.Problem = 0, 0, ""
	for _, l := range m.Lost() {
		a.Lost += l.Times
		if l.Diag == DetectionTimeExpired {
			a.Expired += l.Times
		}
	}
	for _, s := range m.Sessions() {
		if s.Status == Up {
			a.Up++
		}
		a.Sent += s.Sent
		a.Problem += s.Problem
	}
	a.Late = m.Delay()
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err == nil {
		a.CPU = time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
}

// busy is what a daemon does that learns a table: all processors compute and make garbage. It returns what ends it.
func busy() func() {
	var stop atomic.Bool
	for range runtime.GOMAXPROCS(0) {
		go func() {
			var keep [1 << 12]*[512]byte
			for i := 0; !stop.Load(); i++ {
				keep[i%len(keep)] = new([512]byte)
			}
			runtime.KeepAlive(&keep)
		}()
	}
	return func() { stop.Store(true) }
}

// end is the process of one end.
type end struct {
	t     *testing.T
	stdin io.WriteCloser
	lines *bufio.Scanner
}

func startEnd(t *testing.T, n *containerlab.Node, number string) *end {
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := n.Command(context.Background(), "nice", "-n", "-15", exe) // it is not the neighbours that are measured
	cmd.Env = append(cmd.Env, endOf+"="+number)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		stdin.Close()
		require.NoError(t, cmd.Wait())
	})
	return &end{t, stdin, bufio.NewScanner(stdout)}
}

func (e *end) tell(wish string) {
	_, err := io.WriteString(e.stdin, wish+"\n")
	require.NoError(e.t, err)
}

func (e *end) report() (a account) {
	e.tell("report")
	require.True(e.t, e.lines.Scan())
	require.NoError(e.t, json.Unmarshal(e.lines.Bytes(), &a))
	return a
}

func (e *end) untilUp() {
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	require.NoError(e.t, containerlab.Until(ctx, "sessions", func(context.Context) error {
		if a := e.report(); a.Up != loadSessions {
			return fmt.Errorf("%+v", a)
		}
		return nil
	}))
}

// TestLoadIsNoFailure has a hundred sessions of 50 ms x 3 between two processes while a hundred thousand routes are
// installed in the namespace of one of them, and that one is busy itself.
func TestLoadIsNoFailure(t *testing.T) {
	p := newPair(t, theirs{"none", 0, 0})
	for node, number := range map[string]string{"us": "1", "them": "2"} {
		var batch strings.Builder
		for i := range loadSessions {
			fmt.Fprintf(&batch, "addr add %s/16 dev eth1\n", loadAddress(number, i))
		}
		p.batch(node, batch.String())
	}
	us, them := startEnd(t, p.Node("us"), "1"), startEnd(t, p.Node("them"), "2")
	us.untilUp()
	them.untilUp()
	t.Log(us.report(), them.report())

	for _, c := range []struct {
		what         string
		busy, routes bool
	}{
		{"nothing else happens", false, false},
		{"routes are installed", false, true},
		{"routes are installed and the process is busy", true, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			a, b, start := us.report(), them.report(), time.Now()
			if c.busy {
				us.tell("busy")
			}
			times := 0
			for time.Since(start) < *loadFor {
				if c.routes {
					p.routes(100_000)
					times++
					continue
				}
				select {
				case <-time.After(*loadFor):
				case <-t.Context().Done():
				}
			}
			us.tell("idle")
			took := time.Since(start)
			a2, b2 := us.report(), them.report()
			t.Logf("%s, routes installed %d times: CPU %.1f %% and %.1f %% of a core, %.0f packets sent per second and end, "+
				"delay %s and %s, lost %d and %d", took.Round(ms), times,
				100*(a2.CPU-a.CPU).Seconds()/took.Seconds(), 100*(b2.CPU-b.CPU).Seconds()/took.Seconds(),
				float64(b2.Sent-b.Sent)/took.Seconds(), a2.Late, b2.Late, a2.Lost-a.Lost, b2.Lost-b.Lost)
			if max(a2.Late, b2.Late) > 75*ms {
				// Packets were as late as that. Who waits for them may take it for a failure, and tell.
				t.Log("this machine is too busy to promise more than that nobody blames the other one for it")
				require.False(t, a2.Expired > a.Expired && b2.Late < 75*ms, "false alarms of the end that was late")
				require.False(t, b2.Expired > b.Expired && a2.Late < 75*ms, "false alarms of the end that was late")
				us.untilUp()
				them.untilUp()
				return
			}
			require.Equal(t, a.Lost, a2.Lost, "false alarms")
			require.Equal(t, b.Lost, b2.Lost, "false alarms")
		})
	}
}

func (p pair) batch(node, lines string) {
	p.t.Helper()
	cmd := p.Node(node).Command(p.t.Context(), "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(lines)
	out, err := cmd.CombinedOutput()
	require.NoError(p.t, err, string(out))
}

// routes installs as many routes, and removes them.
func (p pair) routes(n int) {
	var add strings.Builder
	for i := range n {
		fmt.Fprintf(&add, "route add 10.%d.%d.%d via 10.1.2.1 table 100\n", 100+i>>16, i>>8&255, i&255)
	}
	p.batch("us", add.String())
	p.batch("us", "route flush table 100\n")
}

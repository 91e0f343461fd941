package containerlab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

const (
	trio     = "testdata/trio.clab.yml"
	plain    = "testdata/plain.clab.yml"
	patience = 30 * time.Second
)

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// reaches waits until from gets answers from an address.
func reaches(t *testing.T, from *Node, address string) {
	t.Helper()
	require.NoError(t, Until(deadline(t), from.Name()+" reaching "+address, func(ctx context.Context) error {
		_, err := from.Output(ctx, "ping", "-c1", "-W1", address)
		return err
	}))
}

// says waits until the last line of a log is as wanted.
func says(t *testing.T, p *Process, want string) {
	t.Helper()
	require.NoError(t, Until(deadline(t), p.Name()+" to say "+want, func(context.Context) error {
		if got := p.LogTail(1); got != want {
			return errors.New(got)
		}
		return nil
	}))
}

// established waits until FRR has sessions up with all its neighbours.
func established(t *testing.T, router *Node, family string, want int) {
	t.Helper()
	require.NoError(t, Until(deadline(t), "sessions of "+router.Name(), func(ctx context.Context) error {
		out, err := router.Output(ctx, "vtysh", "-c", "show bgp "+family+" unicast summary json")
		if err != nil {
			return err
		}
		var summary struct {
			Peers map[string]struct{ State string }
		}
		if err := json.Unmarshal([]byte(out), &summary); err != nil {
			return err
		}
		up := 0
		for _, p := range summary.Peers {
			if p.State == "Established" {
				up++
			}
		}
		if up != want {
			return errors.New(out)
		}
		return nil
	}))
}

func TestRoutersOnABridgeForwardForTheirHosts(t *testing.T) {
	Require(t, "zebra", "bgpd", "vtysh", "bird", "birdc", "ip", "ping", "sysctl")
	lab := UpForTest(t, trio, Options{})
	established(t, lab.Node("frr-a"), "ipv4", 2)
	established(t, lab.Node("frr-a"), "ipv6", 2)
	reaches(t, lab.Node("host-a"), "198.51.100.130")
	reaches(t, lab.Node("host-a"), "2001:db8:c::10")
	out, err := lab.Node("bird").Output(deadline(t), "birdc", "show", "protocols")
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(out, "Established"), out)

	t.Run("a daemon that was stopped is started again by Launch", func(t *testing.T) {
		a := lab.Node("frr-a")
		bgpd, zebra := a.Process("bgpd"), a.Process("zebra")
		require.NoError(t, bgpd.Stop(deadline(t)))
		require.False(t, bgpd.Running())
		require.NoError(t, a.Launch(deadline(t)))
		require.NotSame(t, bgpd, a.Process("bgpd"))
		require.Same(t, zebra, a.Process("zebra"), "what runs is left alone")
		established(t, a, "ipv4", 2)
		reaches(t, lab.Node("host-c"), "198.51.100.10")
	})
	t.Run("a link that is down carries nothing and takes the neighbour's carrier", func(t *testing.T) {
		require.NoError(t, lab.Node("host-a").LinkDown("eth1"))
		_, err := lab.Node("frr-a").Output(t.Context(), "ping", "-c1", "-W1", "198.51.100.10")
		require.Error(t, err)
		carrier, err := lab.Node("frr-a").Output(t.Context(), "cat", "/sys/class/net/eth2/carrier")
		require.NoError(t, err)
		require.Equal(t, "0\n", carrier)
		require.NoError(t, lab.Node("host-a").LinkUp("eth1"))
		reaches(t, lab.Node("frr-a"), "198.51.100.10")
	})
	t.Run("a killed node takes its links along", func(t *testing.T) {
		require.NoError(t, lab.Node("host-c").Kill())
		require.NoError(t, lab.Node("host-c").Kill())
		_, err := lab.Node("host-c").Output(t.Context(), "true")
		require.ErrorIs(t, err, ErrGone)
		require.NoError(t, Until(deadline(t), "the link to go", func(context.Context) error {
			err := lab.Node("bird").Do(func() error { _, err := net.InterfaceByName("eth2"); return err })
			if err == nil {
				return errors.New("it is there")
			}
			return nil
		}))
	})
}

func TestANodeIsAWorldOfItsOwn(t *testing.T) {
	Require(t, "ip", "sysctl")
	t.Setenv("LAB_TEST_OUTSIDE", "not for nodes")
	lab := UpForTest(t, plain, Options{Env: map[string]string{"COLOUR": "blue", "LAB": "mine"}})
	a, b := lab.Node("a"), lab.Node("b")
	ctx := deadline(t)
	output := func(n *Node, argv ...string) string {
		t.Helper()
		out, err := n.Output(ctx, argv...)
		require.NoError(t, err)
		return strings.TrimSpace(out)
	}
	require.Equal(t, "a", output(a, "hostname"))
	require.Equal(t, "blue file", output(a, "sh", "-c", "echo $COLOUR $LAB"), "what the file says wins")
	require.Empty(t, output(a, "sh", "-c", "echo $LAB_TEST_OUTSIDE"))
	require.Equal(t, "1", output(a, "cat", "/proc/sys/net/ipv4/ip_forward"))
	require.Equal(t, "0", output(b, "cat", "/proc/sys/net/ipv4/ip_forward"))
	require.Equal(t, "eth1 lo", output(a, "sh", "-c", "echo $(ls /sys/class/net)"))
	require.Equal(t, "9500", output(a, "cat", "/sys/class/net/eth1/mtu"))
	require.NotEqual(t, "0", output(a, "sh", "-c", "pgrep -c sleep"), "the cmd runs")
	require.Equal(t, "1", output(a, "sh", "-c", "pgrep -c bash"), "a node sees no process but its own")

	for _, folder := range []string{"/etc", "/run", "/var/tmp", "/usr/local/bin"} {
		output(a, "sh", "-c", "echo private > "+folder+"/lab-test-file")
		require.Equal(t, "private", output(a, "cat", folder+"/lab-test-file"))
		require.NoFileExists(t, folder+"/lab-test-file")
		require.NoFileExists(t, b.Path(folder+"/lab-test-file"))
		require.FileExists(t, a.Path(folder+"/lab-test-file"))
	}
	require.Equal(t, "greeting", output(a, "cat", "/etc/made/for/this/greeting"))
	_, err := a.Output(ctx, "sh", "-c", "echo x > /etc/made/for/this/greeting")
	require.ErrorContains(t, err, "Read-only file system")

	_, err = a.Output(ctx, "sh", "-c", "echo why >&2; exit 3")
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 3, exit.ExitCode())
	require.ErrorContains(t, err, "a: sh -c echo why >&2; exit 3: exit status 3: why")
	_, err = a.Output(ctx, "no-such-program")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = lab.Node("z").Output(ctx, "true")
	require.ErrorContains(t, err, "lab plain has no node z")
	require.ErrorContains(t, lab.Node("z").Kill(), "has no node z")
}

func TestOrphansAreReaped(t *testing.T) {
	Require(t, "ip")
	a := UpForTest(t, plain, Options{}).Node("a")
	_, err := a.Output(deadline(t), "sh", "-c", "(setsid sleep 0.01 >/dev/null 2>&1 &)")
	require.NoError(t, err)
	require.NoError(t, Until(deadline(t), "no zombies", func(ctx context.Context) error {
		out, err := a.Output(ctx, "ps", "-eo", "stat=,comm=")
		if err == nil && (strings.Contains(out, "Z") || strings.Count(out, "sleep") != 1) {
			err = errors.New(out)
		}
		return err
	}))
}

func TestCommandsAndLaunch(t *testing.T) {
	Require(t, "ip")
	lab := UpForTest(t, plain, Options{Manual: []string{"b"}})
	b := lab.Node("b")
	require.Empty(t, b.Processes(), "b was to be left alone")
	require.NoError(t, b.Launch(deadline(t)))
	require.NoError(t, b.Launch(deadline(t)))
	require.Len(t, b.Processes(), 1)
	require.Equal(t, "sleep", b.Processes()[0].Name())

	t.Run("output is streamed as it comes", func(t *testing.T) {
		read, write, err := os.Pipe()
		require.NoError(t, err)
		defer read.Close()
		var group errgroup.Group
		group.Go(func() error {
			defer write.Close()
			return b.Stream(deadline(t), write, "sh", "-c", "echo one; until [ -e /run/go ]; do sleep 0.01; done; echo two >&2")
		})
		lines := bufio.NewScanner(read)
		require.True(t, lines.Scan())
		require.Equal(t, "one", lines.Text())
		_, err = b.Output(t.Context(), "touch", "/run/go")
		require.NoError(t, err)
		require.True(t, lines.Scan())
		require.Equal(t, "two", lines.Text())
		require.NoError(t, group.Wait())
	})
	t.Run("a command ends with its context", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := b.Output(ctx, "sleep", "60")
		require.Error(t, err)
	})
}

func TestProcesses(t *testing.T) {
	Require(t, "ip")
	b := UpForTest(t, plain, Options{}).Node("b")
	t.Run("a process has a log, a process id and an end", func(t *testing.T) {
		p, err := b.Start("trap", "sh", "-c", "trap 'echo bye; exit 4' TERM; echo hello; while :; do sleep 0.01; done")
		require.NoError(t, err)
		_, err = b.Start("trap", "true")
		require.ErrorContains(t, err, "trap is already running")
		says(t, p, "hello")
		name, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID()), "comm"))
		require.NoError(t, err)
		require.Equal(t, "sh\n", string(name))
		require.NoError(t, p.Err())
		require.NoError(t, p.Stop(deadline(t)))
		require.EqualError(t, p.Err(), "exit status 4")
		require.EqualError(t, p.Wait(), "exit status 4")
		require.Equal(t, "hello\nbye", p.LogTail(5))
		require.NoError(t, p.Stop(deadline(t)), "twice is fine")
	})
	t.Run("a process that does not heed SIGTERM is killed", func(t *testing.T) {
		p, err := b.Start("deaf", "sh", "-c", "trap '' TERM; echo set; while :; do sleep 0.01; done")
		require.NoError(t, err)
		says(t, p, "set")
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		require.ErrorContains(t, p.Stop(ctx), "deaf: did not end on SIGTERM")
		require.False(t, p.Running())
	})
}

func TestDialAndForwardReachAcrossTheBorder(t *testing.T) {
	Require(t, "ip")
	a := UpForTest(t, plain, Options{}).Node("a")
	outside, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer outside.Close()
	go echo(outside)
	f, err := a.Forward("127.0.0.1:7777", outside.Addr().String())
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:7777", f.Addr().String())
	conn, err := a.Dial(deadline(t), "tcp", "127.0.0.1:7777")
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("hello\n"))
	require.NoError(t, err)
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "hello\n", line)
	_, err = net.Dial("tcp", "127.0.0.1:7777")
	require.Error(t, err, "it is the node's loopback, not the machine's")
	_, err = a.Dial(t.Context(), "tcp", "localhost:7777")
	require.Error(t, err)
	require.NoError(t, f.Close(), "with a connection open")
	require.NoError(t, f.Close())
	_, err = a.Dial(t.Context(), "tcp", "127.0.0.1:7777")
	require.Error(t, err)
}

// echo sends back what comes, until the listener closes.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			text, _ := bufio.NewReader(c).ReadString('\n')
			_, _ = c.Write([]byte(text))
		}()
	}
}

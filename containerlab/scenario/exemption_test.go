package scenario

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// masquerades is what a CNI has: everything that leaves the cluster gets the node's address.
const masquerades = `table inet cni {
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 10.10.0.0/16 ip daddr != 10.10.0.0/16 masquerade random
		ip6 saddr fd00:10::/48 ip6 daddr != fd00:10::/48 masquerade random
	}
}`

// The pod of east-1 and its node, as they may be seen; and pods of the other cluster.
var (
	ownAddresses  = []string{"10.10.1.10", "fd00:10:0:1::10"}
	nodeAddresses = []string{"192.168.11.1", "fd00:fab:11::1"}
	remotePods    = []string{"10.20.1.10", "fd00:20:0:1::10"}
)

// masqueraded is the lab with a CNI on east-1, and with default routes, as nodes have them.
func masqueraded(t *testing.T) *clusters {
	containerlab.Require(t, "nft")
	c := twoClusters(t)
	for _, p := range places() {
		output(t, c.Node(p.name), "ip", "route", "add", "default", "via", p.fabric4)
		output(t, c.Node(p.name), "ip", "-6", "route", "add", "default", "via", p.fabric6)
	}
	nft(t, c.Node("east-1"), masquerades)
	listen(t, c.Node("pod-west-1"))
	return c
}

func nft(t *testing.T, n *containerlab.Node, commands string) {
	t.Helper()
	output(t, n, "nft", commands)
}

// sees checks as what a pod of east-1 is seen.
func (c *clusters) sees(t *testing.T, as []string) {
	t.Helper()
	for i, to := range remotePods {
		for _, network := range []string{"udp", "tcp"} {
			require.Equal(t, as[i], seenAs(t, c.Node("pod-east-1"), network, to), "%s to %s", network, to)
		}
	}
}

// masqueraded waits until a pod of east-1 is seen as the node. Not at once: by chance it may send from a port that conntrack knows
// from before, without NAT.
func (c *clusters) masqueraded(t *testing.T) {
	t.Helper()
	until(t, patience, "the node's addresses to be seen", func(context.Context) error {
		var errs []error
		for i, to := range remotePods {
			for _, network := range []string{"udp", "tcp"} {
				if got := seenAs(t, c.Node("pod-east-1"), network, to); got != nodeAddresses[i] {
					errs = append(errs, fmt.Errorf("%s to %s as %s", network, to, got))
				}
			}
		}
		return errors.Join(errs...)
	})
}

func exemption(want string) func(state) error {
	return func(s state) error {
		if s.NATExemption.State != want {
			return errors.New("the NAT exemption is " + s.NATExemption.State)
		}
		return nil
	}
}

// gone waits for the table to be removed.
func gone(n *containerlab.Node) func(context.Context) error {
	return func(ctx context.Context) error {
		out, err := n.Output(ctx, "nft", "list", "tables")
		if err == nil && strings.Contains(out, "underlayd") {
			err = errors.New(out)
		}
		return err
	}
}

func tables(t *testing.T, n *containerlab.Node) string {
	t.Helper()
	return strings.TrimSpace(output(t, n, "nft", "list", "tables"))
}

func TestPodsKeepTheirAddressBesideACNI(t *testing.T) {
	t.Parallel()
	c := masqueraded(t)
	n := c.Node("east-1")
	both := "table inet underlayd-200\ntable inet cni"
	step(t, "from the start", func(t *testing.T) {
		c.sees(t, ownAddresses)
		require.Equal(t, both, tables(t, n))
		s := stateOf(t, n)
		require.Empty(t, s.Problems)
		require.Equal(t, "{Active underlayd-200 2 2 0 0 0}", fmt.Sprint(s.NATExemption))
		require.Contains(t, output(t, n, "underlayd", "status"),
			"2 ranges of pods keep their addresses towards 2 ranges of other clusters (table inet underlayd-200), 0 repairs")
		metrics, err := n.Ask(t.Context(), "/run/underlayd/underlayd.sock", "/metrics")
		require.NoError(t, err)
		require.Contains(t, metrics, `underlayd_nat_exemption_state{state="Active"} 1`)
	})
	step(t, "after everything was flushed", func(t *testing.T) {
		nft(t, n, "flush ruleset; "+masquerades)
		is(t, n, "repaired", func(s state) error {
			if s.NATExemption.Repairs == 0 {
				return errors.New("no repair")
			}
			return exemption("Active")(s)
		})
		c.sees(t, ownAddresses)
	})
	// Before anything was masqueraded: a connection with the port of one that was would be one with it for conntrack.
	step(t, "while the daemon is dead, and while it starts", func(t *testing.T) {
		k := knock(t, c)
		before := output(t, n, "nft", "-a", "list", "table", "inet", "underlayd-200")
		for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
			daemon := n.Process("underlayd")
			require.NoError(t, daemon.Signal(signal))
			<-daemon.Done()
			c.lose(t)
			c.sees(t, ownAddresses)
			c.restarted(t, "east-1")
		}
		require.Equal(t, handles(before), handles(output(t, n, "nft", "-a", "list", "table", "inet", "underlayd-200")), "taken over as it was")
		require.Greater(t, k.stop(), 100)
		require.Equal(t, map[string]bool{ownAddresses[0]: true, ownAddresses[1]: true}, k.seen)
	})
	step(t, "not when it is switched off, and again when it is on", func(t *testing.T) {
		c.changeNow(t, "east-1", "bgp:\n", "natExemption: false\nbgp:\n")
		is(t, n, "off", exemption("Off"))
		until(t, patience, "the table to go", gone(n))
		c.masqueraded(t)
		c.changeNow(t, "east-1", "natExemption: false\n", "")
		is(t, n, "on", exemption("Active"))
		c.sees(t, ownAddresses)
	})
	step(t, "until the node has left", func(t *testing.T) {
		output(t, n, "underlayd", "drain", "--wait", "--grace", "1s")
		require.Equal(t, "table inet cni", tables(t, n))
		is(t, n, "idle", exemption("Idle"))
		output(t, n, "underlayd", "drain", "--cancel", "--wait")
		c.settled(t)
		c.sees(t, ownAddresses)
	})
	step(t, "and cleanup leaves nothing", func(t *testing.T) {
		daemon := n.Process("underlayd")
		require.NoError(t, daemon.Kill())
		require.Contains(t, output(t, n, "underlayd", "cleanup"), "kernel: nftables table inet underlayd-200 removed\n")
		require.Equal(t, "table inet cni", tables(t, n))
		require.NotContains(t, output(t, n, "underlayd", "cleanup"), "nftables")
	})
}

// handles are the lines of a table without what was counted.
func handles(table string) (lines []string) {
	for line := range strings.Lines(table) {
		if at := strings.Index(line, "counter packets"); at >= 0 {
			line = line[:at] + line[strings.LastIndex(line, "#"):]
		}
		lines = append(lines, line)
	}
	return lines
}

// TestNoConnectionIsMasqueradedWhileARouteAppears: those that were begun before there was a route are not, either.
func TestNoConnectionIsMasqueradedWhileARouteAppears(t *testing.T) {
	t.Parallel()
	c := masqueraded(t)
	const pods, none = `podCIDRs: [10.20.1.0/24, "fd00:20:0:1::/64"]`, `podCIDRs: []`
	for _, on := range []bool{true, false} { // without it the test must see the node
		if !on {
			c.changeNow(t, "east-1", "bgp:\n", "natExemption: false\nbgp:\n")
			until(t, patience, "the table to go", gone(c.Node("east-1")))
		}
		seen := map[string]bool{}
		for range 3 {
			c.changeNow(t, "west-1", pods, none)
			becomes(t, c.Node("east-1"), patience, want("east-1", "10.20.1.0/24", "fd00:20:0:1::/64"))
			k := knock(t, c)
			k.begin(t, 50)
			c.changeNow(t, "west-1", none, pods)
			becomes(t, c.Node("east-1"), patience, want("east-1"))
			k.begin(t, 50)
			k.stop()
			for address := range k.seen {
				seen[address] = true
			}
		}
		if on {
			require.Equal(t, map[string]bool{ownAddresses[0]: true, ownAddresses[1]: true}, seen)
			continue
		}
		// A connection may have the port of one of before, and be one with it for conntrack.
		require.Contains(t, seen, nodeAddresses[0])
		require.Contains(t, seen, nodeAddresses[1])
	}
}

// changeNow rewrites a node's configuration and has it read at once, be the kernel's watches of files all taken.
func (c *clusters) changeNow(t *testing.T, node, old, new string) {
	t.Helper()
	c.rewrite(t, node, old, new)
	require.NoError(t, c.Node(node).Process("underlayd").Signal(syscall.SIGHUP))
}

// knocking begins a new connection from east-1's pod to a pod of west-1 every few milliseconds, over IPv4 and IPv6 in turn,
// and sends on all of them again and again.
type knocking struct {
	ended chan struct{}
	end   func()
	hand  sync.WaitGroup // that knocks
	ears  sync.WaitGroup

	mu    sync.Mutex // guards what follows
	conns []net.Conn
	seen  map[string]bool // as what, by those that answered
	heard int
}

func knock(t *testing.T, c *clusters) *knocking {
	t.Helper()
	k := &knocking{ended: make(chan struct{}), seen: map[string]bool{}}
	k.end = sync.OnceFunc(func() { close(k.ended) })
	t.Cleanup(func() { k.stop() })
	k.hand.Go(func() {
		tick := time.NewTicker(4 * time.Millisecond)
		defer tick.Stop()
		for turn := 0; ; turn++ {
			select {
			case <-k.ended:
				return
			case <-tick.C:
			}
			conn, err := c.Node("pod-east-1").Dial(t.Context(), "udp", net.JoinHostPort(remotePods[turn%2], fmt.Sprint(echoPort)))
			if err != nil {
				continue
			}
			k.mu.Lock()
			k.conns = append(k.conns, conn)
			again := k.conns[max(0, len(k.conns)-200):]
			k.mu.Unlock()
			k.ears.Go(func() { k.listen(conn) })
			for i := turn % 10; i < len(again); i += 10 {
				_, _ = again[i].Write([]byte("who am I"))
			}
			_, _ = conn.Write([]byte("who am I"))
		}
	})
	return k
}

func (k *knocking) listen(conn net.Conn) {
	for buffer := make([]byte, 64); ; {
		n, err := conn.Read(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n < 16 {
			continue // somebody on the way says that there is no way
		}
		k.mu.Lock()
		k.seen[netip.AddrFrom16([16]byte(buffer)).Unmap().String()] = true
		k.heard++
		k.mu.Unlock()
	}
}

// begin waits until so many more connections have begun.
func (k *knocking) begin(t *testing.T, more int) {
	t.Helper()
	count := func() int {
		k.mu.Lock()
		defer k.mu.Unlock()
		return len(k.conns)
	}
	before := count()
	require.Eventually(t, func() bool { return count() >= before+more }, patience, time.Millisecond)
}

// stop ends it and returns how many answers there were.
func (k *knocking) stop() int {
	k.end()
	k.hand.Wait()
	for _, conn := range k.conns {
		_ = conn.Close()
	}
	k.ears.Wait()
	return k.heard
}

package scenario

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// TestBFDIsHeard: what BFD finds out ends a session and its routes at once, and what it can't tell from a restart does not.
func TestBFDIsHeard(t *testing.T) {
	t.Parallel()
	containerlab.Require(t, "bfdd")
	c := twoClusters(t)
	n, fabric := c.Node("east-1"), c.Node("fabric")
	bfdd, err := fabric.Start("bfdd", "/usr/lib/frr/bfdd", "-A", "127.0.0.1")
	require.NoError(t, err)
	t.Cleanup(func() { _ = bfdd.Kill() })
	until(t, patience, "bfdd to answer", func(ctx context.Context) error {
		_, err := fabric.Output(ctx, "vtysh", "-d", "bfdd", "-c", "show bfd peers")
		return err
	})
	c.configure(t, "neighbor 192.168.11.1 bfd 3 100 100")
	c.configure(t, "neighbor 192.168.11.1 bfd check-control-plane-failure")
	c.rewrite(t, "east-1", "asn: 65000\n", "asn: 65000\n    bfd: {interval: 100ms}\n")
	up := func(t *testing.T) {
		t.Helper()
		is(t, n, "seen by BFD", func(s state) error {
			if b := s.Sessions[0].BFD; b.State != "Up" || b.DetectionTime != 300*time.Millisecond {
				return fmt.Errorf("BFD: %+v", b)
			}
			return nil
		})
		c.settled(t)
	}
	step(t, "the session gets it without a reset", func(t *testing.T) {
		flaps := stateOf(t, n).Sessions[0].Flaps
		up(t)
		require.Equal(t, flaps, stateOf(t, n).Sessions[0].Flaps)
	})
	step(t, "silence ends the session and its routes at once", func(t *testing.T) {
		require.NoError(t, bfdd.Signal(syscall.SIGSTOP))
		started := time.Now()
		becomes(t, n, patience, nil)
		took := time.Since(started)
		t.Logf("no routes %s after the last packet, at a detection time of 300ms", took.Round(time.Millisecond))
		require.NoError(t, bfdd.Signal(syscall.SIGCONT))
		require.Less(t, took, 3*time.Second, "the hold time is 9s")
		up(t)
		require.Equal(t, 1, stateOf(t, n).Sessions[0].Flaps)
	})
	step(t, "a restart is none of its business", func(t *testing.T) {
		m := watchRoutes(t, fabric)
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
			daemon := n.Process("underlayd")
			require.NoError(t, daemon.Signal(signal))
			<-daemon.Done()
			c.lose(t)
			until(t, patience, "the fabric's BFD to notice", func(ctx context.Context) error {
				out, err := fabric.Output(ctx, "vtysh", "-c", "show bfd peers brief")
				if err == nil && strings.Contains(out, "up") {
					err = errors.New(out)
				}
				return err
			})
			c.stale(t, "east-1", true)
			require.NoError(t, n.Launch(t.Context()))
			up(t)
		}
		m.quiet(t, "10.10.1.0", "fd00:10:0:1:")
	})
	step(t, "a node that is drained closes its session before BFD ends", func(t *testing.T) {
		c.configure(t, "no neighbor 192.168.11.1 bfd check-control-plane-failure")
		output(t, n, "underlayd", "drain", "--wait", "--grace", "0s")
		var why string
		for line := range strings.Lines(fabric.Process("bgpd").LogTail(100)) {
			if _, words, found := strings.Cut(line, "neighbor 192.168.11.1(east-1) in vrf default Down "); found {
				why = strings.TrimSpace(words)
			}
		}
		require.Equal(t, "BGP Notification received", why, "and not that BFD is down, which is a failure")
		output(t, n, "underlayd", "drain", "--cancel", "--wait")
		up(t)
	})
	step(t, "a peer without BFD has a session, and status says what is missing", func(t *testing.T) {
		c.configure(t, "no neighbor 192.168.11.1 bfd")
		is(t, n, "without BFD", func(s state) error {
			if !strings.Contains(s.blames("peer fabric"), "BFD session is") {
				return errors.New(s.blames("peer fabric"))
			}
			return connectedTo(s, "fabric")
		})
		becomes(t, n, patience, want("east-1"))
	})
}

package fib

import (
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/bgp/fib/sockopt"
)

// Refusals of the real kernel, brought about for real.

// unprivileged runs f on a thread that has given up all capabilities, and which ends with it.
func unprivileged(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		err := unix.Capset(&header, &none[0])
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

func TestALostCapabilityFailsEachRouteAndIsRecoveredFrom(t *testing.T) {
	for _, mode := range []Mode{ModeObjects, ModeInline} {
		t.Run(string(mode), func(t *testing.T) {
			_, s := newLinuxScene(t, mode)
			s.ensure(to(pods2, n2), to(pods3, m2))
			err := unprivileged(func() error { return s.Ensure(t.Context(), []Route{to(pods, n2), to(pods6, x2), to(pods3)}) })
			require.ErrorContains(t, err, "CAP_NET_ADMIN")
			require.ErrorContains(t, err, "route 10.20.0.0/24: ")
			require.ErrorContains(t, err, "route 10.20.3.0/24: delete: operation not permitted")
			for _, dst := range []string{pods, pods6, pods3} {
				require.Equal(t, Failed, s.status(dst))
				require.Contains(t, s.reason(dst), "operation not permitted (CAP_NET_ADMIN is missing)")
			}
			require.Equal(t, Installed, s.status(pods2))
			s.wantRoutes(pods2+" metric 512 via "+n2, stays)
			s.run() // on threads that have it
			s.eventually(ours4+n2, pods2+" metric 512 via "+n2, ours6+x2)
		})
	}
}

func TestAnAnswerThatDoesNotFitIsNoAnswer(t *testing.T) {
	for _, mode := range []Mode{ModeObjects, ModeInline} {
		t.Run(string(mode), func(t *testing.T) {
			l, s := newLinuxScene(t, mode)
			var script strings.Builder
			var routes []Route
			for i := range 2000 {
				dst := fmt.Sprintf("10.99.%d.%d/32", i/250, i%250)
				fmt.Fprintf(&script, "route add %s via %s metric 512 proto static\n", dst, n4)
				routes = append(routes, to(dst, n2))
			}
			s.ensure(to(pods2, n2)) // the kernel is known, and what comes now is not
			batch(t, script.String())
			k, ok := s.kernel.(*netlinkKernel)
			require.True(t, ok)
			require.NoError(t, unix.SetsockoptInt(k.cmd.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1))
			err := s.Ensure(t.Context(), append(routes, to(pods, n2), to(pods6, x2)))
			require.ErrorIs(t, err, unix.ENOBUFS)
			sockopt.ReceiveBuffer(k.cmd.fd, replyBuffer)
			s.run()
			s.eventually(ours4+n2, pods2+" metric 512 via "+n2, ours6+x2)
			s.eventuallyStatus(routes[0].Dst.String(), Conflict)
			require.Len(t, l.routes(t, static), len(routes), "not one was replaced")
			batch(t, strings.ReplaceAll(script.String(), "route add", "route del"))
			within(t, func() bool { return s.Stats().Installed == len(routes)+3 }, "our routes to take their place")
		})
	}
}

func TestWhatChangesWhileItIsReadIsReadAgain(t *testing.T) {
	l, s := newLinuxScene(t, ModeObjects)
	var want []Route
	for i := range 4000 {
		want = append(want, Route{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 64 + byte(i>>8), byte(i), 0}), 24), addrs(n2, n3)})
	}
	s.ensure(want...)
	// Next-hop objects of others come and go all the time.
	pair := fmt.Sprintf("nexthop add id 77 via %s dev fab0 proto static\nnexthop del id 77\n", n4)
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Repeat(pair, 200_000))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // the pinned thread outlives it
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	var members strings.Builder // a dump of several messages can be interrupted between two
	for i := range 2000 {
		fmt.Fprintf(&members, "nexthop add id %d via %s dev fab0 proto static\n", 1000+i, n4)
	}
	batch(t, members.String())
	deadline := time.Now().Add(soon)
	for s.Stats().Interrupted == 0 && time.Now().Before(deadline) {
		if n, err := s.Adopt(t.Context()); err != nil {
			require.ErrorIs(t, err, errInterrupted)
		} else {
			require.Equal(t, len(want), n)
		}
	}
	require.NotZero(t, s.Stats().Interrupted, "no dump was interrupted")
	removed, err := s.Prune(t.Context())
	if err != nil {
		require.ErrorIs(t, err, errInterrupted)
	}
	require.Zero(t, removed)
	require.Len(t, l.routes(t, ourMark), len(want))
	require.Equal(t, len(want), s.Stats().Installed)
}

func TestObjectsThatWentUnseenAreMadeAgainWhenARouteNeedsThem(t *testing.T) {
	l, s := newLinuxScene(t, ModeObjects)
	s.ensure(to(pods, n2, n3), to(pods6, x2))
	l.ip(t, "nexthop", "flush", "proto", "200") // nobody runs: the kernel refuses a route to them (EINVAL)
	s.ensure(to(pods2, n2, n3))
	s.wantRoutes(ours4+n2+" "+n3, pods2+" metric 512 via "+n2+" "+n3, ours6+x2)
	// A link that went: ENETDOWN or ENODEV, and the others are written.
	s.setUp(t, "fab0", false)
	err := s.Ensure(t.Context(), []Route{to("10.20.4.0/24", n2, n4), to(pods3, m2)})
	require.ErrorContains(t, err, "route 10.20.4.0/24: ")
	require.NotEmpty(t, s.reason("10.20.4.0/24"))
	require.Equal(t, Failed, s.status("10.20.4.0/24"))
	require.Equal(t, Installed, s.status(pods3))
	require.Contains(t, l.routes(t, ourMark), stays)
}

package main

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/bfd"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/containerlab"
)

// speaking is an agent with a real speaker, which has no listener and waits for its one peer, and with the kernel of a
// network namespace that is empty.
func speaking(t *testing.T) *agent {
	t.Helper()
	containerlab.Require(t)
	a := deciding(10)
	a.log, a.started = logrus.New(), time.Now()
	a.log.SetOutput(t.Output())
	a.config.Kernel.Table, a.config.Kernel.Protocol = 254, 190
	a.config.BGP.Peers = a.config.BGP.Peers[:1]
	a.config.BGP.Peers[0].Passive, a.config.BGP.Peers[0].ASN = true, 65000
	a.config.BGP.Peers[0].Address = netip.MustParseAddr("127.0.0.2")
	a.passwords, a.bfd = newPasswords(a.log), bfd.New()

	opened := make(chan error)
	go func() { // its thread is never unlocked: it ends with it, and so does the namespace with its last socket
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			a.kernel, err = fib.Open(kernelConfig(a.config, a.log))
		}
		opened <- err
	}()
	require.NoError(t, <-opened)
	t.Cleanup(func() { require.NoError(t, a.kernel.Close()) })

	var err error
	a.speaker, err = bgp.Start(t.Context(), bgp.Config{ASN: 64512, RouterID: netip.MustParseAddr("192.0.2.1"), Port: -1, Log: a.log})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.speaker.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return a
}

// TestAPeerThatTheSpeakerLostIsHandedToItAgain: nothing of the peers has changed, so that only a retry knows.
func TestAPeerThatTheSpeakerLostIsHandedToItAgain(t *testing.T) {
	a := speaking(t)
	a.setPeers(t.Context())
	require.Len(t, a.speaker.Sessions(), 1)

	require.NoError(t, a.speaker.SetPeers(t.Context(), nil))
	a.setPeers(t.Context())
	require.Empty(t, a.speaker.Sessions(), "the peers are the same")
	a.tryAgain(t.Context())
	require.Empty(t, a.speaker.Sessions(), "nothing has failed")
	a.failed(errors.New("renew peer tor-a"))
	a.tryAgain(t.Context())
	require.Len(t, a.speaker.Sessions(), 1)
	require.False(t, a.retry)
}

// TestWhatTheSpeakerRefusesIsTriedAgain: there is no such link.
func TestWhatTheSpeakerRefusesIsTriedAgain(t *testing.T) {
	a := speaking(t)
	a.config.BGP.Peers[0].Address = netip.MustParseAddr("fe80::2%nowhere0")
	for range 2 {
		a.setPeers(t.Context())
		require.True(t, a.retry)
		require.Contains(t, a.speaker.Sessions()[0].LastError, "interface")
		a.tryAgain(t.Context())
		require.True(t, a.retry, "tried, and refused again")
	}
}

// TestANodeThatStaysOpensTheSessionsThatItHasClosed: its peers are the same as before.
func TestANodeThatStaysOpensTheSessionsThatItHasClosed(t *testing.T) {
	a := speaking(t)
	a.setPeers(t.Context())
	waits := func() bool {
		sessions := a.speaker.Sessions()
		return len(sessions) == 1 && sessions[0].State == "active"
	}
	require.Eventually(t, waits, time.Minute, 10*time.Millisecond)
	require.NoError(t, a.speaker.Close(t.Context(), "drained"))
	require.Eventually(t, func() bool { return !waits() }, time.Minute, 10*time.Millisecond)
	a.drain.stage = closing
	a.stay(t.Context())
	require.Eventually(t, waits, time.Minute, 10*time.Millisecond)
}

package neighbor

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

func TestAFinderEnds(t *testing.T) {
	containerlab.Require(t)
	f := Open()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	cancel()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(time.Minute):
		require.Fail(t, "it did not end")
	}
}

func TestWithoutTheSocketFindSaysSo(t *testing.T) {
	f := &Finder{closed: "ICMPv6 socket: operation not permitted", changed: make(chan struct{}, 1), poked: make(chan struct{}, 1)}
	f.Watch([]string{"lo"})
	pair, why := f.Find("lo")
	require.Zero(t, pair)
	require.Equal(t, f.closed, why)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, f.Run(ctx))
}

func TestInspect(t *testing.T) {
	require.Equal(t, "there is no link no-such-link", inspect("no-such-link").problem)
	all, err := net.Interfaces()
	require.NoError(t, err)
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 && i.Flags&net.FlagUp != 0 {
			require.Contains(t, inspect(i.Name).problem, "no IPv6 link-local address")
		}
	}
}

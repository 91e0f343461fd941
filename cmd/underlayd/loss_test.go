package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/status"
)

// TestWhatAwaitsConfirmationIsCountedAtOnce: a session that ends changes none of the records, though all of them tell
// something else from then on.
func TestWhatAwaitsConfirmationIsCountedAtOnce(t *testing.T) {
	a, _ := braking(t, 10)
	a.refused = newRefusedPoller()
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	defer func() {
		cancel()
		require.NoError(t, group.Wait())
	}()
	path, board := status.SocketPath(t.TempDir()), &status.Board{}
	group.Go(func() error { return status.Serve(ctx, path, board) })
	var table *status.RouteTable
	stale := func() int {
		table = a.routeTable(table)
		board.Publish(&status.Snapshot{Node: "east-1", Table: table})
		var s *status.Snapshot
		require.Eventually(t, func() (ok bool) {
			var err error
			s, err = status.NewClient(path).Status(ctx)
			return err == nil
		}, time.Minute, 10*time.Millisecond)
		return s.Routes.Stale
	}
	require.Zero(t, stale())
	a.lost(bgp.Restarting, 0, time.Minute)
	a.showAway()
	require.True(t, a.stale, "there is a snapshot to come")
	require.Equal(t, 10, stale())

	before := table
	a.stale = false
	a.showAway()
	require.False(t, a.stale)
	require.Same(t, before, a.routeTable(table), "nothing is looked at again while nothing changes")

	clear(a.losses)
	a.showAway()
	require.Zero(t, stale())
}

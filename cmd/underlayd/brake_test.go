package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/config"
)

// braking is an agent that knows n routes of west, all from peerA and in the kernel.
func braking(t *testing.T, n int) (*agent, []bgp.Change) {
	a, changes := deciding(1000), announced(n, 1)
	a.log = logrus.New()
	a.log.SetOutput(t.Output())
	a.config.BGP.Brake = config.Brake{Share: 50, Hold: 5 * time.Minute}
	a.config.BGP.GracefulRestart.StaleTime = 2 * time.Minute
	b := a.newBatch(n)
	for _, c := range changes {
		b.decide(c)
	}
	for _, r := range b.routes {
		a.book.observe(fib.State{Dst: r.Dst, Outcome: &fib.Outcome{Status: fib.Installed, NextHops: r.NextHops}}, a.owner, time.Now())
	}
	return a, changes
}

// withdrawn is what becomes of the first n routes in one batch.
func (a *agent) withdrawn(changes []bgp.Change, n int, lost bool) *batch {
	b := a.newBatch(n)
	for _, c := range changes[:n] {
		b.decide(bgp.Change{Prefix: c.Prefix, Lost: lost})
	}
	b.brake()
	return b
}

// lost notes the end of peerA's session some time ago.
func (a *agent) lost(cause bgp.Cause, ago, grace time.Duration) {
	a.losses[peerA] = bgp.Loss{Peer: peerA, Cause: cause, At: time.Now().Add(-ago), Grace: grace}
}

func TestTheBrake(t *testing.T) {
	const minute = time.Minute
	for name, row := range map[string]struct {
		prepare func(*agent)
		gone    int
		live    bool // withdrawn by a peer that is up
		kept    int  // at first
		still   int  // when it is clear how many are lost
	}{
		"all routes of a cluster are lost at once":       {func(a *agent) { a.lost(bgp.Disconnected, 0, 0) }, 10, false, 10, 10},
		"more than the share":                            {func(a *agent) { a.lost(bgp.Disconnected, 0, 0) }, 6, false, 6, 6},
		"no more than the share":                         {func(a *agent) { a.lost(bgp.Disconnected, 0, 0) }, 5, false, 5, 0},
		"some went a moment ago":                         {func(a *agent) { a.lost(bgp.Disconnected, 0, 0); a.gone["west"] = gone{3, time.Now()} }, 5, false, 5, 5},
		"some went long ago":                             {func(a *agent) { a.lost(bgp.Disconnected, 0, 0); a.gone["west"] = gone{3, time.Now().Add(-minute)} }, 5, false, 5, 0},
		"all of them are withdrawn":                      {func(*agent) {}, 10, true, 0, 0},
		"withdrawn by one peer while another was lost":   {func(a *agent) { a.lost(bgp.Disconnected, 0, 0) }, 10, true, 0, 0},
		"the session was lost too long ago":              {func(a *agent) { a.lost(bgp.Disconnected, 6*minute, 0) }, 10, false, 10, 0},
		"the brake is off":                               {func(a *agent) { a.config.BGP.Brake.Hold = 0; a.lost(bgp.Disconnected, 0, 0) }, 10, false, 0, 0},
		"few, of a peer that restarts":                   {func(a *agent) { a.lost(bgp.Restarting, 0, minute) }, 1, false, 1, 1},
		"few, of a peer that takes longer than it asked": {func(a *agent) { a.lost(bgp.Restarting, minute, minute) }, 1, false, 0, 0},
		"few, of a peer that asks for more than it gets": {func(a *agent) { a.lost(bgp.Restarting, 3*minute, 60*minute) }, 1, false, 0, 0},
		"all, of a peer that takes longer than it asked": {func(a *agent) { a.lost(bgp.Restarting, minute, minute) }, 10, false, 10, 10},
	} {
		t.Run(name, func(t *testing.T) {
			a, changes := braking(t, 10)
			row.prepare(a)
			b := a.withdrawn(changes, row.gone, !row.live)
			require.Equal(t, row.kept, a.book.tally("west").kept)
			require.Len(t, b.routes, row.gone-row.kept, "the others leave the kernel")
			require.Equal(t, row.kept > 0, len(a.keptProblems()) > 0)
			released := a.letGo(a.overdue(time.Now().Add(brakeLook)))
			require.Equal(t, row.still, a.book.tally("west").kept)
			require.Len(t, released.routes, row.kept-row.still)
			require.Equal(t, 10-row.gone+row.still, a.book.tally("west").accepted)
			require.Equal(t, 10-row.gone+row.still, a.ledger.Usage("west").Admitted)
		})
	}
}

// TestSessionsThatAreLostOneAfterTheOther: the first losses alone are no reason to brake, and are kept when others follow.
func TestSessionsThatAreLostOneAfterTheOther(t *testing.T) {
	a, changes := braking(t, 10)
	a.lost(bgp.Disconnected, 0, 0)
	for i := 0; i < 6; i += 2 {
		require.Empty(t, a.withdrawn(changes[i:], 2, true).routes)
	}
	require.Empty(t, a.overdue(time.Now().Add(brakeLook)))
	require.Equal(t, 6, a.book.tally("west").kept)
}

// TestWhatIsKept goes through the life of kept routes.
func TestWhatIsKept(t *testing.T) {
	a, changes := braking(t, 10)
	a.lost(bgp.Disconnected, 0, 0)
	require.Empty(t, a.withdrawn(changes, 10, true).routes)
	require.Contains(t, fmt.Sprint(a.keptProblems()), "10 of its 10 routes have lost every session")

	b := a.newBatch(1)
	b.decide(changes[0])
	require.Empty(t, b.routes, "announced again as it was: the kernel has it")
	require.Equal(t, 9, a.book.tally("west").kept)

	elsewhere := bgp.Change{Prefix: changes[1].Prefix, Paths: bgp.NewPathSet([]bgp.Path{{Peer: peerB, NextHop: peerB, ClusterIDs: []uint32{2}}})}
	b.decide(elsewhere)
	require.Equal(t, []fib.Route{{Dst: changes[1].Prefix, NextHops: []netip.Addr{peerB}}}, b.routes)
	require.Equal(t, 8, a.book.tally("west").kept)

	b = a.withdrawn(changes[2:], 1, false)
	require.Equal(t, []fib.Route{{Dst: changes[2].Prefix}}, b.routes, "a withdrawal by a peer that is up is obeyed")
	require.Equal(t, 7, a.book.tally("west").kept)

	a.takePlan(fib.Facts{})
	b = a.newBatch(10)
	for _, p := range a.book.prefixes() {
		b.again(p)
	}
	b.brake()
	require.Empty(t, b.routes, "another plan that lets them in changes nothing")
	require.Equal(t, 7, a.book.tally("west").kept)

	require.Empty(t, a.overdue(time.Now()))
	require.Len(t, a.overdue(time.Now().Add(5*time.Minute)), 1, "not longer than it may")
	a.config.BGP.Brake.Hold = 0
	require.Len(t, a.overdue(time.Now()), 1, "what may be follows the configuration")
	a.config.BGP.Brake.Hold = time.Minute
	delete(a.losses, peerA)
	overdue := a.overdue(time.Now())
	require.Len(t, overdue, 1, "the peer has told all of its routes, and these were not among them")
	require.Len(t, a.letGo(overdue).routes, 7)
	require.Empty(t, a.book.kept)
	require.Zero(t, a.book.tally("west").kept)
}

func TestAPlanThatRefusesAKeptRouteEndsIt(t *testing.T) {
	a, changes := braking(t, 2)
	a.lost(bgp.Disconnected, 0, 0)
	a.withdrawn(changes, 2, true)
	a.config.Cluster.Reserved = []netip.Prefix{changes[0].Prefix}
	a.takePlan(fib.Facts{})
	b := a.newBatch(2)
	for _, c := range changes {
		b.again(c.Prefix)
	}
	b.brake()
	require.Equal(t, []fib.Route{{Dst: changes[0].Prefix}}, b.routes)
	require.Equal(t, 1, a.book.tally("west").kept)
}

// TestWhatRestartingPeersHoldCountsToo: the routes of most peers are kept for their restart, and those of the last one go.
func TestWhatRestartingPeersHoldCountsToo(t *testing.T) {
	for name, row := range map[string]struct {
		cause bgp.Cause
		kept  int
	}{
		"the others restart":               {bgp.Restarting, 1},
		"the others are lost, and go soon": {bgp.Unreachable, 0},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := braking(t, 9)
			a.lost(row.cause, 0, time.Minute)
			alone := bgp.Change{Prefix: netip.MustParsePrefix("10.200.0.0/24"), Paths: bgp.NewPathSet([]bgp.Path{{Peer: peerB, NextHop: peerB, ClusterIDs: []uint32{2}}})}
			a.newBatch(1).decide(alone)
			a.losses[peerB] = bgp.Loss{Peer: peerB, Cause: bgp.Disconnected, At: time.Now()}
			a.withdrawn([]bgp.Change{alone}, 1, true)
			a.letGo(a.overdue(time.Now().Add(brakeLook)))
			require.Equal(t, row.kept, a.book.tally("west").kept)
		})
	}
}

// TestTheFirstOfManyLossesIsLookedAtAgain: when it came, nobody knew of the others.
func TestTheFirstOfManyLossesIsLookedAtAgain(t *testing.T) {
	a, _ := braking(t, 9)
	alone := bgp.Change{Prefix: netip.MustParsePrefix("10.200.0.0/24"), Paths: bgp.NewPathSet([]bgp.Path{{Peer: peerB, NextHop: peerB, ClusterIDs: []uint32{2}}})}
	a.newBatch(1).decide(alone)
	a.losses[peerB] = bgp.Loss{Peer: peerB, Cause: bgp.Disconnected, At: time.Now()}
	a.withdrawn([]bgp.Change{alone}, 1, true)
	require.Equal(t, 1, a.book.tally("west").kept)
	a.lost(bgp.Restarting, 0, time.Minute)
	require.Empty(t, a.overdue(time.Now().Add(brakeLook)))
	require.Equal(t, 1, a.book.tally("west").kept)
}

// spread is an agent that knows n routes of as many ways as given, whose one peer is lost while another one restarts.
func spread(n, ways int) (*agent, []bgp.Change) {
	a, changes := deciding(n), announced(n, ways)
	a.log = logrus.New()
	a.log.SetOutput(io.Discard)
	a.config.BGP.Brake, a.config.BGP.GracefulRestart.StaleTime = config.Brake{Share: 50, Hold: time.Minute}, time.Minute
	b := a.newBatch(n)
	for _, c := range changes {
		b.decide(c)
	}
	a.lost(bgp.Disconnected, 0, 0)
	a.losses[peerB] = bgp.Loss{Peer: peerB, Cause: bgp.Restarting, At: time.Now(), Grace: time.Minute}
	return a, changes
}

// TestAllThatIsOverdueGoesAtOnce: however many ways it went, in one batch, which is one call to the kernel, and with one line.
func TestAllThatIsOverdueGoesAtOnce(t *testing.T) {
	const ways = 4000
	a, changes := spread(2*ways+2, ways)
	require.Empty(t, a.withdrawn(changes, ways, true).routes)
	require.Len(t, a.book.kept, ways)
	var log strings.Builder
	a.log.SetOutput(&log)
	due := a.overdue(time.Now().Add(brakeLook))
	require.Len(t, due, ways)
	require.Len(t, a.letGo(due).routes, ways)
	require.Equal(t, 1, strings.Count(log.String(), "\n"))
	require.Contains(t, log.String(), "braked=0 routes=4000")
	require.Equal(t, ways, a.gone["west"].routes, "what comes next is judged with them")
	require.Empty(t, a.book.kept)
}

func BenchmarkWhatIsKeptIsLookedAt(b *testing.B) {
	a, changes := spread(100_000, 4000)
	a.withdrawn(changes, 4000, true)
	for b.Loop() {
		require.Len(b, a.overdue(time.Now().Add(brakeLook)), 4000)
	}
}

func BenchmarkTheBrake(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		a, changes := spread(100_000, 4000)
		batch := a.newBatch(len(changes))
		for _, c := range changes {
			batch.decide(bgp.Change{Prefix: c.Prefix, Lost: true})
		}
		b.StartTimer()
		batch.brake()
	}
}

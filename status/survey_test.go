package status

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// finished is a snapshot with what the server derives of it, by a look at every route.
func finished(s *Snapshot) *Snapshot {
	var once surveyor
	return s.finish(once.survey(s.Table))
}

// TestASurveyorRemembersNothingWrong changes a table at random and compares what a surveyor says of it, who knows the
// tables before, with what one says who sees it for the first time.
func TestASurveyorRemembersNothingWrong(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var table *RouteTable
	var old surveyor
	for range 300 {
		var changed []Row
		var removed []netip.Prefix
		for range random.IntN(60) {
			p := fmt.Sprintf("10.20.%d.%d/32", random.IntN(8), random.IntN(256))
			switch random.IntN(7) {
			case 0:
				removed = append(removed, prefix(p))
			case 1:
				changed = append(changed, refused(p, "NoContract", p+" lies nowhere"))
			case 2:
				changed = append(changed, refused(p, "TooLong", ""))
			case 3:
				changed = append(changed, kernel(accepted(p, "west", path("tor-a", "172.16.0.1", 65000)), Failed, "no"))
			case 4:
				changed = append(changed, kernel(accepted(p, "west", path("tor-a", "172.16.0.1", 65000)), Conflict, "taken"))
			case 5:
				r := accepted(p, "west", path("tor-a", "172.16.0.1", 65000))
				r.Paths = append(r.Paths, Path{Peer: "tor-b", Verdict: []string{"NoContract", "Loop"}[random.IntN(2)], Detail: "no"})
				changed = append(changed, r)
			default:
				changed = append(changed, accepted(p, "west", path("tor-a", "172.16.0.1", 65000)))
			}
		}
		table = table.With(changed, removed)
		if random.IntN(10) == 0 {
			runtime.GC() // chunks that are gone make room for others at the same place
		}
		var new surveyor
		require.Equal(t, new.survey(table), old.survey(table))
		require.Equal(t, table.Len(), old.survey(table).summary.Total)
	}
}

// awaiting is a row that tells, besides its own, whether the peer of all of them is waited for.
type awaiting struct {
	Row
	away *bool
}

func (a awaiting) Route() *Route {
	r := *a.Row.Route()
	r.Paths = slices.Clone(r.Paths)
	r.Paths[0].Stale = *a.away
	return &r
}

func TestASurveyorLooksAgainAtARenewedTable(t *testing.T) {
	var s surveyor
	var away bool
	var rows []Row
	for row := range many(1000).Rows() {
		rows = append(rows, awaiting{row, &away})
	}
	table := (*RouteTable)(nil).With(rows, nil)
	for range 4 {
		require.Equal(t, map[bool]int{true: 1000}[away], s.survey(table).summary.Stale)
		away = !away
		table = table.With(rows[:1], nil).Renewed()
		require.Equal(t, len(rows), table.Len())
	}
	require.Nil(t, (*RouteTable)(nil).Renewed())
}

func TestASurveyorKeepsNoTableAlive(t *testing.T) {
	var s surveyor
	gone := make(chan struct{})
	func() {
		table := many(1000)
		s.survey(table)
		runtime.AddCleanup(&table.chunks[0][0], func(struct{}) { close(gone) }, struct{}{})
	}()
	for range 100 {
		runtime.GC()
		select {
		case <-gone:
			return
		default:
		}
	}
	require.Fail(t, "the routes are still there")
}

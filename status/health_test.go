package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHealth(t *testing.T) {
	const notReady = "the daemon refused: the first exchange with the peers is not over: the phase is "
	for name, row := range map[string]struct {
		turned       time.Duration // ago; zero: never
		phase        Phase         // empty: nothing was published
		alive, ready string        // what is said; empty: all is well
	}{
		"it starts":                             {0, "", "", "the daemon refused: the daemon is starting and has nothing to tell yet; try again"},
		"it waits for its peers":                {time.Second, Learning, "", notReady + "Learning"},
		"it does not know its peers":            {time.Second, Starting, "", notReady + "Starting"},
		"it has converged":                      {time.Second, Ready, "", ""},
		"no peer answers, and was waited for":   {time.Second, Degraded, "", ""},
		"it leaves on request":                  {time.Second, Draining, "", ""},
		"it has left on request":                {time.Second, Drained, "", ""},
		"a turn of the loop takes long":         {50 * time.Second, Ready, "", ""},
		"the loop is stuck, whatever was ready": {90 * time.Second, Ready, "the daemon refused: the loop has not turned for 1m30s", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := serve(t, nil)
			if row.phase != "" {
				d.board.Publish(&Snapshot{Phase: row.phase})
			}
			if row.turned > 0 {
				d.board.Turn(time.Now().Add(-row.turned))
			}
			for ready, want := range map[bool]string{false: row.alive, true: row.ready} {
				err := d.client.Health(t.Context(), ready)
				if want == "" {
					require.NoError(t, err)
				} else {
					require.EqualError(t, err, want)
				}
			}
			require.NoError(t, d.stop())
			require.ErrorIs(t, d.client.Health(t.Context(), false), ErrNotRunning)
		})
	}
}

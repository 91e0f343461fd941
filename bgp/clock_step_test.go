//go:build setclock

package bgp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// This sets the clock of the machine, and so runs nowhere but in a virtual machine made for it:
//
//	CGO_ENABLED=0 go test -c -tags setclock -o clock.test ./bgp
//	UNDERLAYD_TEST_ISOLATED=1 ./clock.test -test.v -test.run RealStep

// TestRealStep sets the wall clock while sessions are up.
func TestRealStep(t *testing.T) {
	for _, row := range []struct {
		name    string
		by      time.Duration
		unaware bool // as if nobody looked after it
		heard   bool
		flaps   int
	}{
		{"an hour forward touches nothing", time.Hour, false, true, 0},
		{"an hour back makes GoBGP deaf", -time.Hour, true, false, 0},
		{"an hour back is repaired", -time.Hour, false, true, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			begun, real := time.Now(), time.Now().Round(0)
			s := start(t, func(c *Config) {
				if row.unaware {
					c.WallClock = func() time.Time { return real.Add(time.Since(begun)) }
				}
			})
			far := startRemote(t, "192.168.0.2", 65000, s)
			far.announce(west)
			p := far.peer("far")
			p.HoldTime = 9 * time.Second
			require.NoError(t, s.SetPeers(t.Context(), []Peer{p}))
			w := newWorld(t, s)
			w.becomes("10.20.1.0/24 from [192.168.0.2]")
			quiet := time.NewTimer(2 * time.Second)
			<-quiet.C

			now := unix.NsecToTimeval(time.Now().Round(0).Add(row.by).UnixNano())
			require.NoError(t, unix.Settimeofday(&now))
			stepped := time.Now()
			far.announce(many(1)[0])
			both := []string{"10.20.0.0/28 from [192.168.0.2]", "10.20.1.0/24 from [192.168.0.2]"}
			if !row.heard {
				require.Never(t, func() bool { return len(w.text()) != 1 }, 20*time.Second, 50*time.Millisecond)
				require.True(t, named(s, "far").Established, "and its keepalives go on")
				return
			}
			require.Eventually(t, func() bool {
				got := w.text()
				require.Contains(t, got, both[1], "what was there stays")
				return len(got) == 2
			}, 30*time.Second, 10*time.Millisecond)
			t.Logf("heard after %s", time.Since(stepped).Round(time.Millisecond))
			require.Never(t, func() bool { return named(s, "far").Flaps != row.flaps }, 12*time.Second, 50*time.Millisecond,
				"longer than the hold time")
			require.True(t, named(s, "far").Established)
		})
	}
}

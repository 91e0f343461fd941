package bgp

import (
	"net/netip"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/stretchr/testify/require"
)

// TestWhatIsPassedOnIsSentAgain: GoBGP may have forgotten something in the moment in which the session came up.
func TestWhatIsPassedOnIsSentAgain(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	a := startRemote(t, "192.168.0.3", 65001, s)
	a.announce(west)
	far := (&remote{addr: netip.MustParseAddr("192.168.0.2"), asn: 65000, port: 1}).foreign("far", others)
	far.Passive, far.HoldTime = true, 90*time.Second
	require.NoError(t, s.SetPeers(t.Context(), []Peer{a.peer("a"), far}))
	established(t, s, "a")
	r := connect(t, s)
	require.NoError(t, r.conn.SetReadDeadline(time.Now().Add(patience)))
	for heard := 0; heard < 2; {
		m, err := r.next()
		require.NoError(t, err, "heard %d times", heard)
		if update, ok := m.Body.(*gobgp.BGPUpdate); ok {
			heard += len(update.NLRI)
		}
	}
	// And that is all: nothing is sent for ever.
	require.NoError(t, r.conn.SetReadDeadline(time.Now().Add(2*lateAfter)))
	for {
		m, err := r.next()
		if err != nil {
			break
		}
		if update, ok := m.Body.(*gobgp.BGPUpdate); ok {
			require.Empty(t, update.NLRI)
		}
	}
}

package bgp

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/stretchr/testify/require"
)

// filling is how many messages of two kilobytes are more than the buffers of a connection hold.
const filling = 4096

// busy connects a peer that reads nothing yet and gets it so much to read that the rest has to wait.
func busy(t *testing.T, s *subject, source *remote, peers ...Peer) *raw {
	t.Helper()
	far := (&remote{addr: netip.MustParseAddr("192.168.0.2"), asn: 65000, port: 1}).foreign("far", others)
	far.Passive, far.HoldTime = true, 90*time.Second
	require.NoError(t, s.SetPeers(t.Context(), append(peers, far)))
	r := dial(t, s, "192.168.0.2", 90, 2048)
	require.Eventually(t, func() bool {
		if r.over() {
			r = dial(t, s, "192.168.0.2", 90, 2048)
		}
		return named(s, "far").Established && !r.over()
	}, patience, 20*time.Millisecond)
	for i := range filling {
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 20, byte(i >> 4), byte(i << 4)}), 28)
		source.announce(prefix, gobgp.NewPathAttributeCommunities(slices.Repeat([]uint32{uint32(i)}, 500)))
	}
	return r
}

// TestNobodyKeepsWhatIsGone: a peer to which the last paths of a prefix wait to be sent has the withdrawal in the end.
func TestNobodyKeepsWhatIsGone(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	a, b := startRemote(t, "192.168.0.3", 65001, s), startRemote(t, "192.168.0.4", 65002, s)
	far := busy(t, s, a, a.peer("a"), b.peer("b"))
	has := func(paths int) {
		t.Helper()
		require.Eventually(t, func() bool {
			for _, c := range s.Drain(0) {
				if c.Prefix == west6 {
					return c.Paths.Len() == paths
				}
			}
			return false
		}, patience, 10*time.Millisecond)
	}
	far.ready(t, s)
	a.announce(west6)
	has(1)
	b.announce(west6)
	has(2)
	a.withdraw(west6)
	has(1)
	b.withdraw(west6)
	has(0)

	heard, held := false, false
	require.NoError(t, far.conn.SetReadDeadline(time.Now().Add(patience/4))) // which is waited for if nothing comes
	for !heard || held {
		m, err := far.next()
		if !heard && errors.Is(err, os.ErrDeadlineExceeded) {
			t.Log("all was void before any of it was sent")
			return
		}
		require.NoError(t, err, "heard: %t, kept: %t", heard, held)
		update, ok := m.Body.(*gobgp.BGPUpdate)
		if !ok {
			continue
		}
		for _, attribute := range update.PathAttributes {
			switch attribute.(type) {
			case *gobgp.PathAttributeMpReachNLRI:
				heard, held = true, true
				require.NoError(t, far.conn.SetReadDeadline(time.Now().Add(patience)))
			case *gobgp.PathAttributeMpUnreachNLRI:
				held = false
			}
		}
	}
}

// ready waits until all that fills the peer's buffers has been passed on.
func (r *raw) ready(t *testing.T, s *subject) {
	t.Helper()
	require.Eventually(t, func() bool { s.Drain(0); return s.table.prefixes.Len() >= filling }, patience, 10*time.Millisecond)
}

package bgp

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/stretchr/testify/require"
)

func (r *remote) shutDown() {
	r.t.Helper()
	require.NoError(r.t, r.server.DisablePeer(r.t.Context(), &api.DisablePeerRequest{Address: speaker.String()}))
}

// many are n prefixes inside the contract.
func many(n int) []netip.Prefix {
	all := make([]netip.Prefix, n)
	for i := range all {
		all[i] = netip.MustParsePrefix(fmt.Sprintf("10.20.%d.%d/28", i/16, i%16*16))
	}
	return all
}

func TestALossIsToldBeforeTheWithdrawalsAndTheseComeInOnePiece(t *testing.T) {
	s := start(t, nil)
	a, b := startRemote(t, "192.168.0.2", 65000, s), startRemote(t, "192.168.0.3", 65001, s)
	prefixes := many(2000)
	rows := make([]netip.Prefix, 0, len(prefixes))
	for _, p := range prefixes {
		a.announce(p)
		b.announce(p)
		rows = append(rows, p)
	}
	mortal := a.peer("a")
	mortal.GracefulRestart = GracefulRestart{}
	require.NoError(t, s.SetPeers(t.Context(), []Peer{mortal, b.peer("b")}))
	w := newWorld(t, s)
	require.Eventually(t, func() bool {
		w.text()
		both := 0
		for _, paths := range w.table {
			both += len(paths)
		}
		return both == 2*len(rows)
	}, patience, 10*time.Millisecond)

	a.shutDown()
	require.Eventually(t, func() bool {
		lost := s.Lost()
		require.LessOrEqual(t, len(lost), 1)
		return len(lost) == 1 && lost[0].Peer == a.addr && lost[0].Cause == Closed
	}, patience, 10*time.Millisecond)
	var changes []Change
	require.Eventually(t, func() bool { changes = s.Drain(0); return len(changes) > 0 }, patience, 10*time.Millisecond)
	require.Len(t, changes, len(rows))
	for _, c := range changes {
		require.Equal(t, 1, c.Paths.Len())
		require.Equal(t, b.addr, c.Paths.All()[0].Peer)
	}
	require.Empty(t, s.Lost(), "a loss is told once")
}

func TestAPeerThatRestartsKeepsItsPathsForAWhile(t *testing.T) {
	s := start(t, nil)
	a := startRemote(t, "192.168.0.2", 65000, s)
	a.restarts(t, 3)
	a.announce(west)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{a.peer("a")}))
	w := newWorld(t, s)
	w.becomes("10.20.1.0/24 from [192.168.0.2]")

	before := time.Now()
	// A broken connection, not a Cease: those with the N bit unset end graceful restart.
	require.NoError(t, a.server.StopBgp(t.Context(), &api.StopBgpRequest{AllowGracefulRestart: true}))
	var lost []Loss
	require.Eventually(t, func() bool { lost = s.Lost(); return len(lost) > 0 }, patience, 10*time.Millisecond)
	require.Equal(t, Restarting, lost[0].Cause)
	require.Equal(t, 3*time.Second, lost[0].Grace)
	require.Eventually(t, func() bool { return !s.Sessions()[0].Established }, patience, 10*time.Millisecond)

	var changes []Change
	require.Eventually(t, func() bool { changes = s.Drain(0); return len(changes) > 0 }, patience, 10*time.Millisecond)
	require.GreaterOrEqual(t, time.Since(before), lost[0].Grace, "the path stays")
	require.Equal(t, []Change{{Prefix: west, Lost: true}}, changes, "nobody withdrew it")
}

func TestAWithdrawalIsNoLoss(t *testing.T) {
	s := start(t, nil)
	a := startRemote(t, "192.168.0.2", 65000, s)
	a.announce(west)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{a.peer("a")}))
	newWorld(t, s).becomes("10.20.1.0/24 from [192.168.0.2]")
	next := func() []Change {
		var changes []Change
		require.Eventually(t, func() bool { changes = s.Drain(0); return len(changes) > 0 }, patience, 10*time.Millisecond)
		return changes
	}
	a.withdraw(west)
	require.Equal(t, []Change{{Prefix: west}}, next(), "by a peer that is up")
	a.announce(west)
	require.False(t, next()[0].Lost)
	a.shutDown()
	require.Equal(t, []Change{{Prefix: west}}, next(), "by one that leaves on purpose")
}

func TestAnUnreachablePeerLosesItsPathsAtOnce(t *testing.T) {
	s := start(t, nil)
	a := startRemote(t, "192.168.0.2", 65000, s)
	a.announce(west)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{a.peer("a")}))
	w := newWorld(t, s)
	w.becomes("10.20.1.0/24 from [192.168.0.2]")
	require.True(t, s.Fall(a.addr, "BFD: no packet for 150ms"))
	require.Equal(t, Unreachable, s.Lost()[0].Cause, "before anything is withdrawn")
	require.NoError(t, s.Reset(t.Context(), a.addr, "BFD: no packet for 150ms"))
	w.becomes()
	require.Contains(t, s.Sessions()[0].LastError, "BFD: no packet for 150ms")
	w.becomes("10.20.1.0/24 from [192.168.0.2]") // the session comes back by itself
}

// TestWhyASessionEnded knows GoBGP's words for it.
func TestWhyASessionEnded(t *testing.T) {
	for reason, want := range map[string]Cause{
		"read-failed":        Disconnected,
		"hold-timer-expired": Disconnected,
		"graceful-restart":   Restarting,
		"hard-reset":         Closed,
		"admin-down":         Closed,
		"notification-sent code 4(hold timer expired) subcode 0(undefined)":                      Disconnected,
		"notification-received code 4(hold timer expired) subcode 0(undefined)":                  Disconnected,
		"notification-received code 6(cease) subcode 1(maximum number of prefixes reached)":      Disconnected,
		"notification-received code 6(cease) subcode 2(administrative shutdown)":                 Closed,
		"notification-received code 6(cease) subcode 3(peer deconfigured)":                       Closed,
		"notification-received code 6(cease) subcode 4(administrative reset)":                    Disconnected,
		"notification-received code 6(cease) subcode 9(undefined)":                               Closed,
		"notification-received code 3(update message error) subcode 1(malformed attribute list)": Disconnected,
		"notification-received code 2(open message error) subcode 2(bad peer as)":                Disconnected,
		"something that another version of GoBGP may say of a session that is not up any more":   Disconnected,
	} {
		require.Equal(t, want, causeOf(reason), reason)
	}
	for _, subcode := range []uint8{2, 3, 9} {
		words := gobgp.NewNotificationErrorCode(6, subcode).String()
		require.Equal(t, Closed, causeOf("notification-received "+words), words)
	}
}

func TestTheNextBestPathsAreFoundOut(t *testing.T) {
	s := start(t, nil)
	a, b := startRemote(t, "192.168.0.2", 65000, s), startRemote(t, "192.168.0.3", 65001, s)
	longer := gobgp.NewPathAttributeAsPath([]gobgp.AsPathParamInterface{gobgp.NewAs4PathParam(gobgp.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{65009, 65009})})
	prefixes := many(1500)
	for _, p := range prefixes {
		a.announce(p)
		b.announce(p, longer)
	}
	require.NoError(t, s.SetPeers(t.Context(), []Peer{a.peer("a"), b.peer("b")}))
	spares := map[netip.Prefix]*PathSet{}
	require.Eventually(t, func() bool {
		for _, c := range s.Drain(0) {
			delete(spares, c.Prefix)
			if c.Spare != nil {
				spares[c.Prefix] = c.Spare
			}
		}
		return len(spares) == len(prefixes)
	}, patience, 10*time.Millisecond)
	shared := spares[prefixes[0]]
	require.Equal(t, b.addr, shared.All()[0].Peer)
	require.Equal(t, []uint32{65001, 65009, 65009}, shared.All()[0].ASPath)
	for _, set := range spares {
		require.Same(t, shared, set, "prefixes with the same paths share one set")
	}
	counters, err := s.Counters(t.Context(), false)
	require.NoError(t, err)
	require.Equal(t, Counters{Received: len(prefixes), Known: len(prefixes)}, counters[a.addr])
	require.Equal(t, Counters{Received: len(prefixes), Known: len(prefixes)}, counters[b.addr])

	a.withdraw(prefixes[0])
	require.Eventually(t, func() bool {
		for _, c := range s.Drain(0) {
			if c.Prefix == prefixes[0] && c.Paths.Len() == 1 && c.Paths.All()[0].Peer == b.addr {
				return c.Spare == nil
			}
		}
		return false
	}, patience, 10*time.Millisecond, "the spare path has become the best")
}

func TestWhatANewSessionAddsComesInOnePiece(t *testing.T) {
	s := start(t, nil)
	a, b := startRemote(t, "192.168.0.2", 65000, s), startRemote(t, "192.168.0.3", 65001, s)
	prefixes := many(2000)
	for _, p := range prefixes {
		a.announce(p)
		b.announce(p)
	}
	b.announce(west6) // known from nobody else
	require.NoError(t, s.SetPeers(t.Context(), []Peer{a.peer("a")}))
	count := 0
	require.Eventually(t, func() bool { count += len(s.Drain(0)); return count == len(prefixes) }, patience, 10*time.Millisecond)

	require.NoError(t, s.SetPeers(t.Context(), []Peer{a.peer("a"), b.peer("b")}))
	var pieces []int
	require.Eventually(t, func() bool {
		added := 0
		for _, c := range s.Drain(0) {
			if c.Prefix != west6 {
				require.Equal(t, 2, c.Paths.Len())
				added++
			}
		}
		if added > 0 {
			pieces = append(pieces, added)
		}
		return len(pieces) > 0
	}, patience, 10*time.Millisecond)
	require.Equal(t, []int{len(prefixes)}, pieces)

	// From now on a change of b waits for nothing.
	b.withdraw(prefixes[0])
	newWorld(t, s).becomes(prefixes[0].String() + " from [192.168.0.2]")
}

// TestAPeerThatForgotGracefulRestartLeavesNothingBehind: GoBGP goes on waiting for an End-of-RIB that never comes.
func TestAPeerThatForgotGracefulRestartLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	a := startRemote(t, "192.168.0.2", 65000, s)
	a.announce(west)
	a.announce(west6)
	peer := a.peer("a")
	require.NoError(t, s.SetPeers(t.Context(), []Peer{peer}))
	w := newWorld(t, s)
	both := []string{"10.20.1.0/24 from [192.168.0.2]", "fd00:20:0:1::/64 from [192.168.0.2]"}
	w.becomes(both...)
	require.NoError(t, a.server.StopBgp(t.Context(), &api.StopBgpRequest{AllowGracefulRestart: true}))
	require.Eventually(t, func() bool { return !s.Sessions()[0].Established }, patience, 10*time.Millisecond)
	require.Equal(t, Restarting, s.Lost()[0].Cause)

	b := startNeighbor(t, startRemoteAt(t, "192.168.0.2", 65000, a.port, s), false, s)
	b.announce(west6)
	established(t, s, "a")
	require.False(t, s.Sessions()[0].GracefulRestart)
	require.Eventually(t, func() bool { return s.Sessions()[0].Complete }, patience, 10*time.Millisecond)
	w.becomes(both...) // this is what is wrong

	require.NoError(t, s.Renew(t.Context(), peer.Address, Disconnected))
	lost := s.Lost()
	require.Equal(t, Disconnected, lost[0].Cause)
	require.Equal(t, rebuildGrace, lost[0].Grace)
	var changes []Change
	require.Eventually(t, func() bool { changes = append(changes, s.Drain(0)...); return len(changes) >= 2 }, patience, 10*time.Millisecond)
	for _, c := range changes[:2] {
		require.True(t, c.Lost, "they may be kept until the peer has told all of its routes again")
	}
	w.table = map[netip.Prefix][]Path{}
	w.becomes(both[1])
	require.Equal(t, 2, s.Sessions()[0].Flaps, "the record of the session goes on")
}

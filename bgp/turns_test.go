package bgp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestNobodyIsHeardBeforeAllPeersAreIn: a connection that is accepted and closed could end our graceful restart.
func TestNobodyIsHeardBeforeAllPeersAreIn(t *testing.T) {
	s := start(t, nil)
	_, err := impatient(t, s, caller{"192.168.0.2", 64}, unheard)
	require.ErrorContains(t, err, "timeout")
	require.NoError(t, s.SetPeers(t.Context(), []Peer{{Transport: Transport{
		Name: "fabric", Address: netip.MustParseAddr("192.168.0.2"), ASN: 65000, Port: 1, Passive: true, HoldTime: holdTime, IPv4: true,
	}, ConnectRetry: time.Second}}))
	_, err = impatient(t, s, caller{"192.168.0.2", 64}, patience)
	require.NoError(t, err)
}

// TestTheSideWithTheLowerAddressGoesFirst: the other one is not heard for a while after a start and after each loss.
func TestTheSideWithTheLowerAddressGoesFirst(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	port := freePort(t)
	peer := (&remote{addr: netip.MustParseAddr("192.168.0.2"), asn: 65000, port: port}).peer("fabric")
	begin := time.Now()
	require.NoError(t, s.SetPeers(t.Context(), []Peer{peer}))
	_, err := impatient(t, s, caller{"192.168.0.2", 255}, unheard)
	if time.Since(begin) < firstTurn {
		require.ErrorContains(t, err, "timeout")
	}
	_, err = impatient(t, s, caller{"192.168.0.3", 255}, patience)
	require.NoError(t, err, "it is about peers only")
	startNeighbor(t, startRemoteAt(t, "192.168.0.2", 65000, port, s), true, s)
	established(t, s, "fabric")
	now := time.Now()
	require.Empty(t, s.table.waiting([]Peer{peer}, now), "what comes while a session is established is for GoBGP to refuse")
	s.table.fall(peer.Address, Disconnected)
	session := s.table.sessions[peer.Address]
	session.Established = false
	require.Equal(t, []Peer{peer}, s.table.waiting([]Peer{peer}, now))
	require.Empty(t, s.table.waiting([]Peer{peer}, session.fell.Add(firstTurn)), "then both may")
}

// TestTurnsThatDoNotChange cost the kernel nothing.
func TestTurnsThatDoNotChange(t *testing.T) {
	s := start(t, nil)
	fabric := startRemote(t, "192.168.0.2", 65000, s)
	s.mu.Lock()
	built, build := 0, s.guard.build
	s.guard.build = func(peers, deaf []Peer) ([]unix.SockFilter, error) { built++; return build(peers, deaf) }
	s.mu.Unlock()
	require.NoError(t, s.SetPeers(t.Context(), []Peer{fabric.peer("fabric")}))
	established(t, s, "fabric")
	now := time.Now()
	require.NoError(t, s.takeTurns(now))
	count := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return built
	}
	before := count()
	require.Positive(t, before)
	for range 100 {
		require.NoError(t, s.takeTurns(now))
	}
	require.Equal(t, before, count())
}

// TestThePeersThatMayNotRunStayInTheFilter: a parked one is let in again, and then its packets have been checked all along.
func TestThePeersThatMayNotRunStayInTheFilter(t *testing.T) {
	s := start(t, nil)
	p := passive("far", "192.168.0.2")
	p.Hops, p.Refused = 1, "not now"
	require.NoError(t, s.SetPeers(t.Context(), []Peer{p}))
	require.NoError(t, s.takeTurns(time.Now()))
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(t, map[netip.Addr]int{p.Address: 1}, s.guard.hops)
}

func TestWhoGoesFirst(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*Peer)
		want   bool
	}{
		"our address is the lower one": {func(p *Peer) { p.NextHop4 = netip.MustParseAddr("192.168.0.1") }, true},
		"theirs is":                    {func(p *Peer) { p.NextHop4 = netip.MustParseAddr("192.168.0.3") }, false},
		"the configured one counts": {func(p *Peer) {
			p.LocalAddress, p.NextHop4 = netip.MustParseAddr("192.168.0.1"), netip.MustParseAddr("192.168.0.3")
		}, true},
		"ours is not known":                    {func(*Peer) {}, false},
		"we never connect":                     {func(p *Peer) { p.Passive, p.NextHop4 = true, netip.MustParseAddr("192.168.0.1") }, false},
		"that of the session's family is used": {func(p *Peer) { p.NextHop4, p.NextHop6 = netip.MustParseAddr("192.168.0.3"), netip.MustParseAddr("::1") }, false},
		"link-local ones of one link": {func(p *Peer) {
			p.Address, p.NextHop6 = netip.MustParseAddr("fe80::2%eth0"), netip.MustParseAddr("fe80::1%eth0")
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := Peer{Transport: Transport{Address: netip.MustParseAddr("192.168.0.2")}}
			row.change(&p)
			require.Equal(t, row.want, p.weFirst())
		})
	}
}

package bgp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// told returns how many prefixes a peer is told, as it is counted and as it is listed.
func told(t *testing.T, s *subject, peer netip.Addr) (counted, listed int) {
	t.Helper()
	c, err := s.Counters(t.Context(), true)
	require.NoError(t, err)
	all, err := s.Advertised(t.Context(), peer)
	require.NoError(t, err)
	for range all {
		listed++
	}
	return c[peer].Advertised, listed
}

func (s *subject) countsAreKnown() bool {
	_, known := s.table.counts.at(s.table.counts.now())
	return known
}

func TestWhatIsToldIsCountedAgainOnlyWhenItMayBeAnother(t *testing.T) {
	s := start(t, nil)
	fabric := startRemote(t, "192.168.0.2", 65000, s)
	require.NoError(t, s.Advertise(t.Context(), []netip.Prefix{east, east6}))
	require.NoError(t, s.SetPeers(t.Context(), []Peer{fabric.peer("fabric")}))
	established(t, s, "fabric")
	require.Eventually(t, func() bool {
		n, _ := told(t, s, fabric.addr)
		return n == 2 && s.countsAreKnown()
	}, patience, 10*time.Millisecond)

	fabric.announce(west)
	newWorld(t, s).becomes("10.20.1.0/24 from [192.168.0.2]")
	require.True(t, s.countsAreKnown(), "what is learned is passed on to nobody")
	require.NoError(t, s.Advertise(t.Context(), []netip.Prefix{east}))
	require.False(t, s.countsAreKnown())
	counted, listed := told(t, s, fabric.addr)
	require.Equal(t, []int{1, 1}, []int{counted, listed}, "at once")
	require.True(t, s.countsAreKnown())
	details, err := s.Details(t.Context(), true)
	require.NoError(t, err)
	require.Equal(t, FamilyCounters{Received: 1, Advertised: 1}, details[fabric.addr].IPv4, "from memory, each family")
	require.Zero(t, details[fabric.addr].IPv6.Advertised)
}

func TestAReflectorCountsAgainWhatItPassesOn(t *testing.T) {
	s := start(t, nil)
	client, w := startRemote(t, "192.168.0.2", ownASN, s), startRemote(t, "192.168.0.3", 65001, s)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{client.client("client"), w.foreign("west", own)}))
	require.NoError(t, s.Advertise(t.Context(), []netip.Prefix{east}))
	established(t, s, "client", "west")
	becomes := func(want int) {
		t.Helper()
		require.Eventually(t, func() bool {
			counted, listed := told(t, s, client.addr)
			return counted == want && listed == want
		}, patience, 10*time.Millisecond)
	}
	becomes(1)
	w.announce(west, id(65001, 2))
	becomes(2)
	w.withdraw(west)
	becomes(1)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{client.client("client")}))
	becomes(1)
}

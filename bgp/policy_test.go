package bgp

import (
	"net/netip"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/stretchr/testify/require"
)

func nothingKnown(netip.Addr, netip.Prefix) bool { return false }

// TestThePolicyAloneStopsWhatItCan: what a careless neighbour sends in one UPDATE with a legal route is kept out, and the
// legal route is not. There is no plan here that could say no a second time.
func TestThePolicyAloneStopsWhatItCan(t *testing.T) {
	s := start(t, nil)
	fabric, other := startRemote(t, "192.168.0.2", 65000, s), startRemote(t, "192.168.0.3", 65001, s)
	wrong := map[string]string{
		"0.0.0.0/0": "the default route", "::/0": "the IPv6 default route",
		"0.0.0.0/1": "half of everything", "128.0.0.0/1": "the other half", "8000::/1": "half of IPv6",
		"10.10.0.0/16": "our own pool", "10.10.7.0/24": "part of it", "10.0.0.0/8": "what covers it",
		"192.168.0.0/24": "our own subnet", "192.168.0.1/32": "our own address", "192.168.0.3/32": "a peer's address",
		"10.96.0.0/16": "services", "100.64.0.0/10": "a special range", "203.0.113.0/24": "another", "2001:db8::/32": "another",
		"10.30.1.0/24": "what no contract has", "10.16.0.0/12": "what covers a contract", "fd00::/16": "what covers an IPv6 contract",
		"10.20.1.8/29": "longer than the contract allows", "fd00:20::/96": "longer than the IPv6 contract allows",
	}
	for prefix := range wrong {
		fabric.announce(netip.MustParsePrefix(prefix))
	}
	blackhole := gobgp.NewPathAttributeCommunities([]uint32{64513<<16 | 1, communityBlackhole})
	fabric.announce(netip.MustParsePrefix("10.20.2.0/24"), blackhole)
	fabric.announce(netip.MustParsePrefix("fd00:20:0:2::/64"), blackhole)
	fabric.announce(west)
	fabric.announce(west6)
	for i := range 20 {
		other.announce(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 40, byte(i), 0}), 24))
	}
	require.NoError(t, s.SetPeers(t.Context(), []Peer{fabric.peer("fabric"), other.peer("other")}))
	require.Eventually(t, func() bool { return s.Sessions()[0].Complete && s.Sessions()[1].Complete }, patience, 10*time.Millisecond)
	w := newWorld(t, s)
	w.becomes("10.20.1.0/24 from [192.168.0.2]", "fd00:20:0:1::/64 from [192.168.0.2]")
	require.Zero(t, s.Sessions()[0].Flaps)

	kept := refusedOf(t, s, 1000, nothingKnown)
	require.Len(t, kept[fabric.addr], len(wrong)+2, "all of it can be asked for: %v", kept)
	require.Len(t, kept[other.addr], 20)
	require.True(t, kept[fabric.addr]["10.20.2.0/24"].Blackhole)

	cut := refusedOf(t, s, 12, nothingKnown)
	require.Len(t, cut[fabric.addr], 8, "IPv4 and IPv6 have a share each")
	require.Len(t, cut[other.addr], 4)
	again := refusedOf(t, s, 12, func(peer netip.Addr, prefix netip.Prefix) bool { _, ok := cut[peer][prefix.String()]; return ok })
	require.Equal(t, cut, again, "a list that is cut stays the same")
}

func refusedOf(t *testing.T, s *subject, limit int, known func(netip.Addr, netip.Prefix) bool) map[netip.Addr]map[string]Path {
	t.Helper()
	all, _, err := s.Refused(t.Context(), limit, known)
	require.NoError(t, err)
	got := map[netip.Addr]map[string]Path{}
	for _, c := range all {
		p := c.Paths.All()[0]
		if got[p.Peer] == nil {
			got[p.Peer] = map[string]Path{}
		}
		got[p.Peer][c.Prefix.String()] = p
	}
	return got
}

// TestWhatIsToBeDiscardedHidesNothing: of two paths the one that carries traffic is chosen, though the other is shorter.
func TestWhatIsToBeDiscardedHidesNothing(t *testing.T) {
	s := start(t, nil)
	a, b := startRemote(t, "192.168.0.2", 65000, s), startRemote(t, "192.168.0.3", 65001, s)
	longer := gobgp.NewPathAttributeAsPath([]gobgp.AsPathParamInterface{gobgp.NewAs4PathParam(gobgp.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{64513})})
	a.announce(west, gobgp.NewPathAttributeCommunities([]uint32{communityBlackhole}))
	b.announce(west, longer)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{a.peer("a"), b.peer("b")}))
	require.Eventually(t, func() bool { return s.Sessions()[0].Complete && s.Sessions()[1].Complete }, patience, 10*time.Millisecond)
	newWorld(t, s).becomes("10.20.1.0/24 from [192.168.0.3]")
}

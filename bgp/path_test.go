package bgp

import (
	"net/netip"
	"testing"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/stretchr/testify/require"
)

func TestNextHops(t *testing.T) {
	const external, internal = 65000, ownASN
	for name, row := range map[string]struct {
		peer, sent string
		asn        uint32
		want       string
	}{
		"a global one is what was sent":                                                 {"2001:db8::1", "2001:db8::2", external, "2001:db8::2"},
		"a link-local one is on the link of the session":                                {"fe80::1%eth1", "fe80::1", external, "fe80::1%eth1"},
		"one of somebody else on the link is, too":                                      {"fe80::1%eth1", "fe80::2", external, "fe80::2%eth1"},
		"none, as BIRD sends beside a link-local one, is the peer":                      {"fe80::1%eth1", "::", external, "fe80::1%eth1"},
		"none from an internal peer is the peer":                                        {"fe80::1%eth1", "::", internal, "fe80::1%eth1"},
		"a global one of an external peer need not be on the link, and is the peer":     {"fe80::1%eth1", "2001:db8::2", external, "fe80::1%eth1"},
		"a global one of an internal peer may be far away, and is what was sent":        {"fe80::1%eth1", "2001:db8::2", internal, "2001:db8::2"},
		"a link-local one on a session between global addresses is on nobody's link":    {"2001:db8::1", "fe80::1", external, "fe80::1"},
		"an IPv4 one is what was sent, whatever the session":                            {"fe80::1%eth1", "192.0.2.1", external, "192.0.2.1"},
		"on another link the same link-local one is another":                            {"fe80::1%eth2", "fe80::1", external, "fe80::1%eth2"},
		"an IPv4 one in IPv6 from an external peer is no address of a link, so it goes": {"fe80::1%eth1", "::ffff:192.0.2.1", external, "fe80::1%eth1"},
	} {
		reader := pathReader{ownASN: ownASN}
		for range 2 { // the second time from what is remembered
			got := reader.nextHop(netip.MustParseAddr(row.sent), &apiutil.Path{PeerAddress: netip.MustParseAddr(row.peer), PeerASN: row.asn})
			require.Equal(t, row.want, got.String(), name)
			reader.nextHop(netip.MustParseAddr("fe80::7"), &apiutil.Path{PeerAddress: netip.MustParseAddr("fe80::7%eth7")})
		}
	}
}

func TestIDsSurviveAnOverriddenAS(t *testing.T) {
	read := func(asns []uint32, communities ...*gobgp.LargeCommunity) Path {
		return newPath(&apiutil.Path{Attrs: []gobgp.PathAttributeInterface{
			gobgp.NewPathAttributeAsPath([]gobgp.AsPathParamInterface{gobgp.NewAs4PathParam(gobgp.BGP_ASPATH_ATTR_TYPE_SEQ, asns)}),
			gobgp.NewPathAttributeLargeCommunities(communities),
		}}, pathReader{ownASN: ownASN})
	}
	ours, theirs := gobgp.NewLargeCommunity(ownASN, functionCluster, 2), gobgp.NewLargeCommunity(64999, functionCluster, 3)
	p := read([]uint32{65000, 65000}, ours, theirs)
	require.Equal(t, []uint32{2}, p.ClusterIDs, "the id of a cluster with our AS number, though that is not in the path any more")
	require.True(t, p.Overridden())
	require.False(t, read([]uint32{65000, 64999}, theirs).Overridden())
	require.False(t, read(nil).Overridden())
	p = read([]uint32{65000, ownASN, 65001, ownASN}, ours)
	require.Equal(t, 2, p.Times(ownASN))
	require.Zero(t, p.Times(64999))
}

func TestWhereProbesAreAnswered(t *testing.T) {
	of := func(asn, offset uint32) *gobgp.LargeCommunity {
		return gobgp.NewLargeCommunity(asn, functionProbe, offset)
	}
	for _, row := range []struct {
		name        string
		communities []*gobgp.LargeCommunity
		want        Offset
	}{
		{"nobody says it", nil, Offset{}},
		{"the origin says it", []*gobgp.LargeCommunity{of(64999, 1)}, Offset{true, 1}},
		{"the first address is one, too", []*gobgp.LargeCommunity{of(64999, 0)}, Offset{true, 0}},
		{"one of our number whose AS was overridden", []*gobgp.LargeCommunity{of(ownASN, 7)}, Offset{true, 7}},
		{"somebody else on the way says nothing", []*gobgp.LargeCommunity{of(65000, 1)}, Offset{}},
		{"who says two says none", []*gobgp.LargeCommunity{of(64999, 1), of(64999, 2)}, Offset{}},
		{"a gateway's mark is another thing", []*gobgp.LargeCommunity{gobgp.NewLargeCommunity(64999, functionGateway, 1)}, Offset{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPath(&apiutil.Path{Attrs: []gobgp.PathAttributeInterface{
				gobgp.NewPathAttributeAsPath([]gobgp.AsPathParamInterface{gobgp.NewAs4PathParam(gobgp.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{65000, 64999})}),
				gobgp.NewPathAttributeLargeCommunities(row.communities),
			}}, pathReader{ownASN: ownASN})
			require.Equal(t, row.want, p.Probe)
			other := p
			other.Probe = Offset{true, 9}
			require.False(t, p.Equal(other))
			require.NotEqual(t, string(p.appendKey(nil)), string(other.appendKey(nil)))
		})
	}
}

func BenchmarkReadLinkLocal(b *testing.B) {
	nlri, _ := gobgp.NewIPAddrPrefix(netip.MustParsePrefix("10.20.1.0/24"))
	reach, _ := gobgp.NewPathAttributeMpReachNLRI(familyIPv4, []gobgp.PathNLRI{{NLRI: nlri}}, netip.MustParseAddr("fe80::1"))
	path := &apiutil.Path{PeerAddress: netip.MustParseAddr("fe80::1%eth1"), Attrs: []gobgp.PathAttributeInterface{reach}}
	reader := pathReader{ownASN: ownASN}
	b.ReportAllocs()
	for b.Loop() {
		reader.read(path)
	}
}

// TestKeysOfOneAddressOnTwoLinks: the kernel knows keys by the address alone.
func TestKeysOfOneAddressOnTwoLinks(t *testing.T) {
	peer := func(address, key string) Peer {
		return Peer{Transport: Transport{Name: address, Address: netip.MustParseAddr(address), Password: Secret{text: key}}}
	}
	there := peer("fe80::1%eth1", "Fabr1c")
	s := &Speaker{peers: map[netip.Addr]Peer{there.Address: there}}
	for name, row := range map[string]struct {
		peer  Peer
		clash bool
	}{
		"the same key on another link is fine":           {peer("fe80::1%eth2", "Fabr1c"), false},
		"another key is not":                             {peer("fe80::1%eth2", "another"), true},
		"none is not, for what comes without is dropped": {peer("fe80::1%eth2", ""), true},
		"another address has its own":                    {peer("fe80::2%eth2", "another"), false},
		"another key on the same link is a new key":      {peer("fe80::1%eth1", "another"), false},
		"a global address is only one":                   {peer("2001:db8::1", ""), false},
	} {
		_, clash := s.otherKey(row.peer)
		require.Equal(t, row.clash, clash, name)
	}
	other := peer("fe80::1%eth2", "Fabr1c")
	require.True(t, needed(there.Address, map[netip.Addr]Peer{other.Address: other}), "the key stays for the other")
	require.False(t, needed(there.Address, map[netip.Addr]Peer{there.Address: there}))
}

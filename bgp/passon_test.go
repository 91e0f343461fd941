package bgp

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/stretchr/testify/require"
)

var (
	ours      = []Range{{netip.MustParsePrefix("10.10.0.0/16"), 16, 32}, {netip.MustParsePrefix("fd00:10::/48"), 48, 128}}
	own       = Passage{Ranges: ours, ClusterID: 7, Internal: true}
	others    = Passage{Ranges: ranges, ClusterID: 2}
	mate      = netip.MustParsePrefix("10.10.2.0/24") // of another node of the speaker's cluster
	mate6     = netip.MustParsePrefix("fd00:10:0:2::/64")
	clusterID = netip.MustParseAddr("0.0.0.9")
)

// client makes a remote of our AS our client, from which our cluster's routes are learned.
func (r *remote) client(name string) Peer {
	p := r.peer(name)
	p.Client, p.Reflector = true, clusterID
	p.Import = append(slices.Clone(ranges), ours...)
	p.PassOn = []Passage{others}
	return p
}

// foreign makes a remote of another AS a peer that gets our cluster's routes.
func (r *remote) foreign(name string, passages ...Passage) Peer {
	p := r.peer(name)
	p.PassOn = passages
	return p
}

// gets waits until a remote has got just this from the speaker.
func (r *remote) gets(what ...string) {
	r.t.Helper()
	var got []string
	want := append([]string{}, what...)
	require.Eventually(r.t, func() bool { got = r.received(); return slices.Equal(got, want) || len(got)+len(want) == 0 },
		patience, 10*time.Millisecond, "want %v, have %v", want, &got)
}

// attributes returns those of the path to a prefix that a remote got from the speaker.
func (r *remote) attributes(prefix netip.Prefix) []gobgp.PathAttributeInterface {
	r.t.Helper()
	var found []gobgp.PathAttributeInterface
	err := r.server.ListPath(apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_ADJ_IN, Name: speaker.String(), Family: familyOf(prefix)},
		func(nlri gobgp.NLRI, paths []*apiutil.Path) {
			if nlri.String() == prefix.String() {
				found = paths[0].Attrs
			}
		})
	require.NoError(r.t, err)
	return found
}

func id(asn, cluster uint32) gobgp.PathAttributeInterface {
	return gobgp.NewPathAttributeLargeCommunities([]*gobgp.LargeCommunity{gobgp.NewLargeCommunity(asn, functionCluster, cluster)})
}

func asPath(asns ...uint32) gobgp.PathAttributeInterface {
	return gobgp.NewPathAttributeAsPath([]gobgp.AsPathParamInterface{gobgp.NewAs4PathParam(gobgp.BGP_ASPATH_ATTR_TYPE_SEQ, asns)})
}

func TestAReflectorPassesOnWhatIsDeclared(t *testing.T) {
	s := start(t, nil)
	client, other := startRemote(t, "192.168.0.2", ownASN, s), startRemote(t, "192.168.0.4", ownASN, s)
	w, stranger := startRemote(t, "192.168.0.3", 65001, s), startRemote(t, "192.168.0.5", 65002, s)
	require.NoError(t, s.Advertise(t.Context(), []netip.Prefix{east}))
	client.announce(mate, id(ownASN, 7))
	client.announce(mate6, id(ownASN, 7))
	w.announce(west, id(65001, 2))
	w.announce(west6, id(65001, 2))
	peers := []Peer{client.client("client"), other.client("other"), w.foreign("west", own), stranger.foreign("stranger")}
	require.NoError(t, s.SetPeers(t.Context(), peers))

	const mine, wests = "10.10.1.0/24 via 192.168.0.1 as [] cluster []", "10.20.1.0/24 via 192.168.0.3 as [65001] cluster [2]"
	wests6 := "fd00:20:0:1::/64 via fd00::2 as [65001] cluster [2]"
	client.gets(mine, wests, wests6)
	other.gets(mine, wests, wests6)
	stranger.gets("10.10.1.0/24 via 192.168.0.1 as [64512] cluster [7]")
	w.gets("10.10.1.0/24 via 192.168.0.1 as [64512] cluster [7]", "10.10.2.0/24 via 192.168.0.2 as [64512] cluster [7]",
		"fd00:10:0:2::/64 via fd00::2 as [64512] cluster [7]")
	newWorld(t, s).becomes("10.10.2.0/24 from [192.168.0.2]", "10.20.1.0/24 from [192.168.0.3]",
		"fd00:10:0:2::/64 from [192.168.0.2]", "fd00:20:0:1::/64 from [192.168.0.3]")

	for _, a := range other.attributes(west) {
		if list, ok := a.(*gobgp.PathAttributeClusterList); ok {
			require.Equal(t, []netip.Addr{clusterID}, list.Value)
		}
	}

	t.Run("and the other way round once it is declared, without a reset", func(t *testing.T) {
		peers[1].PassOn = []Passage{others, own}
		peers[2].PassOn, peers[3].PassOn, peers[3].PassNextHop = nil, []Passage{others}, NextHopSelf
		require.NoError(t, s.SetPeers(t.Context(), peers))
		w.gets("10.10.1.0/24 via 192.168.0.1 as [64512] cluster [7]")
		stranger.gets("10.10.1.0/24 via 192.168.0.1 as [64512] cluster [7]", "10.20.1.0/24 via 192.168.0.1 as [64512 65001] cluster [2]",
			"fd00:20:0:1::/64 via fd00::1 as [64512 65001] cluster [2]")
		other.gets(mine, "10.10.2.0/24 via 192.168.0.2 as [] cluster []", wests, "fd00:10:0:2::/64 via fd00::2 as [] cluster []", wests6)
		for _, session := range s.Sessions() {
			require.Zero(t, session.Flaps, session.Peer)
		}
	})
	t.Run("a withdrawal goes all the way", func(t *testing.T) {
		client.withdraw(mate)
		w.withdraw(west6)
		other.gets(mine, wests, "fd00:10:0:2::/64 via fd00::2 as [] cluster []")
	})
}

func TestWhatIsNotPassedOn(t *testing.T) {
	s := start(t, nil)
	client, w := startRemote(t, "192.168.0.2", ownASN, s), startRemote(t, "192.168.0.3", 65001, s)
	spoke := startRemote(t, "192.168.0.5", 65002, s)
	strict := others
	strict.RequireID = true
	w.announce(netip.MustParsePrefix("10.20.1.0/24"))                               // it says no id
	w.announce(netip.MustParsePrefix("10.20.2.0/24"), id(65001, 3))                 // it says another one
	w.announce(netip.MustParsePrefix("10.20.3.0/24"), id(65001, 2))                 // the right one
	w.announce(netip.MustParsePrefix("10.20.4.0/24"), id(65001, 2), asPath(ownASN)) // it was here
	w.announce(netip.MustParsePrefix("10.20.5.0/24"), id(65001, 2), asPath(65002))  // it was there
	w.announce(netip.MustParsePrefix("10.20.6.0/29"), id(65001, 2))                 // too long for the contract
	w.announce(mate, id(ownASN, 7))                                                 // ours, from outside
	peers := []Peer{client.client("client"), w.foreign("west"), spoke.foreign("spoke", strict, own)}
	require.NoError(t, s.SetPeers(t.Context(), peers))
	right := "10.20.3.0/24 via 192.168.0.3 as [64512 65001] cluster [2]"
	spoke.gets(right)
	client.gets("10.20.1.0/24 via 192.168.0.3 as [65001] cluster []", "10.20.3.0/24 via 192.168.0.3 as [65001] cluster [2]",
		"10.20.5.0/24 via 192.168.0.3 as [65001 65002] cluster []")
	peers[2].PassOn = []Passage{others}
	require.NoError(t, s.SetPeers(t.Context(), peers))
	spoke.gets("10.20.1.0/24 via 192.168.0.3 as [64512 65001] cluster []", right)
}

func TestWhatPassesThroughAReflectorThatLeavesIsAboutToGoToo(t *testing.T) {
	s := start(t, nil)
	client, w := startRemote(t, "192.168.0.2", ownASN, s), startRemote(t, "192.168.0.3", 65001, s)
	w.announce(west)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{client.client("client"), w.peer("west")}))
	client.gets("10.20.1.0/24 via 192.168.0.3 as [65001] cluster []")
	require.NoError(t, s.Leave(t.Context(), true))
	require.Eventually(t, func() bool { return client.heard(t, gracefulShutdown) == 1 }, patience, 10*time.Millisecond)
	require.NoError(t, s.Leave(t.Context(), false))
	require.Eventually(t, func() bool { return client.heard(t, gracefulShutdown) == 0 }, patience, 10*time.Millisecond)
	client.gets("10.20.1.0/24 via 192.168.0.3 as [65001] cluster []")
}

// TestTheDirectPathIsTheOneToAClient: RFC 4456, section 9, has the shorter CLUSTER_LIST win, and the router with the
// lowest identifier only then.
func TestTheDirectPathIsTheOneToAClient(t *testing.T) {
	s := start(t, nil)
	reflector, client := startRemote(t, "192.168.0.2", ownASN, s), startRemote(t, "192.168.0.4", ownASN, s)
	second := reflector.client("reflector")
	second.Detour = ours
	reflector.announce(mate)
	client.announce(mate)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{second, client.client("client")}))
	w := newWorld(t, s)
	w.becomes("10.10.2.0/24 from [192.168.0.4]")
	leaving := gobgp.NewPathAttributeCommunities([]uint32{gracefulShutdown})
	reflector.announce(mate, leaving)
	client.announce(mate, leaving)
	w.becomes("10.10.2.0/24 from [192.168.0.4]")
	client.withdraw(mate)
	w.becomes()
	reflector.announce(mate)
	w.becomes("10.10.2.0/24 from [192.168.0.2]")
}

// startReflector starts a remote that reflects to the speaker under a CLUSTER_ID.
func startReflector(t *testing.T, host string, id netip.Addr, s *subject) *remote {
	t.Helper()
	r := startRemoteAt(t, host, ownASN, freePort(t), s)
	require.NoError(t, r.server.AddPeer(t.Context(), &api.AddPeerRequest{Peer: &api.Peer{
		Conf:           &api.PeerConf{NeighborAddress: speaker.String(), PeerAsn: ownASN},
		Transport:      &api.Transport{LocalAddress: host, RemotePort: uint32(s.cfg.Port), PassiveMode: true},
		AfiSafis:       []*api.AfiSafi{apiFamily(api.Family_AFI_IP, false), apiFamily(api.Family_AFI_IP6, false)},
		RouteReflector: &api.RouteReflector{RouteReflectorClient: true, RouteReflectorClusterId: id.String()},
	}}))
	return r
}

// TestAPathThatComesBackToItsReflector: RFC 4456, section 8: it is to be ignored, and clients don't keep the one it replaced.
func TestAPathThatComesBackToItsReflector(t *testing.T) {
	s := start(t, nil)
	first, client := startRemote(t, "192.168.0.2", ownASN, s), startRemote(t, "192.168.0.4", ownASN, s)
	twin := startReflector(t, "192.168.0.3", clusterID, s) // another one with our CLUSTER_ID
	peers := []Peer{first.client("first"), twin.client("twin"), client.client("client")}
	first.announce(west)
	require.NoError(t, s.SetPeers(t.Context(), peers))
	established(t, s, "first", "twin", "client")
	client.gets("10.20.1.0/24 via 192.168.0.2 as [] cluster []")
	w := newWorld(t, s)
	w.becomes("10.20.1.0/24 from [192.168.0.2]")
	require.False(t, w.table[west][0].ClusterLoop)

	twin.announce(west, gobgp.NewPathAttributeLocalPref(200))
	w.becomes("10.20.1.0/24 from [192.168.0.3]")
	require.True(t, w.table[west][0].ClusterLoop)
	client.gets()
	twin.withdraw(west)
	client.gets("10.20.1.0/24 via 192.168.0.2 as [] cluster []")
}

// TestAPathOfOursThatAReflectorSendsBack: RFC 4456, section 8: a path with our identifier as ORIGINATOR_ID is ignored, and
// what it replaced is not kept.
func TestAPathOfOursThatAReflectorSendsBack(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	reflector := startReflector(t, "192.168.0.3", netip.MustParseAddr("0.0.0.3"), s)
	reflector.announce(west)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{reflector.peer("reflector")}))
	w := newWorld(t, s)
	w.becomes("10.20.1.0/24 from [192.168.0.3]")
	ours, err := gobgp.NewPathAttributeOriginatorId(speaker)
	require.NoError(t, err)
	reflector.announce(west, ours)
	require.Eventually(t, func() bool {
		counters, err := s.Counters(t.Context(), false)
		require.NoError(t, err)
		return counters[reflector.addr].Rejected == 1
	}, patience, 10*time.Millisecond)
	for range 2 { // it is done once
		_, _, err = s.Refused(t.Context(), 10, nothingKnown)
		require.NoError(t, err)
		w.becomes()
		established(t, s, "reflector")
	}
	require.Equal(t, 1, s.Sessions()[0].Flaps)
}

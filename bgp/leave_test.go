package bgp

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/stretchr/testify/require"
)

// localPrefs returns the preference that the paths of a prefix have, by peer.
func (w *world) localPrefs(prefix netip.Prefix) map[netip.Addr]uint32 {
	w.text()
	prefs := map[netip.Addr]uint32{}
	for _, p := range w.table[prefix] {
		prefs[p.Peer] = p.LocalPref
	}
	return prefs
}

func TestAPathThatIsAboutToGoIsTheLastChoice(t *testing.T) {
	s := start(t, nil)
	a, b := startRemote(t, "192.168.0.2", 65000, s), startRemote(t, "192.168.0.3", 65001, s)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{a.peer("a"), b.peer("b")}))
	longer := gobgp.NewPathAttributeAsPath([]gobgp.AsPathParamInterface{gobgp.NewAs4PathParam(gobgp.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{65009, 65009})})
	leaving := gobgp.NewPathAttributeCommunities([]uint32{gracefulShutdown})
	a.announce(west)
	b.announce(west, longer)
	w := newWorld(t, s)
	w.becomes("10.20.1.0/24 from [192.168.0.2]")
	a.announce(west, leaving)
	w.becomes("10.20.1.0/24 from [192.168.0.3]")
	b.withdraw(west)
	w.becomes("10.20.1.0/24 from [192.168.0.2]") // better than none
	require.Equal(t, map[netip.Addr]uint32{a.addr: leavingLocalPref}, w.localPrefs(west))
	a.announce(west)
	require.Eventually(t, func() bool { return w.localPrefs(west)[a.addr] == defaultLocalPref }, patience, 10*time.Millisecond)
	a.announce(hijack, leaving)
	w.becomes("10.20.1.0/24 from [192.168.0.2]") // it lets nothing in
}

// heard counts the paths with a community that the remote has learned.
func (r *remote) heard(t *testing.T, community uint32) int {
	t.Helper()
	count := 0
	for _, family := range []gobgp.Family{familyIPv4, familyIPv6} {
		err := r.server.ListPath(apiutil.ListPathRequest{TableType: api.TableType_TABLE_TYPE_GLOBAL, Family: family},
			func(_ gobgp.NLRI, paths []*apiutil.Path) {
				for _, p := range paths {
					for _, attribute := range p.Attrs {
						if c, ok := attribute.(*gobgp.PathAttributeCommunities); ok && slices.Contains(c.Value, community) {
							count++
						}
					}
				}
			})
		require.NoError(t, err)
	}
	return count
}

func TestLeavingIsSaidAndDone(t *testing.T) {
	s := start(t, nil)
	a := startRemote(t, "192.168.0.2", 65000, s)
	require.NoError(t, s.Advertise(t.Context(), []netip.Prefix{east, east6}))
	require.NoError(t, s.SetPeers(t.Context(), []Peer{a.peer("a")}))
	marked := func() int { return a.heard(t, gracefulShutdown) }
	require.Eventually(t, func() bool { return len(a.received()) == 2 }, patience, 10*time.Millisecond)
	require.Zero(t, marked())
	require.NoError(t, s.Leave(t.Context(), true))
	require.Eventually(t, func() bool { return marked() == 2 }, patience, 10*time.Millisecond)
	require.NoError(t, s.Leave(t.Context(), false))
	require.Eventually(t, func() bool { return marked() == 0 && len(a.received()) == 2 }, patience, 10*time.Millisecond)

	require.NoError(t, s.Close(t.Context(), "node east-1 is drained"))
	require.False(t, s.Sessions()[0].Established, "what comes next comes after the end of the session")
	require.Eventually(t, func() bool { return strings.Contains(a.log.String(), "node east-1 is drained") }, patience, 10*time.Millisecond)
	require.Eventually(t, func() bool { return len(a.received()) == 0 }, patience, 10*time.Millisecond)
}

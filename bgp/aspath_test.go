package bgp

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/stretchr/testify/require"
)

// TestASPathsThatArePassedOn: what is said of the AS numbers in paths that are passed on to a peer, and that our own
// prefixes keep ours, which is a private one.
func TestASPathsThatArePassedOn(t *testing.T) {
	t.Parallel()
	const public = 3333
	for name, row := range map[string]struct {
		override bool
		private  PrivateAS
		want     string // the path to west; empty: it is not passed on
	}{
		"a path with the peer's own number is not passed on":   {false, KeepPrivateAS, ""},
		"with ours in the place of the peer's it is":           {true, KeepPrivateAS, "as [64512 65000 64512 3333]"},
		"private numbers may go, so that the peer's goes, too": {false, RemovePrivateAS, ""},
		"private numbers go after the peer's was replaced":     {true, RemovePrivateAS, "as [64512 3333]"},
		"or ours takes the place of each of them":              {true, ReplacePrivateAS, "as [64512 64512 64512 3333]"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, nil)
			fabric, other := startRemote(t, "192.168.0.2", 65000, s), startRemote(t, "192.168.0.3", 65001, s)
			peer := other.peer("other")
			peer.ASOverride, peer.RemovePrivateAS = row.override, row.private
			require.NoError(t, s.Advertise(t.Context(), []netip.Prefix{east}))
			require.NoError(t, s.SetPeers(t.Context(), []Peer{fabric.peer("fabric"), peer}))
			// Whatever the policy passes on; here it is everything.
			require.NoError(t, s.server.SetPolicyAssignment(t.Context(), &api.SetPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
				Name: "global", Direction: api.PolicyDirection_POLICY_DIRECTION_EXPORT, DefaultAction: api.RouteAction_ROUTE_ACTION_ACCEPT,
			}}))
			established(t, s, "fabric", "other")
			path := []gobgp.AsPathParamInterface{gobgp.NewAs4PathParam(gobgp.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{65001, public})}
			fabric.announce(west, gobgp.NewPathAttributeAsPath(path))
			fabric.announce(netip.MustParsePrefix("10.20.9.0/24"))
			var ways []string
			require.Eventually(t, func() bool {
				ways = other.received()
				return slices.ContainsFunc(ways, about("10.20.9.0/24")) && slices.ContainsFunc(ways, about("10.10.1.0/24")) &&
					(row.want == "" || slices.ContainsFunc(ways, about("10.20.1.0/24")))
			}, patience, 10*time.Millisecond)
			own := ways[slices.IndexFunc(ways, about("10.10.1.0/24"))]
			require.Contains(t, own, "as [64512] cluster [7]")
			i := slices.IndexFunc(ways, about("10.20.1.0/24"))
			require.Equal(t, row.want != "", i >= 0, "%q", ways)
			if i >= 0 {
				require.Contains(t, ways[i], row.want)
			}
		})
	}
}

func about(prefix string) func(string) bool {
	return func(way string) bool { return len(way) > len(prefix) && way[:len(prefix)] == prefix }
}

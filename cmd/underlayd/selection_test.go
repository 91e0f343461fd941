package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/ipam"
)

func TestAnnouncements(t *testing.T) {
	own := []netip.Prefix{netip.MustParsePrefix("10.10.1.0/24"), netip.MustParsePrefix("fd00:10:0:1::/64")}
	both := []bgp.Announcement{{Prefix: own[0]}, {Prefix: own[1]}}
	for _, row := range []struct {
		name, west, north string
		want              []bgp.Announcement
	}{
		{"what is for all says nothing", "[all]", "[all]", both},
		{"so does what is for all by its range", "[10.10.0.0/16, \"fd00:10::/48\"]", "[all]", both},
		{"what is for one names it", "[10.10.1.0/24]", "[all]", []bgp.Announcement{{Prefix: own[0]}, {Prefix: own[1], For: []uint32{3}}}},
		{"what is for nobody stays here", "[10.10.1.0/24]", "[]", []bgp.Announcement{{Prefix: own[0], For: []uint32{2}}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := parse(t, strings.NewReplacer("ipv4: [20, 26]}", "ipv4: [20, 26]}, advertise: "+row.west,
				`"fd00:30::/48"]`, `"fd00:30::/48"], advertise: `+row.north).Replace(sample))
			require.Equal(t, row.want, announcements(c, own))
		})
	}
	c := parse(t, sample)
	c.Clusters = nil
	require.Equal(t, both, announcements(c, own), "who knows no cluster keeps nothing from any")
}

func TestWhatAPeerGetsOfOurs(t *testing.T) {
	c := parse(t, strings.Replace(sample, "clusters: [west]}", "clusters: [west], advertise: [10.10.0.0/17], communities: [no-export], require: [\"65000:1\"]}", 1))
	peers := speakerPeers(c, newPlan(c, fib.Facts{}), nowhere, nil)
	require.True(t, peers[0].Restricted)
	require.Equal(t, []bgp.Range{{Prefix: netip.MustParsePrefix("10.10.0.0/17"), Min: 17, Max: 32}}, peers[0].Advertise)
	require.Equal(t, []string{"65535:65281"}, peers[0].Communities)
	require.Equal(t, []string{"65000:1"}, peers[0].Require)
	require.False(t, peers[1].Restricted)
}

// TestWhatIsForOthersIsNoFault: it is refused, as the cluster it is of wants it.
func TestWhatIsForOthersIsNoFault(t *testing.T) {
	a, c := deciding(1000), announced(1, 1)[0]
	p := c.Paths.All()[0]
	p.NotForUs = true
	v := a.view.judge(c.Prefix, &p)
	require.Equal(t, ipam.NotForUs, v.Reason)
	require.Equal(t, "west", v.Cluster)
	require.Contains(t, v.Detail, "64513:2:id")
	require.True(t, a.view.expected(&p, v))
}

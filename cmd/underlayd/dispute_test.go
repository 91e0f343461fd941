package main

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/ipam"
	"github.com/underlayd/underlayd/status"
)

// path is an acceptable path for a prefix of west; a peer is its own next hop.
func path(peer netip.Addr, origin uint32, ids ...uint32) bgp.Path {
	return bgp.Path{Peer: peer, NextHop: peer, ASPath: []uint32{65000, origin}, ClusterIDs: ids, LocalPref: 100}
}

func (b *batch) announce(prefix netip.Prefix, paths ...bgp.Path) {
	b.decide(bgp.Change{Prefix: prefix, Paths: bgp.NewPathSet(paths)})
}

// via returns what the kernel was asked for last.
func (b *batch) via() []netip.Addr { return b.routes[len(b.routes)-1].NextHops }

func refusedOf(r *status.Route) []string {
	var out []string
	for _, p := range r.Paths {
		if !p.Accepted {
			out = append(out, p.Peer+" "+p.Verdict)
		}
	}
	return out
}

var disputed = netip.MustParsePrefix("10.20.1.0/24")

func TestWhoKeepsADisputedPrefix(t *testing.T) {
	a, b := []netip.Addr{peerA}, []netip.Addr{peerB}
	both := []netip.Addr{peerA, peerB}
	adopted := func(hop netip.Addr) func(*batch) {
		return func(b *batch) {
			b.book.observe(fib.State{Dst: disputed, Outcome: &fib.Outcome{Status: fib.Adopted, NextHops: []netip.Addr{hop}}}, b.owner, time.Now())
		}
	}
	for name, row := range map[string]struct {
		before  func(*batch)
		paths   []bgp.Path
		want    []netip.Addr
		refused []string
	}{
		"equal paths of one origin are both used":             {nil, []bgp.Path{path(peerA, 64513), path(peerB, 64513)}, both, nil},
		"two origins that declare the cluster are both used":  {nil, []bgp.Path{path(peerA, 64513, 2), path(peerB, 64514, 2)}, both, nil},
		"who declares the cluster has it":                     {nil, []bgp.Path{path(peerA, 64513), path(peerB, 64514, 2)}, b, []string{"tor-a Overlap"}},
		"for want of anything else the lower AS number":       {nil, []bgp.Path{path(peerA, 64514), path(peerB, 64513)}, b, []string{"tor-a Overlap"}},
		"who had it keeps it":                                 {func(b *batch) { b.announce(disputed, path(peerA, 64514)) }, []bgp.Path{path(peerA, 64514), path(peerB, 64513)}, a, []string{"tor-b Overlap"}},
		"the origin that had it keeps it, over another peer":  {func(b *batch) { b.announce(disputed, path(peerA, 64514)) }, []bgp.Path{path(peerA, 64513), path(peerB, 64514)}, b, []string{"tor-a Overlap"}},
		"who had it gives way to who declares the cluster":    {func(b *batch) { b.announce(disputed, path(peerA, 64514)) }, []bgp.Path{path(peerA, 64514), path(peerB, 64513, 2)}, b, []string{"tor-a Overlap"}},
		"after a restart who the kernel's route leads to":     {adopted(peerA), []bgp.Path{path(peerA, 64514), path(peerB, 64513)}, a, []string{"tor-b Overlap"}},
		"after a restart it makes no difference who is first": {func(b *batch) { adopted(peerA)(b); b.announce(disputed, path(peerB, 64513)) }, []bgp.Path{path(peerA, 64514), path(peerB, 64513)}, a, []string{"tor-b Overlap"}},
		"a path that is wrong anyway disputes nothing":        {nil, []bgp.Path{path(peerA, 64512, 3), path(peerB, 64513)}, b, []string{"tor-a ClusterMismatch"}},
	} {
		t.Run(name, func(t *testing.T) {
			batch := deciding(10).newBatch(1)
			if row.before != nil {
				row.before(batch)
			}
			batch.announce(disputed, row.paths...)
			require.Equal(t, row.want, batch.book.get(disputed).hops())
			require.Equal(t, row.want, batch.via())
			r := batch.book.get(disputed).Route()
			require.True(t, r.Accepted)
			require.Equal(t, row.refused, refusedOf(r))
		})
	}
}

// TestAQuarantineEndsByItself: who lost a dispute is used once the other is gone, and the neighbour's prefix was never
// touched.
func TestAQuarantineEndsByItself(t *testing.T) {
	b := deciding(10).newBatch(1)
	healthy := netip.MustParsePrefix("10.20.2.0/24")
	b.announce(healthy, path(peerA, 64513), path(peerB, 64513))
	b.announce(disputed, path(peerA, 64513), path(peerB, 64599))
	require.Equal(t, []netip.Addr{peerA}, b.via())
	require.Equal(t, "10.20.1.0/24 comes from two origins: AS 64599 (peer tor-b) is refused, AS 64513 (peer tor-a) has it already and keeps it",
		b.book.get(disputed).Route().Paths[1].Detail)
	require.Equal(t, map[string]uint64{"Overlap": 1}, b.counted.of("tor-b"))
	require.Nil(t, b.counted.of("tor-a"))

	b.announce(disputed, path(peerB, 64599))
	require.Equal(t, []netip.Addr{peerB}, b.via())
	require.Nil(t, refusedOf(b.book.get(disputed).Route()))
	require.Len(t, b.routes, 3)
	require.Equal(t, []netip.Addr{peerA, peerB}, b.book.get(healthy).hops())
}

// TestTheSparePathsOfTwoOriginsDoNotMix: what a failover anticipates is what will be decided.
func TestTheSparePathsOfTwoOriginsDoNotMix(t *testing.T) {
	peerC := netip.MustParseAddr("192.168.0.4")
	b := deciding(10).newBatch(1)
	best := bgp.NewPathSet([]bgp.Path{path(peerA, 64514)})
	spare := bgp.NewPathSet([]bgp.Path{path(peerB, 64513), path(peerC, 64514)})
	b.view.names[peerC] = "tor-a" // as good as any
	b.decide(bgp.Change{Prefix: disputed, Paths: best})
	b.decide(bgp.Change{Prefix: disputed, Paths: best, Spare: spare})
	require.Equal(t, []netip.Addr{peerC}, b.book.get(disputed).way.without([]netip.Addr{peerA}))
	b.decide(bgp.Change{Prefix: disputed, Paths: spare})
	require.Equal(t, []netip.Addr{peerC}, b.via())
}

func TestARefusalIsCountedOnce(t *testing.T) {
	a := deciding(1)
	b := a.newBatch(1)
	wrong, right := path(peerA, 64513, 3), path(peerB, 64513, 2)
	is := func(want map[string]uint64, what string) {
		t.Helper()
		require.Equal(t, want, a.counted.of("tor-a"), what)
	}
	fall := func(paths ...bgp.Path) {
		b.announce(disputed, paths...)
		b.raise(map[netip.Prefix][]bgp.Path{disputed: paths}, true)
	}
	fall(wrong)
	is(map[string]uint64{"ClusterMismatch": 1}, "it is refused")
	fall(wrong)
	a.takePlan(a.facts)
	fall(wrong)
	is(map[string]uint64{"ClusterMismatch": 1}, "it is said again, and judged again by another plan")
	fall(wrong, right)
	is(map[string]uint64{"ClusterMismatch": 1}, "another peer has a better path")
	fall(path(peerA, 64513, 1), right)
	is(map[string]uint64{"ClusterMismatch": 1, "OwnClusterID": 1}, "it is refused for another reason")
	fall(path(peerA, 64513, 2), right)
	fall(wrong, right)
	is(map[string]uint64{"ClusterMismatch": 2, "OwnClusterID": 1}, "it was right in between")
	b.decide(bgp.Change{Prefix: disputed})
	fall(wrong)
	is(map[string]uint64{"ClusterMismatch": 3, "OwnClusterID": 1}, "it was withdrawn in between")
	require.Nil(t, a.counted.of("tor-b"))

	b.announce(netip.MustParsePrefix("10.20.2.0/24"), path(peerB, 64513))
	b.announce(netip.MustParsePrefix("10.20.3.0/24"), path(peerB, 64513))
	b.announce(netip.MustParsePrefix("10.20.3.0/24"), path(peerB, 64513))
	require.Equal(t, map[string]uint64{"TooManyPrefixes": 1}, a.counted.of("tor-b"), "for want of a place")

	a.config.BGP.Peers = a.config.BGP.Peers[1:]
	a.takePlan(a.facts)
	require.Nil(t, a.counted.of("tor-a"), "a peer that is gone is forgotten")
	require.NotNil(t, a.counted.of("tor-b"))
}

// TestWhatThePolicyKeepsOutIsCountedByDifference plays the answers of the poller.
func TestWhatThePolicyKeepsOutIsCountedByDifference(t *testing.T) {
	a := deciding(10)
	a.refused = newRefusedPoller()
	none := netip.MustParsePrefix("172.20.1.0/24")
	found := func(paths ...bgp.Path) {
		r := refusedResult{counts: map[netip.Addr]bgp.Counters{}}
		for _, p := range paths {
			r.changes = append(r.changes, bgp.Change{Prefix: none, Paths: bgp.NewPathSet([]bgp.Path{p})})
		}
		a.noteRefused(r)
	}
	found(path(peerA, 64513))
	found(path(peerA, 64513), path(peerB, 64513))
	found(path(peerA, 64513), path(peerB, 64513))
	require.Equal(t, map[string]uint64{"NoContract": 1}, a.counted.of("tor-a"))
	require.Equal(t, map[string]uint64{"NoContract": 1}, a.counted.of("tor-b"))
	require.Len(t, a.refused.routes[none].Paths, 2)
	found(path(peerB, 64513, 1))
	require.Equal(t, map[string]uint64{"NoContract": 1, "OwnClusterID": 1}, a.counted.of("tor-b"))
	found()
	found(path(peerA, 64513))
	require.Equal(t, map[string]uint64{"NoContract": 2}, a.counted.of("tor-a"))
	none = disputed
	found(path(peerA, 64512))
	require.Equal(t, map[string]uint64{"NoContract": 2, "ASLoop": 1}, a.counted.of("tor-a"), "our own AS is in it")
}

// TestWhatIsKeptOutShowsBesideWhatIsAccepted: one peer's route does not hide what is wrong with another's.
func TestWhatIsKeptOutShowsBesideWhatIsAccepted(t *testing.T) {
	a := deciding(10)
	a.refused = newRefusedPoller()
	b := a.newBatch(1)
	b.announce(disputed, path(peerA, 64513))
	bad := path(peerB, 64513)
	bad.Blackhole = true
	a.noteRefused(refusedResult{counts: map[netip.Addr]bgp.Counters{}, changes: []bgp.Change{{Prefix: disputed, Paths: bgp.NewPathSet([]bgp.Path{bad})}}})
	for row := range a.routeTable(nil).Rows() {
		r := row.Route()
		require.True(t, r.Accepted)
		require.Equal(t, []string{"tor-b Blackhole"}, refusedOf(r))
		require.Same(t, a.book.get(disputed), recordOf(row))
	}
	require.Equal(t, map[string]uint64{"Blackhole": 1}, a.counted.of("tor-b"))
}

// careful returns an agent like deciding whose plan has a rule of each kind.
func careful() *agent {
	a := deciding(1000)
	prefixes := func(list ...string) (out []netip.Prefix) {
		for _, s := range list {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	c := a.config
	c.Cluster.PodCIDRs, c.Cluster.Reserved = prefixes("10.10.0.0/16"), prefixes("10.20.96.0/24")
	c.BGP.Peers[1].Clusters = []string{"west"}
	c.Clusters[0].PodCIDRs = prefixes("10.20.0.0/16", "fd00:20::/48")
	c.Clusters[0].PrefixLength = config.PrefixLength{IPv4: config.Lengths{Min: 16, Max: 28}, IPv6: config.Lengths{Min: 48, Max: 80}}
	south := c.Clusters[0]
	south.Name, south.ID, south.PodCIDRs, south.RequireID = "south", 3, prefixes("10.30.0.0/16"), true
	c.Clusters = append(c.Clusters, south)
	a.takePlan(fib.Facts{Addresses: prefixes("192.168.0.1/32"), Connected: prefixes("192.168.0.0/24")})
	return a
}

// TestThePlanAloneStopsEverything: here is no import policy that would have kept any of it out. One right path is among
// the wrong ones each time.
func TestThePlanAloneStopsEverything(t *testing.T) {
	prefix := netip.MustParsePrefix
	with := func(change func(*bgp.Path)) bgp.Path {
		p := path(peerA, 64513, 2)
		change(&p)
		return p
	}
	right := path(peerA, 64513, 2)
	right6 := with(func(p *bgp.Path) { p.NextHop = netip.MustParseAddr("fd00:ff::2") })
	hop := func(s string) bgp.Path { return with(func(p *bgp.Path) { p.NextHop = netip.MustParseAddr(s) }) }
	for name, row := range map[string]struct {
		prefix string
		path   bgp.Path
		want   ipam.Reason
	}{
		"the default route":               {"0.0.0.0/0", right, ipam.DefaultRoute},
		"the IPv6 default route":          {"::/0", right6, ipam.DefaultRoute},
		"half of everything":              {"128.0.0.0/1", right, ipam.DefaultRoute},
		"half of IPv6":                    {"8000::/1", right6, ipam.DefaultRoute},
		"our own pool":                    {"10.10.0.0/16", right, ipam.OwnPrefix},
		"a part of our own pool":          {"10.10.7.0/24", right, ipam.OwnPrefix},
		"what covers our own pool":        {"10.0.0.0/8", right, ipam.OwnPrefix},
		"a reserved range":                {"10.20.96.0/24", right, ipam.Reserved},
		"our own address":                 {"192.168.0.1/32", right, ipam.NodeAddress},
		"our on-link subnet":              {"192.168.0.0/24", right, ipam.NodeAddress},
		"a peer's address":                {"192.168.0.3/32", right, ipam.NodeAddress},
		"a special range":                 {"203.0.113.0/24", right, ipam.Special},
		"loopback":                        {"127.0.0.0/8", right, ipam.Special},
		"IPv6 multicast":                  {"ff00::/8", right6, ipam.Special},
		"what no contract has":            {"10.40.1.0/24", right, ipam.NoContract},
		"what covers a contract":          {"10.30.0.0/15", right, ipam.CoversContract},
		"a host route":                    {"10.20.1.1/32", right, ipam.PrefixLength},
		"a cluster the peer may not send": {"10.30.1.0/24", path(peerB, 64514, 3), ipam.PeerNotAllowed},
		"another cluster's id":            {"10.20.1.0/24", path(peerA, 64513, 3), ipam.ClusterMismatch},
		"our own id":                      {"10.20.1.0/24", path(peerA, 64513, 1), ipam.OwnClusterID},
		"no id though it is required":     {"10.30.1.0/24", path(peerA, 64514), ipam.NoClusterID},
		"what is to be discarded":         {"10.20.1.0/24", with(func(p *bgp.Path) { p.Blackhole = true }), ipam.Blackhole},
		"no next hop":                     {"10.20.1.0/24", with(func(p *bgp.Path) { p.NextHop = netip.Addr{} }), ipam.NextHopInvalid},
		"a multicast next hop":            {"10.20.1.0/24", hop("224.0.0.5"), ipam.NextHopInvalid},
		"a loopback next hop":             {"10.20.1.0/24", hop("127.0.0.1"), ipam.NextHopInvalid},
		"our own next hop":                {"10.20.1.0/24", hop("192.168.0.1"), ipam.NextHopOurs},
		"a next hop of another family":    {"10.20.1.0/24", hop("fd00:ff::2"), ipam.NextHopFamily},
		"a next hop among the pods":       {"10.20.1.0/24", hop("10.20.1.9"), ipam.NextHopInPodRange},
		"a path from a peer nobody knows": {"10.20.1.0/24", path(netip.MustParseAddr("192.168.0.99"), 64513, 2), ipam.UnknownPeer},
	} {
		t.Run(name, func(t *testing.T) {
			a := careful()
			b := a.newBatch(1)
			b.announce(prefix("10.20.250.0/24"), right)
			b.announce(prefix(row.prefix), row.path)
			b.raise(nil, true)
			require.Equal(t, []fib.Route{{Dst: prefix("10.20.250.0/24"), NextHops: []netip.Addr{peerA}}}, b.routes)
			r := a.book.get(prefix(row.prefix)).Route()
			require.Equal(t, string(row.want), r.Verdict, r.Detail)
			require.NotEmpty(t, r.Detail)
			if name := a.view.names[row.path.Peer]; name != "" {
				require.Equal(t, map[string]uint64{string(row.want): 1}, a.counted.of(name))
			}
		})
	}
}

// TestANextHopOnNoLinkIsTheKernelsFinding: the other path of the prefix stays, and the finding counts once.
func TestANextHopOnNoLinkIsTheKernelsFinding(t *testing.T) {
	a := deciding(10)
	b := a.newBatch(1)
	far := path(peerB, 64513)
	far.NextHop = netip.MustParseAddr("198.51.100.9")
	b.announce(disputed, path(peerA, 64513), far)
	states := []fib.State{{Dst: disputed, Outcome: &fib.Outcome{
		Status: fib.Installed, NextHops: []netip.Addr{peerA}, OffLink: []netip.Addr{far.NextHop},
	}}}
	a.observe(states)
	a.observe(states)
	require.Equal(t, map[string]uint64{"NextHopNotOnLink": 1}, a.counted.of("tor-b"))
	require.Nil(t, a.counted.of("tor-a"))
	require.Equal(t, []string{"tor-b NextHopNotOnLink"}, refusedOf(a.book.get(disputed).Route()))
}

func TestOurOwnPrefixesComingBackAreNoFault(t *testing.T) {
	a := careful()
	a.refused = newRefusedPoller()
	own := netip.MustParsePrefix("10.10.7.0/24")
	internal := bgp.Path{Peer: peerA, NextHop: peerA, ClusterIDs: []uint32{1}}
	for name, row := range map[string]struct {
		path     bgp.Path
		expected bool
	}{
		"from a node of ours, inside the AS":       {internal, true},
		"through the fabric":                       {path(peerA, 64512, 1), true},
		"through the fabric, communities lost":     {path(peerA, 64512), true},
		"from another AS":                          {path(peerA, 64513), false},
		"from another AS, with our id":             {path(peerA, 64513, 1), false},
		"from a cluster of our AS with another id": {path(peerA, 64512, 2), false},
		"inside the AS, without an id":             {bgp.Path{Peer: peerA, NextHop: peerA}, false},
	} {
		t.Run(name, func(t *testing.T) {
			a.counted = newCounted()
			a.counted.keep(a.config.BGP.Peers)
			a.refused.routes = nil
			a.noteRefused(refusedResult{
				counts:  map[netip.Addr]bgp.Counters{},
				changes: []bgp.Change{{Prefix: own, Paths: bgp.NewPathSet([]bgp.Path{row.path})}},
			})
			require.Equal(t, "OwnPrefix", a.refused.routes[own].Verdict)
			require.Equal(t, row.expected, a.refused.routes[own].Expected)
			require.Equal(t, row.expected, a.counted.of("tor-a") == nil, "what is no fault does not count")
		})
	}
}

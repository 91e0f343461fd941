package ipam

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

type refusal struct {
	claim   Claim
	reason  Reason
	cluster string
	detail  string // must be part of the sentence
}

func (r refusal) check(t *testing.T) {
	t.Helper()
	v := east().Judge(r.claim)
	require.False(t, v.Accepted)
	require.Equal(t, r.reason, v.Reason, v.Detail)
	require.Equal(t, r.cluster, v.Cluster, v.Detail)
	require.Contains(t, v.Detail, r.detail)
	if r.claim.Prefix.IsValid() {
		require.Contains(t, v.Detail, r.claim.Prefix.String(), "the sentence names the prefix")
	}
}

func TestWhatNobodyMaySendIsRefused(t *testing.T) {
	for name, row := range map[string]refusal{
		"something that is no prefix":                       {Claim{Peer: "tor-a"}, InvalidPrefix, "", "tor-a"},
		"IPv4 host bits set":                                {from("10.20.1.1/24"), InvalidPrefix, "", "the prefix is 10.20.1.0/24"},
		"IPv6 host bits set":                                {from("fd00:20::1/64"), InvalidPrefix, "", "the prefix is fd00:20::/64"},
		"the IPv4 default route":                            {from("0.0.0.0/0"), DefaultRoute, "", "is the default route"},
		"the IPv6 default route":                            {from("::/0"), DefaultRoute, "", "is the default route"},
		"the lower half of IPv4":                            {from("0.0.0.0/1"), DefaultRoute, "", "half of the default route"},
		"the upper half of IPv4":                            {from("128.0.0.0/1"), DefaultRoute, "", "half of the default route"},
		"the lower half of IPv6":                            {from("::/1"), DefaultRoute, "", "half of the default route"},
		"the upper half of IPv6":                            {from("8000::/1"), DefaultRoute, "", "half of the default route"},
		"IPv4 \"this network\"":                             {from("0.1.0.0/16"), Special, "", "lies inside 0.0.0.0/8"},
		"IPv4 loopback":                                     {from("127.0.0.0/8"), Special, "", "equals 127.0.0.0/8, loopback"},
		"one IPv4 loopback address":                         {from("127.0.0.1/32"), Special, "", "loopback"},
		"IPv4 loopback and its neighbour":                   {from("126.0.0.0/7"), Special, "", "covers 127.0.0.0/8"},
		"IPv4 link-local":                                   {from("169.254.169.254/32"), Special, "", "link-local"},
		"IPv4 multicast":                                    {from("239.1.1.0/24"), Special, "", "multicast"},
		"IPv4 multicast and what comes after":               {from("224.0.0.0/3"), Special, "", "covers 224.0.0.0/4"},
		"IPv4 reserved for ever":                            {from("240.0.0.0/8"), Special, "", "lies inside 240.0.0.0/4"},
		"the IPv4 broadcast address":                        {from("255.255.255.255/32"), Special, "", "240.0.0.0/4"},
		"the IPv6 unspecified address":                      {from("::/128"), Special, "", "::/8"},
		"the IPv6 loopback":                                 {from("::1/128"), Special, "", "loopback"},
		"all of IPv6's first eighth of an eighth":           {from("::/8"), Special, "", "equals ::/8"},
		"a quarter of IPv6 that covers special ranges":      {from("::/2"), Special, "", "covers"},
		"an IPv4-mapped pod range of west":                  {from("::ffff:10.20.1.0/120"), Special, "", "IPv4-mapped"},
		"all of IPv4, mapped":                               {from("::ffff:0:0/96"), Special, "", "IPv4-mapped"},
		"a NAT64 range":                                     {from("64:ff9b::/96"), Special, "", "translation"},
		"the IPv6 discard range":                            {from("100::/64"), Special, "", "discard-only"},
		"IPv6 link-local":                                   {from("fe80::/64"), Special, "", "link-local"},
		"IPv6 site-local":                                   {from("fec0::/16"), Special, "", "site-local"},
		"IPv6 multicast":                                    {from("ff02::/16"), Special, "", "multicast"},
		"IPv4 for documentation":                            {from("192.0.2.0/24"), Special, "", "documentation"},
		"what covers IPv4 for documentation":                {from("203.0.112.0/22"), Special, "", "covers 203.0.113.0/24, documentation"},
		"IPv4 for benchmarks":                               {from("198.19.1.0/24"), Special, "", "benchmarks"},
		"the former 6to4 relays":                            {from("192.88.99.0/24"), Special, "", "6to4"},
		"IPv4 protocol assignments":                         {from("192.0.0.170/32"), Special, "", "protocol assignments"},
		"IPv6 for documentation":                            {from("2001:db8:1::/48"), Special, "", "documentation"},
		"more IPv6 for documentation":                       {from("3fff:1::/32"), Special, "", "documentation"},
		"Teredo":                                            {from("2001::/32"), Special, "", "protocol assignments"},
		"6to4":                                              {from("2002:a00:1::/48"), Special, "", "6to4"},
		"segment routing":                                   {from("5f00::/24"), Special, "", "segment routing"},
		"a local NAT64 range":                               {from("64:ff9b:1::/96"), Special, "", "translation"},
		"the IPv6 dummy range":                              {from("100:0:0:1::/64"), Special, "", "dummy"},
		"our own IPv4 pod range":                            {from("10.10.0.0/16"), OwnPrefix, "", "equals our own pod range 10.10.0.0/16, but peer tor-a announces it"},
		"our own IPv6 pod range":                            {from("fd00:10::/48"), OwnPrefix, "", "equals our own pod range fd00:10::/48"},
		"more specific inside our own IPv4 pool":            {from("10.10.7.0/24"), OwnPrefix, "", "lies inside our own pod range"},
		"more specific inside our own IPv6 pool":            {from("fd00:10:0:7::/64"), OwnPrefix, "", "lies inside our own pod range"},
		"a single pod of ours":                              {from("10.10.7.7/32"), OwnPrefix, "", "lies inside our own pod range"},
		"10.0.0.0/8, which covers us and the contract":      {from("10.0.0.0/8"), OwnPrefix, "", "covers our own pod range 10.10.0.0/16"},
		"fd00::/16, which covers us and the contract":       {from("fd00::/16"), OwnPrefix, "", "covers our own pod range fd00:10::/48"},
		"a quarter of IPv4 that covers us and \"this net\"": {from("0.0.0.0/2"), OwnPrefix, "", "covers our own pod range"},
		"our own range with our own id, from our own node":  {from("10.10.2.0/24", ids(1)), OwnPrefix, "", "routes inside the cluster are not learned"},
		"our own range with another's id":                   {from("10.10.2.0/24", ids(2)), OwnPrefix, "", "origin AS 64513"},
		"the subnet of our pod bridge, ours before on-link": {from("10.10.1.0/24"), OwnPrefix, "", "our own pod range"},
		"the host route of this node":                       {from("172.16.0.10/32"), NodeAddress, "", "is this node's own address"},
		"the IPv6 host route of this node":                  {from("fd00:ff::10/128"), NodeAddress, "", "is this node's own address"},
		"the host route of this node's pod bridge":          {from("10.10.1.1/32"), NodeAddress, "", "is this node's own address"},
		"a host route on our link":                          {from("172.16.0.77/32"), NodeAddress, "", "this node's on-link subnet 172.16.0.0/24"},
		"our on-link subnet":                                {from("172.16.0.0/24"), NodeAddress, "", "equals this node's on-link subnet"},
		"our on-link IPv6 subnet":                           {from("fd00:ff::/64"), NodeAddress, "", "equals this node's on-link subnet"},
		"half of our on-link subnet":                        {from("172.16.0.128/25"), NodeAddress, "", "lies inside this node's on-link subnet"},
		"what covers our on-link subnet":                    {from("172.16.0.0/12"), NodeAddress, "", "covers this node's on-link subnet 172.16.0.0/24"},
		"what covers an address of ours that has no subnet": {from("100.64.0.0/24"), NodeAddress, "", "covers this node's own address 100.64.0.10"},
		"a prefix equal to an on-link peer's address":       {from("172.16.0.1/32"), NodeAddress, "", "is the address of peer tor-a"},
		"a prefix equal to an IPv6 peer's address":          {from("fd00:ff::1/128"), NodeAddress, "", "is the address of peer tor-a-6"},
		"a prefix that covers a distant peer's address":     {from("100.65.0.0/29"), NodeAddress, "", "covers the address of peer south-gw 100.65.0.7"},
		"the IPv4 services":                                 {from("10.96.0.0/24"), Reserved, "", "lies inside the reserved range 10.96.0.0/16"},
		"the IPv6 services":                                 {from("fd00:96::/112"), Reserved, "", "equals the reserved range"},
		"what covers the reserved range":                    {from("192.0.0.0/8"), Reserved, "", "covers the reserved range 192.168.0.0/16"},
	} {
		t.Run(name, row.check)
	}
}

func TestWhatBreaksItsContractIsRefused(t *testing.T) {
	for name, row := range map[string]refusal{
		"an IPv4 prefix nobody declared":             {from("10.40.0.0/24"), NoContract, "", "in no declared cluster's range"},
		"an IPv6 prefix nobody declared":             {from("2a00:db8::/48"), NoContract, "", "in no declared cluster's range"},
		"an undeclared prefix from an AS like ours":  {from("10.40.0.0/24", func(c *Claim) { c.OriginASN = 64512 }), NoContract, "", "origin AS 64512, the same as ours"},
		"wider than the IPv4 range it covers":        {from("10.20.0.0/15"), CoversContract, "west", "covers"},
		"wider than the IPv6 range it covers":        {from("fd00:20::/47"), CoversContract, "west", "fd00:20::/48 of cluster west"},
		"wider than two ranges of one cluster":       {from("10.30.0.0/15"), CoversContract, "south", "10.30.0.0/16 of cluster south"},
		"a /29 in a contract limited to 28":          {from("10.20.1.8/29"), PrefixLength, "west", "has length 29, cluster west may send lengths 16 to 28"},
		"a host route in a contract limited to 28":   {from("10.20.1.8/32"), PrefixLength, "west", "length 32"},
		"an IPv6 /96 in a contract limited to 80":    {from("fd00:20::/96"), PrefixLength, "west", "lengths 48 to 80"},
		"a /23 in a contract of /24 only":            {from("10.30.2.0/23"), PrefixLength, "south", "lengths 24 to 24"},
		"an IPv6 /63 in a contract of /64 only":      {from("fd00:30::/63"), PrefixLength, "south", "lengths 64 to 64"},
		"west's prefix from a peer allowed south":    {from("10.20.1.0/24", peerNamed("south-gw")), PeerNotAllowed, "west", "peer south-gw may not announce"},
		"west's IPv6 from a peer allowed south":      {from("fd00:20:0:1::/64", peerNamed("south-gw")), PeerNotAllowed, "west", "cluster west"},
		"a good prefix from a peer nobody knows":     {from("10.20.1.0/24", peerNamed("stranger")), UnknownPeer, "", `"stranger"`},
		"the id of another declared cluster":         {from("10.20.1.0/24", ids(3)), ClusterMismatch, "west", "carries id 3, the id of cluster south"},
		"a host route to be discarded":               {from("10.20.1.8/32", blackhole), Blackhole, "west", "BLACKHOLE (65535:666, RFC 7999)"},
		"a node's pod range to be discarded":         {from("10.20.1.0/24", blackhole), Blackhole, "west", "origin AS 64513"},
		"IPv6 to be discarded":                       {from("fd00:20:0:1::/64", blackhole, ids(2)), Blackhole, "west", "peer tor-a"},
		"our own id in nobody's range":               {from("10.40.0.0/24", ids(1)), OwnClusterID, "", "cluster id 1 is that of our own cluster east, and AS 64513 (peer tor-a) uses it too"},
		"our own id in nobody's range, from our AS":  {from("10.40.0.0/24", ids(1), func(c *Claim) { c.OriginASN = 64512 }), NoContract, "", ""},
		"the id of no declared cluster":              {from("10.20.1.0/24", ids(9)), ClusterMismatch, "west", "carries id 9, which no declared cluster has"},
		"a right id and a wrong one":                 {from("fd00:20:0:1::/64", ids(2, 9)), ClusterMismatch, "west", "carries id 9"},
		"our own id in west's range":                 {from("10.20.1.0/24", ids(1)), OwnClusterID, "west", "AS 64513 (peer tor-a) uses it too: it announces 10.20.1.0/24, which lies inside the range of cluster west"},
		"our own id in west's IPv6 range":            {from("fd00:20:0:1::/64", ids(1)), OwnClusterID, "west", "cluster id 1 is that of our own cluster east"},
		"our own id among wrong ones":                {from("10.20.1.0/24", ids(9, 1)), OwnClusterID, "west", "cluster id 1 is that of our own cluster east"},
		"guarded before judged: own from a stranger": {from("10.10.1.0/24", peerNamed("stranger")), OwnPrefix, "", "our own pod range"},
		"a peer's fault before a wrong length":       {from("10.20.1.8/29", peerNamed("south-gw")), PeerNotAllowed, "west", ""},
	} {
		t.Run(name, row.check)
	}
}

func TestANextHopNothingCanFollowIsRefused(t *testing.T) {
	for name, row := range map[string]refusal{
		"no next hop":                                {from("10.20.1.0/24", func(c *Claim) { c.NextHop = netip.Addr{} }), NextHopInvalid, "west", "has no next hop"},
		"the IPv4 unspecified address":               {from("10.20.1.0/24", via("0.0.0.0")), NextHopInvalid, "west", "nothing can be sent"},
		"the IPv6 unspecified address":               {from("fd00:20:0:1::/64", via("::")), NextHopInvalid, "west", "nothing can be sent"},
		"IPv4 loopback":                              {from("10.20.1.0/24", via("127.0.0.9")), NextHopInvalid, "west", "nothing can be sent"},
		"IPv6 loopback":                              {from("fd00:20:0:1::/64", via("::1")), NextHopInvalid, "west", "nothing can be sent"},
		"IPv4 multicast":                             {from("10.20.1.0/24", via("224.0.0.5")), NextHopInvalid, "west", "nothing can be sent"},
		"IPv6 multicast":                             {from("fd00:20:0:1::/64", via("ff02::1")), NextHopInvalid, "west", "nothing can be sent"},
		"IPv4 broadcast":                             {from("10.20.1.0/24", via("255.255.255.255")), NextHopInvalid, "west", "nothing can be sent"},
		"IPv4 of \"this network\"":                   {from("10.20.1.0/24", via("0.0.0.1")), NextHopInvalid, "west", "nothing can be sent"},
		"an IPv6 next hop for an IPv4 prefix":        {from("10.20.1.0/24", via("fd00:ff::1")), NextHopFamily, "west", "the other address family"},
		"an IPv4 next hop for an IPv6 prefix":        {from("fd00:20:0:1::/64", via("172.16.0.1")), NextHopFamily, "west", "the other address family"},
		"an IPv4-mapped next hop for an IPv6 prefix": {from("fd00:20:0:1::/64", via("::ffff:172.16.0.1")), NextHopFamily, "west", "::ffff:172.16.0.1"},
		"our own IPv4 address":                       {from("10.20.1.0/24", via("172.16.0.10")), NextHopOurs, "west", "this node's own address"},
		"our own IPv6 address":                       {from("fd00:20:0:1::/64", via("fd00:ff::10")), NextHopOurs, "west", "this node's own address"},
		"a link-local next hop without its link":     {from("fd00:20:0:1::/64", via("fe80::2")), NextHopInvalid, "west", "which link"},
		"our own link-local address on that link":    {from("fd00:20:0:1::/64", via("fe80::1%eth1")), NextHopOurs, "west", "this node's own address"},
		"our own address on the pod bridge":          {from("10.20.1.0/24", via("10.10.1.1")), NextHopOurs, "west", "this node's own address"},
		"a next hop inside the announced prefix":     {from("10.20.1.0/24", via("10.20.1.1")), NextHopInPodRange, "west", "recursion"},
		"a next hop inside another cluster's range":  {from("10.20.1.0/24", via("10.30.1.1")), NextHopInPodRange, "west", "the pod range 10.30.0.0/16 of cluster south"},
		"an IPv6 next hop inside a remote pod range": {from("fd00:20:0:1::/64", via("fd00:30::1")), NextHopInPodRange, "west", "cluster south"},
		"a pod of our own as next hop":               {from("10.20.1.0/24", via("10.10.9.9")), NextHopInPodRange, "west", "our own pod range"},
	} {
		t.Run(name, row.check)
	}
}

func TestOverlappingContractsAreDecidedTheSameWayEachTime(t *testing.T) {
	lengths := Lengths{8, 28}
	p := New(Config{
		Contracts: []Contract{
			{Cluster: "wide", ID: 2, Prefixes: prefixes("10.0.0.0/8"), IPv4: lengths},
			{Cluster: "narrow", ID: 3, Prefixes: prefixes("10.20.0.0/16"), IPv4: lengths},
			{Cluster: "late", ID: 3, Prefixes: prefixes("10.20.0.0/16"), IPv4: lengths},
		},
		Peers: map[string]Peer{"tor-a": {}},
	}, Facts{})
	require.Equal(t, "narrow", p.Judge(from("10.20.1.0/24")).Cluster, "the most specific range, then the first declared")
	require.Equal(t, "wide", p.Judge(from("10.21.1.0/24")).Cluster)
	require.Contains(t, p.Judge(from("10.21.1.0/24", ids(3))).Detail, "the id of cluster narrow")
}

func TestAClusterWhoseIDIsNotKnownMayCarryAnyIDButOurs(t *testing.T) {
	c := eastConfig()
	c.Contracts[0].ID = 0
	p := New(c, eastFacts())
	require.True(t, p.Judge(from("10.20.1.0/24", ids(77))).Accepted)
	require.Equal(t, OwnClusterID, p.Judge(from("10.20.1.0/24", ids(1))).Reason)
}

func TestAContractMayRequireTheClustersID(t *testing.T) {
	c := eastConfig()
	c.Contracts[0].RequireID = true
	p := New(c, eastFacts())
	require.True(t, p.Judge(from("10.20.1.0/24", ids(2))).Accepted)
	require.Equal(t, ClusterMismatch, p.Judge(from("10.20.1.0/24", ids(3))).Reason)
	v := p.Judge(from("10.20.1.0/24"))
	require.Equal(t, NoClusterID, v.Reason)
	require.Equal(t, "10.20.1.0/24 lies inside the range of cluster west, whose paths must carry its id 2 (requireID), "+
		"and this one carries none (origin AS 64513, peer tor-a)", v.Detail)
	require.True(t, p.Judge(from("10.30.1.0/24")).Accepted, "other contracts do not")

	c.Contracts[0].ID = 0
	p = New(c, eastFacts())
	require.True(t, p.Judge(from("10.20.1.0/24", ids(77))).Accepted, "with an unknown id any will do")
	require.Equal(t, NoClusterID, p.Judge(from("10.20.1.0/24")).Reason)
}

func TestALoopIsNamed(t *testing.T) {
	v := east().Looped(from("10.20.1.0/24", func(c *Claim) { c.OriginASN = 64512 }))
	require.Equal(t, ASLoop, v.Reason)
	require.Equal(t, "10.20.1.0/24 from peer tor-a has our own AS 64512 in its path (origin AS 64512, the same as ours): "+
		"clusters that share an AS number hear each other only if the peer may send that (allowOwnAS)", v.Detail)
}

func TestANextHopOnNoLinkIsNamed(t *testing.T) {
	require.Equal(t, Verdict{
		Cluster: "west", Reason: NextHopNotOnLink,
		Detail: "10.20.1.0/24 from peer tor-a has the next hop 100.70.0.9, which is not on-link: a route through it would need another route",
	}, east().Unreachable(from("10.20.1.0/24", via("100.70.0.9")), NextHopNotOnLink))
	require.Equal(t, Verdict{
		Cluster: "west", Reason: NextHopUnresolved,
		Detail: "10.20.1.0/24 from peer tor-a has the next hop 100.70.0.9, to which no route leads that may be used",
	}, east().Unreachable(from("10.20.1.0/24", via("100.70.0.9")), NextHopUnresolved))
}

// TestAgreedNextHops: IPv6 next hops for IPv4 prefixes are for peers with which that was agreed (RFC 8950), and as little
// may be wrong with them as with any other.
func TestAgreedNextHops(t *testing.T) {
	p := New(Config{
		Cluster: "east", ID: 1, ASN: 64512, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.10.0.0/16")},
		Contracts: []Contract{{Cluster: "west", ID: 2, Prefixes: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16")}, IPv4: Lengths{16, 28}}},
		Peers:     map[string]Peer{"leaf": {ExtendedNextHop: true}, "tor": {}},
	}, Facts{})
	for nextHop, want := range map[string]Reason{
		"fe80::1%eth1": Accepted, "2001:db8::1": Accepted, "192.0.2.1": Accepted,
		"fe80::1": NextHopInvalid, "::": NextHopInvalid, "ff02::1": NextHopInvalid, "::ffff:192.0.2.1": NextHopFamily,
	} {
		claim := Claim{Prefix: netip.MustParsePrefix("10.20.1.0/24"), Peer: "leaf", NextHop: netip.MustParseAddr(nextHop), OriginASN: 65001}
		require.Equal(t, want, p.Judge(claim).Reason, nextHop)
		if claim.Peer = "tor"; want == Accepted && nextHop != "192.0.2.1" {
			v := p.Judge(claim)
			require.Equal(t, NextHopFamily, v.Reason)
			require.Contains(t, v.Detail, "extendedNextHop")
		}
	}
}

package bgp

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

const (
	familyIPv4 = gobgp.RF_IPv4_UC
	familyIPv6 = gobgp.RF_IPv6_UC
)

// functionCluster is the function field of the large community that names the cluster a route
// originates from: ASN:1:clusterID (RFC 8092, section 3; the layout follows RFC 8195).
const functionCluster = 1

// functionFor is the function field of the large community that names a cluster which a route is for: ASN:2:clusterID. A
// route without any is for everybody.
const functionFor = 2

// functionGateway is the function field of the large community that says through whose gateways a route leads:
// ASN:3:clusterID. A gateway adds it to what it learned of other networks and passes on.
const functionGateway = 3

// functionProbe is the function field of the large community that says at which address of the prefix, counted from its
// first one, the node answers probes: ASN:4:offset.
const functionProbe = 4

// Offset is the place of an address in a prefix, counted from its first one.
type Offset struct {
	Known bool
	Value uint32
}

// GatewayMark is the community that a gateway of a cluster marks with what it passes on.
func GatewayMark(asn, clusterID uint32) string {
	return fmt.Sprintf("%d:%d:%d", asn, functionGateway, clusterID)
}

// gracefulShutdown is the community GRACEFUL_SHUTDOWN, 65535:0: the path is about to go (RFC 8326).
const gracefulShutdown = 0xffff0000

// communityBlackhole is 65535:666 (RFC 7999, section 5).
const communityBlackhole = uint32(gobgp.COMMUNITY_BLACKHOLE)

// Change is the state of one prefix.
type Change struct {
	Prefix netip.Prefix
	// Paths are all its equally good best paths; none after a withdrawal.
	Paths *PathSet
	// Spare are those that would be the best without them, as far as is known: it is found out in the
	// background, some seconds after a change, and is a hint of what is about to come if the best are lost.
	Spare *PathSet
	// Lost says of a prefix without paths that nobody withdrew its last one: the session was disconnected.
	Lost bool
	// Learned is when the first of the paths that are new was seen as one of the best, and for those that were held back
	// on purpose, when that was over. It is zero where none is new.
	Learned time.Time
}

// Path is one path to a prefix as learned from one peer. It is immutable.
type Path struct {
	// Peer is the address of the session the path came from.
	Peer netip.Addr
	// ID tells the paths apart that one peer has to the same prefix (RFC 7911); 0 for a peer that sends only one.
	ID uint32
	// NextHop is where the peer wants the traffic sent; invalid when it sent none.
	NextHop netip.Addr
	// ASPath is the flattened AS_PATH, nearest AS first; empty inside the own AS.
	ASPath []uint32
	// ClusterIDs are the cluster ids claimed by the origin AS of the path (large community ASN:1:id), or by one with our
	// own number.
	ClusterIDs []uint32
	// LocalPref is what an internal peer assigned to it, or the default of 100: that of another AS does not count
	// (RFC 4271, section 5.1.5).
	LocalPref uint32
	// MED is the MULTI_EXIT_DISC; 0 when absent.
	MED uint32
	// Stale says that the peer is restarting and the path awaits confirmation (RFC 4724, section 4.2).
	Stale bool
	// Blackhole says that it carries the community BLACKHOLE: its sender wants the traffic discarded (RFC 7999).
	Blackhole bool
	// NotForUs says that its origin names the clusters it is for (large community ASN:2:id), and ours is not among them.
	NotForUs bool
	// OurGateway says that it leads through a gateway of our own cluster (large community ASN:3:id).
	OurGateway bool
	// Probe is where in the prefix its node answers probes (large community ASN:4:offset): of the origin AS, or of our own
	// number. It may lie outside of the prefix, and says nothing then. Who says two says none.
	Probe Offset
	// ClusterLoop says that our own CLUSTER_ID is in its CLUSTER_LIST: we, or another reflector with our id, reflected it
	// before, and it is to be ignored (RFC 4456, section 8).
	ClusterLoop bool
}

// Origin is the AS a path originates from, or own for a path that never left our AS.
func (p Path) Origin(own uint32) uint32 {
	if len(p.ASPath) == 0 {
		return own
	}
	return p.ASPath[len(p.ASPath)-1]
}

// Looped says that an AS is in the path: its own speakers leave such a path out (RFC 4271, section 9.1.2).
func (p Path) Looped(own uint32) bool { return slices.Contains(p.ASPath, own) }

// Times says how often an AS is in the path.
func (p Path) Times(asn uint32) int {
	n := 0
	for _, a := range p.ASPath {
		if a == asn {
			n++
		}
	}
	return n
}

// Overridden says that somebody on the way may have put his own AS in the place of the one the path originates from: it
// is there twice.
func (p Path) Overridden() bool {
	n := len(p.ASPath)
	return n > 1 && p.ASPath[n-1] == p.ASPath[n-2]
}

// prefixOf returns the prefix of a unicast path; false for anything else.
func prefixOf(p *apiutil.Path) (netip.Prefix, bool) {
	nlri, ok := p.Nlri.(*gobgp.IPAddrPrefix)
	if !ok {
		return netip.Prefix{}, false
	}
	return nlri.Prefix, true
}

// pathReader reads what matters from GoBGP's paths.
type pathReader struct {
	ownASN      uint32     // the origin of paths with an empty AS_PATH
	reflector   netip.Addr // our CLUSTER_ID; invalid for none
	cluster     uint32     // our cluster's id
	asns        []uint32
	ids         []uint32
	communities []*gobgp.LargeCommunity

	// The link-local next hop read last, without its link and with it.
	bare, zoned netip.Addr
}

// newPath reads one path as the reader would.
func newPath(in *apiutil.Path, like pathReader) Path {
	r := pathReader{ownASN: like.ownASN, reflector: like.reflector, cluster: like.cluster}
	return r.read(in)
}

// read returns a path whose slices are overwritten by the next one: interning copies what is new.
func (r *pathReader) read(in *apiutil.Path) Path {
	p := Path{Peer: in.PeerAddress, ID: in.RemoteID, Stale: in.Stale, LocalPref: defaultLocalPref}
	r.asns, r.ids, r.communities = r.asns[:0], r.ids[:0], nil
	for _, attribute := range in.Attrs {
		switch a := attribute.(type) {
		case *gobgp.PathAttributeNextHop:
			p.NextHop = a.Value.Unmap()
		case *gobgp.PathAttributeMpReachNLRI:
			p.NextHop = r.nextHop(a.Nexthop, in)
		case *gobgp.PathAttributeAsPath:
			for _, segment := range a.Value {
				r.asns = append(r.asns, segment.GetAS()...)
			}
		case *gobgp.PathAttributeLocalPref:
			p.LocalPref = a.Value
		case *gobgp.PathAttributeMultiExitDisc:
			p.MED = a.Value
		case *gobgp.PathAttributeCommunities:
			p.Blackhole = slices.Contains(a.Value, communityBlackhole)
		case *gobgp.PathAttributeLargeCommunities:
			r.communities = a.Values
		case *gobgp.PathAttributeClusterList:
			p.ClusterLoop = slices.Contains(a.Value, r.reflector)
		}
	}
	p.ASPath = r.asns
	r.say(&p)
	return p
}

// say reads what the large communities say.
func (r *pathReader) say(p *Path) {
	origin := p.Origin(r.ownASN)
	named, us, probes := false, false, 0
	for _, c := range r.communities {
		// A path of a cluster with our own AS number has lost it where the AS was overridden, but not the community.
		switch {
		case c.LocalData1 == functionGateway: // our nodes may have several AS numbers; a gateway's is in the path
			p.OurGateway = p.OurGateway || c.LocalData2 == r.cluster && (c.ASN == r.ownASN || p.Looped(c.ASN))
		case c.ASN != origin && c.ASN != r.ownASN:
		case c.LocalData1 == functionCluster:
			r.ids = append(r.ids, c.LocalData2)
		case c.LocalData1 == functionFor:
			named, us = true, us || c.LocalData2 == r.cluster
		case c.LocalData1 == functionProbe:
			p.Probe, probes = Offset{true, c.LocalData2}, probes+1
		}
	}
	if probes > 1 {
		p.Probe = Offset{}
	}
	p.ClusterIDs, p.NotForUs = r.ids, named && !us
}

// nextHop is where to send what a next hop in MP_REACH_NLRI is for. It says all but for a session between link-local
// addresses: on such a link nothing but these is known to be. GoBGP drops the link-local one of two (RFC 2545, section 3),
// and what is left may be an address on no link of ours, or none at all. So an external peer is its own next hop, as it is
// in any case unless it knows better where on this link the traffic should go.
func (r *pathReader) nextHop(sent netip.Addr, in *apiutil.Path) netip.Addr {
	zone := in.PeerAddress.Zone()
	switch {
	case zone == "" || !sent.Is6():
		return sent
	case !sent.IsLinkLocalUnicast() && (sent.IsUnspecified() || in.PeerASN != r.ownASN):
		return in.PeerAddress
	case !sent.IsLinkLocalUnicast():
		return sent
	}
	if sent != r.bare || r.zoned.Zone() != zone {
		r.bare, r.zoned = sent, sent.WithZone(zone)
	}
	return r.zoned
}

// AsGoodAs says whether the decision process sees no difference between two paths, up to its tie-breakers
// (RFC 4271, section 9.1.2.2).
func (p Path) AsGoodAs(q Path) bool {
	return p.LocalPref == q.LocalPref && len(p.ASPath) == len(q.ASPath) && p.MED == q.MED
}

// Equal says whether two paths are alike in all that is read of them.
func (p Path) Equal(q Path) bool {
	return p.Peer == q.Peer && p.ID == q.ID && p.NextHop == q.NextHop && p.AsGoodAs(q) && p.Stale == q.Stale && p.Blackhole == q.Blackhole &&
		p.ClusterLoop == q.ClusterLoop && p.NotForUs == q.NotForUs && p.OurGateway == q.OurGateway && p.Probe == q.Probe && slices.Equal(p.ASPath, q.ASPath) && slices.Equal(p.ClusterIDs, q.ClusterIDs)
}

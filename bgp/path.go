package bgp

import (
	"net/netip"
	"slices"

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

// Change is the state of one prefix: all its equally good best paths, or none after a withdrawal.
type Change struct {
	Prefix netip.Prefix
	Paths  []Path
}

// Path is one path to a prefix as learned from one peer. It is immutable.
type Path struct {
	// Peer is the address of the session the path came from.
	Peer netip.Addr
	// NextHop is where the peer wants the traffic sent; invalid when it sent none.
	NextHop netip.Addr
	// ASPath is the flattened AS_PATH, nearest AS first; empty inside the own AS.
	ASPath []uint32
	// ClusterIDs are the cluster ids claimed by the origin AS of the path (large community ASN:1:id).
	ClusterIDs []uint32
	// LocalPref is what we assigned to it, or an internal peer did; 0 when absent.
	LocalPref uint32
	// MED is the MULTI_EXIT_DISC; 0 when absent.
	MED uint32
	// Stale says that the peer is restarting and the path awaits confirmation (RFC 4724, section 4.2).
	Stale bool
}

// Origin is the AS a path originates from, or own for a path that never left our AS.
func (p Path) Origin(own uint32) uint32 {
	if len(p.ASPath) == 0 {
		return own
	}
	return p.ASPath[len(p.ASPath)-1]
}

// prefixOf returns the prefix of a unicast path; false for anything else.
func prefixOf(p *apiutil.Path) (netip.Prefix, bool) {
	nlri, ok := p.Nlri.(*gobgp.IPAddrPrefix)
	if !ok {
		return netip.Prefix{}, false
	}
	return nlri.Prefix, true
}

// newPath reads what matters from GoBGP's path. ownASN is the origin of paths with an empty AS_PATH.
func newPath(in *apiutil.Path, ownASN uint32) Path {
	p := Path{Peer: in.PeerAddress, Stale: in.Stale}
	var communities []*gobgp.LargeCommunity
	for _, attribute := range in.Attrs {
		switch a := attribute.(type) {
		case *gobgp.PathAttributeNextHop:
			p.NextHop = a.Value.Unmap()
		case *gobgp.PathAttributeMpReachNLRI:
			p.NextHop = a.Nexthop
		case *gobgp.PathAttributeAsPath:
			for _, segment := range a.Value {
				p.ASPath = append(p.ASPath, segment.GetAS()...)
			}
		case *gobgp.PathAttributeLocalPref:
			p.LocalPref = a.Value
		case *gobgp.PathAttributeMultiExitDisc:
			p.MED = a.Value
		case *gobgp.PathAttributeLargeCommunities:
			communities = a.Values
		}
	}
	origin := p.Origin(ownASN)
	for _, c := range communities {
		if c.ASN == origin && c.LocalData1 == functionCluster {
			p.ClusterIDs = append(p.ClusterIDs, c.LocalData2)
		}
	}
	return p
}

func (p Path) equal(q Path) bool {
	return p.Peer == q.Peer && p.NextHop == q.NextHop && p.LocalPref == q.LocalPref && p.MED == q.MED &&
		p.Stale == q.Stale && slices.Equal(p.ASPath, q.ASPath) && slices.Equal(p.ClusterIDs, q.ClusterIDs)
}

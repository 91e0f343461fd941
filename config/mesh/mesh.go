package mesh

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/underlayd/underlayd/config"
)

// Mesh is what several configurations are together. It must not be changed once it is loaded.
type Mesh struct {
	Name    string    // of the topology, when there is exactly one
	Nodes   []*Node   // in the order in which they were given
	Routers []*Router // what a topology has besides, in the order of names
	Links   []Link    // cables of topologies, in the order of the file

	owners map[netip.Addr]owner
	byName map[string]*Node // nil: several are called so
}

// Node is a node with a configuration.
type Node struct {
	Name   string // unique in its cluster, where the files are right
	Config *config.Config
	Places config.Places
	File   string
	// Shared says that the file names neither the node nor its pod CIDRs: many may share it, as a ConfigMap is shared.
	Shared bool
	// Addresses are those that are known, with the lengths of their subnets: that of a host where it is unknown.
	Addresses []netip.Prefix
	// Complete says that the node has no others.
	Complete bool
	// Reaches says that more may be on-link than the subnets of Addresses: by routes without a gateway, by point-to-point
	// addresses.
	Reaches bool
}

// Router is what a topology has besides the nodes: a speaker that is configured in its own language, a bridge, a host.
type Router struct {
	Name      string
	Kind      RouterKind
	ASN       uint32 // 0: unknown
	Addresses []netip.Prefix
}

// RouterKind says what a Router is.
type RouterKind string

// The kinds of routers.
const (
	Speaker RouterKind = "speaker"
	Bridge  RouterKind = "bridge"
	Host    RouterKind = "host" // it runs no BGP, as a pod
)

// Link is a cable.
type Link struct{ A, B End }

// End is one end of a Link. One of Node and Router is nil.
type End struct {
	Node      *Node
	Router    *Router
	Interface string
}

// owner is who has an address; more than one: nobody is known to have it.
type owner struct {
	node   *Node
	router *Router
	many   bool
}

// Peer is what the configuration says of the session.
func (s Session) Peer() config.Peer { return s.From.Config.BGP.Peers[s.Index] }

// Session is what one side says of a session, and who is at the other side as far as it is known. Node and router are
// nil for a peer that nothing is known of.
type Session struct {
	From  *Node
	Index int // of the peer in From's configuration

	To     *Node
	Router *Router
	// Back is the index of the peer in To's configuration that is From; -1: see Certain.
	Back int
	// Certain says of a Back of -1 that To has no such peer, and not just that it could not be told.
	Certain bool
	// Local is From's address of the session; the zero Addr: unknown.
	Local netip.Addr
}

// BackPeer is what the other side says of the session; only where Back is not -1.
func (s Session) BackPeer() config.Peer { return s.To.Config.BGP.Peers[s.Back] }

// Has says whether an address is one of those known of the node.
func (n *Node) Has(a netip.Addr) bool { return has(n.Addresses, a) }

func has(all []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Addr() == a.WithZone("") })
}

// OnLink says whether an address is in a subnet of the node. It means something only where Complete.
func (n *Node) OnLink(a netip.Addr) bool { return n.towards(a).IsValid() }

// towards is the node's own address in the subnet that an address is in.
func (n *Node) towards(a netip.Addr) netip.Addr {
	for _, p := range n.Addresses {
		if p.Contains(a) && p.Addr() != a {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// local is the node's address of the session with a peer, where it can be known.
func (n *Node) local(p config.Peer) netip.Addr {
	if p.LocalAddress.IsValid() {
		return p.LocalAddress
	}
	return n.towards(p.Address)
}

// Sessions lists every peer of every node.
func (m *Mesh) Sessions() []Session {
	var all []Session
	for _, n := range m.Nodes {
		for i := range n.Config.BGP.Peers {
			all = append(all, m.session(n, i))
		}
	}
	return all
}

func (m *Mesh) session(n *Node, index int) Session {
	s := Session{From: n, Index: index, Back: -1}
	p := s.Peer()
	s.Local = n.local(p)
	far := m.find(n, p)
	s.To, s.Router = far.node, far.router
	if s.To != nil {
		s.Back, s.Certain = m.back(s)
	}
	return s
}

// find tells who a peer is: by its link, its address, its name.
func (m *Mesh) find(n *Node, p config.Peer) owner {
	if link := interfaceOf(p); link != "" {
		return m.across(n, link)
	}
	if o, known := m.owners[p.Address]; known {
		if o.many {
			return owner{}
		}
		return o
	}
	if named := m.byName[p.Name]; named != nil && named != n && !named.Complete && !named.Shared {
		return owner{node: named}
	}
	return owner{}
}

// interfaceOf is the link that a peer is named by; empty: it is named by an address that says it all.
func interfaceOf(p config.Peer) string { return cmp.Or(p.Interface, p.Address.Zone()) }

// across is who is at the other end of a cable.
func (m *Mesh) across(n *Node, link string) owner {
	for _, l := range m.Links {
		a, b := l.A, l.B
		if b.Node == n && b.Interface == link {
			a, b = b, a
		}
		if a.Node == n && a.Interface == link && (b.Router == nil || b.Router.Kind != Bridge) {
			return owner{node: b.Node, router: b.Router}
		}
	}
	return owner{}
}

// back finds the peer of To that is From.
func (m *Mesh) back(s Session) (index int, certain bool) {
	var same []int // those that are From
	unknown := false
	for i := range s.To.Config.BGP.Peers {
		switch m.match(s, i) {
		case exactly:
			return i, true
		case probably:
			same = append(same, i)
		case perhaps:
			unknown = true
		}
	}
	switch {
	case len(same) == 1:
		return same[0], true
	case len(same) > 1 || unknown:
		return -1, false
	default:
		return -1, true
	}
}

// match is how a peer of To fits From.
type match int

const (
	never    match = iota
	perhaps        // it may be From
	probably       // it is From, on this session or on another one between the two
	exactly        // it is From's end of this session
)

func (m *Mesh) match(s Session, i int) match {
	p, q := s.Peer(), s.To.Config.BGP.Peers[i]
	if here, there := interfaceOf(p), interfaceOf(q); here != "" || there != "" {
		if here != "" && there != "" && m.across(s.To, there).node == s.From {
			return probably
		}
		return never
	}
	if q.Address.Is4() != p.Address.Is4() {
		return never
	}
	if s.Local.IsValid() {
		if q.Address == s.Local {
			return exactly
		}
		return never
	}
	switch far := m.find(s.To, q); {
	case far.node == s.From:
		return probably
	case far.node == nil && far.router == nil && !s.From.Complete && q.ASN == s.From.Config.BGP.ASN:
		return perhaps
	}
	return never
}

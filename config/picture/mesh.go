package picture

import (
	"slices"
	"strconv"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/config/mesh"
)

// FromMesh makes the picture of configurations. A peer that nothing is known of is a router called as its peer calls it.
func FromMesh(m *mesh.Mesh) *Picture {
	b := builder{p: &Picture{Title: m.Name, Clusters: []Cluster{}, Routers: []Router{}, Sessions: []Session{}},
		nodes: map[*mesh.Node]string{}, routers: map[*mesh.Router]string{}, strangers: map[string]bool{}, rank: map[*mesh.Node]int{}}
	for i, n := range m.Nodes {
		b.rank[n] = i
		b.node(n)
	}
	for _, r := range m.Routers {
		if r.Kind != mesh.Host {
			b.routers[r] = "router/" + r.Name
			b.p.Routers = append(b.p.Routers, Router{ID: b.routers[r], Name: r.Name, ASN: r.ASN, Bridge: r.Kind == mesh.Bridge})
		}
	}
	for _, s := range m.Sessions() {
		b.session(s)
	}
	for _, l := range m.Links {
		one, other := b.end(l.A), b.end(l.B)
		if one != "" && other != "" {
			b.p.Links = append(b.p.Links, Link{A: one, AInterface: l.A.Interface, B: other, BInterface: l.B.Interface})
		}
	}
	return b.p
}

type builder struct {
	p         *Picture
	nodes     map[*mesh.Node]string
	routers   map[*mesh.Router]string
	strangers map[string]bool
	rank      map[*mesh.Node]int
}

func (b *builder) node(n *mesh.Node) {
	c := n.Config.Cluster
	at := slices.IndexFunc(b.p.Clusters, func(k Cluster) bool { return k.Name == c.Name })
	if at < 0 {
		at = len(b.p.Clusters)
		b.p.Clusters = append(b.p.Clusters, Cluster{Name: c.Name, ID: c.ID, PodCIDRs: c.PodCIDRs, Networks: Networks(c.Networks)})
	}
	id := c.Name + "/" + n.Name
	for _, other := range b.nodes {
		if other == id {
			id += "#" + strconv.Itoa(b.rank[n]) // two of one name, which lint finds
			break
		}
	}
	b.nodes[n] = id
	b.p.Clusters[at].Nodes = append(b.p.Clusters[at].Nodes, Node{ID: id, Name: n.Name, ASN: n.Config.BGP.ASN, PodCIDRs: n.Config.Node.PodCIDRs})
}

func (b *builder) end(e mesh.End) string {
	if e.Node != nil {
		return b.nodes[e.Node]
	}
	return b.routers[e.Router]
}

func (b *builder) session(s mesh.Session) {
	if s.To == s.From || s.Back >= 0 && b.rank[s.To] < b.rank[s.From] {
		return // told from the other side
	}
	p := s.Peer()
	drawn := Session{A: b.nodes[s.From], Internal: s.From.Config.BGP.Internal(p), Families: families(p.Families)}
	switch {
	case s.To != nil:
		drawn.B = b.nodes[s.To]
		drawn.OneSided = s.Back < 0 && s.Certain
		if s.Back >= 0 {
			drawn.Families = families(slices.DeleteFunc(slices.Clone(p.Families), func(f config.Family) bool {
				return !slices.Contains(s.BackPeer().Families, f)
			}))
		}
	case s.Router != nil:
		drawn.B = b.routers[s.Router]
		b.hears(drawn.B, p.ASN)
	default:
		drawn.B = b.p.Stranger(p.Name, p.ASN)
	}
	if drawn.B != "" {
		b.p.Sessions = append(b.p.Sessions, drawn)
	}
}

// hears notes a router's AS number as its peers say it, where it does not say it itself.
func (b *builder) hears(id string, asn uint32) {
	for i, r := range b.p.Routers {
		if r.ID == id && r.ASN == 0 {
			b.p.Routers[i].ASN = asn
		}
	}
}

func families(all []config.Family) []string {
	out := []string{}
	for _, f := range all {
		out = append(out, string(f))
	}
	return out
}

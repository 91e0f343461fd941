package picture

import (
	"fmt"
	"slices"
)

// mostNodes of one cluster that a drawing can show side by side.
const mostNodes = 8

// collapsed is the picture with one box for all nodes of a cluster that do the same, where there are too many of them:
// those that have sessions outside of the cluster, and the others.
func (p *Picture) collapsed() *Picture {
	out := &Picture{Title: p.Title, Routers: p.Routers}
	outward := p.outward()
	now := map[string]string{} // ids of nodes that are drawn as another one
	for _, c := range p.Clusters {
		for _, out := range []bool{true, false} {
			var alike []Node
			for _, n := range c.Nodes {
				if outward[n.ID] == out {
					alike = append(alike, n)
				}
			}
			if len(alike) <= mostNodes {
				continue
			}
			one := Node{ID: alike[0].ID, ASN: alike[0].ASN, many: len(alike),
				Name: fmt.Sprintf("%s … %s", alike[0].Name, alike[len(alike)-1].Name)}
			for _, n := range alike {
				now[n.ID] = one.ID
			}
			c.Nodes = slices.DeleteFunc(slices.Clone(c.Nodes), func(n Node) bool { return outward[n.ID] == out && n.ID != one.ID })
			c.Nodes[slices.IndexFunc(c.Nodes, func(n Node) bool { return n.ID == one.ID })] = one
		}
		out.Clusters = append(out.Clusters, c)
	}
	stands := func(id string) string {
		if other, yes := now[id]; yes {
			return other
		}
		return id
	}
	out.Sessions = collapseSessions(p.Sessions, stands)
	for _, l := range p.Links {
		l.A, l.B = stands(l.A), stands(l.B)
		if !slices.ContainsFunc(out.Links, func(o Link) bool { return o.A == l.A && o.B == l.B }) && l.A != l.B {
			out.Links = append(out.Links, l)
		}
	}
	return out
}

// collapseSessions puts sessions together that look the same, if one of their ends stands for several nodes.
func collapseSessions(all []Session, stands func(string) string) []Session {
	type look struct {
		a, b, carries, state string
		internal, oneSided   bool
	}
	stack := map[string]bool{}
	for _, s := range all {
		for _, id := range []string{s.A, s.B} {
			if other := stands(id); other != id {
				stack[other] = true
			}
		}
	}
	var out []Session
	at := map[look]int{}
	for _, s := range all {
		s.A, s.B, s.many = stands(s.A), stands(s.B), 1
		if s.A == s.B {
			continue // among those that are one box
		}
		if s.A > s.B && stack[s.A] && stack[s.B] {
			s.A, s.B = s.B, s.A
		}
		key := look{s.A, s.B, s.carries(), s.State, s.Internal, s.OneSided}
		if i, known := at[key]; known && (stack[s.A] || stack[s.B]) {
			out[i].many++
			continue
		}
		at[key] = len(out)
		out = append(out, s)
	}
	return out
}

// outward tells the nodes that have sessions with others than their own cluster's nodes.
func (p *Picture) outward() map[string]bool {
	cluster := map[string]int{}
	for i, c := range p.Clusters {
		for _, n := range c.Nodes {
			cluster[n.ID] = i + 1
		}
	}
	out := map[string]bool{}
	for _, s := range p.Sessions {
		if cluster[s.A] != cluster[s.B] {
			out[s.A], out[s.B] = true, true
		}
	}
	return out
}

package picture

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
)

// Picture is what is drawn. Whoever makes one gives each node and router an id of its own, by which sessions and links
// name it.
type Picture struct {
	Title    string    `json:"title,omitempty"`
	Clusters []Cluster `json:"clusters"`
	Routers  []Router  `json:"routers"`
	Sessions []Session `json:"sessions"`
	Links    []Link    `json:"links,omitempty"`
}

// Cluster is a box with nodes in it.
type Cluster struct {
	Name     string         `json:"name"`
	ID       uint32         `json:"id"`
	PodCIDRs []netip.Prefix `json:"podCIDRs,omitempty"`
	Networks []string       `json:"networks,omitempty"` // unless it is the default one
	Nodes    []Node         `json:"nodes"`
}

// Node is a node that runs underlayd.
type Node struct {
	ID       string         `json:"id"`
	Name     string         `json:"name"`
	ASN      uint32         `json:"asn"`
	PodCIDRs []netip.Prefix `json:"podCIDRs,omitempty"`

	many int // so many nodes are drawn as one
}

// Router is a speaker that is none of ours, or a bridge.
type Router struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	ASN    uint32 `json:"asn,omitempty"` // 0: unknown
	Bridge bool   `json:"bridge,omitempty"`
}

// Session is a BGP session.
type Session struct {
	A        string   `json:"a"`
	B        string   `json:"b"`
	Internal bool     `json:"internal"` // iBGP
	Families []string `json:"families"` // ipv4, ipv6
	OneSided bool     `json:"oneSided,omitempty"`
	State    string   `json:"state,omitempty"` // as the daemon says; empty: nobody was asked

	many int // so many sessions are drawn as one
}

// Link is a cable.
type Link struct {
	A          string `json:"a"`
	AInterface string `json:"aInterface"`
	B          string `json:"b"`
	BInterface string `json:"bInterface"`
}

// established is the one state in which a session is drawn as up.
const established = "established"

// down says whether a session is known not to be up.
func (s Session) down() bool { return s.State != "" && s.State != established }

// carries is the families in one word, for classes and labels.
func (s Session) carries() string {
	switch v4, v6 := slices.Contains(s.Families, "ipv4"), slices.Contains(s.Families, "ipv6"); {
	case v4 && v6:
		return "both"
	case v4:
		return "ipv4"
	case v6:
		return "ipv6"
	default:
		return "none"
	}
}

// label is the session for people.
func (s Session) label() string {
	text := map[string]string{"both": "IPv4 and IPv6", "ipv4": "IPv4", "ipv6": "IPv6", "none": "no family"}[s.carries()]
	if s.Internal {
		text = "iBGP, " + text
	} else {
		text = "eBGP, " + text
	}
	if s.OneSided {
		text += ", one-sided"
	}
	if s.State != "" {
		text += ", " + s.State
	}
	if s.many > 1 {
		text = fmt.Sprintf("%d sessions, %s", s.many, text)
	}
	return text
}

// WriteJSON writes the picture for programs. Fields are added, never renamed or removed.
func (p *Picture) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		*Picture
	}{"underlayd.io/v1", "Topology", p})
}

// Stranger returns the id of a router that only its peers know, by its name and AS number, and adds it when it is new.
func (p *Picture) Stranger(name string, asn uint32) string {
	id := fmt.Sprintf("peer/%s/%d", name, asn)
	if !slices.ContainsFunc(p.Routers, func(r Router) bool { return r.ID == id }) {
		p.Routers = append(p.Routers, Router{ID: id, Name: name, ASN: asn})
	}
	return id
}

// asn is the AS number that all nodes of a cluster have; 0: they have several.
func (c Cluster) asn() uint32 {
	for _, n := range c.Nodes {
		if n.ASN != c.Nodes[0].ASN {
			return 0
		}
	}
	if len(c.Nodes) == 0 {
		return 0
	}
	return c.Nodes[0].ASN
}

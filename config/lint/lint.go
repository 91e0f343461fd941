package lint

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/config/mesh"
)

// Severity is how bad a finding is.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // something that was declared can't work
	Warning Severity = "warning" // it works, but hardly as meant
)

// Finding is one thing that does not fit.
type Finding struct {
	Code     string   `json:"code"` // see Codes
	Severity Severity `json:"severity"`
	Message  string   `json:"message"` // one sentence without a full stop
	Places   []Place  `json:"places"`  // what does not fit together: one place, or the two
	More     int      `json:"more,omitempty"`
	Fix      string   `json:"fix"` // what to do, as an imperative without a full stop
}

// Place is a value in a file. More on a Finding is how many other files have the same.
type Place struct {
	Node   string `json:"node"`
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"` // 1-based; 0: the value has none, as a default
	Column int    `json:"column,omitempty"`
	Path   string `json:"path"`
	Value  string `json:"value,omitempty"`
}

// Report is all that was found.
type Report struct {
	Nodes      int       `json:"nodes"`
	Clusters   int       `json:"clusters"`
	Findings   []Finding `json:"findings"` // errors first
	NotChecked []string  `json:"notChecked,omitempty"`
}

// checker collects findings.
type checker struct {
	*mesh.Mesh
	clusters []*cluster // in the order of the files
	sessions []mesh.Session
	report   Report
	same     map[string]int // what a finding is about: its index
	rank     map[*mesh.Node]int
}

// cluster is the nodes that say they are in it.
type cluster struct {
	name  string
	nodes []*mesh.Node
}

// says is what the cluster is, in the words of its first node; where others say differently there is a finding.
func (c *cluster) says() config.Cluster { return c.nodes[0].Config.Cluster }

// Check checks everything.
func Check(m *mesh.Mesh) *Report {
	c := &checker{Mesh: m, sessions: m.Sessions(), same: map[string]int{}, rank: map[*mesh.Node]int{}}
	for i, n := range m.Nodes {
		c.rank[n] = i
		name := n.Config.Cluster.Name
		at := slices.IndexFunc(c.clusters, func(c *cluster) bool { return c.name == name })
		if at < 0 {
			at = len(c.clusters)
			c.clusters = append(c.clusters, &cluster{name: name})
		}
		c.clusters[at].nodes = append(c.clusters[at].nodes, n)
	}
	c.report = Report{Nodes: len(m.Nodes), Clusters: len(c.clusters), Findings: []Finding{}}
	c.identities()
	c.ranges()
	c.contracts()
	c.networks()
	c.peers()
	c.paths()
	slices.SortStableFunc(c.report.Findings, func(a, b Finding) int { return cmp.Compare(a.Severity, b.Severity) })
	slices.Sort(c.report.NotChecked)
	c.report.NotChecked = slices.Compact(c.report.NotChecked)
	return &c.report
}

// add notes a finding. What several files share is found once: about tells those that are the same.
func (c *checker) add(about string, f Finding) {
	about = f.Code + " " + about
	if i, known := c.same[about]; known {
		c.report.Findings[i].More++
		return
	}
	c.same[about] = len(c.report.Findings)
	c.report.Findings = append(c.report.Findings, f)
}

func (c *checker) unknown(format string, args ...any) {
	c.report.NotChecked = append(c.report.NotChecked, fmt.Sprintf(format, args...))
}

// cluster returns the cluster of a name; nil: no file is of it.
func (c *checker) cluster(name string) *cluster {
	if i := slices.IndexFunc(c.clusters, func(c *cluster) bool { return c.name == name }); i >= 0 {
		return c.clusters[i]
	}
	return nil
}

// at is the place of a value in a node's file.
func at(n *mesh.Node, path string, value any) Place {
	p := n.Places.Of(path)
	place := Place{Node: n.Name, File: n.File, Path: path, Value: fmt.Sprint(value)}
	if p.Source == n.File {
		place.Line, place.Column = p.Line, p.Column
	}
	return place
}

func both(a, b Place) []Place { return []Place{a, b} }

func peerAt(n *mesh.Node, i int, key string, value any) Place {
	if p := n.Config.BGP.Peers[i]; key == "address" && p.Interface != "" {
		key, value = "interface", p.Interface
	}
	return at(n, fmt.Sprintf("bgp.peers[%d].%s", i, key), value)
}

// list joins what people read.
func list[T any](all []T) string {
	texts := make([]string, len(all))
	for i, one := range all {
		texts[i] = fmt.Sprint(one)
	}
	return strings.Join(texts, ", ")
}

package config

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
)

// The labels of a node that say something by themselves.
const (
	GatewayLabel   = "underlayd.io/gateway"   // true: see Node.Gateway
	ReflectorLabel = "underlayd.io/reflector" // true: see Node.Reflector
	RegionLabel    = "topology.kubernetes.io/region"
	ZoneLabel      = "topology.kubernetes.io/zone"
)

// nodeLabels are the labels of the node that a Config is for; nil: it is for all nodes.
type nodeLabels struct {
	set   labels.Set
	known bool // else there may be others
	// What says where the node is; empty: nothing.
	regionFrom, zoneFrom string
}

// ForNode returns the configuration of a node with these labels, out of one that Parse or Load made for all nodes: only the
// peers that this node has, roles that are True or False, a zone and a region wherever something says them, and own prefixes
// for those clusters alone that this node's are for. Labels are those of the Node in Kubernetes; node.labels come on top.
//
// Nothing of the rest changes: two results for one file differ in nothing that needs a restart. The errors say which peers
// are left out, since together with another one of this node they break a rule, and which labels say nothing, since they
// have a value that can't be: such an error has a path of "node.labels".
func (c *Config) ForNode(labels map[string]string) (*Config, Errors) {
	of, _, errs := c.forNode(labels, true)
	return of, errs
}

// ForUnknownNode is ForNode as long as the labels of the Node are not known, which is not that it has none: the result has
// only what the node has whatever they are.
func (c *Config) ForUnknownNode() (*Config, Errors) {
	of, _, errs := c.forNode(nil, false)
	return of, errs
}

// forNode returns the indices of the peers that are left, too.
func (c *Config) forNode(found map[string]string, known bool) (*Config, []int, Errors) {
	on := &nodeLabels{set: labels.Set{}, known: known}
	maps.Copy(on.set, found)
	for _, pair := range c.Node.Labels {
		key, value, _ := strings.Cut(pair, "=")
		on.set[key] = value
	}
	of := *c
	of.on, of.BGP.Peers = on, nil
	of.Node.Gateway, of.Node.Reflector = on.role(c.Node.Gateway, GatewayLabel), on.role(c.Node.Reflector, ReflectorLabel)
	region, wrongRegion := on.place(RegionLabel, c.Node.Region)
	zone, wrongZone := on.place(ZoneLabel, c.Node.Zone)
	of.Node.Region, on.regionFrom = first(said{c.Node.Region, c.SaidBy("node.region")}, said{region, "label " + RegionLabel}, said{c.Cluster.Region, "cluster.region"})
	of.Node.Zone, on.zoneFrom = first(said{c.Node.Zone, c.SaidBy("node.zone")}, said{zone, "label " + ZoneLabel}, said{c.Cluster.Zone, "cluster.zone"})
	of.Clusters = slices.Clone(c.Clusters)
	for i := range of.Clusters {
		if !on.has(of.Clusters[i].NodeSelector) {
			of.Clusters[i].Advertise = nil
		}
	}
	whole, kept, errs := of.withPeers(c.BGP.Peers)
	return whole, kept, slices.Concat(wrongRegion, wrongZone, errs)
}

// has says whether a selector, one that was read without an error, selects the node.
func (n *nodeLabels) has(selector string) bool {
	if n == nil || selector == "" {
		return true
	}
	parsed, err := labels.Parse(selector)
	return err == nil && n.known && parsed.Matches(n.set)
}

// said is a value and what says it.
type said struct{ value, by string }

// first is the first that says something.
func first(all ...said) (value, by string) {
	for _, s := range all {
		if s.value != "" {
			return s.value, s.by
		}
	}
	return "", ""
}

// PlaceFrom returns what says where the node is: node.region, an annotation, a label, or cluster.region; likewise of the zone. Empty:
// nothing. It is of a Config that ForNode made.
func (c *Config) PlaceFrom() (region, zone string) {
	if c.on == nil {
		return "", ""
	}
	return c.on.regionFrom, c.on.zoneFrom
}

// LabelsMatter says whether it depends on a node's labels with whom it exchanges which routes, apart from the peers of
// files and APIs that have a nodeSelector of their own.
func (c *Config) LabelsMatter() bool {
	nodes := c.BGP.NodePeers
	return nodes.Enabled && (nodes.Hubs != "" || c.Node.Reflector == Auto) || Selective(c.BGP.Peers) ||
		c.Node.Gateway == Auto && slices.ContainsFunc(c.Clusters, c.ThroughGateways) ||
		slices.ContainsFunc(c.Clusters, func(r RemoteCluster) bool { return r.NodeSelector != "" })
}

// Selective says whether one of the peers is for some nodes alone.
func Selective(peers []Peer) bool {
	return slices.ContainsFunc(peers, func(p Peer) bool { return p.NodeSelector != "" })
}

// role decides what was left to a label.
func (n *nodeLabels) role(said Tristate, label string) Tristate {
	switch {
	case said == True, said != False && n.set[label] == "true":
		return True
	default:
		return False
	}
}

// place is what a label says of where the node is, unless the file says it.
func (n *nodeLabels) place(label, said string) (string, Errors) {
	value := n.set[label]
	if said != "" || value == "" || isName(value, "", longestLabel) {
		return value, nil
	}
	return "", Errors{{Path: "node.labels", Value: label + "=" + value,
		Rule: "says nothing of where the node is: its value must be a DNS-1123 label, 1 to 63 of a-z, 0-9 and -"}}
}

// Hub says whether this node is one of bgp.nodePeers.hubs, of a Config that ForNode made. Where there are none, every node
// is as good as one.
func (c *Config) Hub() bool { return c.on.has(c.BGP.NodePeers.Hubs) }

// NodePeersSelector selects the Nodes that are to be peers of this one, by their labels: all that bgp.nodePeers.selector
// does if this node is a hub, else the hubs among them.
func (c *Config) NodePeersSelector() string {
	switch n := c.BGP.NodePeers; {
	case c.Hub():
		return n.Selector
	case n.Selector == "":
		return n.Hubs
	default:
		return bothSelectors(n.Selector, n.Hubs)
	}
}

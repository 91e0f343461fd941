package config

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// A file of peers serves all nodes of a mesh:
//
//	groups:
//	- cluster: west
//	  defaults: {asn: 64513, holdTime: 9s}
//	  peers:
//	  - {name: west-1, address: 192.168.0.21}
//	  - {name: west-2, address: 192.168.0.22}
//
// A node leaves out the group of its own cluster, and the entry that is itself. What is missing in an entry is that of the
// group's defaults, then that of bgp.peers; a key of an entry replaces the whole of that key in the defaults. The peers of
// a group with a cluster may announce that cluster, unless they say otherwise.
type peersFile struct {
	*reader
	keys  []field[Peer]
	base  *Config
	own   func(netip.Addr) bool
	peers []Peer
	paths []string // of peers
}

const (
	groupsWanted = "is required: the peers, in groups; [] for none"
	peersWanted  = "is required: the peers of the group; [] for none"
)

func groupsKeys() []key { return []key{{name: "groups"}} }

func groupKeys() []key { return []key{{name: "cluster"}, {name: "defaults"}, {name: "peers"}} }

// LoadPeers reads a file of peers, as ParsePeers does.
func LoadPeers(path string, base *Config, own func(netip.Addr) bool) ([]Peer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read peers: %w", err)
	}
	defer f.Close()
	return ParsePeers(f, path, base, own)
}

// ParsePeers reads a file of peers (bgp.peersFile) and checks them together with the configuration they are to be part
// of. Name is what errors call the file; own says which addresses are this node's, nil: those listened on. An error is
// Errors, with everything that is wrong, unless reading itself failed. An empty file is broken, since half a file may be
// empty; a file that says that there are no peers is not.
func ParsePeers(in io.Reader, name string, base *Config, own func(netip.Addr) bool) ([]Peer, error) {
	f, err := parsePeers(in, name, base, own)
	if err != nil {
		return nil, err
	}
	return f.peers, nil
}

func parsePeers(in io.Reader, name string, base *Config, own func(netip.Addr) bool) (*peersFile, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxFileSize+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read peers %s: %w", name, err)
	case len(text) > maxFileSize:
		return nil, Errors{{Source: name, Rule: fmt.Sprintf("is larger than %d bytes", maxFileSize)}}
	}
	root, errs := parseYAML(text, name)
	if errs != nil {
		return nil, errs
	}
	f := &peersFile{reader: newReader(name, root), keys: peerKeys(), base: base, own: own}
	f.read(root)
	if errs := f.result(); errs != nil {
		return nil, errs
	}
	sortWithin(f.peers)
	return f, nil
}

func (f *peersFile) read(root *yaml.Node) {
	values, ok := f.mapping("", root, groupsKeys())
	if !ok {
		return
	}
	for i, n := range f.list("groups", values["groups"], groupsWanted) {
		f.group(element("groups", i), n)
	}
	if f.exhausted() {
		return
	}
	written := *f.base
	written.on = nil // of peers that no node has all at once
	checkPeers(&written, f.peers, func(i int, p problem) {
		p = p.rename(len(f.base.BGP.Peers), f.paths)
		if i >= 0 && !f.failed[p.path] {
			f.fail(p.path, p.value, p.rule)
		}
	})
}

// list returns the elements of a list that must be there.
func (f *peersFile) list(path string, n *yaml.Node, wanted string) []*yaml.Node {
	if n == nil || isNull(f.follow(n)) {
		f.fail(path, "", wanted)
		return nil
	}
	f.places[path] = f.placeOf(n)
	return f.items(path, n)
}

func (f *peersFile) group(path string, n *yaml.Node) {
	values, ok := f.mapping(path, n, groupKeys())
	if !ok {
		return
	}
	var cluster string
	if n := values["cluster"]; n != nil {
		f.places[join(path, "cluster")] = f.placeOf(n)
		cluster = readScalar(f.reader, join(path, "cluster"), n, label())
	}
	before := len(f.errs) + f.unsaid
	var common Peer
	readFields(f.reader, join(path, "defaults"), values["defaults"], peerDefaultKeys(), &common)
	items := f.list(join(path, "peers"), values["peers"], peersWanted)
	if len(f.errs)+f.unsaid > before {
		return // what is wrong with the defaults need not be said of every peer
	}
	for i, item := range items {
		if f.exhausted() {
			return
		}
		f.entry(element(join(path, "peers"), i), f.withDefaults(item, values["defaults"]), cluster)
	}
}

// withDefaults adds the keys that an entry does not have, in the way of a merge key.
func (f *peersFile) withDefaults(item, defaults *yaml.Node) *yaml.Node {
	entry := f.follow(item)
	if entry.Kind != yaml.MappingNode || defaults == nil || isNull(f.follow(defaults)) {
		return item
	}
	whole := *entry
	whole.Content = append(slices.Clone(entry.Content), &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!merge", Value: "<<"}, defaults)
	return &whole
}

func (f *peersFile) entry(path string, n *yaml.Node, cluster string) {
	var p Peer
	readFields(f.reader, path, n, f.keys, &p)
	f.choose(path, key{choice: peerChoice()})
	if cluster != "" && cluster == f.base.Cluster.Name || f.isOwn(p) {
		return
	}
	f.derivePeer(f.base, &p, path)
	if cluster != "" && !f.given(join(path, "clusters")) {
		p.Clusters = []string{cluster}
	}
	f.peers, f.paths = append(f.peers, p), append(f.paths, path)
}

func (f *peersFile) isOwn(p Peer) bool {
	return f.own != nil && p.Address.IsValid() && f.own(p.Address) ||
		slices.Contains(f.base.BGP.ListenAddresses, p.Address) && p.Port == f.base.BGP.Port
}

// WithPeers returns the configuration with more peers, such as ParsePeers and NodePeer make. Those that break a rule, by
// themselves or together with the others, are left out; the errors say which, and why. So are, without an error, those that
// a node does not have, if the configuration is one that ForNode made.
func (c *Config) WithPeers(more []Peer) (*Config, Errors) {
	whole, _, errs := c.withPeers(more)
	return whole, errs
}

// withPeers returns the indices of those that it did not leave out, too.
func (c *Config) withPeers(all []Peer) (whole *Config, kept []int, errs Errors) {
	var more []Peer
	var at []int
	for i, p := range all {
		if c.on.has(p.NodeSelector) && c.reaches(p) {
			more, at = append(more, c.asGateway(p)), append(at, i)
		}
	}
	paths := make([]string, len(more))
	for i, p := range more {
		paths[i] = "peer " + p.Name
	}
	wrong := make([]bool, len(more))
	checkPeers(c, more, func(i int, p problem) {
		if i < 0 {
			return
		}
		wrong[i] = true
		p = p.rename(len(c.BGP.Peers), paths)
		errs = append(errs, Error{Path: p.path, Value: p.value, Rule: p.rule})
	})
	with := *c
	with.BGP.Peers = slices.Clone(c.BGP.Peers)
	for i, p := range more {
		if !wrong[i] {
			with.BGP.Peers = append(with.BGP.Peers, p)
			kept = append(kept, at[i])
		}
	}
	return &with, kept, errs
}

// NodePeer is the peer that a Node of this cluster becomes; hub says whether it is one of bgp.nodePeers.hubs. Those of a
// reflector are its clients, and a hub is a reflector too.
func (c *Config) NodePeer(node string, address netip.Addr, hub bool) Peer {
	p := c.BGP.nodeDefaults()
	p.Name, p.Address = asLabel(node, "", longestLabel), address
	if c.Node.Reflector != True || !c.BGP.Internal(p) || p.Client {
		return p
	}
	p.Client = true
	if len(p.PassOn) == 0 {
		p.PassOn = clusterNames(c)
	}
	if hub && c.BGP.NodePeers.Hubs != "" && !slices.Contains(p.PassOn, c.Cluster.Name) {
		p.PassOn = append(slices.Clone(p.PassOn), c.Cluster.Name)
		slices.Sort(p.PassOn)
	}
	return p
}

func (b BGP) nodeDefaults() Peer {
	p := b.NodePeers.Defaults
	p.ASN = cmp.Or(p.ASN, b.ASN)
	return p
}

// problem is a broken rule.
type problem struct{ path, value, rule string }

// checkPeers checks more peers together with those of a configuration, and reports each broken rule with the index of
// the peer that broke it, -1 for one of the configuration's own.
func checkPeers(base *Config, more []Peer, report func(int, problem)) {
	whole := *base
	whole.BGP.Peers = append(slices.Clone(base.BGP.Peers), more...)
	at := peerAt()
	fail := func(path, value, rule string) {
		i := -1
		if found := at.FindStringSubmatch(path); found != nil {
			n, _ := strconv.Atoi(found[1]) // digits; no more than there are peers
			i = max(n-len(base.BGP.Peers), -1)
		}
		report(i, problem{path, value, rule})
	}
	r := relations{Config: &whole, fail: fail, pods: podRanges(&whole)}
	r.peers()
}

func peerAt() *regexp.Regexp { return regexp.MustCompile(`bgp\.peers\[([0-9]+)\]`) }

// rename calls the peers beyond the first n by their own paths.
func (p problem) rename(n int, paths []string) problem {
	at := peerAt()
	own := func(text string) string {
		return at.ReplaceAllStringFunc(text, func(path string) string {
			i, err := strconv.Atoi(at.FindStringSubmatch(path)[1])
			if err != nil || i < n || i-n >= len(paths) {
				return path
			}
			return paths[i-n]
		})
	}
	return problem{own(p.path), p.value, own(p.rule)}
}

func sortWithin(peers []Peer) {
	for _, p := range peers {
		slices.Sort(p.Clusters)
		slices.Sort(p.Families)
		slices.Sort(p.PassOn)
		slices.Sort(p.Communities)
		slices.Sort(p.Require)
		slices.Sort(p.Refuse)
		slices.SortFunc(p.Advertise, netip.Prefix.Compare)
	}
}

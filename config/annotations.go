package config

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// annotationPrefix begins the key of every annotation that is said to one node alone. People set them on the Node; the
// daemon only reads them.
const annotationPrefix = "underlayd.io/"

// NodeAnnotation is what a Node may say to its daemon: the name of an annotation without its prefix.
type NodeAnnotation string

// The annotations of a Node, each of which stands in place of a key of the file.
const (
	ASNAnnotation      NodeAnnotation = "asn"       // bgp.asn
	RouterIDAnnotation NodeAnnotation = "router-id" // bgp.routerID
	RegionAnnotation   NodeAnnotation = "region"    // node.region
	ZoneAnnotation     NodeAnnotation = "zone"      // node.zone
	PeersAnnotation    NodeAnnotation = "peers"     // more of bgp.peers, or others of the same name
)

func nodeAnnotations() []NodeAnnotation {
	return []NodeAnnotation{ASNAnnotation, RouterIDAnnotation, RegionAnnotation, ZoneAnnotation, PeersAnnotation}
}

// Key is the key of the annotation.
func (a NodeAnnotation) Key() string { return annotationPrefix + string(a) }

// path is the key of the file that the annotation stands for.
func (a NodeAnnotation) path() string {
	switch a {
	case ASNAnnotation:
		return asnPath
	case RouterIDAnnotation:
		return routerIDPath
	case RegionAnnotation:
		return "node.region"
	case ZoneAnnotation:
		return "node.zone"
	default:
		return "bgp.peers"
	}
}

const (
	asnPath      = "bgp.asn"
	routerIDPath = "bgp.routerID"
)

// AnnotationKeys are the keys of all annotations that a Node may have for its daemon.
func AnnotationKeys() []string {
	var keys []string
	for _, a := range nodeAnnotations() {
		keys = append(keys, a.Key())
	}
	return keys
}

// annotated is what annotations of the Node did to a Config.
type annotated struct {
	said   map[string]string         // what says it, by path; a peer's path is bgp.peers[NAME]
	beaten map[NodeAnnotation]string // the flag or variable that goes before one
}

// SaidBy returns what gave a key its value: the path itself, or "annotation underlayd.io/asn". That of a peer is
// bgp.peers[NAME].
func (c *Config) SaidBy(path string) string {
	if c.annotations != nil && c.annotations.said[path] != "" {
		return c.annotations.said[path]
	}
	return path
}

// RestartAnnotations says whether one of the annotations that are heeded takes a restart when it changes: a daemon that
// starts without having seen it starts as somebody else.
func (c *Config) RestartAnnotations() bool {
	return slices.Contains(c.Kubernetes.NodeAnnotations, ASNAnnotation) || slices.Contains(c.Kubernetes.NodeAnnotations, RouterIDAnnotation)
}

// Unheeded says, by key, why annotations that the Node has are without effect.
func (c *Config) Unheeded(found map[string]string) map[string]string {
	why := make(map[string]string)
	for _, a := range nodeAnnotations() {
		if _, has := found[a.Key()]; !has {
			continue
		}
		if !slices.Contains(c.Kubernetes.NodeAnnotations, a) {
			why[a.Key()] = "kubernetes.nodeAnnotations does not list " + string(a)
		} else if c.annotations != nil && c.annotations.beaten[a] != "" {
			why[a.Key()] = c.annotations.beaten[a] + " goes before it"
		}
	}
	return why
}

// ParseAnnotated is Parse with the annotations of the Node on top of the file, those that kubernetes.nodeAnnotations lists:
// flag, variable, annotation, file, default. They are held to the rules of the keys that they stand for, and to the rules
// between keys; the errors name the Node and the annotation. The file has to be valid without them.
func ParseAnnotated(text []byte, name string, o Overrides, found map[string]string) (*Config, error) {
	file, err := Parse(bytes.NewReader(text), name, o)
	if err != nil {
		return nil, err
	}
	a := &annotating{node: file.Node.Name, origins: make(map[string]NodeAnnotation)}
	a.said, a.beaten = make(map[string]string), make(map[NodeAnnotation]string)
	a.reader = newReader(name, nil)
	a.overrides = o.collect()
	for _, one := range file.Kubernetes.NodeAnnotations {
		value, has := found[one.Key()]
		if by, beaten := a.overrides[one.path()]; has && beaten {
			a.beaten[one] = by.origin
		} else if has {
			a.take(one, value)
		}
	}
	if len(a.said) == 0 && a.peers == nil && len(a.beaten) == 0 {
		return file, nil
	}
	return a.parse(text, o)
}

// annotating reads a configuration with annotations on top.
type annotating struct {
	*reader // of the file
	annotated
	node    string
	origins map[string]NodeAnnotation // by what errors call them
	text    string                    // of the annotation with peers
	peers   *reader                   // of that; nil: there is none
	more    []Peer
	paths   []string // of more
}

// origin is what errors call an annotation.
func (a *annotating) origin(one NodeAnnotation) string {
	return "Node " + a.node + ", annotation " + one.Key()
}

func (a *annotating) take(one NodeAnnotation, value string) {
	origin := a.origin(one)
	a.origins[origin] = one
	if one == PeersAnnotation {
		a.text, a.peers = value, newReader(origin, nil)
		return
	}
	a.overrides[one.path()] = override{value, origin}
	a.said[one.path()] = "annotation " + one.Key()
}

func (a *annotating) parse(text []byte, o Overrides) (*Config, error) {
	root, errs := parseYAML(text, a.source)
	if errs != nil {
		return nil, errs // can't be: it was read before
	}
	c := new(Config)
	readFields(a.reader, "", root, grammar(), c)
	a.derive(c, o)
	names := a.withPeers(c)
	checkRelations(c, func(path, value, rule string) {
		p := problem{path, value, rule}.rename(0, names)
		r := a.reader
		if strings.HasPrefix(p.path, annotatedPeers+"[") {
			r = a.peers
		}
		if !r.failed[p.path] {
			r.fail(p.path, p.value, p.rule)
		}
	})
	if errs := a.result(); errs != nil {
		return nil, errs
	}
	c.canonical()
	c.annotations = &a.annotated
	return c, nil
}

// annotatedPeers is the path of the list that the annotation is.
const annotatedPeers = "peers"

// withPeers adds the peers of the annotation: one of the name of one in the file takes its place, as a whole. It returns
// what errors call the peers that there are then.
func (a *annotating) withPeers(c *Config) (names []string) {
	a.readPeers(c)
	written := c.BGP.Peers
	c.BGP.Peers = nil
	for i, p := range written {
		if !slices.ContainsFunc(a.more, func(m Peer) bool { return m.Name == p.Name }) {
			c.BGP.Peers, names = append(c.BGP.Peers, p), append(names, element("bgp.peers", i))
		}
	}
	c.BGP.Peers = append(c.BGP.Peers, a.more...)
	for _, p := range a.more {
		a.said[namedPeer(p.Name)] = "annotation " + PeersAnnotation.Key()
	}
	return append(names, a.paths...)
}

// namedPeer is the path of a peer by its name, as in a Change.
func namedPeer(name string) string { return "bgp.peers[" + name + "]" }

func (a *annotating) readPeers(c *Config) {
	if a.peers == nil {
		return
	}
	root, errs := parseYAML([]byte(a.text), a.peers.source)
	if errs != nil {
		a.peers.errs = errs
		return
	}
	if root == nil || isNull(root) {
		a.peers.fail(annotatedPeers, "", "has no value: write [] for none")
		return
	}
	a.peers.places[annotatedPeers] = a.peers.placeOf(root)
	for i, n := range a.peers.items(annotatedPeers, root) {
		if a.peers.exhausted() {
			return
		}
		a.readPeer(c, element(annotatedPeers, i), n)
	}
}

// readPeer reads one. A file of the host may not be named here: who may annotate a Node need not be who may read its files,
// and what a password file has, how long it is, or that there is none, would show in messages, and in segments signed for
// whatever address the annotation names.
func (a *annotating) readPeer(c *Config, path string, n *yaml.Node) {
	var p Peer
	readFields(a.peers, path, n, peerKeys(), &p)
	a.peers.choose(path, key{choice: peerChoice()})
	if at := join(path, "passwordFile"); a.peers.given(at) {
		a.peers.fail(at, p.PasswordFile, "can't be in an annotation, which must not open files of the host: name a Secret, with passwordSecret")
		a.peers.failed[at] = true
	}
	a.peers.derivePeer(c, &p, path)
	a.more, a.paths = append(a.more, p), append(a.paths, path)
}

// result is what is wrong. Of a rule between keys that the file alone keeps it is said with which annotations it is broken.
func (a *annotating) result() Errors {
	errs := a.reader.result()
	with := slices.Sorted(maps.Keys(a.origins))
	for i, e := range errs {
		if _, own := a.origins[e.Source]; !own {
			errs[i].Rule = fmt.Sprintf("%s; so it is with %s", e.Rule, strings.Join(with, " and "))
		}
	}
	if a.peers != nil {
		errs = append(errs, a.peers.result()...)
	}
	return errs
}

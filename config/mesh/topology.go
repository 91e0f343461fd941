package mesh

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/underlayd/underlayd/config"
)

// topologyText is a *.clab.yml, as far as it says something here. Whatever else containerlab knows is passed over.
type topologyText struct {
	Name     string
	Topology struct {
		Defaults nodeText
		Kinds    map[string]nodeText
		Nodes    map[string]nodeText
		Links    []struct{ Endpoints []endText }
	}
}

type nodeText struct {
	Kind, Image, Cmd string
	Exec, Binds      []string
	Env              map[string]string
	NetworkMode      string `yaml:"network-mode"`
}

// endText is an endpoint in one of its two forms: node:interface, or a mapping.
type endText struct{ Node, Interface string }

// UnmarshalYAML implements yaml.Unmarshaler.
func (e *endText) UnmarshalYAML(n *yaml.Node) error {
	type mapping endText
	if n.Kind == yaml.MappingNode {
		return n.Decode((*mapping)(e))
	}
	e.Node, e.Interface, _ = strings.Cut(n.Value, ":")
	return nil
}

// under is the node with what kinds and defaults say, as containerlab merges them.
func (t *topologyText) under(name string) nodeText {
	n := t.Topology.Nodes[name]
	for _, level := range []nodeText{t.Topology.Kinds[firstOf(n.Kind, t.Topology.Defaults.Kind)], t.Topology.Defaults} {
		n.Kind, n.Image, n.Cmd = firstOf(n.Kind, level.Kind), firstOf(n.Image, level.Image), firstOf(n.Cmd, level.Cmd)
		n.NetworkMode = firstOf(n.NetworkMode, level.NetworkMode)
		n.Exec = append(slices.Clone(level.Exec), n.Exec...)
		n.Binds = append(slices.Clone(n.Binds), level.Binds...)
		env := maps.Clone(level.Env)
		if env == nil {
			env = map[string]string{}
		}
		maps.Copy(env, n.Env)
		n.Env = env
	}
	return n
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func loadTopology(path string) (*Mesh, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read topology: %w", err)
	}
	var t topologyText
	if err := yaml.Unmarshal(text, &t); err != nil {
		return nil, fmt.Errorf("topology %s: %w", path, err)
	}
	m := &Mesh{Name: t.Name}
	ends := map[string]End{}
	var errs []error
	names := slices.Sorted(maps.Keys(t.Topology.Nodes))
	for _, name := range names {
		n := t.under(name)
		// A container in the network of another one has its addresses and its links.
		host, shares := strings.CutPrefix(n.NetworkMode, "container:")
		if !shares {
			host = name
		}
		node, err := n.node(name, filepath.Dir(path), t.under(host).addresses(filepath.Dir(path)))
		if err != nil {
			errs = append(errs, fmt.Errorf("topology %s: node %s: %w", path, name, err))
		}
		if node == nil {
			continue
		}
		node.Reaches = slices.ContainsFunc(t.under(host).Exec, farLine.MatchString)
		m.Nodes = append(m.Nodes, node)
		ends[name], ends[host] = End{Node: node}, End{Node: node}
	}
	for _, name := range names {
		if _, known := ends[name]; !known {
			r := t.under(name).router(name, filepath.Dir(path))
			m.Routers = append(m.Routers, r)
			ends[name] = End{Router: r}
		}
	}
	for _, l := range t.Topology.Links {
		if len(l.Endpoints) != 2 {
			continue // a link to the machine, or of one end
		}
		a, aKnown := ends[l.Endpoints[0].Node]
		b, bKnown := ends[l.Endpoints[1].Node]
		if aKnown && bKnown {
			a.Interface, b.Interface = l.Endpoints[0].Interface, l.Endpoints[1].Interface
			m.Links = append(m.Links, Link{a, b})
		}
	}
	return m, errors.Join(errs...)
}

// node is a node that runs underlayd, as its cmd says or its image, and has these addresses; nil: it does not.
func (t nodeText) node(name, folder string, addresses []netip.Prefix) (*Node, error) {
	words := strings.Fields(t.Cmd)
	at := slices.Index(words, "run")
	if ours := imageOf(t.Image) == "underlayd" && at <= 0; !ours && (at < 1 || filepath.Base(words[at-1]) != "underlayd") {
		return nil, nil //nolint:nilnil // it is no node of ours, and nothing is wrong with that
	}
	flags := pflag.NewFlagSet(name, pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	config.BindFlags(flags)
	inside := flags.String("config", "/etc/underlayd/config.yaml", "")
	if err := flags.Parse(words[at+1:]); err != nil {
		return nil, fmt.Errorf("cmd: %w", err)
	}
	file := t.outside(*inside, folder)
	if file == "" {
		return nil, fmt.Errorf("binds: none has %s in it, the configuration", *inside)
	}
	n, err := readNode(file, name, config.Overrides{Flags: flags, LookupEnv: func(key string) (string, bool) {
		v, ok := t.Env[key]
		return v, ok
	}})
	if err != nil {
		return nil, err
	}
	n.Shared, n.Addresses, n.Complete = false, addresses, len(addresses) > 0
	return n, n.readPeers(func(inside string) string { return t.outside(inside, folder) })
}

// imageOf is the last part of an image's name, without its tag.
func imageOf(image string) string {
	name, _, _ := strings.Cut(filepath.Base(image), ":")
	name, _, _ = strings.Cut(name, "@")
	return name
}

// outside is where a file of the node is on this machine; empty: it is not bound.
func (t nodeText) outside(inside, folder string) string {
	for _, bind := range t.Binds {
		parts := strings.Split(bind, ":")
		if len(parts) < 2 {
			continue
		}
		source, target := parts[0], filepath.Clean(parts[1])
		if !filepath.IsAbs(source) {
			source = filepath.Join(folder, source)
		}
		if target == inside {
			return source
		}
		if below, found := strings.CutPrefix(inside, strings.TrimSuffix(target, "/")+"/"); found {
			return filepath.Join(source, below)
		}
	}
	return ""
}

var (
	addLine = regexp.MustCompile(`\bip\s+(?:-\w+\s+)*a(?:ddr(?:ess)?)?\s+(?:add|replace)\s+([0-9A-Fa-f:.]+(?:/\d+)?)`)
	// farLine makes something on-link that is in no subnet of the node.
	farLine = regexp.MustCompile(`\sr(?:oute)?\s+(?:add|replace|append)\s+[^;&|]*\bdev\b|\speer\s`)
	// frrLine is an address in FRR's own language.
	frrLine = regexp.MustCompile(`(?m)^\s+ip(?:v6)? address ([0-9A-Fa-f:.]+/\d+)`)
	// asLines are how FRR, BIRD and GoBGP say their AS number.
	asLines = regexp.MustCompile(`(?m)^\s*(?:router bgp (\d+)|local(?: [0-9A-Fa-f:.]+)? as (\d+)|as\s*=\s*(\d+)|protocol bgp .*\blocal(?: \S+)? as (\d+))`)
)

// addresses are those that the exec lines give to the node, and FRR's configuration.
func (t nodeText) addresses(folder string) []netip.Prefix {
	var all []netip.Prefix
	add := func(text string) {
		p, err := netip.ParsePrefix(text)
		if a, errAddr := netip.ParseAddr(text); errAddr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err == nil && !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	for _, line := range t.Exec {
		for _, found := range addLine.FindAllStringSubmatch(line, -1) {
			add(found[1])
		}
	}
	for _, found := range frrLine.FindAllStringSubmatch(t.read("/etc/frr/frr.conf", folder), -1) {
		add(found[1])
	}
	return all
}

// read returns a file of the node; empty: there is none.
func (t nodeText) read(inside, folder string) string {
	file := t.outside(inside, folder)
	if file == "" {
		return ""
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return string(text)
}

func (t nodeText) router(name, folder string) *Router {
	r := &Router{Name: name, Kind: Host, Addresses: t.addresses(folder)}
	if strings.HasSuffix(t.Kind, "bridge") {
		r.Kind = Bridge
		return r
	}
	if t.Kind != "linux" {
		r.Kind = Speaker // a vendor's router
	}
	image := imageOf(t.Image)
	if image == "frr" || image == "bird" || strings.HasPrefix(image, "gobgp") || strings.Contains(t.Cmd, "gobgpd") || strings.Contains(t.Cmd, "bird") {
		r.Kind = Speaker
	}
	for _, inside := range []string{"/etc/frr/frr.conf", "/etc/bird/bird.conf", "/etc/gobgp/gobgpd.toml", "/etc/gobgp/gobgpd.conf"} {
		for _, number := range firstGroup(asLines.FindStringSubmatch(t.read(inside, folder))) {
			if asn, err := strconv.ParseUint(number, 10, 32); err == nil {
				r.Kind, r.ASN = Speaker, uint32(asn)
			}
		}
	}
	return r
}

// firstGroup returns the group of a match that is not empty.
func firstGroup(match []string) []string {
	for _, group := range match[min(1, len(match)):] {
		if group != "" {
			return []string{group}
		}
	}
	return nil
}

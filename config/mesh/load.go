package mesh

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/underlayd/underlayd/config"
)

// Load reads configurations, containerlab topologies (*.clab.yml) and folders, of which it takes the *.yaml at the top
// and every config.yaml below. Addresses are what the caller knows of the nodes' addresses, by name. An error joins all
// that is wrong; what is wrong with a configuration is config.Errors.
func Load(paths []string, addresses map[string][]netip.Prefix) (*Mesh, error) {
	m := &Mesh{byName: map[string]*Node{}}
	var errs []error
	topologies := 0
	for _, path := range paths {
		files, err := expand(path)
		errs = append(errs, err)
		for _, file := range files {
			if !isTopology(file) {
				n, err := loadNode(file)
				errs = append(errs, err)
				m.add(n)
				continue
			}
			t, err := loadTopology(file)
			errs = append(errs, err)
			if t != nil {
				m.merge(t)
				topologies++
			}
		}
	}
	if topologies > 1 {
		m.Name = ""
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return m, m.learn(addresses)
}

func isTopology(path string) bool {
	return strings.HasSuffix(path, ".clab.yml") || strings.HasSuffix(path, ".clab.yaml")
}

// expand lists the files that a path stands for.
func expand(path string) ([]string, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return []string{path}, nil //nolint:nilerr // reading it says what is wrong
	}
	var files []string
	err := filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
		top := filepath.Dir(file) == filepath.Clean(path) && strings.HasSuffix(file, ".yaml") && !isTopology(file)
		if err == nil && !entry.IsDir() && (top || entry.Name() == "config.yaml") {
			files = append(files, file)
		}
		return err
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s: has no *.yaml and no config.yaml below it", path)
	}
	return files, err
}

func loadNode(path string) (*Node, error) {
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	if abs, err := filepath.Abs(path); err == nil && name == "config" {
		name = filepath.Base(filepath.Dir(abs))
	}
	n, err := readNode(path, name, config.Overrides{})
	if err != nil {
		return nil, err
	}
	return n, n.readPeers(func(inside string) string {
		if _, err := os.Stat(inside); err == nil {
			return inside
		}
		return filepath.Join(filepath.Dir(path), filepath.Base(inside)) // beside the configuration, as on the node
	})
}

// readPeers reads the file of peers that a configuration names, where find says that it is, and leaves the peers that the
// node has.
func (n *Node) readPeers(find func(inside string) string) error {
	inside := n.Config.BGP.PeersFile
	if inside == "" {
		return n.selectByLabels()
	}
	path := find(inside)
	if path == "" {
		return fmt.Errorf("bgp.peersFile: %s is not among the binds", inside)
	}
	var err error
	if n.Config, n.Places, err = config.LoadPeersPlaces(path, n.Config, n.Places, n.Has); err != nil {
		return err
	}
	return n.selectByLabels()
}

// selectByLabels leaves of a configuration what a node with its node.labels has. A file that many share says nothing of labels:
// then it is looked at as it is for all of them.
func (n *Node) selectByLabels() error {
	if n.Shared && len(n.Config.Node.Labels) == 0 {
		return nil
	}
	var errs config.Errors
	n.Config, n.Places, errs = n.Config.ForNodePlaces(n.Places)
	if len(errs) > 0 {
		return errs
	}
	return nil
}

// readNode reads a configuration; name is the node's where it says none.
func readNode(path, name string, o config.Overrides) (*Node, error) {
	o.Hostname = func() (string, error) { return hostName(name), nil }
	c, places, err := config.LoadPlaces(path, o)
	if err != nil {
		return nil, err
	}
	n := &Node{Name: c.Node.Name, Config: c, Places: places, File: path}
	n.Shared = places.Of("node.name").Source == "hostname" && len(c.Node.PodCIDRs) == 0
	return n, nil
}

// hostName makes of a file's name one that a node could have.
func hostName(name string) string {
	ok := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '-'
	}
	name = strings.Trim(strings.Map(ok, strings.ToLower(name)), "-.")
	if name == "" {
		return "node"
	}
	return name
}

func (m *Mesh) add(n *Node) {
	if n != nil {
		m.Nodes = append(m.Nodes, n)
	}
}

func (m *Mesh) merge(t *Mesh) {
	m.Name = t.Name
	m.Nodes = append(m.Nodes, t.Nodes...)
	m.Routers = append(m.Routers, t.Routers...)
	m.Links = append(m.Links, t.Links...)
}

// learn puts together what is known of addresses and names.
func (m *Mesh) learn(addresses map[string][]netip.Prefix) error {
	m.index()
	var errs []error
	for name, all := range addresses {
		n := m.byName[name]
		if n == nil {
			errs = append(errs, fmt.Errorf("node %q: no file is of a node of that name, or several are; there are %s", name, m.names()))
			continue
		}
		n.Complete = true
		n.learn(all...)
	}
	for _, n := range m.Nodes {
		for _, a := range n.Config.BGP.ListenAddresses {
			if !a.IsUnspecified() && !a.IsLoopback() && !n.Complete {
				n.learn(host(a))
			}
		}
		for _, p := range n.Config.BGP.Peers {
			if p.LocalAddress.IsValid() && p.LocalAddress.Zone() == "" && !n.Complete {
				n.learn(host(p.LocalAddress))
			}
		}
	}
	m.own()
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func (n *Node) learn(all ...netip.Prefix) {
	for _, p := range all {
		if !n.Has(p.Addr()) {
			n.Addresses = append(n.Addresses, p)
		}
	}
}

func (m *Mesh) index() {
	for _, n := range m.Nodes {
		if _, again := m.byName[n.Name]; again {
			m.byName[n.Name] = nil
			continue
		}
		m.byName[n.Name] = n
	}
}

func (m *Mesh) names() string {
	var names []string
	for _, n := range m.Nodes {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// own notes who has which address. Link-local ones say nothing beyond their link.
func (m *Mesh) own() {
	m.owners = map[netip.Addr]owner{}
	claim := func(p netip.Prefix, o owner) {
		a := p.Addr()
		if a.IsLinkLocalUnicast() || a.IsLoopback() {
			return
		}
		if before, taken := m.owners[a]; taken && (before.node != o.node || before.router != o.router) {
			o = owner{many: true}
		}
		m.owners[a] = o
	}
	for _, n := range m.Nodes {
		for _, p := range n.Addresses {
			claim(p, owner{node: n})
		}
	}
	for _, r := range m.Routers {
		for _, p := range r.Addresses {
			claim(p, owner{router: r})
		}
	}
}

package containerlab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Kinds of nodes this package realises.
const (
	KindLinux  = "linux"  // a host or router: what its image or cmd starts runs in it
	KindBridge = "bridge" // an Ethernet bridge; real containerlab wants it created beforehand, here it is made
)

// DefaultMTU is the MTU of a link that names none, in bytes; containerlab's own default.
const DefaultMTU = 9500

// Topology is a loaded *.clab.yml: valid, with defaults and kinds merged into each node. It is never changed after
// Load, so any number of labs may be made of it, at the same time too.
type Topology struct {
	Name  string     // as in the file
	Path  string     // absolute path of the file; binds are relative to its folder
	Nodes []NodeSpec // sorted by name
	Links []Link     // in the order of the file
}

// NodeSpec is one node of a topology.
type NodeSpec struct {
	Name    string
	Kind    string            // KindLinux or KindBridge
	Image   string            // decides what is started when Cmd is empty; nothing is pulled
	Group   string            // containerlab's hint for drawings; without effect here
	Cmd     []string          // the node's main program, split like a shell would
	Exec    [][]string        // run one after the other once the links are up, before Cmd
	Binds   []Bind            // sorted by target
	Env     map[string]string // for every program of the node
	Sysctls map[string]string // written before the links are made
	noMgmt  bool              // network-mode: none
}

// Bind is one bind mount of a node.
type Bind struct {
	Source   string // absolute path on this machine
	Written  string // the source as the file has it: the key of Options.Sources
	Target   string // absolute path in the node
	ReadOnly bool
}

// Link joins two interfaces.
type Link struct {
	A, B Endpoint
	MTU  int // bytes
}

// Endpoint is one end of a Link.
type Endpoint struct {
	Node      string
	Interface string
}

// String is the endpoint as the file writes it: node:interface.
func (e Endpoint) String() string { return e.Node + ":" + e.Interface }

// file is the text of a *.clab.yml as far as it is supported; the decoder refuses every other key.
type file struct {
	Name     string `yaml:"name"`
	Topology struct {
		Defaults nodeText            `yaml:"defaults"`
		Kinds    map[string]nodeText `yaml:"kinds"`
		Nodes    map[string]nodeText `yaml:"nodes"`
		Links    []linkText          `yaml:"links"`
	} `yaml:"topology"`
}

type nodeText struct {
	Kind        string            `yaml:"kind"`
	Image       string            `yaml:"image"`
	Group       string            `yaml:"group"`
	Cmd         string            `yaml:"cmd"`
	Exec        []string          `yaml:"exec"`
	Binds       []string          `yaml:"binds"`
	Env         map[string]string `yaml:"env"`
	Sysctls     map[string]string `yaml:"sysctls"`
	NetworkMode string            `yaml:"network-mode"`
}

type linkText struct {
	Endpoints []string `yaml:"endpoints"`
	MTU       int      `yaml:"mtu"`
}

// Load reads and checks the topology at path. All that is wrong with it is reported together.
func Load(path string) (*Topology, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("topology %s: %w", path, err)
	}
	text, err := os.ReadFile(abs)
	if err != nil {
		return nil, fmt.Errorf("topology: %w", err)
	}
	t, err := parse(text, abs)
	if err != nil {
		return nil, fmt.Errorf("topology %s: %w", path, err)
	}
	return t, nil
}

func parse(text []byte, path string) (*Topology, error) {
	expanded, err := withoutExpansions(text)
	if err != nil {
		return nil, err
	}
	var f file
	d := yaml.NewDecoder(bytes.NewReader(expanded))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return nil, plainYAMLError(err)
	}
	t := &Topology{Name: f.Name, Path: path}
	var errs []error
	for name, text := range f.Topology.Nodes {
		n, err := f.node(name, text, filepath.Dir(path))
		if err != nil {
			errs = append(errs, fmt.Errorf("node %s: %w", name, err))
		}
		t.Nodes = append(t.Nodes, n)
	}
	slices.SortFunc(t.Nodes, func(a, b NodeSpec) int { return strings.Compare(a.Name, b.Name) })
	for i, text := range f.Topology.Links {
		l, err := text.link()
		if err != nil {
			errs = append(errs, fmt.Errorf("link %d: %w", i+1, err))
			continue
		}
		t.Links = append(t.Links, l)
	}
	errs = append(errs, f.check(), t.check())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return t, nil
}

var expansion = regexp.MustCompile(`\{\{|\$+`)

// withoutExpansions undoes $$, which is how a dollar sign is written for containerlab, and refuses the variables and
// templates that containerlab would fill in: a lab must not depend on who starts it.
func withoutExpansions(text []byte) ([]byte, error) {
	var errs []error
	for i, line := range bytes.Split(text, []byte("\n")) {
		for _, m := range expansion.FindAll(uncommented(line), -1) {
			if len(m)%2 != 0 || m[0] == '{' {
				errs = append(errs, fmt.Errorf("line %d: variables and templates are not expanded here (write $$ for a dollar sign)", i+1))
				break
			}
		}
	}
	return bytes.ReplaceAll(text, []byte("$$"), []byte("$")), errors.Join(errs...)
}

// uncommented drops a line that is nothing but a comment.
func uncommented(line []byte) []byte {
	if bytes.HasPrefix(bytes.TrimSpace(line), []byte("#")) {
		return nil
	}
	return line
}

var unknownField = regexp.MustCompile(`field (\S+) not found in type \S+`)

// plainYAMLError says in the file's words what the decoder says in ours.
func plainYAMLError(err error) error {
	var typed *yaml.TypeError
	if !errors.As(err, &typed) {
		return err
	}
	errs := make([]error, 0, len(typed.Errors))
	for _, text := range typed.Errors {
		errs = append(errs, errors.New(unknownField.ReplaceAllString(text, `key "$1" is not supported here`)))
	}
	return errors.Join(errs...)
}

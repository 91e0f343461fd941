package main

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
)

//go:embed templates
var templates embed.FS

const (
	nodeASN  = 64512
	otherASN = 65001
	password = "not-a-secret"
)

// host is a speaker in the lab.
type host struct {
	*plan
	Name   string
	Number int // of its addresses and prefixes
	ASN    int
}

// Addresses on the link, and, of the pods behind it.
func (h host) IPv4() string     { return fmt.Sprintf("192.168.%d.%d", h.Link(), h.Number) }
func (h host) IPv6() string     { return fmt.Sprintf("fd00:fab:%d::%d", h.Link(), h.Number) }
func (h host) Local() string    { return fmt.Sprintf("fe80::%d", h.Number) }
func (h host) Gateway4() string { return fmt.Sprintf("192.168.%d.254", h.Link()) }
func (h host) Gateway6() string { return fmt.Sprintf("fd00:fab:%d::fe", h.Link()) }
func (h host) RouterID() string { return fmt.Sprintf("192.0.2.%d", h.Number) }

// Link is the number of the link it is on: with a router in between there are two.
func (h host) Link() int {
	if h.Cell.Relation == multihop {
		return h.Number
	}
	return 1
}

func (h host) cluster() int {
	if h.Name == "node" {
		return 10
	}
	return 20
}

// Pods and a pod of the host.
func (h host) Pods4() string { return fmt.Sprintf("10.%d.%d.0/24", h.cluster(), h.Number) }
func (h host) Pods6() string { return fmt.Sprintf("fd00:%d:0:%d::/64", h.cluster(), h.Number) }
func (h host) Pod4() string  { return fmt.Sprintf("10.%d.%d.1", h.cluster(), h.Number) }
func (h host) Pod6() string  { return fmt.Sprintf("fd00:%d:0:%d::1", h.cluster(), h.Number) }

// Session is the host's address in sessions.
func (h host) Session() string {
	switch h.Cell.Transport {
	case overIPv4:
		return h.IPv4()
	case unnumbered:
		return h.Local()
	}
	return h.IPv6()
}

// plan is what a lab is made of; the templates see it.
type plan struct {
	Cell     cell
	Node     host   // underlayd
	Peer     host   // the speaker that is tried
	Origins  []host // behind the peer
	Password string
	GTSM     bool
	BFD      bool
	Graceful bool
}

func newPlan(c cell) *plan {
	p := &plan{Cell: c, GTSM: c.Feature == gtsm, BFD: c.Feature == bfd, Graceful: c.Feature == helper || c.Feature == restarting}
	if c.Feature == md5 {
		p.Password = password
	}
	asn := otherASN
	if c.internal() {
		asn = nodeASN
	}
	p.Node = host{p, "node", 1, nodeASN}
	p.Peer = host{p, "peer", 2, asn}
	if c.Relation == ibgp {
		asn = otherASN // what one internal peer says is not passed on to another
	}
	for i := range c.origins() {
		p.Origins = append(p.Origins, host{p, fmt.Sprintf("origin-%d", i+1), 3 + i, asn})
	}
	return p
}

// What the templates ask.
func (p *plan) V4() bool         { return p.Cell.carries4() }
func (p *plan) V6() bool         { return p.Cell.carries6() }
func (p *plan) Has4() bool       { return p.Cell.Transport == overIPv4 }
func (p *plan) Unnumbered() bool { return p.Cell.Transport == unnumbered }
func (p *plan) Extended() bool   { return p.Cell.Transport == rfc8950 || p.Unnumbered() }
func (p *plan) Multihop() bool   { return p.Cell.Relation == multihop }
func (p *plan) Internal() bool   { return p.Cell.internal() }
func (p *plan) Reflector() bool  { return p.Cell.Relation == reflector }
func (p *plan) AddPath() bool    { return p.Cell.Feature == addPath }
func (p *plan) Hops() int        { return p.Cell.hops() }
func (p *plan) Shared4() string  { return "10.20.250.0/24" }
func (p *plan) Shared6() string  { return "fd00:20:0:fa::/64" }
func (p *plan) Hosts() []host    { return append([]host{p.Node, p.Peer}, p.Origins...) }
func (p *plan) Daemon() string   { return p.Cell.Daemon }

// announcer is whose pods the node is to reach.
func (p *plan) announcer() host {
	if p.Reflector() {
		return p.Origins[0]
	}
	return p.Peer
}

// write writes the topology and all configurations into a folder, and returns the topology's path.
func (p *plan) write(folder string) (string, error) {
	files := map[string]any{"lab.clab.yml": p, "config.yaml": p.Node}
	targets := map[string]string{"lab.clab.yml": "lab.clab.yml", "config.yaml": "node/config.yaml"}
	all, err := template.ParseFS(templates, "templates/*")
	if err != nil {
		return "", err
	}
	for name, data := range files {
		if err := fill(all, name, filepath.Join(folder, targets[name]), data); err != nil {
			return "", err
		}
	}
	if p.Password != "" {
		if err := os.WriteFile(filepath.Join(folder, "node", "key"), []byte(p.Password+"\n"), 0o600); err != nil {
			return "", err
		}
	}
	for _, h := range p.Hosts()[1:] {
		for _, name := range configurations(p.Cell.Daemon) {
			if err := fill(all, name, filepath.Join(folder, h.Name, name), h); err != nil {
				return "", err
			}
		}
	}
	return filepath.Join(folder, "lab.clab.yml"), nil
}

// configurations are the files of a program.
func configurations(daemon string) []string {
	return map[string][]string{frr: {"daemons", "frr.conf"}, bird: {"bird.conf"}, gobgp: {"gobgpd.toml", "start"}}[daemon]
}

func fill(all *template.Template, name, path string, data any) error {
	var text strings.Builder
	if err := all.ExecuteTemplate(&text, name, data); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	lines := strings.Split(text.String(), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool { return strings.TrimSpace(l) == "" }) // what templates leave
	return os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), fs.FileMode(0o644))
}

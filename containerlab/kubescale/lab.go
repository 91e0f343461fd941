package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/k8s/apitest"
	"github.com/underlayd/underlayd/k8s/deploy"
)

// scale is a running API server with its Nodes, and the lab with the daemons.
type scale struct {
	options
	folder   string
	api      *apitest.Server
	kubelets *apitest.Kubelets
	stirring *stirring // of block affinities; nil: there are none
	lab      *containerlab.Lab
	agents   []*agent
	hubs     []*hub
	journal  journal
	meter    *meter
	report   report
	asked    time.Time // up to when refused requests were reported
	faults   []error   // what must not be and was
}

// role is what a daemon follows in the API.
type role int

const (
	plain   role = iota // its own Node
	hubby               // bgp.nodePeers: the Nodes with a label
	curious             // bgp.nodePeers: all Nodes
	roles               // how many there are
)

// agent is a daemon with a Node of its own.
type agent struct {
	number  int // from 1
	role    role
	node    *containerlab.Node
	daemon  *containerlab.Process
	forward *containerlab.Forward
}

// hub is a router of the other cluster: a daemon without Kubernetes.
type hub struct {
	number int // from 1
	routes int // pod CIDRs beside the first one
	node   *containerlab.Node
}

func nodeName(number int) string { return fmt.Sprintf("east-%d", number) }

func (a *agent) String() string    { return nodeName(a.number) }
func (a *agent) address() string   { return fmt.Sprintf("192.168.50.%d", a.number) }
func (h *hub) String() string      { return fmt.Sprintf("west-%d", h.number) }
func (h *hub) address() string     { return fmt.Sprintf("192.168.60.%d", h.number) }
func podNetwork(number int) string { return fmt.Sprintf("10.%d.%d", 64+number>>8, number&255) }

// up brings everything up, but for the Nodes and the daemons.
func (s *scale) up(ctx context.Context) (err error) {
	if s.api, err = apitest.Start(ctx); err != nil {
		return err
	}
	if err := s.api.Install(ctx, deploy.Base()); err != nil {
		return err
	}
	if s.journal.path, err = s.api.Audit(ctx); err != nil {
		return err
	}
	if s.kubelets, err = s.api.Kubelets(s.status); err != nil {
		return err
	}
	if s.blocks > 0 {
		if err := s.installBlocks(ctx); err != nil {
			return err
		}
	}
	for i := range s.options.agents {
		a := &agent{number: i + 1}
		switch s.options.agents - i {
		case 1:
			a.role = curious
		case 2:
			a.role = hubby
		}
		s.agents = append(s.agents, a)
	}
	s.hubs = []*hub{{number: 1}, {number: 2}}
	if err := s.raise(ctx); err != nil {
		return err
	}
	for _, a := range s.agents {
		if a.forward, err = a.node.Forward(s.api.Address(), s.api.Address()); err != nil {
			return err
		}
	}
	s.meter = startMeter(s.agents)
	return nil
}

// raise makes the lab.
func (s *scale) raise(ctx context.Context) error {
	path := filepath.Join(s.folder, "kubescale.clab.yml")
	if err := os.WriteFile(path, []byte(s.topology()), 0o600); err != nil {
		return err
	}
	var names []string
	for _, a := range s.agents {
		names = append(names, a.String())
		if err := s.configure(a); err != nil {
			return err
		}
	}
	for _, h := range s.hubs {
		names = append(names, h.String())
		if err := s.configureHub(h); err != nil {
			return err
		}
	}
	topology, err := containerlab.Load(path)
	if err != nil {
		return err
	}
	if s.lab, err = topology.Up(ctx, containerlab.Options{Manual: names}); err != nil {
		return err
	}
	for _, a := range s.agents {
		a.node = s.lab.Node(a.String())
	}
	for _, h := range s.hubs {
		h.node = s.lab.Node(h.String())
		if err := h.node.Launch(ctx); err != nil {
			return err
		}
	}
	return nil
}

// topology is the lab's file.
func (s *scale) topology() string {
	var text, links strings.Builder
	text.WriteString("name: kubescale\ntopology:\n  nodes:\n    ether:\n      kind: bridge\n")
	node := func(name, address string) {
		fmt.Fprintf(&text, "    %s:\n      kind: linux\n      network-mode: none\n      cmd: underlayd run --config /etc/underlayd/config.yaml\n", name)
		fmt.Fprintf(&text, "      sysctls: {net.ipv4.ip_forward: 1, net.ipv6.conf.all.forwarding: 1}\n")
		fmt.Fprintf(&text, "      binds: [%q, %q]\n", s.underlayd+":/usr/local/bin/underlayd:ro", filepath.Join(s.folder, name)+":/etc/underlayd:ro")
		fmt.Fprintf(&text, "      exec: [%q]\n", "ip addr add "+address+"/16 dev eth1")
		fmt.Fprintf(&links, "    - endpoints: [%q, %q]\n", name+":eth1", "ether:"+name)
	}
	for _, a := range s.agents {
		node(a.String(), a.address())
	}
	for _, h := range s.hubs {
		node(h.String(), h.address())
	}
	return text.String() + "  links:\n" + links.String()
}

// configure writes an agent's configuration. Its kubeconfig comes with its Node.
func (s *scale) configure(a *agent) error {
	var text strings.Builder
	text.WriteString("cluster: {name: east, id: 1, podCIDRs: [10.64.0.0/13]}\n")
	fmt.Fprintf(&text, "node: {name: %s}\n", a)
	text.WriteString("clusters: [{name: west, id: 2, podCIDRs: [10.20.0.0/16]}]\n")
	text.WriteString("bgp:\n  asn: 64512\n  peers:\n")
	for _, h := range s.hubs {
		fmt.Fprintf(&text, "  - {name: %s, address: %s, asn: 64513}\n", h, h.address())
	}
	switch a.role {
	case hubby:
		fmt.Fprintf(&text, "  nodePeers: {enabled: true, selector: %q, defaults: {passive: true}}\n", apitest.HubLabel)
	case curious:
		text.WriteString("  nodePeers: {enabled: true, defaults: {passive: true}}\n")
	}
	text.WriteString("kubernetes: {enabled: true, kubeconfig: /etc/underlayd/kubeconfig}\n")
	return s.write(a.String(), "config.yaml", text.String())
}

// configureHub writes a hub's configuration.
func (s *scale) configureHub(h *hub) error {
	var text strings.Builder
	text.WriteString("cluster: {name: west, id: 2, podCIDRs: [10.20.0.0/16]}\n")
	fmt.Fprintf(&text, "node: {name: %s, podCIDRs: [10.20.%d.0/24", h, h.number)
	for i := range h.routes {
		fmt.Fprintf(&text, ", 10.20.%d.0/24", 100+2*i) // no two of them can be aggregated
	}
	text.WriteString("]}\nclusters: [{name: east, id: 1, podCIDRs: [10.64.0.0/13]}]\nbgp:\n  asn: 64513\n  peers:\n")
	for _, a := range s.agents {
		fmt.Fprintf(&text, "  - {name: %s, address: %s, asn: 64512}\n", a, a.address())
	}
	return s.write(h.String(), "config.yaml", text.String())
}

// write replaces a file of a node's folder.
func (s *scale) write(node, name, text string) error {
	folder := filepath.Join(s.folder, node)
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// down ends everything that came up.
func (s *scale) down() error {
	var errs []error
	if s.meter != nil {
		s.meter.close()
	}
	if s.stirring != nil {
		s.stirring.close()
	}
	if s.lab != nil {
		errs = append(errs, s.lab.Down())
	}
	for _, a := range s.agents {
		if a.forward != nil {
			errs = append(errs, a.forward.Close())
		}
	}
	if s.kubelets != nil {
		s.kubelets.Close()
	}
	if s.api != nil {
		errs = append(errs, s.api.Close())
	}
	return errors.Join(errs...)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/containerlab/bench/gauge"
	"github.com/underlayd/underlayd/containerlab/bench/kernel"
)

// mesh is a running mesh.
type mesh struct {
	options
	folder string
	lab    *containerlab.Lab
	hosts  []*host
	report gauge.Table
	faults []error // what must not be and was
}

// host is a node of the mesh.
type host struct {
	cluster   int  // 0: east, 1: west
	number    int  // from 1
	reflector bool // of its cluster
	extra     int  // pod CIDRs added to the first one
	dead      bool
	node      *containerlab.Node
	daemon    *containerlab.Process
	kernel    *kernel.Monitor
}

func (h *host) String() string {
	if h.reflector {
		return fmt.Sprintf("%s-rr-%d", clusterName(h.cluster), h.number)
	}
	return fmt.Sprintf("%s-%d", clusterName(h.cluster), h.number)
}

func clusterName(cluster int) string { return [...]string{"east", "west"}[cluster] }

func asn(cluster int) int { return 64512 + cluster }

// network is the second part of a cluster's pod CIDRs.
func network(cluster int) int { return 10 + 10*cluster }

// Addresses: 192.168.<50 + cluster>.N/16, so that a cluster is a range, and pods in 10.<10 + 10 × cluster>.N.0/24.
func (h *host) address() string { return fmt.Sprintf("192.168.%d.%d", 50+h.cluster, h.number) }

func (h *host) address6() string { return fmt.Sprintf("fd00:fab:%d::%d", 50+h.cluster, h.number) }

// podCIDRs are the node's: one of each family, and those of IPv4 that were added.
func (h *host) podCIDRs() []string {
	net := network(h.cluster)
	all := []string{fmt.Sprintf("10.%d.%d.0/24", net, h.number), fmt.Sprintf("fd00:%d:0:%d::/64", net, h.number)}
	for i := range h.extra {
		all = append(all, fmt.Sprintf("10.%d.%d.0/24", net, mostNodes+1+i))
	}
	return all
}

// pod is the address of a pod: the node answers in its place.
func (h *host) pod() string { return fmt.Sprintf("10.%d.%d.1", network(h.cluster), h.number) }

// watched are the routes to all pods there are and will be.
func (m *mesh) watched() func(kernel.Key) bool {
	keys := map[kernel.Key]bool{}
	for _, h := range m.hosts {
		most := *h
		most.extra = m.changes
		for _, cidr := range most.podCIDRs() {
			keys[kernel.KeyOf(netip.MustParsePrefix(cidr))] = true
		}
	}
	return func(k kernel.Key) bool { return keys[k] }
}

// raise makes the lab, without daemons.
func raise(ctx context.Context, o options, folder string) (*mesh, error) {
	m := &mesh{options: o, folder: folder}
	for cluster := range 2 {
		for i := range o.nodes {
			m.hosts = append(m.hosts, &host{cluster: cluster, number: i + 1, reflector: i < o.reflectors})
		}
	}
	path := filepath.Join(folder, "mesh.clab.yml")
	if err := os.WriteFile(path, []byte(m.topology()), 0o600); err != nil {
		return nil, err
	}
	var names []string
	for _, h := range m.hosts {
		names = append(names, h.String())
		if err := m.configure(h); err != nil {
			return nil, err
		}
	}
	topology, err := containerlab.Load(path)
	if err != nil {
		return nil, err
	}
	if m.lab, err = topology.Up(ctx, containerlab.Options{Manual: names}); err != nil {
		return nil, err
	}
	if err := m.open(); err != nil {
		return nil, errors.Join(err, m.down())
	}
	return m, nil
}

// topology is the lab's file.
func (m *mesh) topology() string {
	var text, links strings.Builder
	text.WriteString("name: mesh\ntopology:\n  nodes:\n    ether:\n      kind: bridge\n")
	for _, h := range m.hosts {
		run := "underlayd run --config /etc/underlayd/config.yaml"
		if m.profile != "" && h == m.profiled() {
			run += " --cpu-profile " + m.profile
		}
		fmt.Fprintf(&text, "    %s:\n      kind: linux\n      network-mode: none\n      cmd: %s\n", h, run)
		fmt.Fprintf(&text, "      sysctls: {net.ipv4.ip_forward: 1, net.ipv6.conf.all.forwarding: 1}\n")
		fmt.Fprintf(&text, "      binds: [%q, %q]\n", m.underlayd+":/usr/local/bin/underlayd:ro", filepath.Join(m.folder, h.String())+":/etc/underlayd:ro")
		fmt.Fprintf(&text, "      exec:\n        - ip addr add %s/16 dev eth1\n        - ip -6 addr add %s/32 dev eth1 nodad\n", h.address(), h.address6())
		fmt.Fprintf(&text, "        - ip addr add %s/32 dev lo\n", h.pod())
		fmt.Fprintf(&links, "    - endpoints: [%q, %q]\n", h.String()+":eth1", "ether:"+h.String())
	}
	return text.String() + "  links:\n" + links.String()
}

// configure writes a node's configuration.
func (m *mesh) configure(h *host) error {
	var text strings.Builder
	other := 1 - h.cluster
	fmt.Fprintf(&text, "cluster: {name: %s, id: %d, podCIDRs: [10.%d.0.0/16, \"fd00:%d::/48\"]}\n", clusterName(h.cluster), h.cluster+1, network(h.cluster), network(h.cluster))
	fmt.Fprintf(&text, "node: {name: %s, podCIDRs: [%s]}\n", h, "\""+strings.Join(h.podCIDRs(), "\", \"")+"\"")
	fmt.Fprintf(&text, "clusters: [{name: %s, id: %d, podCIDRs: [10.%d.0.0/16, \"fd00:%d::/48\"]}]\n", clusterName(other), other+1, network(other), network(other))
	fmt.Fprintf(&text, "bgp:\n  asn: %d\n  holdTime: %s\n  connectRetry: %s\n  peers:\n", asn(h.cluster), m.hold, m.retry)
	for _, peer := range m.hosts {
		if m.peers(h, peer) {
			fmt.Fprintf(&text, "  - {name: %s, address: %s, asn: %d, bfd: {interval: %s}%s}\n", peer, peer.address(), asn(peer.cluster), m.bfd, role(h, peer))
		}
	}
	folder := filepath.Join(m.folder, h.String())
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	path := filepath.Join(folder, "config.yaml")
	if err := os.WriteFile(path+".new", []byte(text.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// open begins to watch the kernels, and writes down in each node which hardware addresses the others have: the kernel's
// table of neighbours is one for all nodes of the lab, and by default it has room for a thousand.
func (m *mesh) open() error {
	watched := m.watched()
	cards := make(map[*host]net.HardwareAddr, len(m.hosts))
	for _, h := range m.hosts {
		h.node = m.lab.Node(h.String())
		err := h.node.Do(func() (err error) {
			if h.kernel, err = kernel.Open(watched); err != nil {
				return err
			}
			link, err := netlink.LinkByName("eth1")
			if err == nil {
				cards[h] = link.Attrs().HardwareAddr
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", h, err)
		}
	}
	for _, h := range m.hosts {
		if err := h.node.Do(func() error { return m.introduce(h, cards) }); err != nil {
			return fmt.Errorf("%s: %w", h, err)
		}
	}
	return nil
}

// introduce tells a node's kernel the hardware addresses of its peers and of the other cluster's nodes. It runs in the
// node's network.
func (m *mesh) introduce(h *host, cards map[*host]net.HardwareAddr) error {
	link, err := netlink.LinkByName("eth1")
	if err != nil {
		return err
	}
	for other, card := range cards {
		if other.cluster == h.cluster && !m.peers(h, other) {
			continue
		}
		for _, address := range []string{other.address(), other.address6()} {
			err := netlink.NeighSet(&netlink.Neigh{
				LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.ParseIP(address), HardwareAddr: card,
			})
			if err != nil {
				return fmt.Errorf("neighbour %s: %w", address, err)
			}
		}
	}
	return nil
}

// down ends everything.
func (m *mesh) down() error {
	var errs []error
	if m.profile != "" {
		if daemon := m.profiled().daemon; daemon != nil {
			ctx, cancel := context.WithTimeout(context.Background(), m.patience)
			defer cancel()
			errs = append(errs, daemon.Stop(ctx)) // which completes the profile
		}
	}
	errs = append(errs, m.lab.Down())
	for _, h := range m.hosts {
		if h.kernel != nil {
			errs = append(errs, h.kernel.Close())
		}
	}
	return errors.Join(errs...)
}

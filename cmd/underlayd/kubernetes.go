package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/sirupsen/logrus"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/k8s"
	"github.com/underlayd/underlayd/status"
)

// connect makes what the daemon has to do with the Kubernetes API, if there is one, and the sources of peers. What is
// known of the last run is used until the API has answered.
func (a *agent) connect() error {
	var err error
	if a.node, err = newNode(a.config, a.memo, a.log); err != nil {
		return err
	}
	if a.node == nil {
		if err := withoutAPI(a.config); err != nil {
			return err
		}
	} else if err = a.openSecrets(); err != nil {
		return err
	}
	a.peersFile = newPeersFile(a.memo.PeersFile, a.log)
	a.peering = newPeering(a.file, a.log, a.peersFile)
	a.peering.labels = a.nodeLabels
	if a.config.BGP.NodePeers.Enabled {
		if a.node == nil {
			return errors.New("bgp.nodePeers.enabled: true: there is no Kubernetes API to list the Nodes, see kubernetes.enabled")
		}
		here, _, _ := a.peering.here()
		if a.members, err = newNodePeers(here, a.memo.Nodes, a.log); err != nil {
			return fmt.Errorf("bgp.nodePeers: %w", err)
		}
		a.peering.sources = append(a.peering.sources, a.members)
	}
	return nil
}

// openSecrets makes the source of passwords that are in Secrets. It sends nothing as long as no peer names one.
func (a *agent) openSecrets() error {
	path := a.config.Kubernetes.Kubeconfig
	client, err := k8s.Connect(path)
	if err != nil {
		return fmt.Errorf("kubernetes: %w", err)
	}
	a.secrets, err = k8s.NewSecrets(k8s.SecretsConfig{REST: client, Namespace: k8s.Namespace(path), Log: a.log.WithField("component", "k8s")})
	if err != nil {
		return err
	}
	a.passwords.secrets = a.secrets
	return nil
}

// newNode connects to the Kubernetes API if there is one; nil without. The pod CIDRs and the labels are those of the last
// run.
func newNode(cfg *config.Config, last memo, log logrus.FieldLogger) (*k8s.Node, error) {
	if cfg.Kubernetes.Enabled == config.False {
		return nil, nil
	}
	client, err := k8s.Connect(cfg.Kubernetes.Kubeconfig)
	switch {
	case errors.Is(err, k8s.ErrNotInCluster) && cfg.Kubernetes.Enabled == config.Auto:
		log.Info("not in a Kubernetes cluster; pod CIDRs come from the configuration")
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("kubernetes: %w", err)
	}
	return k8s.New(k8s.Config{
		REST: client, NodeName: cfg.Node.Name, Log: log.WithField("component", "k8s"), PodCIDRs: last.PodCIDRs, Labels: last.Labels,
		AnnotationKeys: config.AnnotationKeys(), Annotations: last.Annotations,
		ConfirmAfter: cfg.Kubernetes.ConfirmAfter, Source: podCIDRSource(cfg), StartupTaint: cfg.Kubernetes.StartupTaint,
	})
}

// newNodePeers makes the source of peers that are Nodes. The Nodes are those of the last run.
func newNodePeers(cfg *config.Config, nodes []k8s.Member, log logrus.FieldLogger) (*nodePeers, error) {
	client, err := k8s.Connect(cfg.Kubernetes.Kubeconfig)
	if err != nil {
		return nil, err
	}
	members, err := k8s.NewMembers(k8s.MembersConfig{
		REST: client, Selection: selection(cfg), Log: log.WithField("component", "k8s"), Known: nodes,
		ConfirmAfter: cfg.Kubernetes.ConfirmAfter,
	})
	if err != nil {
		return nil, err
	}
	return &nodePeers{Members: members}, nil
}

// nodePeers is the source of the peers that are Nodes of this cluster.
type nodePeers struct {
	*k8s.Members
	last []k8s.Member // as last returned; belongs to the caller of Peers
}

// selection says which Nodes are to be followed on this one.
func selection(c *config.Config) k8s.Selection {
	return k8s.Selection{Nodes: c.NodePeersSelector(), Hubs: c.BGP.NodePeers.Hubs}
}

// Peers returns a peer for each other Node that has an address of the family asked for. Nodes that are peers already, by
// their address, are left to what is said there. Where there are hubs and this node is none, hubs alone are peers, whoever
// else is known from before.
func (n *nodePeers) Peers(base *config.Config, own func(netip.Addr) bool) sourced {
	if err := n.Select(selection(base)); err != nil {
		return sourced{err: err}
	}
	members, err := n.List()
	known := err == nil || len(members) > 0
	n.last = members
	taken := make(map[netip.Addr]bool, len(base.BGP.Peers))
	for _, p := range base.BGP.Peers {
		taken[p.Address] = true
	}
	var peers []config.Peer
	for _, m := range members {
		i := slices.IndexFunc(m.Addresses, func(a netip.Addr) bool { return a.Is4() == (base.BGP.NodePeers.Address == config.IPv4) })
		if i < 0 || m.Name == base.Node.Name || own(m.Addresses[i]) || taken[m.Addresses[i]] || !m.Hub && !base.Hub() {
			continue
		}
		peers = append(peers, base.NodePeer(m.Name, m.Addresses[i], m.Hub))
	}
	return sourced{peers: peers, known: known}
}

// problems says why the Nodes can't be followed.
func (n *nodePeers) problems() []status.Problem {
	if n == nil {
		return nil
	}
	err := n.Problem()
	if err == nil {
		return nil
	}
	return []status.Problem{{Severity: status.Warning, Subject: "kubernetes", Message: "bgp.nodePeers: " + err.Error() + "; the Nodes known stay peers"}}
}

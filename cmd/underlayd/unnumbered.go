package main

import (
	"context"
	"maps"
	"net/netip"
	"slices"

	"github.com/sirupsen/logrus"

	"github.com/underlayd/underlayd/bgp/neighbor"
	"github.com/underlayd/underlayd/config"
)

// Unnumbered peers have a link in place of an address. Everything but this file sees them with the address of the
// neighbour that was found on the link, so that a neighbour that is another one now is a configuration that changed.

// unfound says whether an address stands for a neighbour that was not found. There is one for each link.
func unfound(a netip.Addr) bool { return a.Zone() != "" && a.WithZone("").IsUnspecified() }

// withNeighbors returns the configuration with the addresses of unnumbered peers, and why some have none, by peer.
func withNeighbors(file *config.Config, find func(link string) (neighbor.Pair, string)) (*config.Config, map[string]string) {
	if !slices.ContainsFunc(file.BGP.Peers, func(p config.Peer) bool { return p.Interface != "" }) {
		return file, nil
	}
	located, missing := *file, map[string]string{}
	located.BGP.Peers = slices.Clone(file.BGP.Peers)
	for i := range located.BGP.Peers {
		p := &located.BGP.Peers[i]
		if p.Interface == "" {
			continue
		}
		ends, why := find(p.Interface)
		p.Address, p.LocalAddress = ends.Neighbor, ends.Local
		if !p.Address.IsValid() {
			p.Address = netip.IPv6Unspecified().WithZone(p.Interface)
			missing[p.Name] = why
		}
	}
	return &located, missing
}

// configure puts a configuration in force as far as it is the agent's own.
func (a *agent) configure(file *config.Config) {
	a.file, a.links = file, map[string]string{}
	for _, p := range file.BGP.Peers {
		if p.Interface != "" {
			a.links[p.Name] = p.Interface
		}
	}
	a.finder.Watch(slices.Collect(maps.Values(a.links)))
	a.config, a.missing = withNeighbors(file, a.finder.Find)
}

// followNeighbors takes in who the neighbours on the links are now. One that is another one than before is another peer,
// and the session with the one before ends.
func (a *agent) followNeighbors(ctx context.Context) {
	a.stale = true
	before := a.config.BGP.Peers
	a.config, a.missing = withNeighbors(a.file, a.finder.Find)
	moved := false
	for i, p := range a.config.BGP.Peers {
		if p.Address == before[i].Address && p.LocalAddress == before[i].LocalAddress {
			continue
		}
		moved = true
		a.log.WithFields(logrus.Fields{"peer": p.Name, "interface": p.Interface, "address": p.Address, "before": before[i].Address}).
			Info("neighbour found")
	}
	if !moved {
		a.setPeers(ctx) // what is missing may be something else
		return
	}
	a.takePlan(a.facts)
	a.replan(ctx)
}

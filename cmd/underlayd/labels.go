package main

import (
	"context"
	"maps"

	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/status"
)

// nodeLabels are the labels of this node in Kubernetes; false while they are unknown, which is not to have none.
type nodeLabels func() (labels map[string]string, known bool)

// nodeLabels returns the labels of the Node, or those of the last run until the API has shown it.
func (a *agent) nodeLabels() (map[string]string, bool) {
	if a.node == nil {
		return nil, true
	}
	labels, err := a.node.Labels()
	if err == nil && (a.memo.Labels == nil || !maps.Equal(labels, a.memo.Labels)) {
		a.memo.Labels = labels
		a.remember()
	}
	return labels, labels != nil
}

// here returns what the file says to this node, and whether its labels are known.
func (p *peering) here() (whole *config.Config, labelled bool, errs config.Errors) {
	if p.labels == nil {
		whole, errs = p.base.ForNode(nil)
		return whole, true, errs
	}
	labels, known := p.labels()
	if !known {
		whole, errs = p.base.ForUnknownNode()
		return whole, false, errs
	}
	whole, errs = p.base.ForNode(labels)
	return whole, true, errs
}

// followNode takes in what the Node has become: its labels, on which it depends who the peers are, then its pod CIDRs.
func (a *agent) followNode(ctx context.Context) {
	a.followAnnotations()
	a.followSources(ctx)
	a.advertise(ctx)
}

// roles are what this node does for others.
func roles(c *config.Config) []string {
	var all []string
	if c.Node.Gateway == config.True {
		all = append(all, "gateway")
	}
	if c.Node.Reflector == config.True {
		all = append(all, "reflector")
	}
	return all
}

// placeStatus says where this node is, and what says so.
func placeStatus(c *config.Config) *status.Place {
	region, zone := c.PlaceFrom()
	p := status.Place{Region: c.Node.Region, Zone: c.Node.Zone, RegionFrom: region, ZoneFrom: zone}
	if p == (status.Place{}) {
		return nil
	}
	return &p
}

package main

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/status"
)

// isolationTime is how long all sessions in our own network have to be lost for a gateway to think that it is cut off from it,
// and not that a daemon is restarting.
const isolationTime = 5 * time.Second

// border is what a gateway has to do with other networks.
type border struct {
	told      []netip.Prefix // ranges of our cluster that are advertised to them
	discarded []netip.Prefix // those that have a blackhole route
	inside    bool           // a session in our own network was established
	alone     time.Time      // since when none is; zero while one is
	isolated  bool
}

// wholesToTell are the aggregates that are to be advertised now.
func (a *agent) wholesToTell() []bgp.Announcement {
	if a.drain.stage >= withdrawn || a.border.isolated {
		return nil
	}
	return aggregates(a.config)
}

// tellWholes prepares for aggregates that are about to be advertised: peers that are not to have them, and packets for pods
// that are not there. Those advertised so far stay hidden and discarded until they are withdrawn.
func (a *agent) tellWholes(ctx context.Context, wholes []netip.Prefix) {
	if slices.Equal(wholes, a.border.told) {
		return
	}
	a.log.WithField("prefixes", wholes).Info("gateway: advertising to other networks")
	if a.peersSet {
		a.setPeers(ctx)
	}
	a.discard(ctx, slices.Concat(wholes, a.border.told))
}

// discard has the kernel discard what no other route leads to of some prefixes.
func (a *agent) discard(ctx context.Context, prefixes []netip.Prefix) {
	var wanted []netip.Prefix
	for _, p := range prefixes {
		switch a.config.Kernel.Blackhole {
		case config.True:
			wanted = append(wanted, p)
		case config.Auto:
			if a.host.routedInside(p) {
				wanted = append(wanted, p)
			}
		}
	}
	if slices.Equal(wanted, a.border.discarded) {
		return // what failed is tried again by itself
	}
	a.border.discarded = wanted
	if err := a.kernel.Discard(ctx, wanted); err != nil {
		a.log.WithError(err).Warn("blackhole routes not installed; they are tried again")
	}
}

// followBorder looks after what no event announces: whether nodes inside can be reached, and what is routed there.
func (a *agent) followBorder(ctx context.Context, sessions []bgp.Session, now time.Time) {
	if a.config.Node.Gateway != config.True {
		a.border.inside, a.border.alone, a.border.isolated = false, time.Time{}, false
		return
	}
	if isolated := a.border.isolatedBy(a.insideStates(sessions), now); isolated != a.border.isolated {
		a.border.isolated = isolated
		a.log.WithField("isolated", isolated).Warn("gateway: whether our own network can be reached has changed")
		a.advertise(ctx)
	}
	if len(a.border.discarded) < len(a.border.told) && a.config.Kernel.Blackhole == config.Auto {
		a.discard(ctx, a.border.told)
	}
}

// insideStates says of each session in our own network whether it is established.
func (a *agent) insideStates(sessions []bgp.Session) []bool {
	var states []bool
	for _, s := range sessions {
		if !a.view.across[s.Address] {
			states = append(states, s.Established)
		}
	}
	return states
}

// isolatedBy says whether the gateway is cut off from its network: it had sessions there, and has had none for some time. It
// would attract traffic that it can't deliver, while another gateway may.
func (b *border) isolatedBy(established []bool, now time.Time) bool {
	switch {
	case slices.Contains(established, true):
		b.inside, b.alone = true, time.Time{}
	case len(established) == 0:
		b.inside, b.alone = false, time.Time{} // there is nobody to tell by
	case b.alone.IsZero():
		b.alone = now
	}
	return b.inside && !b.alone.IsZero() && now.Sub(b.alone) >= isolationTime
}

// gatewayStatus tells of this node as a gateway; nil if it is none.
func (a *agent) gatewayStatus() *status.Gateway {
	if a.config.Node.Gateway != config.True {
		return nil
	}
	g := &status.Gateway{Networks: []string{}, Advertised: slices.Clone(a.border.told), Isolated: a.border.isolated}
	for _, p := range a.config.BGP.Peers {
		if a.config.Border(p) && !slices.Contains(g.Networks, p.Network) {
			g.Networks = append(g.Networks, p.Network)
		}
	}
	slices.Sort(g.Networks)
	for _, d := range a.kernel.Discards() {
		g.Blackholes = append(g.Blackholes, status.Blackhole{Prefix: d.Prefix, Status: string(d.Status), Reason: d.Reason})
	}
	return g
}

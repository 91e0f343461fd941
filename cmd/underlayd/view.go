package main

import (
	"cmp"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/ipam"
	"github.com/underlayd/underlayd/status"
)

// view is by what paths are judged and told: the plan, and the names in the configuration. It is immutable, so that a
// record on the board can be explained by the one it was judged by, whenever somebody asks.
type view struct {
	plan    *ipam.Plan
	names   map[netip.Addr]string // of the peers, by address
	loops   map[netip.Addr]int    // how often our AS may be in the paths of a peer, by address, if it may
	across  map[netip.Addr]bool   // the peers that are gateways of other networks
	asn     uint32
	cluster uint32
	away    *away     // the same one in every view
	through *gateways // likewise
	far     ipam.Reason
}

// away are the peers whose paths await confirmation: the session ended, and they have not told all of them again.
type away = atomic.Pointer[map[netip.Addr]bool]

func newView(c *config.Config, plan *ipam.Plan, gone *away, through *gateways) *view {
	v := &view{
		away: gone, through: through, plan: plan, asn: c.BGP.ASN, cluster: c.Cluster.ID,
		names: make(map[netip.Addr]string, len(c.BGP.Peers)), loops: map[netip.Addr]int{}, across: map[netip.Addr]bool{}, far: ipam.NextHopNotOnLink,
	}
	if how := c.Kernel.Resolve; how == config.ResolveRoutes || how == config.ResolveAlways {
		v.far = ipam.NextHopUnresolved
	}
	for _, p := range c.BGP.Peers {
		v.names[p.Address] = p.Name
		if c.Border(p) {
			v.across[p.Address] = true
		}
		if p.AllowOwnAS > 0 {
			v.loops[p.Address] = p.AllowOwnAS
		}
	}
	return v
}

// judge asks the plan about one path.
func (v *view) judge(prefix netip.Prefix, p *bgp.Path) ipam.Verdict {
	verdict := v.plan.Judge(ipam.Claim{
		Prefix: prefix, Peer: v.names[p.Peer], NextHop: p.NextHop, OriginASN: p.Origin(v.asn), ClusterIDs: p.ClusterIDs,
		Blackhole: p.Blackhole, NotForUs: p.NotForUs, OurGateway: p.OurGateway,
	})
	switch {
	case p.ClusterLoop && (verdict.Accepted || verdict.Reason == ipam.PassedOn):
		return v.plan.Reflected(ipam.Claim{Prefix: prefix, Peer: v.names[p.Peer]})
	case verdict.Accepted && p.Looped(v.asn) && p.Times(v.asn) > v.loops[p.Peer]:
		return v.looped(prefix, p)
	}
	return verdict
}

// unreachable is the verdict on a path whose next hop the kernel does not reach.
func (v *view) unreachable(prefix netip.Prefix, p *bgp.Path) ipam.Verdict {
	return v.plan.Unreachable(ipam.Claim{Prefix: prefix, Peer: v.names[p.Peer], NextHop: p.NextHop}, v.far)
}

// looped is the verdict on a path that leads back to us: our own AS is in it.
func (v *view) looped(prefix netip.Prefix, p *bgp.Path) ipam.Verdict {
	return v.plan.Looped(ipam.Claim{Prefix: prefix, Peer: v.names[p.Peer], OriginASN: p.Origin(v.asn)})
}

// expected says whether a refusal is no fault: what our own cluster advertised comes back to us, inside our AS or, on its
// way maybe without its communities or with the AS of the fabric in the place of ours, through a fabric that leaves it to
// us to see the loop. Neither is what is learned to be passed on alone, or what a cluster says is for others.
func (v *view) expected(p *bgp.Path, verdict ipam.Verdict) bool {
	if verdict.Reason == ipam.PassedOn || verdict.Reason == ipam.NotForUs {
		return true
	}
	ours := slices.Contains(p.ClusterIDs, v.cluster) || len(p.ClusterIDs) == 0 && p.Looped(v.asn)
	return verdict.Reason == ipam.OwnPrefix && (p.Origin(v.asn) == v.asn || p.Overridden()) && ours
}

// path tells one path with its verdict.
func (v *view) path(p *bgp.Path, verdict ipam.Verdict) status.Path {
	return status.Path{
		Peer: cmp.Or(v.names[p.Peer], p.Peer.String()), NextHop: p.NextHop, ASPath: p.ASPath, ClusterIDs: p.ClusterIDs,
		LocalPref: p.LocalPref, MED: p.MED, Stale: p.Stale || v.isAway(p.Peer),
		Accepted: verdict.Accepted, Verdict: string(verdict.Reason), Detail: verdict.Detail,
	}
}

// gateways are the neighbours that packets for these next hops are handed to, if they are not all next hops themselves.
func (v *view) gateways(hops []netip.Addr) []netip.Addr {
	through := v.through.Load()
	if through == nil || len(*through) == 0 {
		return nil
	}
	var all []netip.Addr
	far := false
	for _, hop := range hops {
		if via := (*through)[hop]; len(via) > 0 {
			far, all = true, append(all, via...)
		} else {
			all = append(all, hop)
		}
	}
	if !far {
		return nil
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

func (v *view) isAway(peer netip.Addr) bool {
	away := v.away.Load()
	return away != nil && (*away)[peer]
}

// Key implements status.Row.
func (r *record) Key() netip.Prefix { return r.prefix }

// Route implements status.Row: it tells all that the record stands for.
func (r *record) Route() *status.Route {
	out := &status.Route{
		Prefix: r.prefix, Cluster: r.verdict.Cluster, Accepted: r.verdict.Accepted, Verdict: string(r.verdict.Reason),
		Detail: r.verdict.Detail, NextHops: r.hops(), Since: time.Unix(0, r.since), PassedOn: r.verdict.Reason == ipam.PassedOn,
		Expected: r.verdict.Reason == ipam.NotForUs,
	}
	if r.kernel != nil && r.kernel.Status != fib.Absent {
		out.Kernel = status.KernelRoute{Status: string(r.kernel.Status), NextHops: r.kernel.NextHops, Reason: r.kernel.Reason}
		if r.way != nil {
			out.Kernel.Gateways = r.way.view.gateways(r.kernel.NextHops)
		}
	}
	if r.way != nil {
		all := r.way.paths.All()
		for i := range all {
			v := r.way.verdict(r.prefix, i)
			if v.Accepted && r.kernel.NotOnLink(all[i].NextHop) {
				v = r.way.view.unreachable(r.prefix, &all[i])
			}
			out.Paths = append(out.Paths, r.way.view.path(&all[i], v))
		}
	}
	return out
}

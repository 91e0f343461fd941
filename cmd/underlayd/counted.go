package main

import (
	"net/netip"

	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/ipam"
)

// counted is how many paths were refused since the start, by peer and reason: as many numbers as there are peers times
// reasons, at most.
//
// A path counts when it is refused and was not refused for the same reason just before. To be announced again without a
// change, or judged again by another plan with the same result, is no news; to be withdrawn and announced again is. Paths
// that lost the best-path selection are not judged and not counted. What the import policy keeps out is seen when it is
// read (see refusedPoller), not what came and went in between, and of more than the poller remembers only what is
// remembered. What is refused and no fault, such as our own prefixes heard back, does not count.
type counted struct {
	totals map[string]map[ipam.Reason]uint64
}

func newCounted() *counted { return &counted{totals: map[string]map[ipam.Reason]uint64{}} }

// keep forgets the peers that are no longer configured.
func (c *counted) keep(peers []config.Peer) {
	totals := make(map[string]map[ipam.Reason]uint64, len(peers))
	for _, p := range peers {
		totals[p.Name] = c.totals[p.Name]
		if totals[p.Name] == nil {
			totals[p.Name] = map[ipam.Reason]uint64{}
		}
	}
	c.totals = totals
}

func (c *counted) add(peer string, reason ipam.Reason) {
	if totals := c.totals[peer]; totals != nil {
		totals[reason]++
	}
}

// decided counts what a decision on a prefix newly refuses. Where nothing is refused it costs next to nothing.
func (c *counted) decided(prefix netip.Prefix, old *record, d decision) {
	if d.way == nil || d.way.refused == "" && d.verdict.Accepted {
		return
	}
	all := d.way.paths.All()
	for i := range all {
		v := d.refusal(prefix, i)
		if v.Accepted || d.way.view.expected(&all[i], v) || old.refusedFrom(all[i].Peer) == v.Reason {
			continue
		}
		c.add(d.way.view.names[all[i].Peer], v.Reason)
	}
}

// refusal is the verdict on the i-th path, for want of a place in the contract too.
func (d decision) refusal(prefix netip.Prefix, i int) ipam.Verdict {
	v := d.way.verdict(prefix, i)
	if v.Accepted && !d.verdict.Accepted {
		return *d.verdict
	}
	return v
}

// refusedFrom is why the path of a peer was refused; Accepted if it was not, and empty if there was none.
func (r *record) refusedFrom(peer netip.Addr) ipam.Reason {
	if r == nil || r.way == nil {
		return ""
	}
	for i, p := range r.way.paths.All() {
		if p.Peer == peer {
			v := decision{way: r.way, verdict: r.verdict}.refusal(r.prefix, i)
			if v.Accepted && r.kernel.NotOnLink(p.NextHop) {
				return r.way.view.far
			}
			return v.Reason
		}
	}
	return ""
}

// of returns the totals of a peer as the status tells them; nil for none.
func (c *counted) of(peer string) map[string]uint64 {
	var out map[string]uint64
	for reason, n := range c.totals[peer] {
		if out == nil {
			out = make(map[string]uint64, len(c.totals[peer]))
		}
		out[string(reason)] = n
	}
	return out
}

// observed counts the paths that the kernel newly finds no link for. Of a route that is as wanted it costs nothing.
func (c *counted) observed(r *record, s fib.State) {
	if s.Outcome == nil || len(s.OffLink) == 0 || r == nil || r.way == nil {
		return
	}
	all := r.way.paths.All()
	for i := range all {
		if !r.way.refuses(i) && s.NotOnLink(all[i].NextHop) && !r.kernel.NotOnLink(all[i].NextHop) {
			c.add(r.way.view.names[all[i].Peer], r.way.view.far)
		}
	}
}

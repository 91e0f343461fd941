package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/probe"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/ipam"
	"github.com/underlayd/underlayd/status"
)

// aimRest is the least pause between two sets of targets: a burst of routes is one.
const aimRest = time.Second

// probing is what the agent has to do with the probe.
type probing struct {
	monitor  *probe.Monitor
	key      *probeKey
	targets  map[netip.Prefix]probe.Target // by the route that says so
	dirty    bool                          // what the monitor is to know has changed
	last     time.Time                     // that it was told
	local    [2]netip.Addr                 // what we answer at, by family
	problems []string
	shown    *probe.Results // in the last snapshot
}

func newProbing(board *status.Board, b *atomic.Pointer[basis], log logrus.FieldLogger) *probing {
	return &probing{
		monitor: probe.New(func(who probe.Asker) probe.Back { return wayBack(board.Snapshot(context.Background()), b.Load(), who) }),
		key:     newProbeKey(log), targets: map[netip.Prefix]probe.Target{},
	}
}

// wayBack says whether a node that asks has a route of ours back to it. It is asked by the monitor's goroutines.
func wayBack(s *status.Snapshot, b *basis, who probe.Asker) probe.Back {
	if s == nil || b == nil || s.Table == nil {
		return probe.BackUnknown
	}
	at := slices.IndexFunc(b.config.Clusters, func(c config.RemoteCluster) bool { return c.ID == who.ClusterID })
	if at < 0 || !slices.ContainsFunc(b.config.Clusters[at].PodCIDRs, func(p netip.Prefix) bool { return p.Contains(who.From) }) {
		if who.ClusterID == b.config.Cluster.ID {
			return probe.BackUnknown
		}
		return probe.BackNoContract
	}
	answer := probe.BackAbsent
	for r := range s.Table.Covering(netip.PrefixFrom(who.From, who.From.BitLen())) { // the longest comes last
		switch {
		case r.Accepted && r.Cluster == b.config.Clusters[at].Name && (r.Kernel.Status == status.Installed || r.Kernel.Status == status.Adopted):
			answer = probe.BackOK
		case r.Accepted:
			answer = probe.BackPending
		case r.Verdict == string(ipam.NoContract):
			answer = probe.BackNoContract
		case r.Verdict != "":
			answer = probe.BackRefused
		}
	}
	return answer
}

// aim keeps the targets: an accepted prefix of a known cluster that is in the kernel, one of whose accepted paths says where
// in it probes are answered. What lies outside of the prefix is nobody's business, and is left out.
func (p *probing) aim(prefix netip.Prefix, r *record) {
	if p == nil {
		return // an agent that is made for one question
	}
	t, is := target(prefix, r)
	if old, was := p.targets[prefix]; was == is && old == t {
		return
	}
	p.dirty = true
	if is {
		p.targets[prefix] = t
	} else {
		delete(p.targets, prefix)
	}
}

func target(prefix netip.Prefix, r *record) (probe.Target, bool) {
	if r == nil || r.way == nil || !r.verdict.Accepted {
		return probe.Target{}, false
	}
	cluster, ok := r.routable()
	if !ok {
		return probe.Target{}, false
	}
	for i, path := range r.way.paths.All() {
		a := at(prefix, path.Probe)
		if !path.Probe.Known || r.way.refuses(i) || !a.IsValid() {
			continue
		}
		t := probe.Target{Cluster: cluster, Address: a}
		if path.NextHop == path.Peer && !path.Peer.IsLinkLocalUnicast() {
			t.Ask = path.Peer // the node itself is our peer
		}
		return t, true
	}
	return probe.Target{}, false
}

// at is the address at an offset; the zero Addr if it lies outside of the prefix.
func at(prefix netip.Prefix, offset bgp.Offset) netip.Addr {
	raw := prefix.Masked().Addr().AsSlice()
	carry := uint64(offset.Value)
	for i := len(raw) - 1; i >= 0 && carry > 0; i-- {
		carry += uint64(raw[i])
		raw[i] = byte(carry)
		carry >>= 8
	}
	a, _ := netip.AddrFromSlice(raw)
	if carry > 0 || !prefix.Contains(a) {
		return netip.Addr{}
	}
	return a
}

// offset is where an address is in a prefix; false if that takes more than 32 bits.
func offset(prefix netip.Prefix, a netip.Addr) (bgp.Offset, bool) {
	first, raw := prefix.Masked().Addr().AsSlice(), a.AsSlice()
	var n uint64
	for i := range raw {
		n = n<<8 + uint64(raw[i]-first[i]) // within a prefix no byte is less, and the first ones are the same
		if n > 1<<32-1 {
			return bgp.Offset{}, false
		}
	}
	return bgp.Offset{Known: true, Value: uint32(n)}, true
}

// answerProbes chooses what we answer at, and says so in what is announced.
func (a *agent) answerProbes(announced []bgp.Announcement) {
	p := a.probing
	if p == nil {
		return // likewise
	}
	p.local, p.problems, p.dirty = [2]netip.Addr{}, nil, true
	if a.config.Probe.Enabled {
		for i, wanted := range []netip.Addr{a.config.Probe.Address.IPv4, a.config.Probe.Address.IPv6} {
			p.choose(a, announced, choice{six: i == 1, wanted: wanted})
		}
	}
}

// choice is of an address of one family.
type choice struct {
	six    bool
	wanted netip.Addr // not valid: any
}

func (p *probing) choose(a *agent, announced []bgp.Announcement, c choice) {
	family := map[bool]string{false: "IPv4", true: "IPv6"}[c.six]
	advertises := false
	for i := range announced {
		prefix := announced[i].Prefix
		if prefix.Addr().Is4() == c.six {
			continue
		}
		advertises = true
		for _, have := range a.facts.Addresses {
			if !prefix.Contains(have.Addr()) || c.wanted.IsValid() && c.wanted != have.Addr() {
				continue
			}
			off, fits := offset(prefix, have.Addr())
			if !fits {
				p.problems = append(p.problems, fmt.Sprintf("%s is farther from the beginning of %s than a community can say (32 bits): "+
					"nothing is probed over %s; have a link of this node take an address nearer to it", have.Addr(), prefix, family))
				return
			}
			announced[i].Probe, p.local[index(c.six)] = off, have.Addr()
			return
		}
	}
	switch {
	case c.wanted.IsValid():
		p.problems = append(p.problems, fmt.Sprintf("probe.address: %s is on no link of this node, or in none of the pod CIDRs that it advertises", c.wanted))
	case advertises:
		p.problems = append(p.problems, fmt.Sprintf("no link of this node has an address in its %s pod CIDRs: nothing is probed over %s", family, family))
	}
}

func index(six bool) int {
	if six {
		return 1
	}
	return 0
}

// followProbe tells the monitor what it is to do, when that has changed.
func (a *agent) followProbe(now time.Time) {
	p, c := a.probing, a.config.Probe
	p.key.use(c)
	select {
	case <-p.key.changed:
		p.dirty, a.stale = true, true
	default:
	}
	a.stale = a.stale || c.Enabled && p.monitor.Results() != p.shown
	if !p.dirty || now.Sub(p.last) < aimRest {
		return
	}
	p.dirty, p.last = false, now
	key, _ := p.key.read()
	s := probe.Settings{
		Key: key, Port: c.Port, Interval: c.Interval, Sample: c.Sample, Rate: c.Rate, MTU: a.config.Kernel.MTU,
		Cluster: a.config.Cluster.Name, ClusterID: a.config.Cluster.ID, Node: a.config.Node.Name,
	}
	if !c.Enabled || a.drain.stage >= withdrawn {
		s.Key = probe.Key{}
	}
	s.IPv4.Address, s.IPv6.Address = p.local[0], p.local[1]
	s.IPv4.Node, s.IPv6.Node = a.nodeAddresses()
	for _, t := range p.targets {
		s.Targets = append(s.Targets, t)
	}
	p.monitor.Set(s)
}

// nodeAddresses are the node's own, by which others reach it beside the pods' way: those towards peers, before others.
func (a *agent) nodeAddresses() (v4, v6 netip.Addr) {
	for _, p := range a.config.BGP.Peers {
		if unfound(p.Address) {
			continue
		}
		if _, is4, is6, err := a.kernel.LocalAddresses(p.Address); err == nil {
			if !v4.IsValid() {
				v4 = is4
			}
			if !v6.IsValid() && !is6.IsLinkLocalUnicast() {
				v6 = is6
			}
		}
	}
	return v4, v6
}

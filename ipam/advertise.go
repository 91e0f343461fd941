package ipam

import (
	"net/netip"
	"slices"
)

// Refusal is a local pod CIDR that is not advertised, and why.
type Refusal struct {
	Prefix netip.Prefix
	Reason Reason
	Detail string
}

// Advertise sorts the pod CIDRs of this node into those that may be announced (sorted, each once) and those that
// may not (in the order given). One bad CIDR never silences the others. It is a pure function of the plan.
func (p *Plan) Advertise(podCIDRs []netip.Prefix) (ok []netip.Prefix, refused []Refusal) {
	for _, x := range podCIDRs {
		if v := p.mayAdvertise(x); !v.Accepted {
			refused = append(refused, Refusal{Prefix: x, Reason: v.Reason, Detail: v.Detail})
			continue
		}
		ok = append(ok, x)
	}
	slices.SortFunc(ok, netip.Prefix.Compare)
	return slices.Compact(ok), refused
}

func (p *Plan) mayAdvertise(x netip.Prefix) Verdict {
	switch {
	case !x.IsValid():
		return refuse(InvalidPrefix, "", "a pod CIDR is not a prefix")
	case x.Addr().Is4In6():
		return refuse(Special, "", "%s lies inside ::ffff:0:0/96, IPv4-mapped addresses (RFC 4291)", x)
	case x != x.Masked():
		return refuse(InvalidPrefix, "", "%s has host bits set; the prefix is %s", x, x.Masked())
	case x.Bits() <= 1:
		return refuse(DefaultRoute, "", "%s is a default route or half of one, which is never advertised", x)
	}
	if r, name, found := p.special.overlap(x); found {
		return refuse(Special, "", "%s %s %s, %s", x, relation(x, r), r, name)
	}
	if r, name, found := p.reserve.overlap(x); found {
		return refuse(Reserved, "", "%s %s %s %s", x, relation(x, r), name, r)
	}
	if _, _, found := p.own.cover(x); found {
		return Verdict{Accepted: true, Cluster: p.cluster, Reason: Accepted}
	}
	if r, _, found := p.own.overlap(x); found {
		return refuse(OutsidePool, "", "%s is wider than the range %s that cluster %s may advertise", x, r, p.cluster)
	}
	return refuse(OutsidePool, "", "%s lies outside the ranges that cluster %s may advertise", x, p.cluster)
}

// Range is a set of prefixes: those inside Prefix whose length is from Min to Max, both included.
type Range struct {
	Prefix   netip.Prefix
	Min, Max int
}

// Contains tells whether x is one of the set.
func (r Range) Contains(x netip.Prefix) bool {
	return x.IsValid() && x.Bits() >= r.Min && x.Bits() <= r.Max && r.Prefix.Bits() <= x.Bits() && r.Prefix.Contains(x.Addr())
}

// Imports is what the speaker may let through from a peer before anything is judged: the ranges of every
// contract the peer may announce, sorted, each once. It is wider than what Judge accepts, never narrower; for
// an unknown peer it is empty. The default routes are in none of them, whatever the contracts say.
func (p *Plan) Imports(peerName string) []Range {
	from, known := p.peers[peerName]
	if !known {
		return nil
	}
	var out []Range
	if from.client {
		out = p.PoolRanges()
	}
	for i := range p.contracts {
		if !from.allowed[i] || from.border && !p.contracts[i].gateways {
			continue
		}
		out = append(out, p.contracts[i].imports()...)
	}
	slices.SortFunc(out, func(a, b Range) int {
		if d := a.Prefix.Compare(b.Prefix); d != 0 {
			return d
		}
		return (a.Min<<8 | a.Max) - (b.Min<<8 | b.Max)
	})
	return slices.Compact(out)
}

// ImportsMarked is what of that the speaker may let through only with the mark of our own gateways: clusters of other
// networks, of which the peer is no gateway. What is kept out must not be the best path either, and passed on inside.
func (p *Plan) ImportsMarked(peerName string) []Range {
	from, known := p.peers[peerName]
	if !known || from.border || from.internal {
		return nil
	}
	var out []Range
	for i := range p.contracts {
		if c := &p.contracts[i]; from.allowed[i] && !c.direct {
			out = append(out, c.imports()...)
		}
	}
	return out
}

// imports are the ranges of a contract.
func (c *Contract) imports() []Range {
	var out []Range
	for _, x := range c.Prefixes {
		if !x.IsValid() {
			continue
		}
		l := c.lengths(x)
		r := Range{Prefix: x.Masked(), Min: max(l.Min, x.Bits(), 2), Max: min(l.Max, x.Addr().BitLen())}
		if r.Min <= r.Max {
			out = append(out, r)
		}
		if c.gateways && r.Prefix.Bits() < r.Min {
			out = append(out, Range{Prefix: r.Prefix, Min: r.Prefix.Bits(), Max: r.Prefix.Bits()}) // as gateways announce it
		}
	}
	return out
}

// PoolRanges is what nodes of our own cluster may announce to a route reflector: anything inside the pool.
func (p *Plan) PoolRanges() []Range {
	var out []Range
	for _, x := range p.pool {
		if x.IsValid() {
			out = append(out, Range{Prefix: x, Min: max(x.Bits(), 2), Max: x.Addr().BitLen()})
		}
	}
	return out
}

// Passage is what the speaker may pass on of what it learned of one cluster: the ranges of the contract, and the id that
// the paths carry. Of our own cluster it is the pool. Nothing is passed on of a cluster that is not declared.
func (p *Plan) Passage(cluster string) (ranges []Range, id uint32, requireID bool) {
	if cluster == p.cluster {
		return p.PoolRanges(), p.id, false
	}
	for i := range p.contracts {
		if c := &p.contracts[i]; c.Cluster == cluster {
			return c.imports(), c.ID, c.RequireID
		}
	}
	return nil, 0, false
}

// Owner tells which declared cluster's range an address lies in: our own cluster's name for our own pod ranges.
func (p *Plan) Owner(a netip.Addr) (cluster string, of netip.Prefix, ok bool) {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return "", netip.Prefix{}, false
	}
	if r, _, found := p.own.cover(host(a)); found {
		return p.cluster, r, true
	}
	if s, found := p.ranges.Lookup(a); found {
		return p.contracts[s.contract].Cluster, s.prefix, true
	}
	return "", netip.Prefix{}, false
}

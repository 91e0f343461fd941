package fib

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Resolve says which next hops that are on no link are used: those that the kernel's own routes lead to.
type Resolve string

// The levels, from the strictest. A route through a resolved next hop hands its packets to a gateway that has to know
// the way to the prefix by itself: nothing in the packet names the next hop. Nobody on this node can see whether it does.
const (
	// ResolveNever: a next hop that is not on-link is not used.
	ResolveNever Resolve = "never"
	// ResolveRoutes: through any route but a default one, to which every address resolves.
	ResolveRoutes Resolve = "routes"
	// ResolveAlways: through a default route as well.
	ResolveAlways Resolve = "always"
)

// Fault is what is wrong with a next hop, as far as it is about where its address is.
type Fault uint8

// The faults. A link that is down, or a refusal of the kernel's, is none of these: it passes, or it is not the peer's.
const (
	// NotOnLink: no link leads to it directly, and next hops are not resolved (ResolveNever).
	NotOnLink Fault = iota + 1
	// Unresolved: no route that may be used leads to it.
	Unresolved
)

// NextHop tells of a next hop that is on no link.
type NextHop struct {
	Addr     netip.Addr
	Gateways []netip.Addr // the neighbours that its packets are handed to, sorted; none if it has a fault
	Fault    Fault        // 0: none
}

// wayError is why no route leads to an address. How it is told depends on whether one was wanted.
type wayError string

func (w wayError) Error() string { return string(w) }

// What a packet to the next hop would meet.
const (
	errNoRoute     wayError = "no route leads to it"
	errBlackhole   wayError = "a blackhole route leads to it"
	errRejecting   wayError = "an unreachable route leads to it"
	errProhibiting wayError = "a prohibit route leads to it"
	errOurRoute    wayError = "a route of our own leads to it"
	errOddRoute    wayError = "its route leads to no gateway"
	errLoopback    wayError = "its route leads to the loopback link"
)

// rounds is how often resolving goes on with the gateways that it found. A route of the kernel's names a neighbour, so
// that there are no more than two; a third one only finds what changed meanwhile.
const rounds = 3

// NextHops tells of the next hops that are on no link, sorted: those of routes and those that Follow asked for.
func (t *Table) NextHops() []NextHop {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []NextHop
	for _, h := range t.hops {
		if len(h.sets) == 0 && !h.followed || len(h.via) == 0 && h.fault == 0 {
			continue
		}
		n := NextHop{Addr: h.addr, Fault: h.fault}
		for _, g := range h.via {
			n.Gateways = append(n.Gateways, plain(g.addr))
		}
		slices.SortFunc(n.Gateways, netip.Addr.Compare)
		n.Gateways = slices.Compact(n.Gateways)
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b NextHop) int { return a.Addr.Compare(b.Addr) })
	return all
}

// NextHopsChanged is poked when NextHops may have other things to tell. It holds one poke.
func (t *Table) NextHopsChanged() <-chan struct{} { return t.hopsNews }

// Follow has next hops looked after that no route names, so that NextHops tells when one can be used. The last call counts.
// NextHopsChanged is poked when those that are new in it are known, even if all is well with them: the caller may think
// otherwise, from a time when they were looked after before.
func (t *Table) Follow(addrs []netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.hops {
		if h.followed && !slices.Contains(addrs, h.addr) {
			h.followed = false
			t.release(h)
		}
	}
	for _, a := range addrs {
		h := t.hop(a.Unmap())
		h.asked = h.asked || !h.followed
		h.followed = true
		if h.asked && !h.stale {
			h.asked = false
			poke(t.hopsNews)
		}
	}
	t.queue.wake()
}

// SetResolve changes what is done with next hops that are on no link, and where no gateway may be: a gateway among pods
// would have our own routes, or what is on this node, lead to itself. Run does what follows.
func (t *Table) SetResolve(how Resolve, avoid []netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cfg.Resolve == how && slices.Equal(t.avoid, avoid) {
		return
	}
	t.cfg.Resolve, t.avoid = how, slices.Clone(avoid)
	t.doubtAll()
	t.queue.wake()
}

// resolveStale asks the kernel again how the stale hops are reached, and then how their gateways are. Entries of all
// sets for which that makes a difference become dirty.
func (t *Table) resolveStale(ctx context.Context) error {
	var all []*hop
	for range rounds {
		ask, addrs := t.takeStale()
		if len(ask) == 0 {
			break
		}
		answers, err := t.kernel.resolve(ctx, addrs)
		if err != nil {
			for _, h := range ask {
				t.markStale(h)
			}
			return err
		}
		t.hopsChanged()
		for i, h := range ask {
			t.learn(h, &answers[i])
		}
		if all == nil {
			all = ask
		} else {
			all = append(all, ask...)
		}
	}
	t.spread(all)
	return nil
}

func (t *Table) takeStale() (ask []*hop, addrs []netip.Addr) {
	now := time.Now()
	ask, addrs = t.stale[:0], t.addrs[:0]
	for _, h := range t.stale {
		if h.stale = false; !h.idle() && !h.fight.held(now) {
			ask, addrs = append(ask, h), append(addrs, h.addr)
		}
	}
	t.stale, t.addrs = nil, addrs
	return ask, addrs
}

// learn takes in the kernel's answer about h.
func (t *Table) learn(h *hop, r *resolution) {
	fault, via := h.fault, len(h.via)
	h.closeness, h.table, h.object = 0, r.table, r.object
	if r.match.IsValid() {
		h.closeness = int16(r.match.Bits()) + 1
	}
	why := r.err
	if why == nil && r.link == 0 {
		why = t.refusal(r)
	}
	var reason wayError
	switch lost := errors.As(why, &reason); {
	case lost && t.cfg.Resolve == ResolveNever:
		h.fail(fmt.Sprintf("%s (%s)", errNotOnLink, reason))
		h.fault = NotOnLink
	case lost:
		h.fail(fmt.Sprintf("%s (%s)", errUnresolved, reason))
		h.fault = Unresolved
	case why != nil:
		h.fail(why.Error())
	default:
		h.problem, h.fault, h.link = "", 0, r.link
	}
	if h.problem != "" {
		r.via = nil
	}
	if h.goes(r.via); h.asked || h.fault != fault || via != len(h.via) || !t.through(h, r.via) {
		h.asked = false
		poke(t.hopsNews)
	}
	t.lead(h, r.via)
}

// refusal is why the gateways of r are not to be used, nil if they are.
func (t *Table) refusal(r *resolution) error {
	gateways := make([]string, len(r.via))
	for i, a := range r.via {
		gateways[i] = plain(a).String()
	}
	through := strings.Join(gateways, " and ")
	switch {
	case len(r.via) == 0:
		return errOddRoute
	case t.cfg.Resolve == ResolveNever:
		return wayError("its route leads through " + through)
	case r.match.Bits() == 0 && t.cfg.Resolve != ResolveAlways:
		return wayError("only the default route leads to it, through " + through)
	}
	for _, a := range r.via {
		for _, p := range t.avoid {
			if p.Contains(plain(a).WithZone("")) {
				return wayError(fmt.Sprintf("its route leads through %s, which is in the pod range %s", plain(a), p))
			}
		}
	}
	return nil
}

// through says whether h goes through just these gateways.
func (t *Table) through(h *hop, via []netip.Addr) bool {
	return len(h.via) == len(via) && !slices.ContainsFunc(h.via, func(g *hop) bool { return !slices.Contains(via, g.addr) })
}

// goes forgets the link of a hop that goes through gateways.
func (h *hop) goes(via []netip.Addr) {
	if len(via) > 0 {
		h.link = 0
	}
}

// lead has h go through these gateways from now on, none for a hop that is on-link or lost.
func (t *Table) lead(h *hop, via []netip.Addr) {
	if t.through(h, via) {
		return
	}
	old := h.via
	h.via = nil
	for _, a := range via {
		g := t.hop(a)
		g.gate = true
		if !slices.Contains(g.far, h) {
			g.far = append(g.far, h)
		}
		if !slices.Contains(h.via, g) {
			h.via = append(h.via, g)
		}
	}
	for _, g := range old {
		if !slices.Contains(h.via, g) {
			g.far = slices.DeleteFunc(g.far, func(o *hop) bool { return o == h })
			t.release(g)
		}
	}
}

// release has h looked at by the next pass if nothing needs it any more.
func (t *Table) release(h *hop) {
	if h.idle() {
		t.idleHops = append(t.idleHops, h)
	}
}

// idle says whether nothing needs h: no set, no hop behind it, nobody who asked.
func (h *hop) idle() bool { return len(h.sets) == 0 && len(h.far) == 0 && !h.followed }

// legs are the neighbours that packets for h are handed to: itself, or its gateways.
func (h *hop) legs() []*hop {
	if len(h.via) > 0 {
		return h.via
	}
	return h.self[:]
}

// usable says whether h is a neighbour that packets can be handed to.
func (h *hop) usable() bool { return h.problem == "" && h.link != 0 }

// reachable says whether packets for h can be handed to any neighbour.
func (h *hop) reachable() bool {
	return h.problem == "" && slices.ContainsFunc(h.legs(), (*hop).usable)
}

// trouble is why packets for h cannot be handed to any neighbour; empty if they can.
func (h *hop) trouble() string {
	if h.problem != "" || len(h.via) == 0 || h.reachable() {
		return h.problem
	}
	var all []string
	for _, g := range h.via {
		all = append(all, g.problem)
	}
	return fmt.Sprintf("%s: its gateway %s", h.addr, strings.Join(all, ", "))
}

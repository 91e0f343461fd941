package fib

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

func (k *netlinkKernel) trace(p Packet) (Trace, error) {
	out := Trace{Packet: p}
	in := 0
	if p.In != "" {
		link, err := k.handle.LinkByName(p.In)
		if err != nil {
			return out, err
		}
		in = link.Attrs().Index
	}
	k.survey.mu.Lock()
	defer k.survey.mu.Unlock()
	s := k.survey.socket
	if s == nil {
		return out, ErrClosed
	}
	t := tracing{k: k, s: s, in: in, out: &out, links: linkNames{}}
	if err := t.follow(); err != nil {
		return out, err
	}
	if err := t.match(); err != nil {
		return out, err
	}
	if err := t.neighbours(); err != nil {
		return out, err
	}
	return out, t.rule()
}

// tracing is one trace under way.
type tracing struct {
	k     *netlinkKernel
	s     *socket
	in    int // the link's number; 0 for none
	out   *Trace
	links linkNames
}

// follow asks what becomes of the packet.
func (t *tracing) follow() error {
	var route routeMessage
	refused, err := t.ask(0, &route)
	if err != nil || refused != nil {
		t.out.refuse(refused)
		return err
	}
	t.out.Fate = fateOf(route.kind)
	t.out.Source = route.route.options.source
	switch t.out.Fate {
	case Forwarded:
		if len(route.route.hops) > 0 {
			t.out.Chosen = t.way(route.route.hops[0], route.link)
		} else {
			t.out.Chosen = t.way(gateway{link: route.link}, route.link)
		}
	case Delivered, Anycast, Flooded, Multicast:
		t.out.Chosen.Link = t.name(route.link).name
	default:
		if e := drops(t.out.Fate); e != 0 {
			t.out.Error = e.Error()
		}
	}
	return nil
}

// match asks which route that is.
func (t *tracing) match() error {
	var route routeMessage
	refused, err := t.ask(unix.RTM_F_FIB_MATCH, &route)
	switch {
	case err != nil:
		return err
	case refused == nil:
	case dropping(t.out.Fate):
		return t.dropping(&route)
	default:
		return nil
	}
	return t.tell(&route)
}

// tell takes in the route that decides.
func (t *tracing) tell(route *routeMessage) error {
	o := t.out
	o.Prefix, o.Table, o.Metric = route.route.dst.Masked(), int(route.table), int(route.route.metric)
	o.Protocol = int(route.route.protocol)
	o.Ours = route.table == t.k.table && uint32(route.route.protocol) == t.k.proto
	if !o.Prefix.Contains(o.Dst) {
		o.Prefix = netip.Prefix{} // of IPv6 routes that share a next-hop object the kernel names any
	}
	hops := slices.Clone(route.route.hops)
	if id := route.route.nextHop; id != 0 && route.kind == unix.RTN_UNICAST {
		var err error
		if hops, err = t.s.gateways(id); err != nil {
			return err
		}
	}
	for _, h := range hops {
		if o.Fate != Delivered {
			o.Ways = append(o.Ways, t.way(h, h.link))
		}
	}
	slices.SortFunc(o.Ways, func(a, b Way) int { return cmp.Or(a.Gateway.Compare(b.Gateway), cmp.Compare(a.Link, b.Link)) })
	return nil
}

// dropping looks for the IPv4 route that drops the packet: a lookup is answered by an error alone. Where several would do,
// the closest in the first table that a rule looks at is it, as far as rules for all packets go.
func (t *tracing) dropping(into *routeMessage) error {
	kind := map[Fate]uint8{Blackholed: unix.RTN_BLACKHOLE, Unreachable: unix.RTN_UNREACHABLE, Prohibited: unix.RTN_PROHIBIT}[t.out.Fate]
	var found []routeMessage
	seq := t.s.nextSeq()
	t.s.enc.dumpKind(family(t.out.Dst), kind, seq)
	var r routeMessage
	err := t.s.dump(context.Background(), seq, func(m message) {
		if m.kind == unix.RTM_NEWROUTE && r.decode(m.body) && r.kind == kind && r.route.dst.Contains(t.out.Dst) {
			found = append(found, r)
			r = routeMessage{}
		}
	})
	if err != nil && !errors.Is(err, errInterrupted) {
		return err
	}
	if len(found) == 0 {
		return nil // a rule does that, or the link does not forward
	}
	best := found[0]
	for _, f := range found[1:] {
		if f.table == best.table && f.route.dst.Bits() > best.route.dst.Bits() {
			best = f
		} else if f.table != best.table {
			return nil
		}
	}
	*into = best
	return t.tell(into)
}

// neighbours asks what is known of whom the packet is handed to.
func (t *tracing) neighbours() error {
	if t.out.Fate != Forwarded {
		return nil
	}
	ask := func(w *Way) error {
		to := w.Gateway
		if !to.IsValid() {
			to = t.out.Dst
		}
		index, known := t.links.index(w.Link)
		if !known {
			return nil
		}
		state, err := t.s.neighbour(to.WithZone(""), index)
		w.Neighbour = state
		return err
	}
	if err := ask(&t.out.Chosen); err != nil {
		return err
	}
	for i := range t.out.Ways {
		if !t.out.Ways[i].Gateway.IsValid() {
			t.out.Ways[i].Neighbour = "" // who is meant depends on the packet
			continue
		}
		if err := ask(&t.out.Ways[i]); err != nil {
			return err
		}
	}
	return nil
}

// ask asks the kernel for the way of the packet, with more flags. What it refuses is told apart from what goes wrong.
func (t *tracing) ask(flags uint32, into *routeMessage) (refused *kernelError, err error) {
	seq := t.s.nextSeq()
	t.s.enc.packet(t.out.Packet, t.in, flags, seq)
	if err := t.s.send(); err != nil {
		return nil, err
	}
	err = t.s.receive(func(m message) (bool, error) {
		switch {
		case m.seq != seq:
			return false, nil
		case m.kind == unix.NLMSG_ERROR:
			return true, decodeError(m)
		case m.kind == unix.RTM_NEWROUTE && !into.decode(m.body):
			return true, errShort
		}
		return true, nil
	})
	if errors.As(err, &refused) {
		return refused, nil
	}
	return nil, err
}

// refuse takes in why there is no way.
func (o *Trace) refuse(e *kernelError) {
	if e == nil {
		return
	}
	o.Error = e.Error()
	switch e.errno {
	case unix.ENETUNREACH:
		o.Fate = NoRoute
	case unix.EHOSTUNREACH:
		o.Fate = Unreachable
	case unix.EACCES:
		o.Fate = Prohibited
	case unix.EXDEV:
		o.Fate = WrongSource
	case unix.EINVAL:
		o.Fate = Blackholed
		if o.Src.IsValid() && o.In == "" || o.Src.IsLoopback() {
			o.Fate = WrongSource
		}
	default:
		o.Fate = Refused
	}
}

func (t *tracing) way(g gateway, link int) Way {
	l := t.name(link)
	w := Way{Link: l.name, Gateway: plain(g.addr), Down: l.down}
	if linkLocal(w.Gateway) {
		w.Gateway = w.Gateway.WithZone(l.name)
	}
	return w
}

// linkNames remembers links for as long as one question takes.
type linkNames map[int]linkName

type linkName struct {
	name string
	down bool
}

func (l linkNames) index(name string) (int, bool) {
	for index, link := range l {
		if link.name == name {
			return index, true
		}
	}
	return 0, false
}

func (t *tracing) name(index int) linkName {
	var l linkName
	if known, seen := t.links[index]; seen {
		return known
	}
	if link, err := t.k.handle.LinkByIndex(index); err == nil {
		l.name = link.Attrs().Name
		l.down = errors.Is(t.k.linkProblem(index), errLinkDown)
	}
	t.links[index] = l
	return l
}

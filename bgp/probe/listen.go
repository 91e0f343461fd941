package probe

import (
	"net/netip"
	"slices"
)

// listen opens and closes what is listened on. What can't be opened, for the address is not there yet, is tried each round.
func (l *loop) listen() {
	l.problems = nil
	var wanted []netip.Addr
	if l.on() {
		for _, a := range []netip.Addr{l.IPv4.Address, l.IPv6.Address, l.IPv4.Node, l.IPv6.Node} {
			if a.IsValid() && !slices.Contains(wanted, a) {
				wanted = append(wanted, a)
			}
		}
	}
	for a, r := range l.listeners {
		if !slices.Contains(wanted, a) {
			r.close()
			delete(l.listeners, a)
		}
	}
	for _, a := range wanted {
		if l.listeners[a] != nil {
			continue
		}
		s, err := openSocket(netip.AddrPortFrom(a, uint16(l.Port)))
		if err != nil {
			l.problems = append(l.problems, err.Error())
			continue
		}
		l.listeners[a] = l.responder(s)
	}
	for i, a := range []netip.Addr{l.IPv4.Node, l.IPv6.Node} {
		var s *socket
		if r := l.listeners[a]; r != nil {
			s = r.socket
		}
		l.beside[i].Store(s)
	}
}

// responder reads a socket from now on.
func (l *loop) responder(s *socket) *responder {
	r := &responder{
		socket: s, identity: l.identity(), monitor: l.monitor, sealer: l.Key.sealer(), limit: newLimiter(),
		beside: func(six bool) *socket { return l.beside[index(six)].Load() }, loop: l.arrivals,
	}
	s.read(r.take)
	return r
}

// sender is a socket that requests go out by. Each round has its own, with a port of its own: connection tracking decides
// about NAT once for each pair of ports, and what was decided long ago is not what is looked for.
type sender struct {
	*responder
	uses    int
	retired bool
}

func (l *loop) newSender(six bool) *sender {
	a := l.local(six).Address
	if !a.IsValid() {
		return nil
	}
	s, err := openSocket(netip.AddrPortFrom(a, 0))
	if err != nil {
		return nil // the listener has the same trouble, and says so
	}
	return &sender{responder: l.responder(s)}
}

// release says that one request less waits for an answer by it.
func (s *sender) release() {
	if s == nil {
		return
	}
	if s.uses--; s.retired && s.uses == 0 {
		s.close()
	}
}

// retire closes it once nothing waits for it any more.
func (s *sender) retire() {
	if s == nil || s.retired {
		return
	}
	s.retired = true
	if s.uses == 0 {
		s.close()
	}
}

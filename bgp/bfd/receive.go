package bfd

import "time"

// read takes what a socket has received.
func (l *loop) read(r *receiver) {
	for range batches {
		asked, _ := l.now()
		n, err := r.read()
		if err != nil {
			l.reopen(r, asked, err)
			return
		}
		now, wall := l.now()
		for i := range n {
			d := r.datagram(i)
			r.seen = r.arrival(d.came, now, wall)
			l.refused[l.take(r, d, wall)].Add(1)
		}
		if n < batch {
			r.seen = max(r.seen, asked)
			return
		}
	}
}

// reopen gives up a socket that fails; the sessions make another one.
func (l *loop) reopen(r *receiver, now instant, err error) {
	r.close()
	l.receivers[r.index()] = nil
	for _, s := range l.sessions {
		if s.kind() == r.kind {
			s.problem, s.retry = err.Error(), now+retryAfter
			l.queue.move(s, s.wants(now))
		}
	}
}

// take hands a datagram to its session, or says why it is refused.
func (l *loop) take(r *receiver, d datagram, wall time.Time) Reason {
	p, refused := parse(d.body)
	if refused != accepted {
		return refused
	}
	if !r.multihop && d.ttl != farthest {
		return TooFar
	}
	s, refused := l.find(r, p, d)
	if refused != accepted {
		return refused
	}
	if d.ttl < s.cfg.leastTTL() {
		return TooFar
	}
	s.received.Add(1)
	l.deliver(s, p, r.seen, wall)
	return accepted
}

// find finds the session of a packet: by the discriminator that it names, else by where it comes from. RFC 5880, section
// 6.8.6, would have the discriminator do; the addresses of a session do not change here, so they are checked, too.
func (l *loop) find(r *receiver, p packet, d datagram) (*session, Reason) {
	var s *session
	if p.YourDiscriminator != 0 {
		if s = l.byDiscriminator[p.YourDiscriminator]; s == nil {
			return nil, UnknownDiscriminator
		}
	} else {
		at := place{from: d.from, multihop: r.multihop}
		if d.from.IsLinkLocalUnicast() && d.from.Is6() {
			at.link = d.link
		}
		if s = l.byPlace[at]; s == nil {
			return nil, UnknownPeer
		}
	}
	local := s.cfg.Local.WithZone("")
	if s.from != d.from || s.link != 0 && s.link != d.link || s.cfg.multihop() != r.multihop || local.IsValid() && local != d.to {
		return nil, WrongAddress
	}
	return s, accepted
}

// deliver gives a session its packet, and sends the answer that it wants.
func (l *loop) deliver(s *session, p packet, at instant, wall time.Time) {
	answer := false
	l.shift(s, wall, 0, func() { answer = s.receive(at, p) })
	if answer && s.tx.fd != noSocket {
		s.transmit(at, true)
	}
	if wants := s.wants(at); wants < s.wake {
		l.queue.move(s, wants)
	}
}

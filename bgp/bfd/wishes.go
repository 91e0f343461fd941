package bfd

import (
	"net/netip"
	"slices"
)

// apply makes the sessions what is wanted.
func (l *loop) apply() {
	l.mu.Lock()
	wanted := l.wanted
	l.telling = append(l.telling, l.waiting...)
	l.waiting = nil
	l.mu.Unlock()

	now, wall := l.now()
	kept := make(map[netip.Addr]bool, len(wanted))
	view := make([]*session, 0, len(wanted))
	for _, cfg := range wanted {
		kept[cfg.Peer] = true
		s, begin := l.sessions[cfg.Peer], now
		if s != nil && !s.same(cfg) {
			l.dismiss(s, now)
			l.unlink(s)
			s, begin = nil, max(now, s.farewell, s.retry)
		}
		if s == nil {
			s = l.found(cfg, now, begin)
		}
		if s.leaving || s.cfg != cfg {
			s.configure(cfg, now)
		}
		l.queue.move(s, s.wants(now))
		l.show(s, wall)
		view = append(view, s)
	}
	for peer, s := range l.sessions {
		if !kept[peer] && !s.leaving {
			l.dismiss(s, now)
		}
	}
	slices.SortFunc(view, func(a, b *session) int { return a.cfg.Peer.Compare(b.cfg.Peer) })
	l.view.Store(&view)
	poke(l.changed)
	l.closeUnused()
}

// found makes a new session. It may be held from the beginning. It begins when the one in whose place it comes has said
// goodbye: the peer, to which both are the same, would take the session down again with each word of the old one.
func (l *loop) found(cfg Session, now, begin instant) *session {
	discriminator := random32()
	for discriminator == 0 || l.byDiscriminator[discriminator] != nil {
		discriminator = random32()
	}
	s := newSession(cfg, discriminator, begin)
	if cfg.AdminDown {
		s.hold(now)
	}
	l.sessions[cfg.Peer] = s
	l.byDiscriminator[discriminator] = s
	l.queue.add(s)
	if begin <= now {
		l.open(s, now)
	}
	return s
}

// dismiss lets a session say goodbye; it is forgotten when that is done.
func (l *loop) dismiss(s *session, now instant) {
	s.hold(now)
	s.leaving = true
	l.queue.move(s, s.wants(now))
}

// forget removes a session.
func (l *loop) forget(s *session) {
	l.queue.remove(s)
	s.tx.close()
	delete(l.taken, s.tx.port)
	if l.sessions[s.cfg.Peer] == s {
		l.unlink(s)
	}
	l.closeUnused()
}

// unlink makes a session unknown to everybody who sends.
func (l *loop) unlink(s *session) {
	delete(l.sessions, s.cfg.Peer)
	delete(l.byDiscriminator, s.local)
	delete(l.byPlace, s.where())
}

// where is the place of its peer.
func (s *session) where() place {
	return place{from: s.from, link: s.link, multihop: s.cfg.multihop()}
}

// open opens what a session needs and does not have: its own socket, and the one it is spoken to at.
func (l *loop) open(s *session, now instant) {
	before := s.where()
	s.open(now, l.taken)
	if l.sessions[s.cfg.Peer] != s {
		return // it has left, and only speaks
	}
	delete(l.byPlace, before)
	l.byPlace[s.where()] = s
	i := s.kind().index()
	if l.receivers[i] != nil {
		return
	}
	r, err := listen(s.kind(), l.arrived)
	if err != nil {
		s.problem, s.retry = err.Error(), now+retryAfter
		return
	}
	r.seen = now
	l.receivers[i] = r
}

// closeUnused closes the sockets that no session is spoken to at any more.
func (l *loop) closeUnused() {
	var used [kinds]bool
	for _, s := range l.sessions {
		used[s.kind().index()] = true
	}
	for i, r := range l.receivers {
		if r != nil && !used[i] {
			r.close()
			l.receivers[i] = nil
		}
	}
}

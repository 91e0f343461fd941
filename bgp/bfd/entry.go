package bfd

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// retryAfter is how often a missing address, interface or port is looked for.
const retryAfter = time.Second

// session is a session with its socket. Run owns it, but for what is atomic.
type session struct {
	machine
	cfg     Session
	from    netip.Addr // the peer, without its zone
	link    uint32     // the interface of the zone; 0: none
	tx      sender
	retry   instant // when to open the socket anew; 0: it works
	trouble error   // of the last attempt to send
	problem string  // what State says of it, or of the last attempt to open
	leaving bool    // it is not wanted any more, and tells the peer
	wake    instant // when it wants attention; in the queue it may be earlier
	place   int     // in the queue

	wire   []byte // the last packet, and what it says: it is nearly always the same
	wireOf header

	shown          atomic.Pointer[State] // without counters
	losses         atomic.Uint64
	sent, received atomic.Uint64
}

// newSession is a session that has no socket yet. Its discriminator is for the caller to find.
func newSession(cfg Session, discriminator uint32, now instant) *session {
	return &session{
		machine: newMachine(discriminator, cfg.pace(), rand.Float64),
		cfg:     cfg,
		from:    cfg.Peer.WithZone(""),
		tx:      sender{fd: noSocket},
		retry:   max(now, 1),
	}
}

func (s *session) kind() kind { return kind{six: s.cfg.Peer.Is6(), multihop: s.cfg.multihop()} }

// same says whether the session can become another one without starting anew.
func (s *session) same(cfg Session) bool {
	return s.cfg.Peer == cfg.Peer && s.cfg.Local == cfg.Local && s.cfg.multihop() == cfg.multihop()
}

// configure makes it what is wanted now.
func (s *session) configure(cfg Session, now instant) {
	s.cfg, s.leaving = cfg, false
	s.setPace(cfg.pace())
	if cfg.AdminDown {
		s.hold(now)
	} else {
		s.release()
	}
}

// wants is when it wants attention next.
func (s *session) wants(now instant) instant {
	next := never
	if s.tx.fd != noSocket {
		next = s.due(now)
	}
	for _, at := range []instant{s.expires, s.retry} {
		if at != 0 {
			next = min(next, at)
		}
	}
	if s.farewell > now || s.leaving {
		next = min(next, s.farewell)
	}
	return next
}

// encode is the packet as it is sent.
func (s *session) encode(final bool) []byte {
	if h := s.header(final); s.wire == nil || h != s.wireOf {
		s.wire, _ = h.MarshalBinary() // it fails only of numbers that are too large
		s.wireOf = h
	}
	return s.wire
}

// transmit sends a packet. A failure is tried again with the next packet, and every second with a new socket: it may be
// bound to an interface or an address that is gone.
func (s *session) transmit(now instant, final bool) {
	err := s.tx.send(s.encode(final))
	if !final {
		s.transmitted(now)
	}
	switch {
	case err == nil:
		s.sent.Add(1)
		if s.trouble != nil {
			s.trouble, s.problem, s.retry = nil, "", 0
		}
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS): // one packet is lost
	case s.trouble != err: //nolint:errorlint // it is an errno, and nothing may be allocated for each packet
		s.trouble, s.problem = err, "send: "+err.Error()
		fallthrough
	default:
		if s.retry == 0 {
			s.retry = now + retryAfter
		}
	}
}

// open makes the socket, or says why it can't.
func (s *session) open(now instant, taken map[int]bool) {
	s.tx.close()
	link, err := linkOf(s.cfg.Peer.Zone())
	if err == nil {
		err = s.tx.open(s.cfg, link, taken)
	}
	if err != nil {
		s.problem, s.retry = err.Error(), now+retryAfter
		return
	}
	s.link, s.retry = link, 0
	if s.trouble == nil {
		s.problem = ""
	}
}

// show makes the state visible, if it has changed.
func (s *session) show(now time.Time) (changed bool) {
	next := State{
		Peer: s.cfg.Peer, Local: s.cfg.Local, Hops: s.cfg.Hops,
		Status: s.status, Since: now, Diag: s.diag, Problem: s.problem,
		RemoteStatus: s.remoteStatus, RemoteDiag: s.remoteDiag, RemoteIndependent: s.remoteIndependent,
		TxInterval: s.interval(), DetectionTime: s.detection(),
	}
	before := s.shown.Load()
	if before != nil && before.Status == next.Status {
		next.Since = before.Since
	}
	if before != nil && *before == next {
		return false
	}
	visible := next
	s.shown.Store(&visible)
	return true
}

// state is what Sessions returns of it.
func (s *session) state() State {
	state := *s.shown.Load()
	state.Losses, state.Sent, state.Received = s.losses.Load(), s.sent.Load(), s.received.Load()
	return state
}

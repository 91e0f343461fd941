package bgp

import (
	"log/slog"
	"net/netip"
	"time"
)

// GoBGP says that a session ended after it has worked off all of its routes, which takes a second for 100,000 of them.
// Its log is first: this record is made when the session's state machine leaves Established, before anything else
// happens. Should another version word it differently, a failover waits for the withdrawals; a test would notice.
const (
	downMessage  = "Peer Down"
	downReason   = "Reason"
	downPeer     = "Key" // set on the logger of each peer
	downGraceful = "graceful-restart"
)

// Changes are held back (see table.note) for at most holdLimit; additions that come one close after the other, until
// there was none for addRest.
const (
	holdLimit = 10 * time.Second
	addBurst  = 32
	addRest   = 100 * time.Millisecond
)

// lostPeer returns the peer whose session a record says is over, if it says that. A graceful restart keeps the routes.
func lostPeer(r slog.Record, key string) (netip.Addr, bool) {
	if r.Message != downMessage {
		return netip.Addr{}, false
	}
	graceful := false
	r.Attrs(func(a slog.Attr) bool {
		graceful = graceful || a.Key == downReason && a.Value.String() == downGraceful
		return true
	})
	peer, err := netip.ParseAddr(key)
	return peer, err == nil && !graceful
}

// fall notes that a session ended and that its routes are about to be withdrawn.
func (t *table) fall(peer netip.Addr) {
	t.mu.Lock()
	s := t.sessions[peer]
	if s != nil && !s.falling {
		for _, other := range t.sessions {
			if !other.falling {
				t.landed(other) // what was no more than an addition may be all there is now
			}
		}
		s.falling, s.gone, s.fell = true, true, time.Now()
		t.fallen = true
	}
	t.mu.Unlock()
	t.poke()
}

// landed releases what was held back for a session.
func (t *table) landed(s *session) {
	s.coming, s.falling, s.adds = false, false, 0
	for _, l := range s.held {
		if l.mark == held {
			l.mark = dirty
			t.dirty = append(t.dirty, l)
			t.whole = true
		}
	}
	s.held = nil
}

// settle releases what has been held back for sessions whose initial routes have arrived, or for too long.
func (t *table) settle(now time.Time) {
	for _, s := range t.sessions {
		if s.settled(now) {
			t.landed(s)
		}
	}
}

// settled says whether nothing is to be held back for the session any more.
func (s *session) settled(now time.Time) bool {
	switch {
	case s.falling:
		return now.Sub(s.fell) > holdLimit
	case s.coming:
		return s.complete(now) || now.Sub(s.up) > holdLimit
	default:
		return s.adds > 0 && (now.Sub(s.added) > addRest || now.Sub(s.adding) > holdLimit)
	}
}

// burst counts an addition and says whether there are so many that they are held back.
func (s *session) burst(now time.Time) bool {
	if s.adds == 0 || now.Sub(s.added) > addRest {
		s.adds, s.adding = 0, now
	}
	s.adds, s.added = s.adds+1, now
	return s.coming || s.adds > addBurst
}

// Lost returns the peers whose sessions ended and have not come up again, if one has ended since the last call; nil
// otherwise. It knows of a peer before the first of its paths is withdrawn; from then on its paths are of no use. A peer
// that restarts gracefully is not among them. Changed is poked.
func (s *Speaker) Lost() []netip.Addr {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	return s.table.lost()
}

func (t *table) lost() []netip.Addr {
	if !t.fallen {
		return nil
	}
	t.fallen = false
	var gone []netip.Addr
	for peer, s := range t.sessions {
		if s.gone {
			gone = append(gone, peer)
		}
	}
	return gone
}

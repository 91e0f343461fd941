package bgp

import (
	"log/slog"
	"net/netip"
	"strings"
	"time"
)

// GoBGP says that a session ended after it has worked off all of its routes, which takes a second for 100,000 of them.
// Its log is first: this record is made when the session's state machine leaves Established, before anything else
// happens. Should another version word it differently, a failover waits for the withdrawals; a test would notice.
const (
	downMessage = "Peer Down"
	downReason  = "Reason"
	downPeer    = "Key" // set on the logger of each peer

	reasonMessage = "received notification"
	reasonWords   = "Communicated-Reason"
	// hardResetWords are GoBGP's for a Hard Reset, whatever it stood for.
	hardResetWords = "hard-reset"
)

// Changes are held back (see table.note) for at most holdLimit; additions that come one close after the other, until
// there was none for addRest.
const (
	holdLimit = 10 * time.Second
	addBurst  = 32
	addRest   = 100 * time.Millisecond
)

// Cause is why a session ended, as far as the routes it carried are concerned.
type Cause uint8

// The causes.
const (
	// Closed on purpose: by the peer, which withdraws its routes that way, or by us.
	Closed Cause = iota
	// Disconnected: the session was lost, and the peer has said nothing about its routes. They may well be good.
	Disconnected
	// Restarting: likewise, and the peer had promised to go on forwarding meanwhile (RFC 4724).
	Restarting
	// Unreachable: the way to the peer does not carry packets any more, see Speaker.Fall.
	Unreachable
)

// Loss is the end of a session, until it is established again.
type Loss struct {
	Peer  netip.Addr
	Cause Cause
	At    time.Time
	// Grace is for how long its routes are to be kept: what the peer asked for if it is Restarting, half a minute if we
	// ended an established session only to build it anew, as Renew does; otherwise 0.
	Grace time.Duration
}

// causeOf tells from GoBGP's words why a session ended. A notification says why: a peer that shuts a session down takes
// its routes back, while one that complains about ours does not. Subcode 9 is the Hard Reset of RFC 8538.
func causeOf(reason string) Cause {
	switch {
	case reason == "graceful-restart":
		return Restarting
	case reason == hardResetWords, reason == "admin-down", reason == "dying", reason == "unknown": // unknown: deleted by us
		return Closed
	case !strings.HasPrefix(reason, "notification-received code 6("):
		return Disconnected
	}
	for _, closing := range []string{"subcode 2(", "subcode 3(", "subcode 9("} {
		if strings.Contains(reason, closing) {
			return Closed
		}
	}
	return Disconnected
}

// hardReset returns what a peer said in a Hard Reset, which holds the NOTIFICATION that it stands for (RFC 8538,
// section 3.1): code, subcode, and of a Cease the length of the words and the words (RFC 9003).
func hardReset(r slog.Record) (meant notified, words string) {
	var data []byte
	subcode := ""
	r.Attrs(func(a slog.Attr) bool {
		switch b, ok := a.Value.Any().([]byte); {
		case ok && a.Key == "Data":
			data = b
		case a.Key == notificationSubcode:
			subcode = a.Value.String()
		}
		return true
	})
	const cease, shutdown, reset, hard = 6, 2, 4, "9"
	if len(data) < 2 || subcode != hard {
		return notified{}, ""
	}
	meant = notified{data[0], data[1]}
	if len(data) < 3 || data[0] != cease || data[1] != shutdown && data[1] != reset || len(data) < 3+int(data[2]) {
		return meant, ""
	}
	return meant, string(data[3 : 3+int(data[2])])
}

// notified are the code and subcode of a NOTIFICATION.
type notified struct{ code, subcode uint8 }

// explain notes what a peer said about the end of its session (RFC 9003), and which NOTIFICATION a Hard Reset stood for.
func (t *table) explain(peer netip.Addr, meant notified, words string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.sessions[peer]; s != nil {
		s.meant, s.words = meant, printable(words, 128)
	}
}

// fall notes that a session ended and that its routes are about to be withdrawn, or kept.
func (t *table) fall(peer netip.Addr, cause Cause) {
	t.mu.Lock()
	s := t.sessions[peer]
	if s != nil && !s.falling {
		for _, other := range t.sessions {
			if !other.falling {
				t.landed(other) // what was no more than an addition may be all there is now
			}
		}
		now := time.Now()
		s.falling, s.holding = true, now
		if cause == Restarting && s.restartTime == 0 {
			cause = Disconnected // it knows graceful restart, and keeps nothing itself
		}
		s.gone, s.fell, s.cause, s.grace = true, now, cause, 0
		if cause == Restarting {
			s.grace = s.restartTime
		}
		t.fallen = true
	}
	t.mu.Unlock()
	t.poke()
}

// ended takes GoBGP's word that a session has ended. It may come late, when the end is known and has its cause.
func (t *table) ended(peer netip.Addr, cause Cause) {
	t.mu.Lock()
	s := t.sessions[peer]
	late := s != nil && s.gone && !s.Established
	t.mu.Unlock()
	if !late {
		t.fall(peer, cause)
	}
}

// landed releases what was held back for a session.
func (t *table) landed(s *session) {
	s.coming, s.falling, s.adds = false, false, 0
	now := time.Since(t.started)
	for _, l := range s.held {
		if l.mark == held {
			l.mark = dirty
			if l.at != 0 {
				l.at = now
			}
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
		return now.Sub(s.holding) > holdLimit
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

// Lost returns the sessions that ended and have not come up again, if one has ended since the last call; nil otherwise.
// It knows of a session before the first of its paths is withdrawn. Changed is poked.
func (s *Speaker) Lost() []Loss {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	return s.table.lost()
}

func (t *table) lost() []Loss {
	if !t.fallen {
		return nil
	}
	t.fallen = false
	var gone []Loss
	for peer, s := range t.sessions {
		if s.gone {
			gone = append(gone, Loss{Peer: peer, Cause: s.cause, At: s.fell, Grace: s.grace})
		}
	}
	return gone
}

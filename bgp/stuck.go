package bgp

import (
	"net/netip"
	"time"
)

// stuckLimit is how long a session may take from OPEN to established. RFC 4271, section 8.2.2, has the hold timer for
// that, first at four minutes and then at what was agreed. GoBGP does not run it in OpenConfirm, and in OpenSent it waits
// for a connection that somebody keeps open at the peer's address and is silent in: both can last for ever, and the peer
// has no session as long as they do.
const stuckLimit = 30 * time.Second

// stuck returns the peers whose sessions take too long to come up.
func (t *table) stuck(now time.Time) []netip.Addr {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []netip.Addr
	for peer, s := range t.sessions {
		if (s.State == "opensent" || s.State == "openconfirm") && now.Sub(s.entered) > stuckLimit {
			out = append(out, peer)
			s.entered = now // once for each time it takes too long
		}
	}
	return out
}

// unstick breaks off the connections of sessions that take too long to come up, so that both sides start again.
func (t *tender) unstick() {
	stuck := t.table.stuck(time.Now())
	if len(stuck) == 0 {
		return
	}
	found, err := connections()
	if err != nil {
		t.log.WithError(err).Warn("can't find the connections of sessions that do not come up")
		return
	}
	for _, peer := range stuck {
		t.log.WithField("peer", peer).Warn("the session does not come up: its connections are broken off")
		for ends, connection := range found {
			if ends.peer == peer.WithZone("") {
				_ = connection.breakOff() // one that is gone already is fine
			}
		}
	}
}

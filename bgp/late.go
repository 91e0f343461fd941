package bgp

import (
	"context"
	"maps"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
)

// GoBGP sends its table to a peer while the session is about to be established, and changes of the table once it is. A path
// that is learned between the two is sent by neither: when all peers of a reflector come back at once, one of them misses
// what another one said just then, until it changes. So what is passed on is sent a second time to a session that has
// come up, when the others that came up with it have had their say.
const lateAfter = 2 * time.Second

// late remembers of which sessions that is done: by peer, when the session came up.
type late map[netip.Addr]time.Time

// sendLate sends what is passed on again to the peers whose sessions came up a while ago, once. A session that waits for
// others after our restart (RFC 4724, section 4.1) has nothing yet and waits on.
func (s *Speaker) sendLate(ctx context.Context, done late, now time.Time) {
	var due []Peer
	s.mu.Lock()
	for address, p := range s.peers {
		if len(p.PassOn) == 0 || s.restarting {
			continue
		}
		if up, ok := s.table.sessionUp(address); ok && !done[address].Equal(up) && now.Sub(up) >= lateAfter {
			done[address] = up
			due = append(due, p)
		}
	}
	maps.DeleteFunc(done, func(address netip.Addr, _ time.Time) bool { _, ok := s.peers[address]; return !ok })
	s.mu.Unlock()
	for _, p := range due {
		if err := s.softReset(ctx, p, api.ResetPeerRequest_DIRECTION_OUT); err != nil && ctx.Err() == nil {
			s.log.WithError(err).Warn("a peer may miss what was learned while its session came up")
		}
	}
}

// sessionUp is when an established session came up; not ok for one that is not.
func (t *table) sessionUp(address netip.Addr) (up time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[address]
	if s == nil || !s.Established {
		return time.Time{}, false
	}
	return s.up, true
}

package bgp

import (
	"context"
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
	s.mu.Lock()
	var due []Peer
	for address, up := range s.table.sessionsUp() {
		p, ok := s.peers[address]
		if ok && len(p.PassOn) > 0 && !s.restarting && !done[address].Equal(up) && now.Sub(up) >= lateAfter {
			done[address] = up
			due = append(due, p)
		}
	}
	s.mu.Unlock()
	for _, p := range due {
		if err := s.softReset(ctx, p, api.ResetPeerRequest_DIRECTION_OUT); err != nil && ctx.Err() == nil {
			s.log.WithError(err).Warn("a peer may miss what was learned while its session came up")
		}
	}
}

// sessionsUp are the established sessions, with the times when they came up.
func (t *table) sessionsUp() map[netip.Addr]time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	up := make(map[netip.Addr]time.Time, len(t.sessions))
	for address, s := range t.sessions {
		if s.Established {
			up[address] = s.up
		}
	}
	return up
}

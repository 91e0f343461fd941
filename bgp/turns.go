package bgp

import (
	"context"
	"net/netip"
	"time"
)

// Two speakers that know of each other both try to connect, and when they do so at the same time one of the connections
// is closed (RFC 4271, section 6.8). In a graceful restart that is dangerous: some speakers take the closed one for a
// second failure and drop the routes they keep. So the side with the lower address goes first: for a while after the end
// of a session it does not hear the other side's connections. Then both may, in case that the first one can't. And nobody
// is heard whom GoBGP would send away: a connection that was closed makes a peer wait ever longer before the next one.
const (
	firstTurn = 10 * time.Second
	turnLook  = 250 * time.Millisecond
)

// waiting returns the peers whose turn to connect it is not.
func (t *table) waiting(peers []Peer, now time.Time) []Peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Peer
	for _, p := range peers {
		s := t.sessions[p.Address]
		switch {
		case s == nil && !p.weFirst():
		case s == nil, s.resting(), !s.Established && p.weFirst() && now.Sub(s.apart()) < firstTurn:
			out = append(out, p)
		}
	}
	return out
}

// resting says whether GoBGP would close a connection of the peer at once: for some seconds after the end of a session it
// wants none.
func (s *session) resting() bool { return s.State == "idle" || s.Established && s.gone }

// apart is since when there is no session.
func (s *session) apart() time.Time {
	if s.gone {
		return s.fell
	}
	return s.Since
}

// weFirst says whether it is for us to connect.
func (p Peer) weFirst() bool {
	ours := p.ourEnd()
	return !p.Passive && ours.IsValid() && ours.WithZone("").Less(p.Address.WithZone(""))
}

// ourEnd is our address of the session; invalid when it is not known.
func (p Peer) ourEnd() netip.Addr {
	switch {
	case p.LocalAddress.IsValid():
		return p.LocalAddress
	case p.Address.Is6():
		return p.NextHop6
	default:
		return p.NextHop4
	}
}

// followTurns keeps the filter of the listeners up to date until ctx is cancelled.
func (s *Speaker) followTurns(ctx context.Context) {
	tick := time.NewTicker(turnLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if err := s.takeTurns(now); err != nil {
				s.log.WithError(err).Debug("who connects first is not enforced")
			}
		}
	}
}

func (s *Speaker) takeTurns(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		return nil
	}
	// Those that are parked too: they are let in again without a word to the filter.
	peers := make([]Peer, 0, len(s.wanted))
	for _, p := range s.wanted {
		peers = append(peers, p)
	}
	return s.guardListeners(peers, now)
}

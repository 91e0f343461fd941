package bgp

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/sirupsen/logrus"
)

// GoBGP's own limit is of no use: it counts all that a peer has sent again at each UPDATE, which for a table that comes
// one prefix at a time is quadratic; with graceful restart it keeps the routes of the peer it has just ended; and it
// never lets the peer come back. So what a peer sends is watched from outside, by the bytes that its connection has
// received: a number of bytes holds so many prefixes and no more. Only when these could be too many are they counted.
// GoBGP's limit is set at the very end, to have the right NOTIFICATION sent.

const (
	parkFirst = time.Minute // doubled for each time in a row
	parkMost  = 60          // of the first: the longest, and how long a peer must behave to start anew
	nearLimit = 80          // percent of the limit: somebody should look
	// A prefix longer than /16 takes 4 bytes or more (RFC 4271, section 4.3), one longer than /8 takes 3, and there are
	// 511 that take less.
	prefixBytes   = 3
	shortPrefixes = 511
	countDuty     = 5               // the pause after counting, in times of what it took
	countPatience = 5 * time.Second // the longest without, of a peer that could be near its limit and does not rest
)

// limits knows the peers that sent too much. It is guarded by Speaker.mu.
type limits struct {
	first     time.Duration
	penalties map[netip.Addr]*penalty
}

// penalty is what a peer has earned by sending too much.
type penalty struct {
	times int       // in a row
	until time.Time // zero while it is not parked
	back  time.Time // when it was let in again
	most  int       // the limit it exceeded
	why   string
}

func newLimits(first time.Duration) limits {
	if first == 0 {
		first = parkFirst
	}
	return limits{first: first, penalties: map[netip.Addr]*penalty{}}
}

// keep forgets peers that are not configured any more, or that were given another limit.
func (l *limits) keep(want map[netip.Addr]Peer) {
	for address, p := range l.penalties {
		if peer, ok := want[address]; !ok || peer.MaxPrefixes != p.most {
			delete(l.penalties, address)
		}
	}
}

// parked says whether a peer has to wait.
func (l *limits) parked(p Peer) bool {
	penalty := l.penalties[p.Address]
	return penalty != nil && !penalty.until.IsZero()
}

// punish parks a peer and returns the penalty.
func (l *limits) punish(address netip.Addr, most int, now time.Time) *penalty {
	p := l.penalties[address]
	if p == nil || now.Sub(p.back) >= parkMost*l.first {
		p = &penalty{most: most}
		l.penalties[address] = p
	}
	pause := min(l.first<<min(p.times, 10), parkMost*l.first)
	p.times++
	p.until = now.Add(pause)
	return p
}

// sent is what a peer has sent of each family.
type sent struct{ ipv4, ipv6 int }

func (c sent) most() (count int, family string) {
	if c.ipv6 > c.ipv4 {
		return c.ipv6, "ipv6"
	}
	return c.ipv4, "ipv4"
}

// inspect has GoBGP count what a peer has sent, and tells the timers of its session.
func (s *Speaker) inspect(ctx context.Context, address netip.Addr) (c sent, timers *api.TimersState, err error) {
	var found *api.Peer
	err = s.look(ctx, "list peer", func(ctx context.Context) error {
		return s.server.ListPeer(ctx, &api.ListPeerRequest{Address: address.String()}, func(p *api.Peer) { found = p })
	})
	if err != nil {
		return sent{}, nil, err // the call may still be writing
	}
	for _, family := range found.GetAfiSafis() {
		n := int(family.GetState().GetReceived())
		if family.GetConfig().GetFamily().GetAfi() == api.Family_AFI_IP6 {
			c.ipv6 = n
		} else {
			c.ipv4 = n
		}
	}
	return c, found.GetTimers().GetState(), nil
}

// park ends the session of a peer that sent too much, drops all it sent, and lets it in again after a pause.
func (s *Speaker) park(ctx context.Context, address netip.Addr, count int, family string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.peers[address]
	if !ok || p.MaxPrefixes == 0 || count <= p.MaxPrefixes {
		return // the configuration was changed meanwhile
	}
	log := s.log.WithFields(logrus.Fields{"peer": p.Name, "address": address, "prefixes": count, "limit": p.MaxPrefixes})
	s.table.fall(address, Closed)
	if err := s.trip(ctx, p); err != nil {
		log.WithError(err).Debug("no NOTIFICATION of the prefix limit")
	}
	err := s.call(ctx, "delete peer", func(ctx context.Context) error {
		return s.server.DeletePeer(ctx, &api.DeletePeerRequest{Address: address.String()})
	})
	if err != nil {
		log.WithError(err).Error("peer sent too many prefixes, and its session can't be ended")
		return
	}
	delete(s.peers, address)
	penalty := s.limits.punish(address, p.MaxPrefixes, time.Now())
	penalty.why = fmt.Sprintf("parked until %s: %d %s prefixes, at most %d may be sent",
		penalty.until.UTC().Format(time.RFC3339), count, family, p.MaxPrefixes)
	s.table.parkSession(address, penalty)
	log.WithField("until", penalty.until).Error("peer sent too many prefixes: session ended and parked")
}

// trip has GoBGP send Cease, Maximum Number of Prefixes Reached (RFC 4486, section 4), and waits for the end of the
// session.
func (s *Speaker) trip(ctx context.Context, p Peer) error {
	peer := s.apiPeer(p)
	for _, family := range peer.AfiSafis {
		family.PrefixLimits = &api.PrefixLimit{Family: family.Config.Family, MaxPrefixes: uint32(p.MaxPrefixes)}
	}
	err := s.call(ctx, "limit peer", func(ctx context.Context) error {
		_, err := s.server.UpdatePeer(ctx, &api.UpdatePeerRequest{Peer: peer})
		return err
	})
	if err == nil {
		s.awaitEnd(ctx, map[netip.Addr]struct{}{p.Address: {}})
	}
	return err
}

// unpark lets peers in again whose time is over.
func (s *Speaker) unpark(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for address, penalty := range s.limits.penalties {
		p, wanted := s.wanted[address]
		if penalty.until.IsZero() || now.Before(penalty.until) || !wanted || p.Refused != "" {
			continue
		}
		penalty.until, penalty.back = time.Time{}, now
		if err := s.addPeer(ctx, p); err != nil {
			penalty.until = now.Add(s.limits.first)
			s.log.WithError(err).Error("parked peer can't be let in again")
			continue
		}
		s.log.WithFields(logrus.Fields{"peer": p.Name, "address": address}).Info("parked peer is let in again")
	}
}

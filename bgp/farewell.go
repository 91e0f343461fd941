package bgp

import (
	"context"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
)

// farewellLimit is how long peers get to take the reason why their session ends.
const farewellLimit = time.Second

// leaver is a peer whose session is about to be deleted.
type leaver struct {
	peer  Peer
	stays bool // it is added again
	why   string
}

// departing are the present peers that must not stay as they are.
func (s *Speaker) departing(want map[netip.Addr]Peer) []leaver {
	var out []leaver
	for address, old := range s.peers {
		p, ok := want[address]
		switch {
		case !ok:
			out = append(out, leaver{old, false, "underlayd: this peer was removed from the configuration"})
		case p.Refused != "":
			out = append(out, leaver{old, false, "underlayd: this peer can not run as it is configured"})
		case p.Password != old.Password:
			out = append(out, leaver{old, true, "underlayd: the password of this session was changed"})
		case p.Transport != old.Transport:
			out = append(out, leaver{old, true, "underlayd: the configuration of this session was changed"})
		}
	}
	return out
}

// farewell tells peers in words why their sessions end (RFC 9003), which GoBGP does not do when it deletes one, and
// waits until they have been told. Administrative Reset leaves a peer that knows RFC 8538 its routes until we are back. A
// peer that is removed is to drop ours: if it knows that RFC it needs a Hard Reset for that, which GoBGP makes of a
// shutdown, but has no room for words in.
func (s *Speaker) farewell(ctx context.Context, departing []leaver) {
	waiting := map[netip.Addr]struct{}{}
	for _, l := range departing {
		if !s.table.established(l.peer.Address) {
			continue
		}
		if s.dismiss(ctx, l) == nil {
			waiting[l.peer.Address] = struct{}{}
		}
	}
	s.awaitEnd(ctx, waiting)
}

// dismiss has GoBGP end the session of one of them.
func (s *Speaker) dismiss(ctx context.Context, l leaver) error {
	if l.stays {
		s.table.renew(l.peer.Address, Disconnected)
		return s.Reset(ctx, l.peer.Address, l.why)
	}
	s.table.fall(l.peer.Address, Closed)
	address := l.peer.Address.String()
	return s.call(ctx, "farewell", func(ctx context.Context) error {
		if s.table.retains(l.peer.Address) {
			return s.server.ShutdownPeer(ctx, &api.ShutdownPeerRequest{Address: address})
		}
		return s.server.DisablePeer(ctx, &api.DisablePeerRequest{Address: address, Communication: l.why})
	})
}

// awaitEnd waits for sessions to end, for a while.
func (s *Speaker) awaitEnd(ctx context.Context, waiting map[netip.Addr]struct{}) {
	ctx, cancel := context.WithTimeout(ctx, farewellLimit)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		for address := range waiting {
			if !s.table.established(address) {
				delete(waiting, address)
			}
		}
		if len(waiting) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// retains says whether a peer keeps our routes even after a NOTIFICATION.
func (t *table) retains(peer netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[peer]
	return s != nil && s.retains
}

package bgp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
)

// rebuildGrace is for how long the routes of a peer may be kept whose session we end only to build it anew.
const rebuildGrace = 30 * time.Second

// Fall says that packets do not get through to a peer any more, as BFD finds out long before the hold timer does
// (RFC 5882, section 4.3), and whether it has a session at all. Its paths are of no use then, whatever was agreed about a
// restart: Lost tells of it at once. Why becomes part of the session's LastError. The caller goes on with Reset.
func (s *Speaker) Fall(peer netip.Addr, why string) bool {
	if !s.table.established(peer) {
		return false
	}
	s.table.explain(peer, notified{}, why)
	s.table.fall(peer, Unreachable)
	return true
}

// Reset ends the session with a peer, whose paths are withdrawn, and has GoBGP connect again. Why is sent to the peer as
// the shutdown communication of a Cease (RFC 9003).
func (s *Speaker) Reset(ctx context.Context, peer netip.Addr, why string) error {
	err := s.call(ctx, "reset peer", func(ctx context.Context) error {
		return s.server.ResetPeer(ctx, &api.ResetPeerRequest{Address: peer.String(), Communication: why})
	})
	if err != nil {
		return fmt.Errorf("reset the session with %s: %w", peer, err)
	}
	return nil
}

func (t *table) established(peer netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[peer]
	return s != nil && s.Established
}

// Renew builds the session with a peer anew, so that GoBGP forgets all it holds of it. GoBGP keeps the paths of a peer
// that restarts until its End-of-RIB; if that never comes, because the peer does not know graceful restart any more or
// because it stays silent, nothing else ends that (RFC 4724, section 4.2). The paths are withdrawn for the cause
// given. Lost tells that they may be kept for a moment if the session is established: the peer sends them all again.
func (s *Speaker) Renew(ctx context.Context, peer netip.Addr, cause Cause) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.peers[peer]
	if !ok {
		return nil
	}
	s.table.renew(peer, cause)
	return s.rebuild(ctx, p)
}

// rebuild deletes and adds a peer; the record of its session stays. One that can't be added again is not among the peers
// any more, so that the next SetPeers adds it.
func (s *Speaker) rebuild(ctx context.Context, p Peer) error {
	if err := s.deletePeer(ctx, leaver{peer: p, stays: true}); err != nil {
		return err
	}
	return s.insertPeer(ctx, p)
}

// Restarted ends our own restart for peers whose sessions have not come up since (RFC 4724, section 4.1): GoBGP would
// tell them whenever they come that we have just restarted, and wait for the End-of-RIB of all others before it
// advertises anything to them. Calling it again does nothing.
func (s *Speaker) Restarted(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.restarting {
		return nil
	}
	s.restarting = false
	var errs []error
	for address, p := range maps.Clone(s.peers) { // rebuilding changes them
		if !s.table.established(address) {
			errs = append(errs, s.rebuild(ctx, p))
		}
	}
	return errors.Join(errs...)
}

// renew notes that we end a session for a moment.
func (t *table) renew(peer netip.Addr, cause Cause) {
	t.mu.Lock()
	if s := t.sessions[peer]; s != nil {
		now := time.Now()
		if !s.gone {
			s.gone, s.fell = true, now
		}
		s.cause, s.grace = cause, 0
		if s.Established {
			s.grace = rebuildGrace
		}
		s.falling, s.holding = true, now
		t.fallen = true
	}
	t.mu.Unlock()
}

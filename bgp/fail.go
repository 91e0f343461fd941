package bgp

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/osrg/gobgp/v4/api"
)

// Fail ends the session with a peer to which packets do not get through any more, as BFD finds out long before the hold
// timer does (RFC 5882, section 4.3). Its paths are of no use whatever was agreed about a restart: they are withdrawn,
// and Lost tells of it at once. GoBGP goes on trying to connect. A session that is not established is left alone. Why is
// sent to the peer as the shutdown communication of a Cease (RFC 9003).
func (s *Speaker) Fail(ctx context.Context, peer netip.Addr, why string) error {
	if !s.table.established(peer) {
		return nil
	}
	s.table.fall(peer, Unreachable)
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

package bgp

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// loopRest is the least time between two looks after paths that came back to their reflector.
const loopRest = time.Second

// reflectorOf is the CLUSTER_ID of the clients among some peers; invalid if there are none.
func reflectorOf(peers []Peer) netip.Addr {
	for _, p := range peers {
		if p.Client {
			return p.Reflector
		}
	}
	return netip.Addr{}
}

// setReflector has paths be read as the reflector of this CLUSTER_ID reads them.
func (t *table) setReflector(id netip.Addr) {
	t.mu.Lock()
	t.reader.reflector = id
	t.mu.Unlock()
}

// newReader returns a reader of its own.
func (t *table) newReader() pathReader {
	t.mu.Lock()
	defer t.mu.Unlock()
	return pathReader{ownASN: t.reader.ownASN, reflector: t.reader.reflector, cluster: t.reader.cluster}
}

// tellLoop says so if the path just set, at an index or at the end, came back to its reflector.
func (t *table) tellLoop(paths []Path, at int) {
	if at < 0 {
		at = len(paths) - 1
	}
	if !paths[at].ClusterLoop {
		return
	}
	select {
	case t.looped <- struct{}{}:
	default:
	}
}

// followLoops takes paths away from the clients that were replaced by one which came back to us, until ctx is cancelled:
// GoBGP sends them neither the new path, as it should, nor the withdrawal of the one before (RFC 4456, section 8).
func (s *Speaker) followLoops(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.table.looped:
		}
		s.mu.Lock()
		clients := slices.DeleteFunc(slices.Collect(maps.Values(s.peers)), func(p Peer) bool { return !p.Client })
		s.mu.Unlock()
		for _, p := range clients {
			if err := s.softReset(ctx, p, api.ResetPeerRequest_DIRECTION_OUT); err != nil && ctx.Err() == nil {
				s.log.WithError(err).Warn("a client may keep a path that is gone")
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(loopRest):
		}
	}
}

// passAgain sends what is passed on again, under a policy that has changed. The caller holds mu.
func (s *Speaker) passAgain(ctx context.Context) error {
	if !slices.ContainsFunc(slices.Collect(maps.Values(s.peers)), func(p Peer) bool { return len(p.PassOn) > 0 }) {
		return nil
	}
	if err := s.applyPolicies(ctx, slices.Collect(maps.Values(s.wanted))); err != nil {
		return err
	}
	var errs []error
	for _, p := range s.peers {
		if len(p.PassOn) > 0 {
			errs = append(errs, s.softReset(ctx, p, api.ResetPeerRequest_DIRECTION_OUT))
		}
	}
	return errors.Join(errs...)
}

// originated says whether a path is one of ours that comes back: its ORIGINATOR_ID is our identifier (RFC 4456, section 8).
func (s *Speaker) originated(p *apiutil.Path) bool {
	for _, attribute := range p.Attrs {
		if id, ok := attribute.(*gobgp.PathAttributeOriginatorId); ok {
			return id.Value == s.cfg.RouterID
		}
	}
	return false
}

// forget resets the session with a peer that replaced paths which we still use by paths of our own: GoBGP ignores the new
// ones, as it should, and keeps the old ones, which nobody announces any more.
func (s *Speaker) forget(ctx context.Context, peer netip.Addr, replaced []netip.Prefix) error {
	if !s.table.holds(peer, replaced) {
		return nil
	}
	s.log.WithField("peer", peer).Warn("session is reset: routes were replaced by ones that come from us (RFC 4456)")
	return s.Reset(ctx, peer, "routes were replaced by ones with our identifier as ORIGINATOR_ID (RFC 4456)")
}

// holds says whether a path of the peer is among the best of one of the prefixes.
func (t *table) holds(peer netip.Addr, prefixes []netip.Prefix) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(prefixes, func(prefix netip.Prefix) bool {
		l := t.prefixes.Get(prefix)
		return l != nil && slices.ContainsFunc(l.best.All(), func(p Path) bool { return p.Peer == peer })
	})
}

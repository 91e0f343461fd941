package bgp

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// GoBGP puts what waits for a peer into as few messages as it can, withdrawals before announcements. It drops what became
// void meanwhile only where the paths have the same number in its table. So a prefix that several peers announced, and of
// which the last path goes while the one before waits, is withdrawn first and announced afterwards: the peer keeps a route
// that nobody has. What is gone for good is therefore withdrawn once more, when the peers have had time to take what waited.
const (
	goneLook = time.Second // a prefix rests for one to two of these
	goneMost = 1000        // prefixes withdrawn in one piece
)

// noAdvertise is the community NO_ADVERTISE (RFC 1997).
const noAdvertise = uint32(gobgp.COMMUNITY_NO_ADVERTISE)

// setRelaying says whether what is learned is passed on to anybody.
func (t *table) setRelaying(yes bool) {
	t.mu.Lock()
	t.relaying = yes
	t.counts.events.Add(1)
	t.mu.Unlock()
}

// takeGone returns the prefixes that lost their last path since it was called last, if peers may have heard of several.
func (t *table) takeGone() []netip.Prefix {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := slices.Collect(maps.Keys(t.gone))
	t.gone = nil
	return all
}

// noteGone notes a prefix if it has lost its last path.
func (t *table) noteGone(l *learned) {
	if l.best != nil || !t.relaying || !l.several {
		return
	}
	if t.gone == nil {
		t.gone = map[netip.Prefix]struct{}{}
	}
	t.gone[l.prefix] = struct{}{}
}

// absent says whether nobody announces a prefix.
func (t *table) absent(prefix netip.Prefix) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.prefixes.Get(prefix)
	return l == nil || l.best == nil
}

// followRelay sends again what GoBGP may not have, or not in the right order, until ctx is cancelled: it withdraws once
// more what is gone, and see sendLate.
func (s *Speaker) followRelay(ctx context.Context) {
	tick := time.NewTicker(goneLook)
	defer tick.Stop()
	var rested []netip.Prefix
	done := late{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for some := range slices.Chunk(rested, goneMost) {
			if err := s.withdrawAgain(ctx, some); err != nil && ctx.Err() == nil {
				s.log.WithError(err).Warn("a peer may keep a route that is gone")
			}
		}
		rested = s.table.takeGone()
		s.sendLate(ctx, done, time.Now())
	}
}

// withdrawAgain has GoBGP withdraw prefixes that are in no table any more: it does so with a path of our own that comes and
// goes. No peer gets that path, and none of another peer has to stand back for it.
func (s *Speaker) withdrawAgain(ctx context.Context, prefixes []netip.Prefix) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var paths []*apiutil.Path
	for _, prefix := range prefixes {
		if _, ours := s.advertised[prefix]; ours || !s.table.absent(prefix) {
			continue
		}
		path, err := s.ownPath(Announcement{Prefix: prefix})
		if err != nil {
			return err
		}
		path.Attrs = slices.DeleteFunc(path.Attrs, func(a gobgp.PathAttributeInterface) bool {
			return a.GetType() == gobgp.BGP_ATTR_TYPE_COMMUNITIES
		})
		path.Attrs = append(path.Attrs, gobgp.NewPathAttributeCommunities([]uint32{noAdvertise}), gobgp.NewPathAttributeLocalPref(leavingLocalPref))
		paths = append(paths, path)
	}
	if len(paths) == 0 {
		return nil
	}
	return s.call(ctx, "withdraw again", func(context.Context) error {
		if _, err := s.server.AddPath(apiutil.AddPathRequest{Paths: paths}); err != nil {
			return err
		}
		return s.server.DeletePath(apiutil.DeletePathRequest{Paths: paths})
	})
}

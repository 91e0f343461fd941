package bgp

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// An UPDATE with an error is treated as a withdrawal of what it is about, which presumes that all its prefixes were
// read; where they were not, the session is to be reset (RFC 7606, section 3, j). GoBGP stops reading at an attribute
// that is longer than its room, and skips an MP_REACH_NLRI or MP_UNREACH_NLRI whose flags are wrong, and then withdraws
// nothing: the routes of before would stay. It says so in its log and nowhere else.
const (
	withdrawnMessage = "the received Update message was treated as withdraw"
	withdrawnError   = "Error"
)

// unreadErrors are in the errors after which prefixes were not read, or which tell that the attributes are out of step,
// as a type that does not exist does. An error that came first hides them, for only one is told.
func unreadErrors() []string {
	return []string{
		"exceeds path attributes boundary", "attribute length is short", "attribute header length is short",
		"attribute value length is short", "attribute type length is short", "mpreach", "insufficient data to decode", "MP_REACH_NLRI", "MP_UNREACH_NLRI",
		"must have transitive flag", "BGPAttrType(",
	}
}

// unread says whether the error for which an UPDATE was treated as withdrawal tells so. A segment that is too short inside
// an AS_PATH of the right length is not one.
func unread(problem string) bool {
	return slices.ContainsFunc(unreadErrors(), func(text string) bool { return strings.Contains(problem, text) })
}

// resets are sessions that are to be reset. GoBGP's log must not call GoBGP, so that somebody else does it.
type resets struct {
	wake  chan struct{} // capacity one
	mu    sync.Mutex    // guards peers
	peers map[netip.Addr]struct{}
}

func newResets() *resets {
	return &resets{wake: make(chan struct{}, 1), peers: map[netip.Addr]struct{}{}}
}

func (r *resets) add(peer netip.Addr) {
	r.mu.Lock()
	r.peers[peer] = struct{}{}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *resets) take() map[netip.Addr]struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	peers := r.peers
	r.peers = map[netip.Addr]struct{}{}
	return peers
}

// resetUnread resets the sessions of peers whose UPDATEs could not be read. The pause before the next session is
// GoBGP's, so that a peer that goes on like this costs little.
func (s *Speaker) resetUnread(ctx context.Context) {
	for peer := range s.unread.take() {
		s.log.WithField("peer", peer).Warn("session is reset: the prefixes of an UPDATE could not be read")
		if err := s.Reset(ctx, peer, "UPDATE whose prefixes can't be read (RFC 7606)"); err != nil {
			s.log.WithField("peer", peer).WithError(err).Warn("session was not reset")
		}
	}
}

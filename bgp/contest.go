package bgp

import (
	"cmp"
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/osrg/gobgp/v4/api"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// Two speakers on one node that both want a session with the same neighbour from the same address fight: the neighbour
// keeps one session for each pair of addresses (RFC 4271, section 6.8). It closes the second connection, with Cease /
// Connection Collision Resolution or Connection Rejected (RFC 4486) or without a word; one with graceful restart may
// take it for a restart and close the first instead (RFC 4724, section 4.2), so that both take turns for ever.
//
// GoBGP does not tell of a NOTIFICATION that comes before the session is established. But it counts the OPENs that it
// has sent: several in a row without a session that lasts are a neighbour that turns us away.
const (
	contestLook   = 2 * time.Second
	contestDuty   = 50 // the pause after a look, in times of what it took: a node may have very many connections
	contestWindow = 3 * time.Minute
	contestOpens  = 3
	// contestSpan is how long it must go on where nobody is seen to fight with us: one that restarts turns us away, too.
	contestSpan  = 20 * time.Second
	openError    = "code 2("        // of a NOTIFICATION, in GoBGP's words
	contestLasts = 15 * time.Second // a session that is established for so long is no part of it
)

// Contest tells of a neighbour that closes our connections, again and again.
type Contest struct {
	// Closed is how many connections it closed within the last minutes; 0 for one that does not.
	Closed int
	// Since is when the first of them began.
	Since time.Time
	// Rival is the connection that another program on this node has with the neighbour, from the same address; its
	// ends are invalid if there is none, or none was seen.
	Rival Rival
}

// Rival is a connection of another program on this node.
type Rival struct {
	Local, Remote netip.AddrPort
	// Program is what has it, such as "bird (pid 812)" or "probably bird (pid 812)", as far as we may look; else empty.
	Program string
}

// contender is what is known of a peer with which no session lasts.
type contender struct {
	opens uint64      // sent since GoBGP knows the peer
	known bool        // opens is
	tries []time.Time // when they were seen to be sent, within the window
	rival Rival       // the last one seen
}

// contests looks, now and then, after the peers whose sessions do not come up or do not last. It belongs to the
// goroutine of tend.
type contests struct {
	next time.Time
	of   map[netip.Addr]*contender
}

// contend is one look.
func (t *tender) contend(ctx context.Context, now time.Time) {
	if now.Before(t.contests.next) {
		return
	}
	defer func() { t.contests.next = time.Now().Add(max(contestLook, contestDuty*time.Since(now))) }()
	restless := t.table.restless(now)
	for peer, c := range t.contests.of {
		if _, ok := restless[peer]; !ok {
			delete(t.contests.of, peer)
			if len(c.tries) > 0 {
				t.table.contest(peer, Contest{})
			}
		}
	}
	for peer, ours := range restless {
		c := t.contests.of[peer]
		if c == nil {
			c = &contender{}
			t.contests.of[peer] = c
		}
		opens, err := t.opensSent(ctx, peer)
		if err != nil {
			continue
		}
		c.note(opens, now)
		if len(c.tries) < contestOpens {
			t.table.contest(peer, Contest{})
			continue
		}
		found := Contest{Closed: len(c.tries), Since: c.tries[0]}
		if err := t.spot(c, peer, ours); err != nil {
			t.log.WithError(err).Debug("can't look for other speakers on this node")
		}
		found.Rival = c.rival
		if !found.Rival.Local.IsValid() && (!c.endures() || t.table.badOpen(peer)) {
			found = Contest{} // it may end by itself, or what is wrong is known
		}
		t.table.contest(peer, found)
	}
}

// endures says whether a peer has been closing connections for a while.
func (c *contender) endures() bool {
	return len(c.tries) > 0 && c.tries[len(c.tries)-1].Sub(c.tries[0]) >= contestSpan
}

// badOpen says whether the last session did not come up since one side's OPEN was refused by the other, such as for an AS
// number (RFC 4271, section 6.2).
func (t *table) badOpen(peer netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.sessions[peer]
	return s != nil && strings.Contains(s.LastError, openError)
}

// note takes in how many OPENs have been sent. A count that fell is that of a peer which was added again.
func (c *contender) note(opens uint64, now time.Time) {
	if c.known && opens > c.opens {
		c.tries = append(c.tries, now)
	}
	c.opens, c.known = opens, true
	for len(c.tries) > 0 && now.Sub(c.tries[0]) > contestWindow {
		c.tries = c.tries[1:]
	}
}

// opensSent asks GoBGP how many OPENs it has sent to a peer. It costs little for one without a session.
func (s *Speaker) opensSent(ctx context.Context, peer netip.Addr) (opens uint64, err error) {
	var found *api.Peer
	err = s.look(ctx, "list peer", func(ctx context.Context) error {
		return s.server.ListPeer(ctx, &api.ListPeerRequest{Address: peer.String()}, func(p *api.Peer) { found = p })
	})
	if err != nil {
		return 0, err // the call may still be writing
	}
	return found.GetState().GetMessages().GetSent().GetOpen(), nil
}

// spot looks for a connection of another program with a peer, from our own address or, if that is not known, from any. A
// rival that has just been beaten stays the one that is named, as long as the fight goes on.
func (t *tender) spot(c *contender, peer, ours netip.Addr) error {
	t.mu.Lock()
	p := t.wanted[peer]
	t.mu.Unlock()
	if !ours.IsValid() {
		ours = p.ourEnd()
	}
	own, err := connections()
	if err != nil {
		return err
	}
	var found Rival
	inode := ""
	err = tcpSockets(func(s tcpSocket) {
		_, isOurs := own[ends{s.remote.Addr(), s.local.Port(), s.remote.Port()}]
		speaks := int(s.remote.Port()) == p.Port || s.local.Port() == gobgp.BGP_PORT || int(s.local.Port()) == t.cfg.Port
		if s.state != tcpEstablished || isOurs || !speaks || s.remote.Addr() != peer.WithZone("") ||
			ours.IsValid() && s.local.Addr() != ours.WithZone("") {
			return
		}
		found, inode = Rival{Local: s.local, Remote: s.remote}, s.inode
	})
	if err == nil && inode != "" && (found.Local != c.rival.Local || found.Remote != c.rival.Remote) {
		found.Program = cmp.Or(owner(inode), likelySpeaker())
		c.rival = found
	}
	return err
}

// restless are the peers whose session is not established, or was not a short while ago, with our end if it is known.
func (t *table) restless(now time.Time) map[netip.Addr]netip.Addr {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out map[netip.Addr]netip.Addr
	for peer, s := range t.sessions {
		if s.refused != "" || s.Established && now.Sub(s.up) > contestLasts {
			continue
		}
		if out == nil {
			out = map[netip.Addr]netip.Addr{}
		}
		out[peer] = s.LocalAddress
	}
	return out
}

// contest says of a peer what is known of the fight.
func (t *table) contest(peer netip.Addr, c Contest) {
	t.mu.Lock()
	s := t.sessions[peer]
	changed := s != nil && s.Contest != c
	if changed {
		s.Contest = c
	}
	t.mu.Unlock()
	if changed {
		t.poke()
	}
}

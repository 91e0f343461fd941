package main

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/status"
)

// note notes what is not about a prefix.
func (c *chronicle) note(n status.Note) { c.past.Note(time.Now(), &n) }

// heard is what is remembered of a session.
type heard struct {
	flaps       int
	established bool
	since       time.Time
}

// followSessions notes sessions that came up or went down since it was called last, however short that was.
func (c *chronicle) followSessions(sessions []bgp.Session, stale func(netip.Addr) int) {
	peers := len(c.sessions)
	for i := range sessions {
		s := &sessions[i]
		before := c.sessions[s.Address]
		now := heard{s.Flaps, s.Established, s.Since}
		if now == before {
			continue
		}
		c.sessions[s.Address] = now
		if lost := s.Flaps - before.flaps; lost > 0 {
			c.note(status.Note{Kind: status.SessionDown, Peer: s.Peer, Count: lost, Cause: s.Ending.Reason, Detail: endWords(s)})
			if n := stale(s.Address); n > 0 {
				c.note(status.Note{Kind: status.PrefixStale, Peer: s.Peer, Cause: causeRestart, Count: n})
			}
		}
		if s.Established && (!before.established || !s.Since.Equal(before.since)) {
			c.note(status.Note{Kind: status.SessionUp, Peer: s.Peer, Detail: fmt.Sprintf("AS %d at %s", s.ASN, s.Address)})
		}
	}
	if len(c.sessions) != len(sessions) { // some are gone
		maps.DeleteFunc(c.sessions, func(address netip.Addr, _ heard) bool {
			return !slices.ContainsFunc(sessions, func(s bgp.Session) bool { return s.Address == address })
		})
	}
	if peers > 0 && len(sessions) != peers {
		c.note(status.Note{Kind: status.PeersChanged, Detail: fmt.Sprintf("%d peers, %d before", len(sessions), peers)})
	}
}

// endWords says who ended a session and with which codes.
func endWords(s *bgp.Session) string {
	by := map[string]string{bgp.EndedByUs: "ended by us", bgp.EndedByPeer: "ended by the peer"}[s.Ending.By]
	if by == "" {
		by = "the connection was lost"
	}
	if s.Ending.Code != 0 {
		by += fmt.Sprintf(" with code %d, subcode %d", s.Ending.Code, s.Ending.Subcode)
	}
	return by + optional(": ", s.LastError, "")
}

// followKernel notes what shows in the kernel's counters alone.
func (c *chronicle) followKernel(now fib.Stats) {
	last := c.stats
	c.stats = now
	if n := now.Repairs - last.Repairs; n > 0 {
		c.note(status.Note{Kind: status.KernelRepaired, Count: int(n), Detail: "somebody removed or changed them"})
	}
	if n := now.Fights - last.Fights; n > 0 {
		c.note(status.Note{Kind: status.KernelFight, Count: int(n), Detail: "somebody keeps undoing it; it is repaired once a minute"})
	}
}

// followSnapshot notes what differs from the last snapshot.
func (c *chronicle) followSnapshot(s *status.Snapshot) {
	for _, r := range s.Clusters {
		if last, known := c.clusters[r.Name]; last != r.State && (known || r.State != status.Unreachable) {
			c.note(status.Note{Kind: status.ClusterChanged, Cluster: r.Name, Cause: string(r.State), Detail: r.Reason})
		}
	}
	c.clusters = make(map[string]status.ClusterState, len(s.Clusters))
	for _, r := range s.Clusters {
		c.clusters[r.Name] = r.State
	}
	if s.Phase != c.phase {
		c.phase = s.Phase
		c.note(status.Note{Kind: status.PhaseChanged, Cause: string(s.Phase), Detail: s.Conditions[0].Message})
	}
	c.followProbes(s)
	c.followPeersReach(s.Sessions)
	c.followNode(s)
	if x := s.NATExemption; x.State != c.nat || x.Repairs > c.repairs {
		if x.Repairs > c.repairs {
			c.note(status.Note{Kind: status.NATRepaired, Count: int(x.Repairs - c.repairs), Detail: "somebody touched table " + x.Table})
		}
		if x.State != c.nat {
			c.note(status.Note{Kind: status.NATChanged, Cause: string(x.State)})
		}
		c.nat, c.repairs = x.State, x.Repairs
	}
	c.past.Publish(time.Now()) // who sees the snapshot sees what led to it
}

func (c *chronicle) followPeersReach(sessions []status.Session) {
	last := c.bfd
	c.bfd = make(map[netip.Addr]string, len(last))
	for _, s := range sessions {
		if s.BFD == nil {
			continue
		}
		c.bfd[s.Address] = s.BFD.State
		switch was := last[s.Address]; {
		case s.BFD.State == bfdUpState && was != bfdUpState:
			c.note(status.Note{Kind: status.BFDUp, Peer: s.Peer})
		case s.BFD.State != bfdUpState && was == bfdUpState:
			c.note(status.Note{Kind: status.BFDDown, Peer: s.Peer, Cause: s.BFD.State, Detail: s.BFD.Diagnostic})
		}
	}
}

// bfdUpState is what status calls a BFD session that works.
const bfdUpState = "Up"

// followNode notes what is new of the node itself.
func (c *chronicle) followNode(s *status.Snapshot) {
	if !slices.Equal(s.Advertised, c.own) {
		c.note(status.Note{Kind: status.PodCIDRsChanged, Count: len(s.Advertised), Detail: "advertised: " + joined(s.Advertised, ",") + optional("; before: ", joined(c.own, ","), "")})
		c.own = s.Advertised
	}
	if !slices.Equal(s.Roles, c.roles) {
		c.note(status.Note{Kind: status.RolesChanged, Cause: strings.Join(s.Roles, ","), Detail: optional("before: ", strings.Join(c.roles, ","), "")})
		c.roles = s.Roles
	}
	switch fails := s.Kubernetes.LastError != ""; {
	case fails && !c.apiFails:
		c.note(status.Note{Kind: status.APIFailing, Detail: s.Kubernetes.LastError})
		c.apiFails = true
	case !fails && c.apiFails:
		c.note(status.Note{Kind: status.APIRecovered})
		c.apiFails = false
	}
}

// followStage notes how far the node is in leaving.
func (c *chronicle) followStage(d drain) {
	if d.stage != c.stage {
		c.stage = d.stage
		name := map[stage]string{staying: "Staying", leaving: "Leaving", withdrawn: "Withdrawn", closing: "Closing", drained: "Drained"}[d.stage]
		c.note(status.Note{Kind: status.DrainChanged, Cause: name, Detail: d.order.Reason})
	}
}

// followConfig notes that a configuration was refused for a reason, or taken, if the reason is empty.
func (c *chronicle) followConfig(why string) {
	if why != "" {
		c.note(status.Note{Kind: status.ConfigRejected, Detail: why})
	} else {
		c.note(status.Note{Kind: status.ConfigAccepted})
	}
}

// writeHistory notes what shows in states alone and shows readers all that was noted. It is called at each tick.
func (a *agent) writeHistory(sessions []bgp.Session) {
	a.chronicle.followSessions(sessions, func(peer netip.Addr) int {
		loss, lost := a.losses[peer]
		if !lost || loss.Cause != bgp.Restarting || loss.Grace == 0 {
			return 0
		}
		return a.book.accepted()[peer]
	})
	a.chronicle.followKernel(a.kernel.Stats())
	a.chronicle.followStage(a.drain)
	a.chronicle.past.Publish(time.Now())
}

package lint

import (
	"fmt"
	"time"

	"github.com/underlayd/underlayd/config/mesh"
)

// slowBFD checks that BFD is what notices first.
func (c *checker) slowBFD(s mesh.Session) {
	p := s.Peer()
	hold, _ := s.From.Config.BGP.Timers(p)
	detection := p.BFD.Interval * time.Duration(p.BFD.Multiplier)
	if p.BFD.Interval == 0 || detection < hold {
		return
	}
	c.add(fmt.Sprint(c.rank[s.From], s.Index), Finding{
		Code: "BFDSlow", Severity: Warning,
		Message: fmt.Sprintf("BFD of node %s with %s takes %s to notice, the hold time %s: it notices nothing that BGP has not noticed", s.From.Name, p.Name, detection, hold),
		Places:  both(peerAt(s.From, s.Index, "bfd.interval", p.BFD.Interval), at(s.From, "bgp.holdTime", hold)),
		Fix:     "write a shorter interval, such as 300ms, or no BFD",
	})
}

// timers checks hold time, BFD and graceful restart of the two sides against each other.
func (c *checker) timers(s mesh.Session) {
	p, q := s.Peer(), s.BackPeer()
	here, _ := s.From.Config.BGP.Timers(p)
	there, _ := s.To.Config.BGP.Timers(q)
	if here != there {
		c.pair(s, "holdTime", [2]any{here, there}, Finding{
			Code: "HoldTimesDiffer", Severity: Warning,
			Message: fmt.Sprintf("nodes %s and %s offer hold times of %s and %s: the session has %s (RFC 4271, section 4.2)", s.From.Name, s.To.Name, here, there, min(here, there)),
			Fix:     fmt.Sprintf("write %s on both sides", min(here, there)),
		})
	}
	if (p.BFD.Interval == 0) != (q.BFD.Interval == 0) {
		c.pair(s, "bfd.interval", [2]any{p.BFD.Interval, q.BFD.Interval}, Finding{
			Code: "BFDOneSided", Severity: Warning,
			Message: fmt.Sprintf("the session between nodes %s and %s has BFD on one side only: BFD never comes up, and nothing is noticed by it", s.From.Name, s.To.Name),
			Fix:     "configure it on both sides, or on none",
		})
	}
	c.graceful(s, s.From, s.To)
	c.graceful(s, s.To, s.From)
}

// graceful checks that a node that restarts finds what it counts on at the other side.
func (c *checker) graceful(s mesh.Session, restarts, helps *mesh.Node) {
	its, theirs := restarts.Config.BGP.GracefulRestart, helps.Config.BGP.GracefulRestart
	if !its.Enabled {
		return
	}
	about := fmt.Sprint(c.rank[restarts], c.rank[helps])
	switch {
	case !theirs.Enabled:
		c.add(about, Finding{
			Code: "GracefulRestartOneSided", Severity: Warning,
			Message: fmt.Sprintf("node %s counts on graceful restart, node %s has it off: the routes of %s go at each of its restarts", restarts.Name, helps.Name, restarts.Name),
			Places:  both(at(restarts, "bgp.gracefulRestart.enabled", true), at(helps, "bgp.gracefulRestart.enabled", false)),
			Fix:     "write the same on both sides",
		})
	case theirs.StaleTime < its.RestartTime:
		c.add(about, Finding{
			Code: "GracefulRestartStale", Severity: Warning,
			Message: fmt.Sprintf("node %s asks for %s to restart in, node %s keeps its routes for %s at most", restarts.Name, its.RestartTime, helps.Name, theirs.StaleTime),
			Places:  both(at(restarts, "bgp.gracefulRestart.restartTime", its.RestartTime), at(helps, "bgp.gracefulRestart.staleTime", theirs.StaleTime)),
			Fix:     fmt.Sprintf("write a staleTime of %s or more, or a shorter restartTime", its.RestartTime),
		})
	}
	c.reconnects(s, restarts, helps)
}

// reconnects checks that a restarted node is back before its routes are dropped. Whoever does not wait for the other
// connects: in the worst case the session is there only a hold time after the crash, when the helper notices, or with
// the next try.
func (c *checker) reconnects(s mesh.Session, restarts, helps *mesh.Node) {
	its, retry := s.Peer(), restarts.Config.BGP.ConnectRetry
	if restarts == s.To {
		its = s.BackPeer()
	}
	if its.Passive || helps.Config.BGP.Port == -1 {
		retry = helps.Config.BGP.ConnectRetry
	}
	limit := restarts.Config.BGP.GracefulRestart.RestartTime
	if retry < limit {
		return
	}
	c.add(fmt.Sprint(c.rank[restarts], c.rank[helps]), Finding{
		Code: "GracefulRestartRetry", Severity: Warning,
		Message: fmt.Sprintf("after a restart of node %s its session with node %s may be tried again only after %s, when its routes were kept for %s",
			restarts.Name, helps.Name, retry, limit),
		Places: both(at(restarts, "bgp.gracefulRestart.restartTime", limit), at(helps, "bgp.connectRetry", helps.Config.BGP.ConnectRetry)),
		Fix:    "write a connectRetry that is much shorter than restartTime",
	})
}

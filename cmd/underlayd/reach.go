package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/bfd"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/status"
)

// What BFD's word counts for (RFC 5882, section 4.3). While a session is established, a loss means that packets do not get
// through: the session is ended and its routes are given up at once, graceful restart or not, and no brake holds them.
// While a peer restarts, its BFD is expected to be silent, unless it has said that its BFD outlives its control plane: then
// a loss means that it does not forward either, and the restart is given up. A session is not kept from coming up for want
// of BFD: a peer need not speak it.

// farHops is for an internal peer that is not on-link: nobody says how far it is.
const farHops = bfd.MaxHops

// bfdSessions says to BFD what the configuration says of the peers. Those in quarantine have none.
func bfdSessions(c *config.Config, peers []bgp.Peer, onLink func(netip.Addr) bool) []bfd.Session {
	in := make(map[netip.Addr]bool, len(peers))
	for _, p := range peers {
		in[p.Address] = true
	}
	var sessions []bfd.Session
	for _, p := range c.BGP.Peers {
		if p.BFD.Interval == 0 || !in[p.Address] || unfound(p.Address) {
			continue
		}
		s := bfd.Session{Peer: p.Address, Local: p.LocalAddress, Interval: p.BFD.Interval, Multiplier: p.BFD.Multiplier}
		switch s.Hops = max(p.Hops, p.Multihop); {
		case s.Hops > 0:
		case onLink(p.Address):
			s.Hops = 1
		default:
			s.Hops = farHops
		}
		sessions = append(sessions, s)
	}
	return sessions
}

// watchReach has BFD watch the peers.
func (a *agent) watchReach(peers []bgp.Peer) {
	if a.drain.stage >= closing {
		peers = nil // they are told that the silence is no failure
	}
	onLink := func(peer netip.Addr) bool {
		return peer.IsLinkLocalUnicast() || slices.ContainsFunc(a.facts.Connected, func(p netip.Prefix) bool { return p.Contains(peer) })
	}
	if err := a.bfd.SetSessions(bfdSessions(a.config, peers, onLink)); err != nil {
		a.log.WithError(err).Error("BFD")
	}
}

// followReach acts on what BFD has found out. Traffic moves first, then the sessions end.
func (a *agent) followReach(ctx context.Context) {
	a.stale = true
	type end struct {
		peer netip.Addr
		why  string
	}
	var ends []end
	for _, loss := range a.bfd.Lost() {
		why := "BFD: " + reachWords(loss)
		fell := a.speaker.Fall(loss.Peer, why)
		a.log.WithFields(logrus.Fields{
			"peer": a.view.names[loss.Peer], "address": loss.Peer, "diagnostic": loss.Diag.String(), "silence": loss.Silence, "session": fell,
		}).Warn("BFD session lost")
		switch restart, lost := a.losses[loss.Peer]; {
		case fell:
			ends = append(ends, end{loss.Peer, why})
		case lost && restart.Cause == bgp.Restarting && loss.RemoteIndependent:
			a.unreachable(ctx, restart)
		}
	}
	a.lose(ctx, a.speaker.Lost())
	for _, e := range ends {
		if err := a.speaker.Reset(ctx, e.peer, e.why); err != nil {
			a.failed(err)
		}
	}
}

// unreachable ends the graceful restart of a peer that does not forward.
func (a *agent) unreachable(ctx context.Context, loss bgp.Loss) {
	loss.Cause, loss.Grace = bgp.Unreachable, 0
	a.losses[loss.Peer] = loss
	if err := a.speaker.Renew(ctx, loss.Peer, bgp.Unreachable); err != nil {
		a.failed(err)
	}
}

func reachWords(loss bfd.Loss) string {
	if loss.Silence > 0 {
		return fmt.Sprintf("no packet for %s", loss.Silence.Round(time.Millisecond))
	}
	return loss.Diag.String()
}

// reachStatus tells what BFD knows, by peer.
func (a *agent) reachStatus() map[netip.Addr]*status.BFD {
	out := map[netip.Addr]*status.BFD{}
	for _, s := range a.bfd.Sessions() {
		out[s.Peer] = &status.BFD{
			State: s.Status.String(), Since: s.Since, Problem: s.Problem, Losses: s.Losses,
			Interval: s.TxInterval, DetectionTime: s.DetectionTime,
		}
		if s.Status != bfd.Up {
			out[s.Peer].Diagnostic, out[s.Peer].RemoteDiagnostic = s.Diag.String(), s.RemoteDiag.String()
		}
	}
	return out
}

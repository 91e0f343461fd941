package main

import (
	"context"
	"maps"
	"net/netip"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/underlayd/underlayd/bgp"
)

// lose notes sessions that ended. They stay noted until the peer has told all of its routes again.
func (a *agent) lose(ctx context.Context, gone []bgp.Loss) {
	if len(gone) == 0 {
		return
	}
	peers := make([]netip.Addr, len(gone))
	for i, loss := range gone {
		a.losses[loss.Peer] = loss
		peers[i] = loss.Peer
	}
	a.failover(ctx, peers)
	a.showAway()
}

// followLosses looks after sessions that ended: those that are back, and those that have been waited for long enough.
func (a *agent) followLosses(ctx context.Context, sessions []bgp.Session) {
	if len(a.losses) == 0 {
		return
	}
	known := make(map[netip.Addr]bgp.Session, len(sessions))
	for _, s := range sessions {
		known[s.Address] = s
	}
	for peer, loss := range a.losses {
		s, configured := known[peer]
		switch {
		case !configured:
			delete(a.losses, peer)
		case s.Established && loss.Cause == bgp.Restarting && loss.Grace > 0 && !s.GracefulRestart:
			a.giveUp(ctx, loss, s, "the peer has come back without graceful restart")
		case s.Complete:
			delete(a.losses, peer)
			a.returned(ctx, peer)
		case loss.Cause == bgp.Restarting && loss.Grace > 0 && time.Since(loss.At) >= a.grace(loss):
			a.giveUp(ctx, loss, s, "the peer has not told all of its routes again in time")
		}
	}
	a.showAway()
}

// giveUp ends the graceful restart of a peer: what it has not confirmed by now is not believed any more.
func (a *agent) giveUp(ctx context.Context, loss bgp.Loss, s bgp.Session, why string) {
	a.log.WithFields(logrus.Fields{"peer": s.Peer, "address": s.Address, "since": time.Since(loss.At).Round(time.Second)}).
		Warn("graceful restart is over: " + why)
	loss.Grace = 0
	a.losses[loss.Peer] = loss
	cause := bgp.Restarting
	if s.Established {
		cause = bgp.Disconnected // it sends all again in a moment
	}
	if err := a.speaker.Renew(ctx, loss.Peer, cause); err != nil {
		a.failed(err)
	}
}

// grace is for how long the routes of a lost session are kept whatever else happens.
func (a *agent) grace(loss bgp.Loss) time.Duration {
	return min(loss.Grace, a.config.BGP.GracefulRestart.StaleTime)
}

// showAway lets the views tell which paths await confirmation. They tell it of rows that are on the board already, so
// that the next table has to say that its rows are not what they were.
func (a *agent) showAway() {
	away := make(map[netip.Addr]bool, len(a.losses))
	for peer := range a.losses {
		away[peer] = true
	}
	if last := a.away.Load(); last != nil && maps.Equal(*last, away) {
		return
	}
	a.away.Store(&away)
	a.sharedChanged, a.stale = true, true
}

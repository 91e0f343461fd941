package main

import (
	"context"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/underlayd/underlayd/bgp"
)

// converge prunes what no peer announced any more since the start, once all of them have had their say or the
// start limit has passed. As long as no session came up, or it is not known which peers there are, there is nothing to go
// by: the last routes stay.
func (a *agent) converge(ctx context.Context) {
	if a.converged || !a.peersSet {
		return
	}
	sessions := a.speaker.Sessions()
	complete := len(sessions) > 0 && !a.probation.on && a.peering.known
	deferred := time.Since(a.started) >= a.config.BGP.GracefulRestart.Deferral
	for _, s := range sessions {
		a.everUp = a.everUp || s.Established
		complete = complete && (s.Complete || deferred && !a.expected(s))
	}
	if deferred && !a.probation.on {
		a.restarted(ctx)
	}
	// What a peer may announce whose password the API has still to show is not known either.
	late := a.everUp && !a.probation.on && a.peering.known && !a.waitsForKeys() && time.Since(a.waiting()) >= a.config.BGP.StartLimit
	if !complete && !late {
		return
	}
	a.hear(ctx, 0) // what arrived before the last End-of-RIB counts, all of it
	a.restarted(ctx)
	pruned, err := a.kernel.Prune(ctx)
	if err != nil {
		a.log.WithError(err).Warn("not all stale routes are gone from the kernel; trying again")
		return
	}
	a.converged, a.stale = true, true
	a.log.WithFields(logrus.Fields{
		"after": time.Since(a.started).Round(time.Millisecond), "routes": a.kernel.Stats().Routes, "pruned": pruned, "complete": complete,
	}).Info("converged")
}

// waiting is since when all peers may speak.
func (a *agent) waiting() time.Time {
	if a.probation.over.IsZero() {
		return a.started
	}
	return a.probation.over
}

// restarted ends our restart in the sense of RFC 4724, section 4.1: what was deferred is done now.
func (a *agent) restarted(ctx context.Context) {
	if a.held != nil {
		a.release(ctx)
	}
	if err := a.speaker.Restarted(ctx); err != nil {
		a.failed(err)
	}
}

// logSessions says once when a session comes or goes.
func (a *agent) logSessions(sessions []bgp.Session) {
	last := a.sessions
	a.sessions = make(map[string]bool, len(last))
	for _, s := range sessions {
		a.sessions[s.Peer] = s.Established
		if last[s.Peer] == s.Established {
			continue
		}
		a.stale = true
		log := a.log.WithFields(logrus.Fields{"peer": s.Peer, "address": s.Address, "asn": s.ASN})
		if s.Established {
			log.Info("session established")
		} else {
			log.WithField("reason", s.LastError).Warn("session lost")
		}
	}
}

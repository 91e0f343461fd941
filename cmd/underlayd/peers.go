package main

import (
	"cmp"
	"context"
	"reflect"
	"time"

	"github.com/underlayd/underlayd/bgp"
)

// setPeers hands the peers to the speaker if they are not those it was handed last.
func (a *agent) setPeers(ctx context.Context) {
	if !a.peersSet || !reflect.DeepEqual(a.presentPeers(), a.peers) {
		a.handPeers(ctx)
	}
}

// handPeers hands the peers to the speaker, whatever it was handed last: it may have lost one of them on the way. The first
// time it waits for the pod CIDRs and for all peers and their passwords to be known, though not for ever: learning does not depend on
// advertising, and a peer that is not known yet is heard later.
func (a *agent) handPeers(ctx context.Context) {
	if !a.peersSet && (!a.podsKnown || !a.peering.known) && time.Since(a.started) < a.config.BGP.GracefulRestart.Deferral {
		return
	}
	peers := a.presentPeers()
	if !a.peersSet && a.waitsForKeys() && time.Since(a.started) < a.config.BGP.GracefulRestart.Deferral {
		return
	}
	a.peersSet, a.stale, a.peers = true, true, peers
	a.watchReach(a.peers)
	if err := a.speaker.SetPeers(ctx, a.peers); err != nil {
		a.failed(err)
	}
}

// presentPeers are those that are to have a session now.
func (a *agent) presentPeers() []bgp.Peer {
	peers := a.admitted(a.speakerPeers(), time.Now())
	if a.drain.stage == drained {
		return nil
	}
	return peers
}

func (a *agent) speakerPeers() []bgp.Peer {
	a.keys = a.passwords.of(a.config)
	peers := speakerPeers(a.config, a.plan, a.kernel.LocalAddresses, a.keys)
	for i := range peers {
		peers[i].Refused = cmp.Or(a.missing[peers[i].Name], peers[i].Refused)
	}
	peers = asGateway(a.config, a.border.told, a.advertised, peers)
	return asReflector(a.config, a.routerID, a.drain.stage >= withdrawn, peers)
}

// failed notes that the speaker did not take everything; tick tries again.
func (a *agent) failed(err error) {
	a.retry, a.lastRetry = true, time.Now()
	a.log.WithError(err).Error("BGP speaker")
}

package main

import (
	"net/netip"
	"slices"
	"time"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/status"
)

// protection says what guards the connection with a peer, as it was last handed to the speaker.
func (a *agent) protection(peer netip.Addr) (ttlSecurity, md5 bool) {
	i := slices.IndexFunc(a.peers, func(p bgp.Peer) bool { return p.Address == peer })
	if i < 0 {
		return false, false
	}
	return a.peers[i].Hops > 0, !a.peers[i].Password.IsZero()
}

func negotiatedStatus(s bgp.Session) *status.Negotiated {
	if !s.Established {
		return nil
	}
	n := s.Negotiated
	out := &status.Negotiated{
		FourOctetAS: n.FourOctetAS, RouteRefresh: n.RouteRefresh, EnhancedRouteRefresh: n.EnhancedRouteRefresh, ExtendedMessages: n.ExtendedMessages,
		AddPathsReceived: n.AddPathsReceived, AddPathsSent: n.AddPathsSent, PeerCapabilities: n.PeerCapabilities,
	}
	if out.PeerCapabilities == nil {
		out.PeerCapabilities = []string{}
	}
	if r := n.Restart; r != nil {
		out.PeerRestart = &status.PeerRestart{
			Seconds: int(r.Time / time.Second), Restarted: r.Restarted, Notification: r.Notification, Families: r.Families, Forwarding: r.Forwarding,
		}
	}
	return out
}

func endStatus(e bgp.Ending) *status.SessionEnd {
	if e.By == "" {
		return nil
	}
	return &status.SessionEnd{By: e.By, Reason: e.Reason, Code: e.Code, Subcode: e.Subcode, Words: e.Words}
}

// addDetails puts in what GoBGP and the kernel know of a session. Only a person's question counts what is advertised.
func addDetails(s *status.Session, d bgp.Details, advertised bool) {
	s.Received = &d.Received
	if advertised {
		s.Advertised = &d.Advertised
	}
	if s.State != status.Established {
		return
	}
	if d.LocalAddress.IsValid() && (!s.LocalAddress.IsValid() || s.LocalAddress.IsUnspecified()) {
		s.LocalAddress = d.LocalAddress // GoBGP has what was configured
	}
	s.Traffic = &status.SessionTraffic{
		HoldSeconds: int(d.HoldTime / time.Second), KeepaliveSeconds: int(d.Keepalive / time.Second), LastHeard: d.LastHeard,
		MessagesReceived: d.MessagesIn, MessagesSent: d.MessagesOut, UpdatesReceived: d.UpdatesIn, UpdatesSent: d.UpdatesOut,
	}
	if !advertised {
		return
	}
	s.Prefixes = map[string]status.FamilyCounts{}
	for family, c := range map[config.Family]bgp.FamilyCounters{config.IPv4: d.IPv4, config.IPv6: d.IPv6} {
		if slices.Contains(s.Families, string(family)) {
			s.Prefixes[string(family)] = status.FamilyCounts{Received: c.Received, Advertised: c.Advertised}
		}
	}
}

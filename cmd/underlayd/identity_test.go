package main

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/status"
)

func TestIdentifiersThatAreUsedTwiceAreNamed(t *testing.T) {
	own, id := netip.MustParseAddr("172.16.0.10"), netip.MustParseAddr("10.255.0.1")
	up := func(name, address string, asn uint32) bgp.Session {
		return bgp.Session{Peer: name, Address: netip.MustParseAddr(address), ASN: asn, Established: true, RouterID: id}
	}
	down := bgp.Session{Peer: "tor-a", Address: peerA, ASN: 64512, LastError: "notification sent: notification-sent code 2(open message error) subcode 3(bad bgp identifier)"}
	for name, row := range map[string]struct {
		sessions []bgp.Session
		want     []status.Problem
	}{
		"a peer that has ours": {[]bgp.Session{down}, []status.Problem{{
			Severity: status.Error, Subject: "BGP identifier 172.16.0.10",
			Message: "this node and peer tor-a (192.168.0.2, AS 64512) have the same one, and no session comes up: give one of them another (here it is bgp.routerID)",
		}}},
		"two peers of one AS": {[]bgp.Session{up("tor-a", "192.168.0.2", 65000), up("tor-b", "192.168.0.3", 65000)}, []status.Problem{{
			Severity: status.Warning, Subject: "peer tor-b", // no word of a peer's: it becomes a label
			Message: "has the BGP identifier 10.255.0.1, and so has peer tor-a (192.168.0.2) of the same AS 65000: unless they are one router, give one of them another",
		}}},
		"two peers of two AS, which is allowed":  {[]bgp.Session{up("tor-a", "192.168.0.2", 65000), up("tor-b", "192.168.0.3", 65001)}, nil},
		"one router over both families":          {[]bgp.Session{up("tor-a", "192.168.0.2", 65000), up("tor-a-6", "fd00::2", 65000)}, nil},
		"a peer of another AS that has ours":     {[]bgp.Session{{Peer: "tor-a", Address: peerA, ASN: 65000, Established: true, RouterID: own}}, nil},
		"a peer that is down for something else": {[]bgp.Session{{Peer: "tor-a", Address: peerA, LastError: "hold timer expired"}}, nil},
		"a peer that had ours and is up by now":  {[]bgp.Session{{Peer: "tor-a", Address: peerA, Established: true, RouterID: id, LastError: down.LastError}}, nil},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, row.want, identityProblems(row.sessions, own)) })
	}
}

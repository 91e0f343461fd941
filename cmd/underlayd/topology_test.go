package main

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/config/picture"
	"github.com/underlayd/underlayd/status"
)

func TestAPictureOfWhatRuns(t *testing.T) {
	a, b, tor := netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("192.168.1.2"), netip.MustParseAddr("192.168.2.254")
	east := &status.Snapshot{Node: "east-1", Cluster: status.Cluster{Name: "east", ID: 1}, ASN: 64512, Sessions: []status.Session{
		{Peer: "west-1", Address: b, LocalAddress: a, ASN: 64513, State: status.Established, Families: []string{"ipv4"}},
		{Peer: "tor", Address: tor, ASN: 64512, State: "active"},
	}}
	west := &status.Snapshot{Node: "west-1", Cluster: status.Cluster{Name: "west", ID: 2}, ASN: 64513, Sessions: []status.Session{
		{Peer: "east-1", Address: a, LocalAddress: b, ASN: 64512, State: status.Established, Families: []string{"ipv4"}},
	}}
	p := fromStatus([]*status.Snapshot{east, west})
	require.Equal(t, []picture.Session{
		{A: "east/east-1", B: "west/west-1", Families: []string{"ipv4"}, State: "established"},
		{A: "east/east-1", B: "peer/tor/64512", Internal: true, State: "active"},
	}, p.Sessions, "a session of two daemons that were asked is one")
	require.Equal(t, []picture.Router{{ID: "peer/tor/64512", Name: "tor", ASN: 64512}}, p.Routers)
	require.Len(t, p.Clusters, 2)

	alone := fromStatus([]*status.Snapshot{west})
	require.Equal(t, []picture.Session{{A: "west/west-1", B: "peer/east-1/64512", Families: []string{"ipv4"}, State: "established"}}, alone.Sessions)

	// One router, called differently, over two sessions of which one is down.
	id := netip.MustParseAddr("9.9.9.9")
	a1 := &status.Snapshot{Node: "a-1", Cluster: status.Cluster{Name: "a"}, Sessions: []status.Session{
		{Peer: "tor-v4", Address: tor, ASN: 1, State: "idle"}, {Peer: "tor-v6", Address: netip.MustParseAddr("fd00::1"), ASN: 1, RouterID: id},
	}}
	a2 := &status.Snapshot{Node: "a-2", Cluster: status.Cluster{Name: "a"}, Sessions: []status.Session{
		{Peer: "tor-v4", Address: netip.MustParseAddr("192.168.3.254"), ASN: 1, RouterID: id},
	}}
	p = fromStatus([]*status.Snapshot{a1, a2})
	require.Equal(t, []picture.Router{{ID: "peer/tor-v6/1", Name: "tor-v6", ASN: 1}}, p.Routers)
	require.Len(t, p.Sessions, 3)
}

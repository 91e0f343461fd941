package status

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOnePeerIsToldInFull(t *testing.T) {
	s := healthy().Sessions[0]
	s.LocalPort, s.PeerPort, s.TTLSecurity, s.MD5, s.Flaps = 41234, 179, true, true, 2
	s.BFD = &BFD{State: "Up", Since: ago(time.Minute), Losses: 1, Interval: 100 * time.Millisecond, DetectionTime: 300 * time.Millisecond}
	s.RefusedTotal = map[string]uint64{"NoContract": 4}
	s.Negotiated = &Negotiated{
		FourOctetAS: true, RouteRefresh: true, AddPathsReceived: []string{"ipv4"}, PeerCapabilities: []string{"4-octet-as", "graceful-restart", "route-refresh"},
		PeerRestart: &PeerRestart{Seconds: 120, Restarted: true, Notification: true, Families: []string{"ipv4", "ipv6"}, Forwarding: []string{"ipv4"}},
	}
	s.Traffic = &SessionTraffic{HoldSeconds: 9, KeepaliveSeconds: 3, LastHeard: ago(2 * time.Second), MessagesReceived: 100, MessagesSent: 90, UpdatesReceived: 7, UpdatesSent: 3}
	s.Prefixes = map[string]FamilyCounts{"ipv4": {3, 2, 2, 1}, "ipv6": {1, 1, 1, 1}}
	s.LastEnd = &SessionEnd{By: "peer", Reason: "NotificationReceived", Code: 6, Subcode: 2, Words: "bye\x1b[31m"}
	for name, items := range map[string][]Session{"established": {s}, "down": sample().Sessions[1:]} {
		for _, format := range []Format{Table, JSON} {
			t.Run(name+" "+string(format), func(t *testing.T) {
				var b bytes.Buffer
				l := &PeerList{APIVersion: APIVersion, Kind: KindPeerList, Node: "east-1", Time: now, Items: items}
				require.NoError(t, WritePeer(&b, l, Options{Format: format, Now: now, Location: time.UTC}))
				golden(t, "peer-"+name+"."+string(format), b.Bytes())
			})
		}
	}
}

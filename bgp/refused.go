package bgp

import (
	"log/slog"
	"net/netip"
	"strings"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// BadIdentifier says that the session does not come up because one side refuses the other's BGP Identifier: within one AS
// they have the same (RFC 6286, section 2.2).
func (s Session) BadIdentifier() bool {
	return !s.Established && strings.Contains(strings.ToLower(s.LastError), "bad bgp identifier")
}

// A session that GoBGP refuses while the peer opens it makes no event, only a record of its log.
const (
	notificationMessage = "sent notification"
	notificationCode    = "Code"
	notificationSubcode = "Subcode"
)

// unexpectedInOpenSent is the subcode of the NOTIFICATION that GoBGP sends when the first message of a peer is no OPEN (RFC
// 6608, section 3). That message is a NOTIFICATION, as a rule, of which GoBGP does not tell.
const unexpectedInOpenSent = 1

// refusedPeer returns the peer that a record says was sent a NOTIFICATION, and which, if it says that.
func refusedPeer(r slog.Record, key string) (peer netip.Addr, why string, sent bool) {
	if r.Message != notificationMessage {
		return netip.Addr{}, "", false
	}
	var code, subcode int64
	r.Attrs(func(a slog.Attr) bool {
		switch {
		case a.Value.Kind() != slog.KindInt64:
		case a.Key == notificationCode:
			code = a.Value.Int64()
		case a.Key == notificationSubcode:
			subcode = a.Value.Int64()
		}
		return true
	})
	peer, err := netip.ParseAddr(key)
	if code == gobgp.BGP_ERROR_FSM_ERROR && subcode == unexpectedInOpenSent {
		return peer, "the peer answered our OPEN with another message, as one does that refuses the session", err == nil
	}
	return peer, "notification sent: " + gobgp.NewNotificationErrorCode(uint8(code), uint8(subcode)).String(), err == nil
}

// refuse records why a peer was refused. What ends an established session is told by its event.
func (t *table) refuse(peer netip.Addr, why string) {
	t.mu.Lock()
	if s := t.sessions[peer]; s != nil && !s.Established {
		s.LastError = why
	}
	t.mu.Unlock()
	t.poke()
}

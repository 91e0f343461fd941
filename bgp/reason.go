package bgp

import (
	"strings"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
)

// disconnectReason says in words why a session went down. What the peer wrote is hostile input:
// only printable ASCII survives, and not much of it.
func disconnectReason(state apiutil.PeerState) string {
	switch state.DisconnectReason {
	case api.PeerState_DISCONNECT_REASON_UNSPECIFIED, api.PeerState_DISCONNECT_REASON_IDLE_TIMER_EXPIRED:
		return "" // ordinary steps of the state machine
	}
	reason := strings.TrimPrefix(state.DisconnectReason.String(), "DISCONNECT_REASON_")
	reason = strings.ToLower(strings.ReplaceAll(reason, "_", " "))
	if message := printable(state.DisconnectMessage, 200); message != "" {
		reason += ": " + message
	}
	return reason
}

func printable(text string, limit int) string {
	var b strings.Builder
	for _, r := range text {
		if r < ' ' || r > '~' {
			r = '?'
		}
		if b.Len() == limit {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}

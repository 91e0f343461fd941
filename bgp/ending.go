package bgp

import (
	"fmt"
	"strings"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
)

// Who ended a session.
const (
	EndedByUs      = "us"
	EndedByPeer    = "peer"
	EndedByNetwork = "network" // nobody said anything: the connection broke, or was silent
)

// Ending is how a session ended, or an attempt to bring one up.
type Ending struct {
	By string // one of EndedByUs, EndedByPeer, EndedByNetwork; empty if there was no end yet
	// Reason is in a word what happened, such as NotificationReceived, HoldTimerExpired or ReadFailed.
	Reason string
	// Code and Subcode are those of the NOTIFICATION (RFC 4271, section 4.5), 0 if there was none or it is not known.
	Code, Subcode uint8
	Words         string // all that is known of it, in words; hostile input made printable
}

// ending tells how a session ended; false for what is an ordinary step of the state machine.
func ending(state apiutil.PeerState, words string) (Ending, bool) {
	e := Ending{Words: disconnectReason(state)}
	if e.Words == "" {
		return e, false
	}
	if words != "" {
		e.Words += ": " + words
	}
	for _, part := range strings.Split(strings.TrimPrefix(state.DisconnectReason.String(), "DISCONNECT_REASON_"), "_") {
		e.Reason += part[:min(1, len(part))] + strings.ToLower(part[min(1, len(part)):])
	}
	switch state.DisconnectReason {
	case api.PeerState_DISCONNECT_REASON_NOTIFICATION_RECEIVED, api.PeerState_DISCONNECT_REASON_HARD_RESET:
		e.By = EndedByPeer
	case api.PeerState_DISCONNECT_REASON_READ_FAILED, api.PeerState_DISCONNECT_REASON_WRITE_FAILED, api.PeerState_DISCONNECT_REASON_GRACEFUL_RESTART:
		e.By = EndedByNetwork
	default: // a hold timer that expires is ours
		e.By = EndedByUs
	}
	if _, numbers, found := strings.Cut(state.DisconnectMessage, "code "); found {
		_, _ = fmt.Sscanf(numbers, "%d(", &e.Code) // words that we do not know are no numbers
		if _, sub, found := strings.Cut(numbers, "subcode "); found {
			_, _ = fmt.Sscanf(sub, "%d(", &e.Subcode)
		}
	}
	return e, true
}

package bgp

import (
	"log/slog"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/stretchr/testify/require"
)

// TestAHardResetIsWhatItStandsFor: such as a shutdown, if both sides have agreed on the N bit (RFC 8538).
func TestAHardResetIsWhatItStandsFor(t *testing.T) {
	record := func(subcode int, data ...byte) slog.Record {
		r := slog.NewRecord(time.Time{}, slog.LevelInfo, reasonMessage, 0)
		r.Add(slog.Int("Code", 6), slog.Int("Subcode", subcode), slog.Any("Data", data))
		return r
	}
	for name, row := range map[string]struct {
		record slog.Record
		meant  notified
		words  string
	}{
		"a shutdown with words":           {record(9, 6, 2, 3, 'b', 'y', 'e'), notified{6, 2}, "bye"},
		"we are a neighbour no more":      {record(9, 6, 3), notified{6, 3}, ""},
		"a length beyond the end":         {record(9, 6, 2, 200, 'x'), notified{6, 2}, ""},
		"nothing inside":                  {record(9), notified{}, ""},
		"the same bytes of no Hard Reset": {record(4, 6, 2), notified{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			meant, words := hardReset(row.record)
			require.Equal(t, row.meant, meant)
			require.Equal(t, row.words, words)
		})
	}
}

func TestAnEndingSaysWhoEndedTheSession(t *testing.T) {
	for name, row := range map[string]struct {
		reason  api.PeerState_DisconnectReason
		message string
		want    Ending
		none    bool
	}{
		"the peer shuts it down": {reason: api.PeerState_DISCONNECT_REASON_NOTIFICATION_RECEIVED, message: "notification-received code 6(cease) subcode 2(administrative shutdown)",
			want: Ending{By: EndedByPeer, Reason: "NotificationReceived", Code: 6, Subcode: 2, Words: "notification received: notification-received code 6(cease) subcode 2(administrative shutdown)"}},
		"we refuse a message": {reason: api.PeerState_DISCONNECT_REASON_NOTIFICATION_SENT, message: "notification-sent code 3(update message) subcode 11(malformed AS_PATH)",
			want: Ending{By: EndedByUs, Reason: "NotificationSent", Code: 3, Subcode: 11, Words: "notification sent: notification-sent code 3(update message) subcode 11(malformed AS_PATH)"}},
		"the hold timer expires":    {reason: api.PeerState_DISCONNECT_REASON_HOLD_TIMER_EXPIRED, want: Ending{By: EndedByUs, Reason: "HoldTimerExpired", Words: "hold timer expired"}},
		"the connection breaks":     {reason: api.PeerState_DISCONNECT_REASON_READ_FAILED, want: Ending{By: EndedByNetwork, Reason: "ReadFailed", Words: "read failed"}},
		"words that nobody expects": {reason: api.PeerState_DISCONNECT_REASON_HARD_RESET, message: "code x subcode", want: Ending{By: EndedByPeer, Reason: "HardReset", Words: "hard reset: code x subcode"}},
		"an ordinary step":          {reason: api.PeerState_DISCONNECT_REASON_IDLE_TIMER_EXPIRED, none: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, ended := ending(apiutil.PeerState{DisconnectReason: row.reason, DisconnectMessage: row.message}, "")
			require.Equal(t, !row.none, ended)
			require.Equal(t, row.want, got)
		})
	}
}

package bgp

import (
	"encoding/hex"
	"net/netip"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
)

// TestWhatWasNotReadIsToldFromWhatWasWithdrawn decodes the messages themselves: should another version of GoBGP word its
// errors differently, a session would keep what it may have withdrawn.
func TestWhatWasNotReadIsToldFromWhatWasWithdrawn(t *testing.T) {
	families := map[gobgp.Family]gobgp.BGPAddPathMode{familyIPv4: gobgp.BGP_ADD_PATH_NONE, familyIPv6: gobgp.BGP_ADD_PATH_NONE}
	path := "40020a02020000fde80000fc01"
	for name, row := range map[string]struct {
		body   string
		unread bool
	}{
		"an attribute that is longer than its room":        {"0000" + "0016" + "40010100" + path + "800404" + "0000" + "180a1401", true},
		"an MP_REACH_NLRI with wrong flags":                {"0000" + "002f" + "c00e1e" + "00020110" + "fd0000be000000000000000000000001" + "00" + "40fd20000000000001" + "40010100" + path[:20] + "0000", true},
		"an MP_UNREACH_NLRI with wrong flags":              {"0000" + "000f" + "c00f0c" + "00020140fd20000000000001", true},
		"an ORIGIN that does not exist":                    {"0000" + "0018" + "40010109" + path + "400304ac100001" + "180a1401", false},
		"no NEXT_HOP, after all prefixes were read":        {"0000" + "0011" + "40010100" + path + "180a1401", false},
		"an AS_PATH of the right length, cut short inside": {"0000" + "0014" + "40010100" + "40020602020000fde8" + "400304ac100001" + "180a1401", false},
		"a community of three bytes, and no more odd":      {"0000" + "001e" + "40010100" + path + "400304ac100001" + "c00803000001" + "180a1401", false},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := gobgp.ParseBGPBody(updateHeader(t, row.body), unhex(t, row.body), &gobgp.MarshallingOption{AddPath: families})
			if err == nil {
				_, err = gobgp.ValidateUpdateMsg(m.Body.(*gobgp.BGPUpdate), families, true, false, false)
			}
			require.Equal(t, gobgp.ERROR_HANDLING_TREAT_AS_WITHDRAW, handlingOf(t, err), "%v", err)
			told := 0
			logger, _ := test.NewNullLogger()
			log := newLogger(logger, hearer{unread: func(peer netip.Addr) {
				require.Equal(t, netip.MustParseAddr("192.168.0.2"), peer)
				told++
			}}).With("Key", "192.168.0.2")
			log.Warn(withdrawnMessage, "State", "BGP_FSM_ESTABLISHED", withdrawnError, err.Error())
			require.Equal(t, row.unread, told == 1, "%v", err)
		})
	}
}

// TestASessionWhoseUpdatesCantBeReadIsReset does what the log's record leads to.
func TestASessionWhoseUpdatesCantBeReadIsReset(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	a := startRemote(t, "192.168.0.2", 65000, s)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{a.peer("a")}))
	established(t, s, "a")
	s.unread.add(a.addr)
	s.unread.add(a.addr)
	require.Eventually(t, func() bool { return s.Sessions()[0].Flaps == 1 }, patience, 10*time.Millisecond)
	established(t, s, "a")
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	body, err := hex.DecodeString(text)
	require.NoError(t, err)
	return body
}

func updateHeader(t *testing.T, text string) *gobgp.BGPHeader {
	t.Helper()
	return &gobgp.BGPHeader{Type: gobgp.BGP_MSG_UPDATE, Len: uint16(gobgp.BGP_HEADER_LENGTH + len(unhex(t, text)))}
}

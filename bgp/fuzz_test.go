package bgp

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/stretchr/testify/require"
)

// FuzzUpdate takes the body of an UPDATE all the way into the table: GoBGP's decoder and its checks as its server
// calls them, our reader of paths, the table. Whatever a peer writes, nothing of it panics, what comes out are masked
// prefixes of unicast families, and once all of it is withdrawn nothing is left.
func FuzzUpdate(f *testing.F) {
	for _, text := range []string{
		"0000" + "0000", // End-of-RIB
		"0000" + "0019" + "40010100" + "40020a02020000fde80000fc01" + "400304ac100001" + "180a1401",
		"0000" + "0027" + "40010100" + "40020a02020000fde80000fc01" + "400304ac100001" + "c0200c0000fc010000000100000002" + "180a1401",
		"0000" + "0038" + "900e001e" + "00020110" + "fd0000be000000000000000000000001" + "00" + "40fd20000000000001" + "40010100" + "40020a02020000fde80000fc01" + "400200",
		"0004" + "180a1401" + "0000",
		"0000" + "0010" + "900f000c" + "00020140fd20000000000001",
		"0000" + "001d" + "40010100" + "c0070100" + "40020a02020000fde80000fc01" + "400304ac100001" + "180a1401", // a broken AGGREGATOR
		"0000" + "0021" + "40010100" + "40020602010000fde8" + "400304ac100001" + "c0110a0202" + "0000fde80000fc01" + "180a1401",
		"0000" + "0008" + "40010100" + "40030fff" + "180a1401", // a length that lies
	} {
		body, err := hex.DecodeString(text)
		require.NoError(f, err)
		f.Add(uint8(0), body)
	}
	f.Fuzz(func(t *testing.T, session uint8, body []byte) {
		if len(body) > gobgp.BGP_MAX_EXTENDED_MESSAGE_LENGTH-gobgp.BGP_HEADER_LENGTH {
			return
		}
		update := received(t, session, body)
		if update == nil {
			return
		}
		peer := netip.MustParseAddr("192.168.0.2")
		table := newTable(64512, 7)
		table.addSession(Peer{Transport: Transport{Name: "peer", Address: peer}})
		paths := announcements(update, peer)
		table.update(paths)
		for _, c := range table.drain(0) {
			require.Equal(t, c.Prefix.Masked(), c.Prefix)
			require.False(t, c.Prefix.Addr().Is4In6() && c.Prefix.Addr().Is4())
			for _, p := range c.Paths.All() {
				require.Equal(t, peer, p.Peer)
				require.False(t, p.NextHop.Is4In6() && p.NextHop.Is4())
			}
		}
		for _, p := range paths {
			p.Withdrawal = true
		}
		table.update(paths)
		table.drain(0)
		require.Zero(t, table.prefixes.Len())
		require.Empty(t, table.sets.sets)
	})
}

// received decodes and checks an UPDATE as GoBGP's server does on an established session; nil if the session would be
// reset, or the message be ignored.
func received(t *testing.T, session uint8, body []byte) *gobgp.BGPUpdate {
	families := map[gobgp.Family]gobgp.BGPAddPathMode{familyIPv4: gobgp.BGP_ADD_PATH_NONE}
	if session&1 == 0 {
		families[familyIPv6] = gobgp.BGP_ADD_PATH_NONE
	}
	header := &gobgp.BGPHeader{Type: gobgp.BGP_MSG_UPDATE, Len: uint16(gobgp.BGP_HEADER_LENGTH + len(body))}
	m, err := gobgp.ParseBGPBody(header, body, &gobgp.MarshallingOption{
		AddPath: families, Use2ByteAS: session&2 != 0, ExtendedMessage: session&4 != 0,
	})
	handling := handlingOf(t, err)
	if m == nil {
		return nil
	}
	update := m.Body.(*gobgp.BGPUpdate)
	if handling == gobgp.ERROR_HANDLING_NONE {
		_, err = gobgp.ValidateUpdateMsg(update, families, session&8 == 0, false, false)
		handling = handlingOf(t, err)
	}
	switch handling {
	case gobgp.ERROR_HANDLING_SESSION_RESET, gobgp.ERROR_HANDLING_AFISAFI_DISABLE, gobgp.ERROR_HANDLING_TREAT_AS_WITHDRAW:
		return nil
	default:
		return update
	}
}

// handlingOf is what GoBGP's server does about an error. It converts without a second look, in the goroutine of the
// session: an error of another kind would end the process.
func handlingOf(t *testing.T, err error) gobgp.ErrorHandling {
	t.Helper()
	if err == nil {
		return gobgp.ERROR_HANDLING_NONE
	}
	e, ok := err.(*gobgp.MessageError) //nolint:errorlint // GoBGP itself does not unwrap
	require.True(t, ok, "GoBGP would panic: %T: %s", err, err)
	return e.ErrorHandling
}

// announcements are the events that GoBGP makes of an UPDATE.
func announcements(update *gobgp.BGPUpdate, peer netip.Addr) []*apiutil.Path {
	var events []*apiutil.Path
	for _, nlri := range update.NLRI {
		events = append(events, &apiutil.Path{Family: familyIPv4, Nlri: nlri.NLRI, Attrs: update.PathAttributes, PeerAddress: peer})
	}
	for _, a := range update.PathAttributes {
		if reach, ok := a.(*gobgp.PathAttributeMpReachNLRI); ok {
			for _, nlri := range reach.Value {
				events = append(events, &apiutil.Path{Family: gobgp.NewFamily(reach.AFI, reach.SAFI), Nlri: nlri.NLRI, Attrs: update.PathAttributes, PeerAddress: peer})
			}
		}
	}
	return events
}

// FuzzMessage hands any message of any type to GoBGP's decoder: what a peer may send before a session is up. The server
// converts errors without looking.
func FuzzMessage(f *testing.F) {
	for kind, text := range map[uint8]string{
		gobgp.BGP_MSG_OPEN:          "04fde8005ac0a8000214" + "0212" + "010400010001" + "010400020001" + "41040000fde8",
		gobgp.BGP_MSG_NOTIFICATION:  "0602" + "05" + "68656c6c6f",
		gobgp.BGP_MSG_KEEPALIVE:     "",
		gobgp.BGP_MSG_ROUTE_REFRESH: "00010001",
		9:                           "00",
	} {
		body, err := hex.DecodeString(text)
		require.NoError(f, err)
		f.Add(kind, body)
	}
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		if len(body) > gobgp.BGP_MAX_EXTENDED_MESSAGE_LENGTH-gobgp.BGP_HEADER_LENGTH {
			return
		}
		header := &gobgp.BGPHeader{Type: kind, Len: uint16(gobgp.BGP_HEADER_LENGTH + len(body))}
		m, err := gobgp.ParseBGPBody(header, body)
		handlingOf(t, err)
		if err != nil || m.Header.Type != gobgp.BGP_MSG_OPEN {
			return
		}
		open := m.Body.(*gobgp.BGPOpen)
		_, err = gobgp.ValidateOpenMsg(open, 0, 64512, netip.MustParseAddr("192.168.0.1"))
		handlingOf(t, err)
		var capabilities []gobgp.ParameterCapabilityInterface
		for _, parameter := range open.OptParams {
			if p, ok := parameter.(*gobgp.OptionParameterCapability); ok {
				capabilities = append(capabilities, p.Capability...)
			}
		}
		s := session{Session: Session{State: "openconfirm"}, endOfRIB: map[gobgp.Family]bool{}}
		s.apply(apiutil.Peer{State: apiutil.PeerState{SessionState: gobgp.BGP_FSM_ESTABLISHED, RemoteCap: capabilities, LocalCap: capabilities}}, time.Now())
		require.True(t, s.Established)
	})
}

// FuzzPrintable holds printable to its promise: what a peer writes can't move a terminal's cursor, forge a line of a log
// or make one long.
func FuzzPrintable(f *testing.F) {
	for _, text := range []string{"", "rack 7 moves", "\x1b[2J\x1b]0;owned\a", "line\r\nline", "\xff\xfe", "\u202egnp.exe", "é", strings.Repeat("x", 300)} {
		f.Add(text, 20)
	}
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit &= 0xff
		got := printable(text, limit)
		require.LessOrEqual(t, len(got), limit)
		for _, c := range []byte(got) {
			require.True(t, c >= ' ' && c <= '~', "%q", got)
		}
		require.Len(t, got, min(limit, utf8.RuneCountInString(text)))
	})
}

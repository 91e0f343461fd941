package bgp

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/stretchr/testify/require"
)

// TestANeighbourThatTurnsUsAwayIsRecognised: it answers each OPEN with Cease / Connection Collision Resolution, as one
// does that has a session with our address already (RFC 4271, section 6.8).
func TestANeighbourThatTurnsUsAwayIsRecognised(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	address := netip.MustParseAddr("192.168.0.2")
	listener, err := net.Listen("tcp4", address.String()+":0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	cease, err := gobgp.NewBGPNotificationMessage(gobgp.BGP_ERROR_CEASE, gobgp.BGP_ERROR_SUB_CONNECTION_COLLISION_RESOLUTION, nil).Serialize()
	require.NoError(t, err)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(conn, make([]byte, gobgp.BGP_HEADER_LENGTH))
			_, _ = conn.Write(cease)
			_ = conn.Close()
		}
	}()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{{Transport: Transport{
		Name: "fabric", Address: address, ASN: 65000, Port: number, HoldTime: holdTime, IPv4: true,
	}, ConnectRetry: time.Second}}))
	require.Empty(t, s.Sessions()[0].Contest, "one is not enough")
	require.Eventually(t, func() bool { return s.Sessions()[0].Contest.Closed >= contestOpens }, 2*patience, 50*time.Millisecond)
	session := s.Sessions()[0]
	require.False(t, session.Contest.Rival.Local.IsValid(), "nobody else has a connection with it")
	require.Equal(t, "the peer answered our OPEN with another message, as one does that refuses the session", session.LastError)
}

func TestWhatCountsAsBeingTurnedAway(t *testing.T) {
	at := func(seconds int) time.Time { return time.Time{}.Add(time.Hour + time.Duration(seconds)*time.Second) }
	type look struct {
		second int
		opens  uint64
	}
	for name, row := range map[string]struct {
		looks []look
		want  int
	}{
		"what was sent before is not known":            {[]look{{0, 5}}, 0},
		"each OPEN counts":                             {[]look{{0, 0}, {5, 1}, {10, 2}, {15, 3}}, 3},
		"no OPEN, since there is no connection":        {[]look{{0, 2}, {5, 2}, {10, 2}}, 0},
		"those of long ago do not":                     {[]look{{0, 0}, {5, 1}, {10, 2}, {300, 3}}, 1},
		"a peer that is added again begins anew":       {[]look{{0, 7}, {5, 8}, {10, 1}}, 1},
		"and counts on from there":                     {[]look{{0, 7}, {5, 8}, {10, 1}, {15, 2}}, 2},
		"several between two looks are one connection": {[]look{{0, 0}, {5, 3}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var c contender
			for _, l := range row.looks {
				c.note(l.opens, at(l.second))
			}
			require.Len(t, c.tries, row.want)
		})
	}
}

func TestAPeerThatRestartsIsNoFight(t *testing.T) {
	var c contender
	require.False(t, c.endures())
	begin := time.Now()
	for second := range 20 {
		c.note(uint64(second), begin.Add(time.Duration(second)*time.Second))
		require.False(t, c.endures())
	}
	c.note(20, begin.Add(21*time.Second))
	require.True(t, c.endures())
}

func TestASessionThatLastsIsNoFight(t *testing.T) {
	peer, now := netip.MustParseAddr("192.168.0.2"), time.Now()
	for name, row := range map[string]struct {
		session session
		is      bool
	}{
		"one that is down":                    {session{}, true},
		"one that has just come up":           {session{Session: Session{Established: true}, up: now.Add(-time.Second)}, true},
		"one that is up for a while":          {session{Session: Session{Established: true}, up: now.Add(-contestLasts - time.Second)}, false},
		"one that must not run, or is parked": {session{refused: "password file: not read"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			table := newTable(ownASN, 0)
			table.sessions[peer] = &row.session
			_, is := table.restless(now)[peer]
			require.Equal(t, row.is, is)
		})
	}
}

func TestWhoListensOnAPort(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	me := programName(strconv.Itoa(os.Getpid()))
	require.NotEmpty(t, me)
	require.Equal(t, me, PortHolder(port))
	require.NoError(t, listener.Close())
	require.Empty(t, PortHolder(port), "nobody")
}

func TestTheKernelsListOfSockets(t *testing.T) {
	word := func(a, b, c, d byte) string { // as the kernel prints it on this machine
		return strings.ToUpper(strconv.FormatUint(1<<32|uint64(binary.NativeEndian.Uint32([]byte{a, b, c, d})), 16)[1:])
	}
	text := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		"   0: " + word(192, 168, 0, 1) + ":00B3 " + word(192, 168, 0, 2) + ":B5C0 01 00000000:00000000 00:00000000 00000000     0        0 168 1 0\n" +
		"   1: " + word(0xfd, 0, 0, 0xfa) + word(0, 0, 0, 0) + word(0, 0, 0, 0) + word(0, 0, 0, 1) + ":00B3 " + strings.Repeat("0", 32) + ":0000 0A 0:0 0:0 0 0 0 169 1 0\n" +
		"   2: " + word(0, 0, 0, 0) + word(0, 0, 0, 0) + word(0, 0, 0xff, 0xff) + word(192, 168, 0, 1) + ":00B3 " + strings.Repeat("0", 32) + ":0000 0A 0:0 0:0 0 0 0 170 1 0\n"
	var found []tcpSocket
	require.NoError(t, readSockets(strings.NewReader(text), func(s tcpSocket) { found = append(found, s) }))
	require.Equal(t, []tcpSocket{
		{netip.MustParseAddrPort("192.168.0.1:179"), netip.MustParseAddrPort("192.168.0.2:46528"), tcpEstablished, "168"},
		{netip.MustParseAddrPort("[fd00:fa::1]:179"), netip.MustParseAddrPort("[::]:0"), tcpListen, "169"},
		{netip.MustParseAddrPort("192.168.0.1:179"), netip.MustParseAddrPort("[::]:0"), tcpListen, "170"},
	}, found)
	require.Error(t, readSockets(strings.NewReader("\n 0: nonsense:00B3 00:00 01 0 0 0 0 0 168 1\n"), func(tcpSocket) {}))
}

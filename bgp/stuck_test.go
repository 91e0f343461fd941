package bgp

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/stretchr/testify/require"
)

// TestASessionThatDoesNotComeUpIsStartedAgain: a peer says OPEN and nothing after, and GoBGP would wait for ever.
func TestASessionThatDoesNotComeUpIsStartedAgain(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	silent := netip.MustParseAddr("192.168.0.2")
	require.NoError(t, s.SetPeers(t.Context(), []Peer{{Transport: Transport{
		Name: "silent", Address: silent, ASN: 65000, Port: 1, Passive: true, HoldTime: holdTime, IPv4: true,
	}, ConnectRetry: time.Second}}))
	dialer := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: silent.AsSlice()}}
	dialer.SetMultipathTCP(false)
	conn, err := dialer.DialContext(t.Context(), "tcp", netip.AddrPortFrom(speaker, uint16(s.cfg.Port)).String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	capabilities := gobgp.NewOptionParameterCapability([]gobgp.ParameterCapabilityInterface{gobgp.NewCapMultiProtocol(familyIPv4)})
	open, err := gobgp.NewBGPOpenMessage(65000, 90, netip.MustParseAddr("1.1.1.1"), []gobgp.OptionParameterInterface{capabilities})
	require.NoError(t, err)
	raw, err := open.Serialize()
	require.NoError(t, err)
	_, err = conn.Write(raw)
	require.NoError(t, err)
	in := func(state string) bool { return s.Sessions()[0].State == state }
	require.Eventually(t, func() bool { return in("openconfirm") }, patience, 10*time.Millisecond)
	require.Empty(t, s.table.stuck(time.Now().Add(stuckLimit-time.Second)), "it has some time")

	s.table.mu.Lock()
	s.table.sessions[silent].entered = time.Now().Add(-stuckLimit - time.Second)
	s.table.mu.Unlock()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	_, err = io.Copy(io.Discard, conn)
	require.NoError(t, err, "the connection was closed")
	require.Eventually(t, func() bool { return in("active") }, patience, 10*time.Millisecond)
}

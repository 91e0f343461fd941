package scenario

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/containerlab"
)

// The types of BGP messages (RFC 4271, section 4.1).
const (
	typeOpen      = 1
	typeUpdate    = 2
	typeKeepalive = 4
)

func bgpMessage(kind byte, body ...byte) []byte {
	const header = 19
	m := slices.Repeat([]byte{0xff}, 16)
	m = binary.BigEndian.AppendUint16(m, uint16(header+len(body)))
	return append(append(m, kind), body...)
}

// blurt is all that brings up a session and announces a prefix, in one piece: OPEN, KEEPALIVE and UPDATE.
func (s speaker) blurt(prefix netip.Prefix) []byte {
	id, high, low := netip.MustParseAddr(s.IPv4).As4(), byte(s.ASN>>8), byte(s.ASN)
	open := append([]byte{4, high, low, 0, 90}, id[:]...)
	open = append(open, 14, 2, 12, 1, 4, 0, 1, 0, 1, 65, 4, 0, 0, high, low) // IPv4 unicast, four-octet AS number
	attributes := append([]byte{0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, high, low, 0x40, 3, 4}, id[:]...)
	net4 := prefix.Addr().As4()
	update := append([]byte{0, 0, 0, byte(len(attributes))}, attributes...)
	update = append(append(update, byte(prefix.Bits())), net4[:prefix.Bits()/8]...)
	return slices.Concat(bgpMessage(typeOpen, open...), bgpMessage(typeKeepalive), bgpMessage(typeUpdate, update...))
}

// TestGTSMHoldsFromTheFirstPacket is about an attacker far away who has a peer's address and says all it has to say
// before anybody could look at the connection (RFC 5082, section 3: packets that came too far are never processed).
func TestGTSMHoldsFromTheFirstPacket(t *testing.T) {
	t.Parallel()
	containerlab.Require(t, "ip", "go")
	far := slices.DeleteFunc(speakers(), func(s speaker) bool { return !s.Far })
	lab, _ := lan(t, far, far[0].Name, far[1].Name) // it is the test that speaks for them
	n := lab.Node("node")
	for _, s := range far {
		t.Run(s.Name, func(t *testing.T) {
			is(t, n, "ready to be connected to", func(st state) error {
				if !slices.ContainsFunc(st.Sessions, func(p session) bool { return p.Peer == s.Name && p.State == "active" }) {
					return errors.New("not yet")
				}
				return nil
			})
			require.NotContains(t, s.blurts(t, lab.Node(s.Name)), byte(typeKeepalive), "what was said is answered")
			has(t, n, nil)
			for _, p := range stateOf(t, n).Sessions {
				require.NotEqual(t, "established", p.State, p.Peer)
			}
		})
	}
}

// blurts connects to the node, says everything at once and returns the types of the messages that come back within a
// second: an OPEN is what anyone gets who connects, a KEEPALIVE is the answer to an OPEN (RFC 4271, section 8.2.2).
func (s speaker) blurts(t *testing.T, from *containerlab.Node) []byte {
	t.Helper()
	// With this option the last packet of the handshake waits for the data, and brings it along: it is there before
	// anybody could accept the connection.
	dialer := net.Dialer{Timeout: time.Second, Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 1)
		})
		return errors.Join(err, failed)
	}}
	var conn net.Conn
	err := from.Do(func() (err error) {
		conn, err = dialer.DialContext(t.Context(), "tcp", net.JoinHostPort(s.Peer, "179"))
		return err
	})
	if err != nil {
		return nil // not even that
	}
	defer conn.Close()
	_, err = conn.Write(s.blurt(netip.MustParsePrefix("10.20.66.0/24")))
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
	answer, _ := io.ReadAll(conn) // until the deadline, or until it is closed
	var types []byte
	for len(answer) >= 19 {
		types = append(types, answer[18])
		answer = answer[min(len(answer), int(binary.BigEndian.Uint16(answer[16:]))):]
	}
	return types
}

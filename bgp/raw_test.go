package bgp

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// raw is a peer that sends bytes of ours, and reads only when it is told to.
type raw struct {
	t    *testing.T
	conn net.Conn
}

// dial connects from a host and offers a hold time. It does not wait for an answer.
func dial(t *testing.T, s *subject, host string, hold uint16, buffer int) *raw {
	t.Helper()
	local := netip.MustParseAddr(host)
	dialer := net.Dialer{
		Timeout: patience, LocalAddr: &net.TCPAddr{IP: local.AsSlice()},
		Control: func(_, _ string, c syscall.RawConn) (err error) {
			return errorsOf(c.Control(func(fd uintptr) {
				if buffer > 0 {
					err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
				}
			}), err)
		},
	}
	dialer.SetMultipathTCP(false)
	conn, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort(s.facing(local).String(), strconv.Itoa(s.cfg.Port)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	r := &raw{t, conn}
	open, err := gobgp.NewBGPOpenMessage(65000, hold, netip.MustParseAddr("1.1.1.1"), []gobgp.OptionParameterInterface{
		gobgp.NewOptionParameterCapability([]gobgp.ParameterCapabilityInterface{
			gobgp.NewCapMultiProtocol(familyIPv4), gobgp.NewCapMultiProtocol(familyIPv6), gobgp.NewCapFourOctetASNumber(65000),
			gobgp.NewCapGracefulRestart(false, true, 120, []*gobgp.CapGracefulRestartTuple{gobgp.NewCapGracefulRestartTuple(familyIPv4, true)}),
		}),
	})
	require.NoError(t, err)
	for _, m := range []*gobgp.BGPMessage{open, gobgp.NewBGPKeepAliveMessage()} {
		text, err := m.Serialize()
		require.NoError(t, err)
		_, _ = conn.Write(text) // it may be closed already
	}
	return r
}

func (r *raw) send(m *gobgp.BGPMessage) {
	r.t.Helper()
	text, err := m.Serialize()
	require.NoError(r.t, err)
	_, err = r.conn.Write(text)
	require.NoError(r.t, err)
}

// notification reads until the connection ends and returns the code and the subcode that it was ended with.
func (r *raw) notification() (code, subcode uint8) {
	r.t.Helper()
	code, subcode, _ = r.lastWords()
	return code, subcode
}

// lastWords returns the data of the notification too.
func (r *raw) lastWords() (code, subcode uint8, data string) {
	r.t.Helper()
	require.NoError(r.t, r.conn.SetReadDeadline(time.Now().Add(patience)))
	header := make([]byte, gobgp.BGP_HEADER_LENGTH)
	for {
		if _, err := io.ReadFull(r.conn, header); err != nil {
			return code, subcode, data
		}
		body := make([]byte, int(binary.BigEndian.Uint16(header[16:]))-len(header))
		if _, err := io.ReadFull(r.conn, body); err != nil {
			return code, subcode, data
		}
		if header[18] == gobgp.BGP_MSG_NOTIFICATION {
			code, subcode, data = body[0], body[1], string(body[2:])
		}
	}
}

// flood sends n prefixes as fast as they are taken, many in each UPDATE, and returns how many it got rid of.
func (r *raw) flood(n, each int) int {
	attributes := []byte{
		0x40, 1, 1, 0, // ORIGIN
		0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe8, // AS_PATH
		0x40, 3, 4, 192, 168, 0, 2, // NEXT_HOP
	}
	for at := 0; at < n; at += each {
		body := append([]byte{0, 0, 0, byte(len(attributes))}, attributes...)
		for i := at; i < min(n, at+each); i++ {
			body = append(body, 32, 100+byte(i>>22), byte(i>>14), byte(i>>6), byte(i<<2))
		}
		message := make([]byte, 19, 19+len(body))
		for i := range 16 {
			message[i] = 0xff
		}
		binary.BigEndian.PutUint16(message[16:], uint16(19+len(body)))
		message[18] = gobgp.BGP_MSG_UPDATE
		if _, err := r.conn.Write(append(message, body...)); err != nil {
			return at
		}
	}
	return n
}

// connect dials until the session is there.
func connect(t *testing.T, s *subject) *raw { return connectWith(t, s, 90) }

func connectWith(t *testing.T, s *subject, hold uint16) *raw {
	t.Helper()
	r := dial(t, s, "192.168.0.2", hold, 0)
	require.Eventually(t, func() bool {
		if r.over() {
			r = dial(t, s, "192.168.0.2", hold, 0)
		}
		return named(s, "far").Established && !r.over()
	}, patience, 20*time.Millisecond)
	return r
}

// over says whether the connection was closed by the other side.
func (r *raw) over() bool {
	r.t.Helper()
	control, err := r.conn.(*net.TCPConn).SyscallConn()
	require.NoError(r.t, err)
	over := true
	require.NoError(r.t, control.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		over = err != nil || info.State != unix.BPF_TCP_ESTABLISHED
	}))
	return over
}

// facing is the speaker's address of a family.
func (s *subject) facing(peer netip.Addr) netip.Addr {
	return s.cfg.ListenAddresses[slices.IndexFunc(s.cfg.ListenAddresses, func(a netip.Addr) bool { return a.Is4() == peer.Is4() })]
}

func named(s *subject, name string) Session {
	for _, session := range s.Sessions() {
		if session.Peer == name {
			return session
		}
	}
	return Session{}
}

// next reads one message.
func (r *raw) next() (*gobgp.BGPMessage, error) {
	header := make([]byte, gobgp.BGP_HEADER_LENGTH)
	if _, err := io.ReadFull(r.conn, header); err != nil {
		return nil, err
	}
	whole := make([]byte, binary.BigEndian.Uint16(header[16:]))
	copy(whole, header)
	if _, err := io.ReadFull(r.conn, whole[gobgp.BGP_HEADER_LENGTH:]); err != nil {
		return nil, err
	}
	return gobgp.ParseBGPMessage(whole)
}

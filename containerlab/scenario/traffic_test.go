package scenario

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// echoPort is where pods answer.
const echoPort = 7

// listen answers every UDP packet and TCP connection that comes to a pod with the address it came from, as the pod
// sees it, followed by what was sent.
func listen(t *testing.T, pod *containerlab.Node) {
	t.Helper()
	var packets net.PacketConn
	var streams net.Listener
	require.NoError(t, pod.Do(func() (err error) {
		if packets, err = net.ListenPacket("udp", ":7"); err != nil {
			return err
		}
		streams, err = net.Listen("tcp", ":7")
		return err
	}))
	var wait sync.WaitGroup
	t.Cleanup(func() {
		_, _ = packets.Close(), streams.Close()
		wait.Wait()
	})
	wait.Go(func() {
		for buffer := make([]byte, 2048); ; {
			n, from, err := packets.ReadFrom(buffer)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = packets.WriteTo(append(sourceOf(from), buffer[:n]...), from)
			}
		}
	})
	wait.Go(func() {
		for {
			conn, err := streams.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write(sourceOf(conn.RemoteAddr()))
			_ = conn.Close()
		}
	})
}

// sourceOf is an address without its port in 16 bytes.
func sourceOf(a net.Addr) []byte {
	bytes := netip.MustParseAddrPort(a.String()).Addr().As16()
	return bytes[:]
}

// seenAs connects from one pod to an address and returns which address it is seen as there.
func seenAs(t *testing.T, pod *containerlab.Node, network, address string) string {
	t.Helper()
	conn, err := pod.Dial(t.Context(), network, netip.AddrPortFrom(netip.MustParseAddr(address), echoPort).String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
	if network == "udp" {
		_, err = conn.Write([]byte("hello"))
		require.NoError(t, err)
	}
	answer := make([]byte, 16, 64)
	_, err = io.ReadFull(&atOnce{conn}, answer)
	require.NoError(t, err)
	return netip.AddrFrom16([16]byte(answer)).Unmap().String()
}

// atOnce reads a whole packet for whoever wants its beginning.
type atOnce struct{ net.Conn }

func (a *atOnce) Read(p []byte) (int, error) {
	whole := make([]byte, 2048)
	n, err := a.Conn.Read(whole)
	return copy(p, whole[:n]), err
}

// stream sends a numbered packet every 10 ms from a pod to an address where another listens.
type stream struct {
	conn  net.Conn
	ended chan struct{}
	end   func() // closes ended, once
	wait  sync.WaitGroup

	mu       sync.Mutex // guards the counts and returned
	sent     uint64
	answered uint64
	returned map[uint64]bool
}

// startStream starts sending and returns once a packet has come back.
func startStream(t *testing.T, pod *containerlab.Node, address string) *stream {
	t.Helper()
	conn, err := pod.Dial(t.Context(), "udp", netip.AddrPortFrom(netip.MustParseAddr(address), echoPort).String())
	require.NoError(t, err)
	s := &stream{conn: conn, ended: make(chan struct{}), returned: map[uint64]bool{}}
	s.end = sync.OnceFunc(func() { close(s.ended) })
	t.Cleanup(func() {
		s.end()
		_ = conn.Close()
		s.wait.Wait()
	})
	s.wait.Go(s.send)
	s.wait.Go(s.receive)
	s.flows(t, 1)
	return s
}

func (s *stream) send() {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.ended:
			return
		case <-tick.C:
		}
		s.mu.Lock()
		number := s.sent
		s.sent++
		s.mu.Unlock()
		// An error, such as one that ICMP brought about, is a packet that does not come back.
		_, _ = s.conn.Write(binary.BigEndian.AppendUint64(nil, number))
	}
}

func (s *stream) receive() {
	for buffer := make([]byte, 64); ; {
		n, err := s.conn.Read(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n != 24 {
			continue
		}
		s.mu.Lock()
		if number := binary.BigEndian.Uint64(buffer[16:]); !s.returned[number] {
			s.returned[number] = true
			s.answered++
		}
		s.mu.Unlock()
	}
}

func (s *stream) counts() (sent, answered uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent, s.answered
}

// flows waits until so many more packets have come back.
func (s *stream) flows(t *testing.T, more uint64) {
	t.Helper()
	_, before := s.counts()
	require.Eventually(t, func() bool { _, now := s.counts(); return now >= before+more }, patience, 5*time.Millisecond,
		"packets do not come back")
}

// lost ends the sending and returns how many packets were sent and how many never came back.
func (s *stream) lost(t *testing.T) (sent, lost uint64) {
	t.Helper()
	s.end()
	deadline := time.NewTimer(time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		sent, answered := s.counts()
		if sent == answered {
			return sent, 0
		}
		select {
		case <-deadline.C:
			return sent, sent - answered
		case <-tick.C:
		}
	}
}

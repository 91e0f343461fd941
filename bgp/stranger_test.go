package bgp

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
)

// closed waits for the other side to close, whatever it may say before.
func (r *raw) closed() {
	r.t.Helper()
	_, _ = r.notification()
	_, err := r.conn.Read(make([]byte, 1))
	require.Error(r.t, err)
	require.NotErrorIs(r.t, err, os.ErrDeadlineExceeded, "it was not closed")
}

// TestStrangersAreNotHeard: there is no session, and no route, but with the addresses that are configured.
func TestStrangersAreNotHeard(t *testing.T) {
	s := start(t, nil)
	p := passive("far", "192.168.0.2")
	p.Import = []Range{{netip.MustParsePrefix("0.0.0.0/0"), 0, 32}}
	require.NoError(t, s.SetPeers(t.Context(), []Peer{p}))
	stranger := dial(t, s, "192.168.0.3", 90, 0)
	stranger.closed()
	require.Len(t, s.Sessions(), 1)
	require.False(t, named(s, "far").Established)
	r := connect(t, s)
	r.flood(10, 10)
	counted(t, s, 10)
	require.NoError(t, s.SetPeers(t.Context(), nil))
	r.closed()
	dial(t, s, "192.168.0.2", 90, 0).closed()
	newWorld(t, s).becomes()
}

// TestASecondConnectionDisturbsNothing: RFC 4271, section 6.8, lets the established one win.
func TestASecondConnectionDisturbsNothing(t *testing.T) {
	s := start(t, nil)
	p := passive("far", "192.168.0.2")
	p.Import = []Range{{netip.MustParsePrefix("100.0.0.0/8"), 8, 32}}
	require.NoError(t, s.SetPeers(t.Context(), []Peer{p}))
	r := connect(t, s)
	r.flood(10, 10)
	counted(t, s, 10)
	for range 20 {
		second := dial(t, s, "192.168.0.2", 90, 0)
		second.closed()
	}
	r.flood(20, 10)
	counted(t, s, 20)
	r.send(gobgp.NewBGPKeepAliveMessage())
	require.Zero(t, named(s, "far").Flaps)
	require.True(t, named(s, "far").Established)
}

// TestAFloodOfConnections costs neither memory nor descriptors nor the disk.
func TestAFloodOfConnections(t *testing.T) {
	var log *logtest.Hook
	s := start(t, func(c *Config) {
		logger, hook := logtest.NewNullLogger()
		c.Log, log = logger, hook
	})
	far := startRemote(t, "192.168.0.2", 65000, s)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{far.peer("far")}))
	established(t, s, "far")
	dialer := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(192, 168, 0, 3)}}
	dialer.SetMultipathTCP(false)
	target := net.JoinHostPort(speaker.String(), strconv.Itoa(s.cfg.Port))
	flood := func(n int) {
		for range n {
			conn, err := dialer.DialContext(t.Context(), "tcp", target)
			require.NoError(t, err)
			_, _ = conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
			require.NoError(t, conn.Close())
		}
	}
	flood(100)
	memory, files := heap(), descriptors(t)
	began := time.Now()
	flood(1000)
	took := time.Since(began)
	require.Eventually(t, func() bool { return descriptors(t) <= files+2 }, patience, 50*time.Millisecond)
	var more int64
	require.Eventually(t, func() bool { more = heap() - memory; return more < 1<<20 }, patience, 100*time.Millisecond, "%d KiB", &more)
	t.Logf("1000 connections in %s: %d KiB of heap, %d descriptors more", took, more>>10, descriptors(t)-files)
	require.Zero(t, named(s, "far").Flaps)
	loud := 0
	for _, e := range log.AllEntries() {
		if e.Level <= logrus.InfoLevel {
			loud++
		}
	}
	require.Less(t, loud, 20)
	far.announce(west)
	newWorld(t, s).becomes("10.20.1.0/24 from [192.168.0.2]")
}

func descriptors(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(files)
}

// TestThePeerIsToldWhy: each end of a session that is ours carries its reason (RFC 9003).
func TestThePeerIsToldWhy(t *testing.T) {
	for _, row := range []struct {
		name    string
		change  func(*Peer) []Peer
		subcode uint8
		text    string
	}{
		{"a peer that is removed and would keep our routes is reset hard (RFC 8538)", func(*Peer) []Peer { return nil },
			gobgp.BGP_ERROR_SUB_HARD_RESET, ""},
		{"another hold time", func(p *Peer) []Peer { p.HoldTime = 30 * time.Second; return []Peer{*p} },
			gobgp.BGP_ERROR_SUB_ADMINISTRATIVE_RESET, "configuration of this session was changed"},
		{"another password", func(p *Peer) []Peer { p.Password = Secret{"x"}; return []Peer{*p} },
			gobgp.BGP_ERROR_SUB_ADMINISTRATIVE_RESET, "password of this session was changed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := start(t, nil)
			p := passive("far", "192.168.0.2")
			require.NoError(t, s.SetPeers(t.Context(), []Peer{p}))
			r := connect(t, s)
			require.NoError(t, s.SetPeers(t.Context(), row.change(&p)))
			code, subcode, text := r.lastWords()
			require.EqualValues(t, gobgp.BGP_ERROR_CEASE, code)
			require.Equal(t, row.subcode, subcode)
			require.Contains(t, text, row.text)
		})
	}
}

package bgp

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gobgp "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func passive(name, host string) Peer {
	return Peer{Transport: Transport{
		Name: name, Address: netip.MustParseAddr(host), ASN: 65000, Port: 1, Passive: true, HoldTime: holdTime, IPv4: true, IPv6: true,
		GracefulRestart: GracefulRestart{Enabled: true, RestartTime: 120 * time.Second},
	}, ConnectRetry: time.Second, Deferral: time.Second, Import: ranges}
}

// TestTooManyPrefixes: a peer that sends a million is stopped long before, parked, and let in again.
func TestTooManyPrefixes(t *testing.T) {
	t.Parallel()
	for _, each := range []int{1, 500} {
		t.Run(fmt.Sprintf("%d in an UPDATE", each), func(t *testing.T) {
			s := start(t, func(c *Config) { c.Park = 4 * time.Second })
			other := startRemote(t, "192.168.0.3", 65001, s)
			other.announce(west)
			p := passive("far", "192.168.0.2")
			p.MaxPrefixes = 1000
			require.NoError(t, s.SetPeers(t.Context(), []Peer{p, other.peer("other")}))
			established(t, s, "other")
			before := heap()
			r := dial(t, s, "192.168.0.2", 90, 0)
			require.Eventually(t, func() bool { return named(s, "far").Established }, patience, 10*time.Millisecond)
			began := time.Now()
			sent := make(chan int, 1)
			go func() { sent <- r.flood(1000000, each) }()
			code, subcode := r.notification()
			require.Equal(t, []uint8{gobgp.BGP_ERROR_CEASE, gobgp.BGP_ERROR_SUB_MAXIMUM_NUMBER_OF_PREFIXES_REACHED}, []uint8{code, subcode})
			took := time.Since(began)
			session := parked(t, s)
			t.Logf("stopped after %s: %s; %d got rid of; %d MiB more of heap", took, session.LastError, <-sent, (heap()-before)>>20)
			require.Regexp(t, `^parked until .*Z: \d+ ipv4 prefixes, at most 1000 may be sent$`, session.LastError)
			require.False(t, session.Established)
			count, _ := strconv.Atoi(strings.Fields(strings.SplitN(session.LastError, ": ", 2)[1])[0])
			require.Less(t, count, 200000)
			newWorld(t, s).becomes("10.20.1.0/24 from [192.168.0.3]")
			require.Zero(t, named(s, "other").Flaps)
			require.NoError(t, s.SetPeers(t.Context(), []Peer{p, other.peer("other")}))
			if still := named(s, "far").ParkedUntil; time.Now().Before(session.ParkedUntil) {
				require.Equal(t, session.ParkedUntil, still, "saying it again does not help")
			}

			require.Eventually(t, func() bool { return named(s, "far").ParkedUntil.IsZero() }, patience, 10*time.Millisecond)
			require.NotContains(t, named(s, "far").LastError, "parked")
			r = connect(t, s)
			r.flood(500, 100)
			counted(t, s, 500)
			again := time.Now()
			r.flood(1500, 100)
			require.WithinRange(t, parked(t, s).ParkedUntil, again.Add(8*time.Second), time.Now().Add(8*time.Second), "twice as long")
			p.MaxPrefixes = 0
			require.NoError(t, s.SetPeers(t.Context(), []Peer{p, other.peer("other")}))
			require.True(t, named(s, "far").ParkedUntil.IsZero(), "another limit lets it in at once")
			connect(t, s).flood(1500, 100)
			counted(t, s, 1500)
		})
	}
}

// parked waits until the far peer is, and returns what is said of it then: a pause ends by itself.
func parked(t *testing.T, s *subject) (session Session) {
	t.Helper()
	require.Eventually(t, func() bool { session = named(s, "far"); return !session.ParkedUntil.IsZero() }, patience, 10*time.Millisecond)
	return session
}

func counted(t *testing.T, s *subject, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		c, err := s.Counters(t.Context(), false)
		return err == nil && c[netip.MustParseAddr("192.168.0.2")].Received == n
	}, patience, 10*time.Millisecond)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestNearTheLimit(t *testing.T) {
	var log *logtest.Hook
	s := start(t, func(c *Config) {
		logger, hook := logtest.NewNullLogger()
		c.Log, log = logger, hook
	})
	p := passive("far", "192.168.0.2")
	p.MaxPrefixes = 1000
	require.NoError(t, s.SetPeers(t.Context(), []Peer{p}))
	r := connect(t, s)
	r.flood(799, 300)
	counted(t, s, 799)
	require.Never(t, func() bool { return len(named(s, "far").Troubles) > 0 }, 1500*time.Millisecond, 50*time.Millisecond)
	r.flood(900, 300)
	require.Eventually(t, func() bool {
		return slices.Equal(named(s, "far").Troubles, []string{"900 ipv4 prefixes, at most 1000 may be sent"})
	}, patience, 10*time.Millisecond, "%v", named(s, "far").Troubles)
	warnings := 0
	for _, e := range log.AllEntries() {
		if e.Level == logrus.WarnLevel && strings.Contains(e.Message, "near its limit") {
			warnings++
		}
	}
	require.Equal(t, 1, warnings)
	require.True(t, named(s, "far").Established)
}

// TestKeepalivesAreNoNoise: a node with many peers must not look at them as often as at one that sends routes.
func TestKeepalivesAreNoNoise(t *testing.T) {
	keepalive, err := gobgp.NewBGPKeepAliveMessage().Serialize()
	require.NoError(t, err)
	require.False(t, noise(0))
	require.False(t, noise(uint64(len(keepalive))))
	require.False(t, noise(uint64(2*len(keepalive))), "one a second, and a second that is a little longer")
	require.True(t, noise(uint64(3*len(keepalive))))
}

func TestPausesGrow(t *testing.T) {
	l := newLimits(0)
	peer := netip.MustParseAddr("192.0.2.1")
	now := time.Unix(1000, 0)
	var pauses []string
	trip := func() {
		p := l.punish(peer, 1000, now)
		pauses = append(pauses, p.until.Sub(now).String())
		now = p.until
		p.until, p.back = time.Time{}, now
	}
	for range 8 {
		trip()
	}
	now = now.Add(59 * time.Minute)
	trip()
	now = now.Add(time.Hour)
	trip()
	require.Equal(t, []string{"1m0s", "2m0s", "4m0s", "8m0s", "16m0s", "32m0s", "1h0m0s", "1h0m0s", "1h0m0s", "1m0s"}, pauses)
}

// TestAPeerThatReadsNothing keeps its own keepalives coming and takes nothing in.
func TestAPeerThatReadsNothing(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	p := passive("far", "192.168.0.2")
	p.HoldTime = 6 * time.Second
	require.NoError(t, s.Advertise(t.Context(), many(3000)))
	require.NoError(t, s.SetPeers(t.Context(), []Peer{p}))
	r := dial(t, s, "192.168.0.2", 90, 1024)
	require.Eventually(t, func() bool { return named(s, "far").Established }, patience, 10*time.Millisecond)
	require.False(t, r.over())
	up := named(s, "far").Since
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for named(s, "far").Established && time.Since(up) < patience {
		text, err := gobgp.NewBGPKeepAliveMessage().Serialize()
		require.NoError(t, err)
		_, _ = r.conn.Write(text)
		<-tick.C
	}
	session := named(s, "far")
	require.False(t, session.Established, "its own keepalives would keep it up for ever")
	t.Logf("noticed after %s: %s", session.Since.Sub(up), session.LastError)
}

// TestHoldTimes that a peer may ask for.
func TestHoldTimes(t *testing.T) {
	t.Parallel()
	for _, hold := range []uint16{1, 2} {
		t.Run(fmt.Sprintf("%d s is refused", hold), func(t *testing.T) {
			s := start(t, nil)
			require.NoError(t, s.SetPeers(t.Context(), []Peer{passive("far", "192.168.0.2")}))
			require.Eventually(t, func() bool {
				code, subcode := dial(t, s, "192.168.0.2", hold, 0).notification()
				return code == gobgp.BGP_ERROR_OPEN_MESSAGE_ERROR && subcode == gobgp.BGP_ERROR_SUB_UNACCEPTABLE_HOLD_TIME
			}, patience, 100*time.Millisecond)
			require.False(t, named(s, "far").Established)
		})
	}
	t.Run("0 is reported, and the kernel probes", func(t *testing.T) {
		s := start(t, nil)
		p := passive("far", "192.168.0.2")
		p.HoldTime = 9 * time.Second
		require.NoError(t, s.SetPeers(t.Context(), []Peer{p}))
		r := connectWith(t, s, 0)
		require.Eventually(t, func() bool { return len(named(s, "far").Troubles) == 1 }, patience, 10*time.Millisecond)
		require.Contains(t, named(s, "far").Troubles[0], "hold time of 0")
		require.Never(t, func() bool { return named(s, "far").Flaps > 0 }, 4*time.Second, 100*time.Millisecond)
		found, err := connections()
		require.NoError(t, err)
		probed := false
		port := uint16(r.conn.LocalAddr().(*net.TCPAddr).Port)
		for e, c := range found {
			if e.port == port {
				on, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE)
				require.NoError(t, err)
				limit, err := unix.GetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
				require.NoError(t, err)
				require.Equal(t, 9000, limit)
				probed = on == 1
			}
		}
		require.True(t, probed)
	})
}

// TestAClockThatWasSetBack: the session that would be deaf gets a new connection, the routes stay, and nobody else's
// session is touched.
func TestAClockThatWasSetBack(t *testing.T) {
	var back atomic.Int64
	s := start(t, func(c *Config) {
		c.WallClock = func() time.Time { return time.Now().Round(0).Add(-time.Duration(back.Load())) }
	})
	a, b := startRemote(t, "192.168.0.2", 65000, s), startRemote(t, "192.168.0.3", 65001, s)
	a.announce(west)
	b.announce(west6)
	require.NoError(t, s.SetPeers(t.Context(), []Peer{a.peer("a")}))
	established(t, s, "a")
	time.AfterFunc(4*time.Second, func() { _ = s.SetPeers(t.Context(), []Peer{a.peer("a"), b.peer("b")}) })
	require.Eventually(t, func() bool { return named(s, "b").Established }, patience, 10*time.Millisecond)
	w := newWorld(t, s)
	w.becomes("10.20.1.0/24 from [192.168.0.2]", "fd00:20:0:1::/64 from [192.168.0.3]")
	upA, upB := named(s, "a").Since, named(s, "b").Since
	require.Greater(t, upB.Sub(upA), 3*time.Second)
	back.Store(int64(time.Since(upB) + 2500*time.Millisecond)) // before b came up, and after a did
	require.Eventually(t, func() bool { return named(s, "b").Flaps == 1 }, patience, 10*time.Millisecond)
	require.Never(t, func() bool { return len(w.text()) != 2 }, time.Second, 10*time.Millisecond, "no route is withdrawn")
	back.Store(0)
	require.Eventually(t, func() bool { return named(s, "b").Established && named(s, "b").Since.After(upB) }, patience, 10*time.Millisecond)
	require.Equal(t, upA, named(s, "a").Since)
	require.Never(t, func() bool { return named(s, "b").Flaps > 1 || named(s, "a").Flaps > 0 }, 2*time.Second, 50*time.Millisecond)
	w.becomes("10.20.1.0/24 from [192.168.0.2]", "fd00:20:0:1::/64 from [192.168.0.3]")
}

func TestClock(t *testing.T) {
	start := time.Unix(1000, 0)
	for _, row := range []struct {
		name   string
		passed time.Duration
		shows  time.Duration // since the start
		back   time.Duration
		least  int64
	}{
		{"nothing happened", time.Second, time.Second, 0, 1001},
		{"slewing is no step", time.Second, 999500 * time.Microsecond, 0, 1000},
		{"forward is no step back", time.Second, time.Hour, 0, 4600},
		{"an hour back", time.Second, time.Second - time.Hour, time.Hour, -2600},
		{"a moment back, at an unknown moment", 900 * time.Millisecond, 800 * time.Millisecond, 100 * time.Millisecond, 999},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := clock{wall: start}
			back, least := c.step(row.passed, start.Add(row.shows))
			require.Equal(t, row.back, back)
			require.Equal(t, row.least, least)
			back, _ = c.step(time.Second, start.Add(row.shows+time.Second))
			require.Zero(t, back, "once")
		})
	}
}

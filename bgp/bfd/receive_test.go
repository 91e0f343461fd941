package bfd

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// alone is a loop with a session with 192.0.2.1 that is up, and has no sockets.
func alone() (*loop, *session, *receiver) {
	l := newLoop(New())
	cfg := Session{Peer: netip.MustParseAddr("192.0.2.1"), Hops: 1, Interval: 50 * ms, Multiplier: 3}
	s := newSession(cfg, 1, 0)
	s.retry = 0
	l.sessions[cfg.Peer], l.byDiscriminator[1], l.byPlace[s.where()] = s, s, s
	l.queue.add(s)
	s.receive(0, heard(Init))
	s.receive(0, heard(Up, final))
	s.show(time.Now())
	return l, s, &receiver{}
}

func from(peer string, body []byte) datagram {
	return datagram{body: body, from: netip.MustParseAddr(peer), to: netip.MustParseAddr("192.0.2.9"), ttl: farthest, link: 1}
}

func TestPacketsCostNoMemory(t *testing.T) {
	h := heard(Up).header
	good, err := h.MarshalBinary()
	require.NoError(t, err)
	l, s, r := alone()
	wall := time.Now()
	for _, c := range []struct {
		what   string
		d      datagram
		reason Reason
	}{
		{"one of the peer", from("192.0.2.1", good), accepted},
		{"one that is too short", from("192.0.2.1", good[:20]), TooShort},
		{"one of a stranger", from("192.0.2.2", good), WrongAddress},
	} {
		t.Run(c.what, func(t *testing.T) {
			require.Zero(t, testing.AllocsPerRun(100, func() {
				if got := l.take(r, c.d, wall); got != c.reason {
					t.Fatal(got)
				}
			}))
		})
	}
	require.Equal(t, Up, s.status)

	t.Run("a whole turn, with a peer that is ourselves", func(t *testing.T) {
		l := newLoop(New())
		defer l.end()
		require.NoError(t, l.SetSessions([]Session{{Peer: netip.MustParseAddr("127.0.0.1"), Hops: 1, Interval: MinInterval, Multiplier: 3}}))
		l.apply()
		s := l.queue[0]
		exchange := func() {
			received := s.received.Load()
			s.urgent = true
			l.queue.move(s, 0)
			for s.received.Load() == received {
				l.turn()
			}
		}
		for range 10 {
			exchange()
		}
		require.Equal(t, Up, s.status)
		require.Zero(t, testing.AllocsPerRun(100, exchange))
	})
}

// FuzzReceive takes whatever comes, from the peer and from strangers, and a turn of the clock with it.
func FuzzReceive(f *testing.F) {
	h := heard(Up).header
	good, err := h.MarshalBinary()
	require.NoError(f, err)
	f.Add(good, true, uint8(255), uint16(10))
	f.Add(append(good, 1, 2, 3), true, uint8(255), uint16(1000))
	f.Add(good[:23], true, uint8(255), uint16(10))
	f.Add(good, false, uint8(255), uint16(10))
	f.Add(good, true, uint8(64), uint16(10))
	f.Add([]byte{0x20, 0x40, 1, 24, 0, 0, 0, 7, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0}, true, uint8(255), uint16(5))
	f.Fuzz(func(t *testing.T, body []byte, peer bool, ttl uint8, after uint16) {
		l, s, r := alone()
		before := s.machine
		d := from("192.0.2.1", body)
		if !peer {
			d.from = netip.MustParseAddr("192.0.2.2")
		}
		d.ttl = int(ttl)
		now := time.Duration(after) * ms
		r.seen = now
		reason := l.take(r, d, time.Now())
		if reason != accepted {
			before.random, s.random = nil, nil
			require.Equal(t, before, s.machine, "what is refused changes nothing")
			require.Zero(t, s.received.Load())
			return
		}
		require.True(t, peer && ttl == 255 && len(body) >= packetLength)
		require.NotZero(t, s.remote)
		require.NotZero(t, s.remoteMultiplier)
		require.GreaterOrEqual(t, s.detection(), 50*ms)
		require.GreaterOrEqual(t, s.expires, now+50*ms)
		require.Equal(t, s.status == Up, s.desiredTx < time.Second)
		require.NotEmpty(t, s.encode(true))
		l.serve(s, s.expires+time.Hour, time.Now())
		require.Equal(t, Down, s.status)
		require.Len(t, l.queue, 1)
	})
}

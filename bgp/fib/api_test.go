package fib

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestErrorsOfThousandsOfRoutesAreSummedUp(t *testing.T) {
	s := newScene(t, newFake(), ModeObjects)
	var routes []Route
	for i := range 1000 {
		routes = append(routes, to(fmt.Sprintf("10.%d.%d.0/24", i/256, i%256), "203.0.113.9"))
	}
	err := s.Ensure(t.Context(), routes)
	require.Len(t, strings.Split(err.Error(), "\n"), maxJoined+1)
	require.ErrorContains(t, err, "and 984 more")
	require.Equal(t, 1000, s.Stats().Failed)
}

func TestCancelledAndClosedTablesSaySo(t *testing.T) {
	s := newScene(t, newFake(), ModeObjects)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Ensure(t.Context(), nil), ErrClosed)
	require.ErrorIs(t, s.Failover(t.Context(), nil), ErrClosed)
	_, err := s.Adopt(t.Context())
	require.ErrorIs(t, err, ErrClosed)
	_, err = s.Prune(t.Context())
	require.ErrorIs(t, err, ErrClosed)
	_, err = s.Cleanup(t.Context())
	require.ErrorIs(t, err, ErrClosed)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, s.Run(cancelled))
}

func TestConfigurationsThatCannotWorkAreRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"the local table", Config{Table: 255}, "table 255"},
		{"a negative table", Config{Table: -1}, "table -1"},
		{"the kernel's own protocol", Config{Protocol: 2}, "protocol 2"},
		{"a protocol beyond a byte", Config{Protocol: 256}, "protocol 256"},
		{"a negative metric", Config{Metric: -1}, "metric -1"},
		{"too many next hops", Config{MaxNextHops: 257}, "max next hops 257"},
		{"a negative resync", Config{Resync: -1}, "resync"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(c.cfg)
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := Open(Config{Table: 255, Protocol: 1})
	require.ErrorContains(t, err, "table 255")
	require.ErrorContains(t, err, "protocol 1")
}

func TestChangedIsPokedOnceForManyStates(t *testing.T) {
	s := newScene(t, newFake(), ModeObjects)
	s.ensure(to(pods, n2), to(pods2, n2))
	<-s.Changed()
	require.Empty(t, s.Changed())
	states := s.Drain()
	require.Len(t, states, 2)
	require.ElementsMatch(t, states, s.All())
}

func TestFailoverDoesNothingWithoutObjects(t *testing.T) {
	s := newScene(t, newFake(), ModeInline)
	s.ensure(to(pods, n2))
	s.silent(func() { s.failover(via(n2), via(n3)) })
	s.wantRoutes(ours4 + n2)
}

func TestAFailoverThatTheKernelRefusesIsNotMade(t *testing.T) {
	f := newFake()
	s := newScene(t, f, ModeObjects)
	s.ensure(block(20, n2)...)
	s.ensure(to(pods, n3))
	id := s.id(groupText([]uint32{s.id("via " + n2)}))
	f.change(func() { f.refuseID = id })
	err := s.Failover(t.Context(), []Move{{addrs(n2), addrs(m2)}, {addrs(n3), addrs(m2)}})
	require.ErrorContains(t, err, "failover from 192.0.2.2 to 198.51.100.2: next-hop group 0x55400001: operation not permitted")
	f.change(func() { f.refuseID = 0 })
	s.wantRoutes(with(blockText(20, n2), ours4+m2)...)
	s.silent(func() { _, err = s.Adopt(t.Context()) })
	require.NoError(t, err)
	s.failover(via(n2), via(m2))
	s.wantRoutes(with(blockText(20, m2), ours4+m2)...)
}

func TestAFailoverInABrokenConversationIsMadeGoodByTheNextReading(t *testing.T) {
	f := newFake()
	s := newScene(t, f, ModeObjects)
	s.ensure(append(block(20, n2), to(pods, m2))...)
	f.change(func() { f.broken = unix.ENOBUFS })
	require.ErrorIs(t, s.Failover(t.Context(), []Move{{addrs(n2), addrs(m2)}}), unix.ENOBUFS)
	f.change(func() { f.broken = nil })
	_, err := s.Adopt(t.Context())
	require.NoError(t, err)
	s.wantRoutes(with(blockText(20, m2), ours4+m2)...)
}

func TestRoutesLeaveAGroupBeforeItComesBack(t *testing.T) {
	f := newFake()
	s := newScene(t, f, ModeObjects)
	s.ensure(block(20, n2, n3)...)
	s.failover(via(n2, n3), via(m2))
	s.ensure(block(2, m2)...)
	f.change(func() { f.asked = nil })
	s.ensure(to(pods, n2, n3))
	move := []op{opAppendRoute, opAppendRoute, opCreateRoute, opDeleteRoute, opDeleteRoute, opReplaceGroup}
	got := slices.DeleteFunc(slices.Clone(f.asked), func(o op) bool { return o == opCreateGroup })
	slices.Sort(got[:3])
	slices.Sort(move[:3])
	require.Equal(t, move, got)
}

func TestAPrefixThatGoesAndComesBackIsToldOfOnce(t *testing.T) {
	s := newScene(t, newFake(), ModeObjects)
	s.ensure(to(pods, n2), to(pods2, n2))
	require.Len(t, s.Drain(), 2)
	s.ensure(to(pods), to(pods2))
	s.ensure(to(pods, n3), to("10.22.0.0/24", n2))
	told := map[string]Status{}
	for _, st := range s.Drain() {
		require.NotContains(t, told, st.Dst.String())
		told[st.Dst.String()] = st.Status
	}
	require.Equal(t, map[string]Status{pods: Installed, pods2: Absent, "10.22.0.0/24": Installed}, told)
	st, known := s.Lookup(p(pods2))
	require.False(t, known)
	require.Equal(t, Absent, st.Status)
	require.Empty(t, s.Drain())
	s.ensure(to(pods2, n2)) // takes the place of one that is gone
	require.Equal(t, p(pods2), s.Drain()[0].Dst)
}

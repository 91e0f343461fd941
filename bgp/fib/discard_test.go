package fib

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestARefusedDiscardRouteIsTriedAgainEverMoreSlowly(t *testing.T) {
	staged(t, func(t *testing.T, f *fake, s *scene) {
		after(10 * time.Second) // the news of the links being made are over: nothing but the failure wakes Run
		f.change(func() { f.refuse[p(pool)] = unix.ENOMEM })
		require.EqualError(t, s.Discard(t.Context(), pools(pool, pool6)), "discard route 10.20.0.0/16: cannot allocate memory")
		s.wantRoutes(pool6 + drop)
		s.wantDiscards(pool+" Failed", pool6+" Installed")
		after(10 * time.Second)
		require.Greater(t, s.Stats().Errors, uint64(3))
		after(10 * time.Minute)
		require.Less(t, s.Stats().Errors, uint64(20), "a minute apart in the end")
		f.change(func() { clear(f.refuse) })
		after(retryLast + tick)
		s.wantRoutes(pool+drop, pool6+drop)
		require.Zero(t, s.Stats().Repairs)

		f.change(func() { f.refuse[p(pool)] = unix.EPERM })
		require.ErrorContains(t, s.Discard(t.Context(), nil), "discard route 10.20.0.0/16: delete: operation not permitted")
		s.wantDiscards(pool + " Failed")
		f.change(func() { clear(f.refuse) })
		after(2 * retryFirst)
		s.wantRoutes()
		s.wantDiscards()
	})
}

func TestADiscardRouteThatCannotBePrunedIsTriedAgain(t *testing.T) {
	staged(t, func(t *testing.T, f *fake, s *scene) {
		f.add(t, spec{dst: pool, drops: "blackhole", metric: DiscardMetric, protocol: ourMark})
		f.add(t, spec{dst: pool6, drops: "blackhole", metric: DiscardMetric, protocol: ourMark})
		f.change(func() { f.refuse[p(pool)] = unix.EPERM })
		n, err := s.Prune(t.Context())
		require.ErrorContains(t, err, "discard route 10.20.0.0/16: delete: operation not permitted")
		require.Equal(t, 1, n)
		f.change(func() { clear(f.refuse) })
		after(2 * retryFirst)
		s.wantRoutes()
	})
}

func TestADiscardRouteOfABrokenConversationIsMadeGood(t *testing.T) {
	staged(t, func(t *testing.T, f *fake, s *scene) {
		s.discard(pool6)
		f.change(func() { f.broken = unix.ENOBUFS })
		require.ErrorIs(t, s.Discard(t.Context(), pools(pool)), unix.ENOBUFS)
		require.Contains(t, s.Discards()[0].Reason, "write to kernel")
		s.wantDiscards(pool+" Failed", pool6+" Failed")
		f.change(func() { f.broken = nil })
		after(retryLast + tick)
		s.wantRoutes(pool + drop)
		s.wantDiscards(pool + " Installed")
	})
}

// TestADiscardRouteIsDeletedThoughItsWriteWasNotAnswered: what became of it is not known, and it is not wanted any more.
func TestADiscardRouteIsDeletedThoughItsWriteWasNotAnswered(t *testing.T) {
	f := newFake()
	s := newScene(t, f, ModeObjects)
	s.discard(pool6)
	f.change(func() { f.broken = unix.ENOBUFS })
	require.Error(t, s.Discard(t.Context(), pools(pool, pool6)))
	f.change(func() { f.broken = nil })
	f.add(t, spec{dst: pool, drops: "blackhole", metric: DiscardMetric, protocol: ourMark})
	s.discard(pool6)
	s.wantRoutes(pool6 + drop)
}

func TestAnInterruptedDumpLosesNoDiscardRoute(t *testing.T) {
	staged(t, func(t *testing.T, f *fake, s *scene) {
		s.discard(pool, pool6)
		_, err := s.Adopt(t.Context())
		require.NoError(t, err)
		after(time.Second)
		f.change(func() { f.interrupt = 1000 })
		_, err = s.Prune(t.Context())
		require.ErrorIs(t, err, errInterrupted)
		s.wantDiscards(pool+" Installed", pool6+" Installed")
		f.change(func() { f.interrupt, f.list = 0, nil }) // without a word
		after(2 * DefaultResync)
		s.wantRoutes(pool+drop, pool6+drop)
	})
}

func TestAFightOverADiscardRouteGoesOnOnceAMinute(t *testing.T) {
	staged(t, func(t *testing.T, f *fake, s *scene) {
		s.discard(pool)
		for range fightRepairs + 1 {
			s.remove(t, spec{dst: pool, protocol: ourMark})
			after(time.Second)
		}
		s.wantRoutes()
		_, err := s.Adopt(t.Context()) // reading does not repair it either
		require.NoError(t, err)
		s.wantRoutes()
		after(fightPause + tick)
		s.wantRoutes(pool + drop)
		s.remove(t, spec{dst: pool, protocol: ourMark})
		after(time.Second)
		s.wantRoutes()
		after(fightPause + tick)
		s.wantRoutes(pool + drop)
		require.EqualValues(t, 1, s.Stats().Fights)
	})
}

func TestWhoDiscardsNothingPaysNothing(t *testing.T) {
	s := newScene(t, newFake(), ModeObjects)
	s.ensure(to(pods, n2))
	s.discard()
	require.Nil(t, s.Table.discards)
	require.Zero(t, testing.AllocsPerRun(10, func() { s.retryDiscards(time.Time{}); s.Stats() }))
}

func TestDiscardRoutesAreNotTouchedAfterClose(t *testing.T) {
	l, s := newLinuxScene(t, ModeObjects)
	s.discard(pool, pool6)
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Discard(t.Context(), nil), ErrClosed)
	_, err := s.RoutedInside(p(pool))
	require.ErrorIs(t, err, ErrClosed)
	require.Equal(t, []string{pool + drop, pool6 + drop}, l.routes(t, ourMark))
}

// TestPacketsMeetTheDiscardRouteOnlyWhenNothingElseLeadsOn is what it is for.
func TestPacketsMeetTheDiscardRouteOnlyWhenNothingElseLeadsOn(t *testing.T) {
	l, s := newLinuxScene(t, ModeObjects)
	l.ip(t, "route", "add", "default", "via", m2)
	l.ip(t, "-6", "route", "add", "default", "via", y2)
	way := func(a string) string {
		routes, err := s.kernel.(*netlinkKernel).handle.RouteGet(netip.MustParseAddr(a).AsSlice())
		if err != nil {
			return err.Error()
		}
		return routes[0].Gw.String()
	}
	ways := func() []string {
		return []string{way("10.20.0.7"), way("10.20.9.7"), way("fd00:20::7"), way("fd00:20:0:9::7")}
	}
	const dropped = "invalid argument"
	require.Equal(t, []string{m2, m2, y2, y2}, ways())
	s.discard(pool, pool6)
	s.ensure(to(pods, n2), to(pods6, x2))
	require.Equal(t, []string{n2, dropped, x2, dropped}, ways())
	s.ensure(to(pool, n3), to(pool6, x3))
	require.Equal(t, []string{n2, n3, x2, x3}, ways())
	s.ensure(to(pool), to(pool6))
	s.add(t, spec{dst: pool, via: n4, protocol: static, metric: 1 << 31})
	s.add(t, spec{dst: pool6, via: "2001:db8:1::4", protocol: static, metric: DiscardMetric - 1})
	require.Equal(t, []string{n2, n4, x2, "2001:db8:1::4"}, ways())
}

func TestDiscardRoutesSurviveWhatLinuxDoesToThem(t *testing.T) {
	for _, mode := range []Mode{ModeObjects, ModeInline} {
		t.Run(string(mode), func(t *testing.T) {
			l, s := newLinuxScene(t, mode)
			s.run()
			s.discard(pool, pool6)
			s.ensure(to(pods, n2))
			for _, c := range []struct {
				name string
				does func()
			}{
				{"ip route flush of the prefix", func() { l.ip(t, "route", "flush", pool) }},
				{"ip route flush of the mark", func() { l.ip(t, "-6", "route", "flush", "proto", "200") }},
				{"lo down, with which the IPv6 one goes", func() { l.ip(t, "link", "set", "lo", "down") }},
				{"lo up again", func() { l.ip(t, "link", "set", "lo", "up") }},
				{"a blackhole of a lower metric under our mark", func() {
					l.ip(t, "route", "add", "blackhole", pool, "proto", "200", "metric", "300")
					within(t, func() bool { return len(s.All()) == 2 }, "it to be seen")
					_, err := s.Prune(t.Context())
					require.NoError(t, err)
				}},
				{"an unreachable route in its place under our mark", func() {
					l.ip(t, "route", "replace", "unreachable", pool, "proto", "200", "metric", "4294967295")
					l.ip(t, "-6", "route", "replace", "unreachable", pool6, "proto", "200", "metric", "4294967295")
				}},
				{"one in its place that names a next-hop object", func() {
					l.ip(t, "nexthop", "add", "id", "9", "blackhole")
					l.ip(t, "route", "replace", pool, "nhid", "9", "proto", "200", "metric", "4294967295")
				}},
			} {
				c.does()
				got := ""
				patient(soon, func() bool {
					got = l.ip(t, "-4", "route", "show", "proto", "200") + l.ip(t, "-6", "route", "show", "proto", "200")
					return strings.Count(got, "blackhole") == 2 && strings.Count(got, "\n") == 3 && !strings.Contains(got, "nhid 9 ")
				})
				require.NotContains(t, got, "nhid 9 ", "after %s", c.name)
				require.Equal(t, 2, strings.Count(got, "blackhole"), "after %s:\n%s", c.name, got)
				require.Equal(t, 3, strings.Count(got, "\n"), "after %s:\n%s", c.name, got)
			}
			require.Zero(t, s.Stats().Fights)
		})
	}
}

func TestDiscardRoutesInATableOfOurOwn(t *testing.T) {
	l := newLinux(t)
	c := Config{Table: 70000, Log: testLog(t)}
	table := openLinux(t, c, ModeObjects)
	stop := runTable(t, table)
	require.NoError(t, table.Discard(t.Context(), pools(pool, pool6)))
	shown := func() string {
		return l.ip(t, "route", "show", "table", "70000") + l.ip(t, "-6", "route", "show", "table", "70000")
	}
	l.ip(t, "route", "flush", "table", "70000")
	within(t, func() bool { return strings.Count(shown(), "blackhole") == 2 }, "the repair")
	require.Empty(t, l.routes(t, ourMark), "none in main")
	stop()
	require.NoError(t, table.Close())
	table = openLinux(t, c, ModeInline)
	defer func() { require.NoError(t, table.Close()) }()
	n, err := table.Cleanup(context.Background())
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Empty(t, shown())
}

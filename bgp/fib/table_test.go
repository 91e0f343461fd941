package fib

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// What needs a kernel that misbehaves on command, or a clock that obeys: the model.

// staged runs body in a bubble of its own time, with a table on the model that is being run.
func staged(t *testing.T, body func(t *testing.T, f *fake, s *scene)) {
	for _, mode := range []Mode{ModeObjects, ModeInline} {
		t.Run(string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				s := newScene(t, f, mode)
				stop := runTable(t, s.Table)
				defer stop()
				body(t, f, s)
			})
		})
	}
}

// after lets d pass and everything that is due happen.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestARefusedRouteBlocksNoOtherAndIsTriedAgainEverMoreSlowly(t *testing.T) {
	staged(t, func(t *testing.T, f *fake, s *scene) {
		f.change(func() { f.refuse[p(pods)] = unix.ENOMEM })
		err := s.Ensure(t.Context(), []Route{to(pods, n2), to(pods2, n2)})
		require.EqualError(t, err, "route 10.20.0.0/24: cannot allocate memory")
		s.wantRoutes(pods2 + " metric 512 via " + n2)
		require.Equal(t, State{p(pods), &Outcome{Status: Failed, Reason: "cannot allocate memory"}}, must(s.Lookup(p(pods))))
		after(10 * time.Minute)
		tries := s.Stats().Errors
		require.Greater(t, tries, uint64(10))
		require.Less(t, tries, uint64(20), "a minute apart in the end")
		f.change(func() { clear(f.refuse) })
		after(retryLast + tick)
		s.wantRoutes(ours4+n2, pods2+" metric 512 via "+n2)
		require.Equal(t, Installed, s.status(pods))
	})
}

func TestADeleteThatIsRefusedIsTriedAgain(t *testing.T) {
	staged(t, func(t *testing.T, f *fake, s *scene) {
		s.ensure(to(pods, n2), to(pods2, n2))
		f.change(func() { f.refuse[p(pods)] = unix.EPERM })
		require.ErrorContains(t, s.Ensure(t.Context(), []Route{to(pods), to(pods2)}), "delete: operation not permitted")
		s.wantRoutes(ours4 + n2)
		f.change(func() { clear(f.refuse) })
		after(2 * retryFirst)
		s.wantRoutes()
		require.Empty(t, s.objects(t, ourMark))
	})
}

func TestAFailureThatComesAloneIsTriedAgainSoon(t *testing.T) {
	staged(t, func(t *testing.T, f *fake, s *scene) {
		after(10 * time.Second) // nothing else wakes Run
		f.change(func() { f.refuse[p(pods)] = unix.EPERM })
		require.Error(t, s.Ensure(t.Context(), []Route{to(pods, n2)}))
		f.change(func() { clear(f.refuse) })
		after(2 * retryFirst)
		s.wantRoutes(ours4 + n2)
	})
}

func TestAPruneThatIsRefusedIsTriedAgain(t *testing.T) {
	staged(t, func(t *testing.T, f *fake, s *scene) {
		f.add(t, spec{dst: pods, via: n2, metric: 512, protocol: ourMark})
		f.add(t, spec{dst: pods2, via: n2, metric: 512, protocol: ourMark})
		f.change(func() { f.refuse[p(pods)] = unix.EPERM })
		n, err := s.Prune(t.Context())
		require.ErrorContains(t, err, "route 10.20.0.0/24: delete: operation not permitted")
		require.Equal(t, 1, n)
		f.change(func() { clear(f.refuse) })
		after(2 * retryFirst)
		s.wantRoutes()
	})
}

func TestAnInterruptedDumpIsNeverTrusted(t *testing.T) {
	staged(t, func(t *testing.T, f *fake, s *scene) {
		s.ensure(to(pods, n2))
		f.change(func() { f.interrupt = 3 })
		n, err := s.Adopt(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.EqualValues(t, 3, s.Stats().Interrupted)

		f.change(func() { f.interrupt = 1000 })
		_, err = s.Adopt(t.Context())
		require.ErrorIs(t, err, errInterrupted)
		_, err = s.Prune(t.Context())
		require.ErrorIs(t, err, errInterrupted)
		s.wantRoutes(ours4 + n2)
		require.Equal(t, Installed, s.status(pods))
		f.change(func() { f.interrupt = 0 })
		f.wipe(t, ourMark)
		after(time.Second)
		s.wantRoutes(ours4 + n2)
	})
}

func TestAConversationThatFailsIsTakenUpAgain(t *testing.T) {
	staged(t, func(t *testing.T, f *fake, s *scene) {
		s.ensure(to(pods, n2))
		f.change(func() { f.broken = unix.ENOBUFS })
		require.ErrorIs(t, s.Ensure(t.Context(), []Route{to(pods, n3), to(pods2, n2)}), unix.ENOBUFS)
		require.Equal(t, Failed, s.status(pods2))
		after(time.Minute)
		f.change(func() { f.broken = nil })
		after(retryLast + tick)
		s.wantRoutes(ours4+n3, pods2+" metric 512 via "+n2)
		require.Equal(t, Installed, s.status(pods))
	})
}

func TestWhatNoNotificationToldIsFoundByTheResync(t *testing.T) {
	staged(t, func(t *testing.T, f *fake, s *scene) {
		s.ensure(to(pods, n2), to(pods6, x2))
		after(time.Second) // the news of the links being made
		f.change(func() { f.list = nil })
		after(DefaultResync - 3*time.Second)
		s.wantRoutes()
		after(4 * time.Second)
		s.wantRoutes(ours4+n2, ours6+x2)
		before := s.Stats().Resyncs
		after(time.Hour)
		require.EqualValues(t, 30, s.Stats().Resyncs-before, "no reading beyond the periodic one")
	})
}

func TestAFightIsFoughtOnceAMinuteUntilItIsOver(t *testing.T) {
	staged(t, func(t *testing.T, f *fake, s *scene) {
		s.ensure(to(pods, n2))
		there := func() bool { return len(s.routes(t, ourMark)) == 1 }
		for range fightRepairs {
			f.remove(t, spec{dst: pods, protocol: ourMark})
			after(time.Second)
			require.True(t, there())
		}
		for range 3 {
			f.remove(t, spec{dst: pods, protocol: ourMark})
			after(fightPause - time.Second)
			require.False(t, there())
			require.Equal(t, Failed, s.status(pods))
			after(2 * time.Second)
			require.True(t, there())
			require.Equal(t, Installed, s.status(pods))
		}
		require.EqualValues(t, 1, s.Stats().Fights, "said once")
		// The other one gives up; two minutes later we are quick again.
		after(2 * time.Minute)
		f.remove(t, spec{dst: pods, protocol: ourMark})
		after(time.Second)
		require.True(t, there())
	})
}

func TestRepairsAreMadeWithinASecond(t *testing.T) {
	staged(t, func(t *testing.T, f *fake, s *scene) {
		s.ensure(to(pods, n2), to(pods6, x2), to(pods2, m2))
		full := []string{ours4 + n2, pods2 + " metric 512 via " + m2, ours6 + x2}
		f.wipe(t, ourMark)
		after(time.Second)
		s.wantRoutes(full...)
		f.setUp(t, "fab0", false)
		f.setUp(t, "fab0", true)
		f.addAddr(t, "fab0", "2001:db8:1::1/64")
		after(time.Second)
		s.wantRoutes(full...)
		f.change(func() { f.emit(event{kind: overflowed}); f.list = nil })
		after(time.Second)
		s.wantRoutes(full...)
	})
}

func TestAnOverflowHasNextHopsResolvedAgain(t *testing.T) {
	staged(t, func(t *testing.T, f *fake, s *scene) {
		s.ensure(to(pods, n2))
		after(time.Second)
		f.change(func() {
			f.addrs[0].link = "fab1" // 192.0.2.1/24 moves, and nobody tells
			f.emit(event{kind: overflowed})
		})
		after(time.Second)
		f.change(func() {
			hops := f.list[0].hops
			if id := f.list[0].nextHop; id != 0 {
				hops = f.gateways(id)
			}
			require.Equal(t, f.links["fab1"].index, hops[0].link)
		})
	})
}

func TestAnObjectIsNotDeletedFromUnderARoute(t *testing.T) {
	f := newFake()
	s := newScene(t, f, ModeObjects)
	f.addNextHop(t, firstID+100, n4, "fab0", ourMark)
	f.addNextHop(t, firstID+101, n4, "fab0", ourMark)
	f.replaceGroup(t, firstID+102, ourMark, firstID+100, firstID+101) // not of our making
	f.add(t, spec{dst: pods, nextHop: firstID + 102, metric: 512, protocol: ourMark})
	f.change(func() { f.refuse[p(pods)] = unix.EPERM })
	_, err := s.Prune(t.Context())
	require.Error(t, err)
	require.Contains(t, f.objects(t, ourMark), uint32(firstID+102))
	require.Len(t, f.routes(t, ourMark), 1)
	f.change(func() { clear(f.refuse) })
	_, err = s.Prune(t.Context())
	require.NoError(t, err)
	require.Empty(t, f.objects(t, ourMark))
}

func TestAnOldNotificationDoesNoHarm(t *testing.T) {
	gone := func(f *fake) { // as if somebody had deleted what is there
		f.change(func() { f.emit(event{kind: routeRemoved, third: true, inTable: true, route: f.list[0]}) })
	}
	staged(t, func(t *testing.T, f *fake, s *scene) {
		s.ensure(to(pods, n2))
		after(time.Second)
		writes, _ := f.writes(t)
		gone(f)
		after(time.Second)
		s.wantRoutes(ours4 + n2)
		now, _ := f.writes(t)
		require.Equal(t, writes, now, "the route was never touched")
		require.Equal(t, Installed, s.status(pods))
		// Nor when the prefix is withdrawn before that could be found out.
		f.change(func() { f.refuse[p(pods)] = unix.ENOMEM })
		gone(f)
		after(100 * time.Millisecond)
		require.Equal(t, Failed, s.status(pods))
		f.change(func() { clear(f.refuse) })
		s.ensure(to(pods))
		s.wantRoutes()
		require.Empty(t, s.objects(t, ourMark))
	})
}

func TestTheQueueOfNotificationsIsBounded(t *testing.T) {
	q := newQueue()
	for range 3 * queueLimit {
		q.push(event{kind: routeAdded})
	}
	events, lost := q.take()
	require.LessOrEqual(t, len(events), queueLimit)
	require.True(t, lost)
	_, lost = q.take()
	require.False(t, lost)
}

func TestIDsRunOutWithoutHarm(t *testing.T) {
	f := newFake()
	s := newScene(t, f, ModeObjects)
	s.ensure(to(pods, n2))
	s.mu.Lock()
	for id := uint32(firstID); id < lastID; id++ {
		s.usedIDs[id] = struct{}{}
	}
	s.mu.Unlock()
	require.ErrorContains(t, s.Ensure(t.Context(), []Route{to(pods2, n3), to("10.20.2.0/24", n2)}), "no free next-hop id")
	s.wantRoutes(ours4+n2, "10.20.2.0/24 metric 512 via "+n2)
}

func TestAGroupThatCannotFollowItsGatewaysKeepsTheOldOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		s := newScene(t, f, ModeObjects)
		s.resolving(ResolveRoutes)
		s.add(t, staticTo(behind, n2))
		s.ensure(to(pods, far4))
		defer runTable(t, s.Table)()
		group := s.id(groupText([]uint32{s.id("via " + n2)}))
		f.change(func() { f.refuseID = group })
		s.replace(t, staticTo(behind, n3))
		after(10 * time.Second)
		s.wantRoutes(ours4 + n2) // with its object the route would have gone
		require.Equal(t, Failed, s.status(pods))
		require.Contains(t, s.reason(pods), "next-hop group")
		f.change(func() { f.refuseID = 0 })
		after(retryLast + tick)
		s.wantRoutes(ours4 + n3)
		require.Equal(t, Installed, s.status(pods))
		require.Len(t, s.objects(t, ourMark), 2)
	})
}

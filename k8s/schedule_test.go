package k8s

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

func TestPublisherPace(t *testing.T) {
	t.Run("what the Node says already is not written", func(t *testing.T) {
		inBubble(t, 5, func(s *script) {
			s.publish(5)
			time.Sleep(time.Minute)
			require.Empty(t, s.written())
		})
	})
	t.Run("a change waits two seconds for others, counted from the first", func(t *testing.T) {
		inBubble(t, 1, func(s *script) {
			for i := range 15 {
				s.publish(2 + i)
				time.Sleep(100 * time.Millisecond)
			}
			time.Sleep(time.Minute)
			require.Equal(t, lines("2s", 16), s.written())
		})
	})
	t.Run("changes without end are written every ten seconds", func(t *testing.T) {
		inBubble(t, 1, func(s *script) {
			for i := range 400 {
				s.publish(2 + i)
				time.Sleep(100 * time.Millisecond)
			}
			times := timesOf(s.written())
			require.Equal(t, []string{"2s", "12s", "22s", "32s"}, times)
		})
	})
	t.Run("a change taken back before it was written is not written", func(t *testing.T) {
		inBubble(t, 1, func(s *script) {
			s.publish(2)
			time.Sleep(time.Second)
			s.publish(1)
			time.Sleep(time.Minute)
			require.Empty(t, s.written())
		})
	})
	t.Run("an urgent report is written at once, and urgency survives a later report", func(t *testing.T) {
		inBubble(t, 1, func(s *script) {
			s.publish(2, func(r *Report) { r.Urgent = true })
			s.publish(3)
			synctest.Wait()
			require.Equal(t, lines("0s", 3), s.written())
		})
	})
}

// TestNodesDoNotWriteInStep has the same happen on many nodes at the same time.
func TestNodesDoNotWriteInStep(t *testing.T) {
	t.Parallel()
	gained, returned := map[time.Duration]bool{}, map[time.Duration]bool{}
	const nodes = 50
	for range nodes {
		inBubbleWith(t, Pace{}.withDefaults(), 10, func(s *script) {
			s.publish(11)
			first := s.at(1)
			within(t, first, s.pace.Coalesce)
			require.Eventually(t, func() bool { return time.Since(s.start) >= time.Minute }, 2*time.Minute, time.Second, "the rhythm is kept again")
			lost := time.Since(s.start)
			s.publish(10)
			loss := s.at(2)
			require.Equal(t, lost, loss, "a loss does not wait for chance")
			s.publish(11)
			third := s.at(3)
			within(t, third-loss, s.pace.Interval)
			gained[first], returned[third-loss] = true, true
		})
	}
	require.Greater(t, len(gained), nodes/2)
	require.Greater(t, len(returned), nodes/2, "after a loss that all have written at once")
}

// within requires a time from the earliest on, and no later than chance has it.
func within(t *testing.T, at, earliest time.Duration) {
	t.Helper()
	require.GreaterOrEqual(t, at, earliest)
	require.LessOrEqual(t, at, earliest+2*time.Second)
}

func TestPublisherOfLosses(t *testing.T) {
	t.Parallel()
	t.Run("lost routes are written at once", func(t *testing.T) {
		inBubble(t, 10, func(s *script) {
			time.Sleep(time.Second)
			s.publish(9)
			synctest.Wait()
			require.Equal(t, lines("1s", 9), s.written())
			s.publish(10)
			time.Sleep(time.Minute)
			require.Equal(t, lines("1s", 9, "11s", 10), s.written(), "what comes back waits its turn")
		})
	})
	t.Run("a loss that was never promised is not urgent", func(t *testing.T) {
		inBubble(t, 1, func(s *script) {
			s.publish(10)
			time.Sleep(time.Second)
			s.publish(9)
			time.Sleep(time.Minute)
			require.Equal(t, lines("2s", 9), s.written())
		})
	})
	t.Run("losses without end cannot flood the API", func(t *testing.T) {
		inBubble(t, 200, func(s *script) {
			// Ten minutes, another route gone twenty times a second, and out of step with the writer's timers: where
			// both are due at once, chance decides who is first.
			const pause = 47 * time.Millisecond
			for i := range int(10 * time.Minute / pause) {
				s.publish(200, func(r *Report) { r.RemoteCIDRs = slices.Delete(r.RemoteCIDRs, i%200, i%200+1) })
				time.Sleep(pause)
			}
			times := timesOf(s.written())
			require.Equal(t, []string{"0s", "1s", "2s", "3s", "10s", "20s"}, times[:6])
			require.LessOrEqual(t, len(times), 60+3+1)
			require.GreaterOrEqual(t, len(times), 60, "and it must not fall silent either")
		})
	})
	t.Run("a route that flaps faster than changes coalesce stays down on the Node", func(t *testing.T) {
		inBubble(t, 10, func(s *script) {
			for i := range 1001 {
				s.publish(9 + i%2)
				time.Sleep(100 * time.Millisecond)
			}
			require.Equal(t, lines("0s", 9), s.written())
		})
	})
	t.Run("a change is not kept waiting by flapping before it", func(t *testing.T) {
		inBubble(t, 10, func(s *script) {
			for i := range 5 {
				s.publish(9 - i)
				time.Sleep(time.Second)
			}
			require.Equal(t, []string{"0s", "1s", "2s", "3s"}, timesOf(s.written()), "three ahead of the rhythm, a second apart")
			s.publish(20)
			time.Sleep(time.Minute)
			require.Equal(t, []string{"0s", "1s", "2s", "3s", "13s"}, timesOf(s.written()))
		})
	})
}

func TestPublisherBacksOff(t *testing.T) {
	t.Run("while the API is away, then the last value alone is written", func(t *testing.T) {
		inBubble(t, 1, func(s *script) {
			s.failWith(errors.New("connection refused"))
			for i := range 600 {
				s.publish(2 + i)
				time.Sleep(100 * time.Millisecond)
			}
			require.Empty(t, s.written())
			tries := s.failures()
			require.Greater(t, tries, 3)
			require.Less(t, tries, 16, "tries must become rare")
			s.failWith(nil)
			poke(s.back)
			synctest.Wait()
			require.Equal(t, lines("1m0s", 601), s.written())
		})
	})
	t.Run("as long as the server asks for, and longer", func(t *testing.T) {
		inBubble(t, 1, func(s *script) {
			s.failWith(apierrors.NewTooManyRequests("slow down", 100))
			s.publish(2)
			time.Sleep(3 * time.Second)
			require.Equal(t, 1, s.failures())
			s.failWith(nil)
			time.Sleep(98 * time.Second)
			require.Empty(t, s.written())
			time.Sleep(26 * time.Second)
			require.Len(t, s.written(), 1)
		})
	})
	t.Run("never more than the cap on its own account", func(t *testing.T) {
		b := backoff{max: 30 * time.Second}
		now := time.Now()
		for i := range 100 {
			b.failed(now, 0)
			wait := b.until.Sub(now)
			require.LessOrEqual(t, wait, 30*time.Second)
			require.GreaterOrEqual(t, wait, min(time.Second<<min(i, 6), 30*time.Second)/2)
		}
	})
	t.Run("and the condition's time is that of the change, not of the try", func(t *testing.T) {
		inBubble(t, 1, func(s *script) {
			s.failWith(errors.New("connection refused"))
			s.publish(1, func(r *Report) { r.Ready = False })
			time.Sleep(5 * time.Minute)
			s.failWith(nil)
			time.Sleep(time.Minute)
			require.Len(t, s.written(), 1)
			require.WithinDuration(t, s.start, s.since[0], 3*time.Second)
		})
	})
	t.Run("nor that of a change that was taken back before it could be written", func(t *testing.T) {
		inBubble(t, 1, func(s *script) {
			failing := func(r *Report) { r.Ready = False }
			s.failWith(errors.New("connection refused"))
			s.publish(1, failing)
			time.Sleep(time.Minute)
			s.publish(1)
			time.Sleep(time.Minute)
			s.failWith(nil)
			time.Sleep(time.Hour)
			require.Empty(t, s.written())
			again := time.Now()
			s.publish(1, failing)
			time.Sleep(time.Minute)
			require.Len(t, s.written(), 1)
			require.WithinDuration(t, again, s.since[0], 3*time.Second)
		})
	})
}

func TestPublisherRepairsWhatSomebodyElseChanged(t *testing.T) {
	inBubble(t, 1, func(s *script) {
		s.publish(2)
		time.Sleep(time.Minute)
		require.Equal(t, lines("2s", 2), s.written())
		s.mu.Lock()
		s.node = newLive(testNode("n"))
		s.mu.Unlock()
		poke(s.wake)
		time.Sleep(time.Minute)
		require.Equal(t, lines("2s", 2, "1m2s", 2), s.written())
	})
}

func TestPublisherWaitsForTheNode(t *testing.T) {
	inBubble(t, 1, func(s *script) {
		s.mu.Lock()
		s.node = nil
		s.mu.Unlock()
		s.publish(2)
		time.Sleep(time.Minute)
		require.Empty(t, s.written())
		s.mu.Lock()
		s.node = newLive(testNode("n"))
		s.mu.Unlock()
		poke(s.wake)
		time.Sleep(time.Minute)
		require.Equal(t, lines("1m2s", 2), s.written())
	})
}

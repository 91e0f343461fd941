package main

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp"
)

func TestWhatIsAskedAgainAndAgainIsAnsweredFromMemoryForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recentDetails
		asked, takes, fault := 0, time.Duration(0), error(nil)
		question := func() int {
			said, err := r.of(t.Context(), func(context.Context, bool) (map[netip.Addr]bgp.Details, error) {
				asked++
				<-time.After(takes)
				return map[netip.Addr]bgp.Details{{}: {MessagesIn: uint64(asked)}}, fault
			})
			require.ErrorIs(t, err, fault)
			return int(said[netip.Addr{}].MessagesIn)
		}
		rest := func(d time.Duration) { <-time.After(d) }
		require.Equal(t, []int{1, 1}, []int{question(), question()})
		rest(recentAtLeast - 1)
		require.Equal(t, 1, question())
		rest(1)
		takes = 300 * time.Millisecond
		require.Equal(t, 2, question(), "a second later")
		rest(recentRest*takes - 1)
		require.Equal(t, 2, question(), "what takes long is asked more seldom")
		rest(1)
		fault = errors.New("stuck")
		question()
		question()
		require.Equal(t, 4, asked, "no answer is not remembered")
	})
}

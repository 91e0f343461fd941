package bgp

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/stretchr/testify/require"
)

// TestAChangeSaysWhenItsFirstPathWasLearned: later ones do not make it younger, and a withdrawal learns nothing.
func TestAChangeSaysWhenItsFirstPathWasLearned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, all := newTable(ownASN, 7), events(t, 2, 2)
		<-time.After(time.Second)
		first := time.Now()
		table.update(all[0])
		<-time.After(time.Second)
		prefix, ok := prefixOf(all[0][0])
		require.True(t, ok)
		again := event(t, prefix, all[0][0].PeerAddress, ipv4(172<<24|17<<16))
		table.update([]*apiutil.Path{again})
		require.Equal(t, first, table.drain(0)[0].Learned)
		withdrawn := *again
		withdrawn.Withdrawal = true
		table.update([]*apiutil.Path{&withdrawn})
		require.Zero(t, table.drain(0)[0].Learned)
		<-time.After(time.Second)
		second := time.Now()
		table.update(all[0])
		require.Equal(t, second, table.drain(0)[0].Learned, "it is learned anew")
	})
}

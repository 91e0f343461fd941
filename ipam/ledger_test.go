package ipam

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// keeper is a ledger with somebody who keeps the seats.
type keeper struct {
	*Ledger
	seats map[netip.Prefix]*Seat
}

func newKeeper() *keeper { return &keeper{NewLedger(), map[netip.Prefix]*Seat{}} }

func (k *keeper) Admit(prefix netip.Prefix, cluster string) (v Verdict) {
	v, k.seats[prefix] = k.Ledger.Admit(prefix, cluster, k.seats[prefix])
	return v
}

func (k *keeper) Release(prefix netip.Prefix) {
	k.Ledger.Release(k.seats[prefix])
	delete(k.seats, prefix)
}

func ledger(limit int) *keeper {
	l := newKeeper()
	l.SetLimits(limited(limit))
	return l
}

func limited(limit int) *Plan {
	return New(Config{Contracts: []Contract{{Cluster: "west", MaxPrefixes: limit}, {Cluster: "south", MaxPrefixes: 100}}}, Facts{})
}

func nth(i int) netip.Prefix { return prefix(fmt.Sprintf("10.20.%d.0/24", i)) }

func TestTheLedgerAdmitsUpToTheLimitAndThenRefusesByName(t *testing.T) {
	l := ledger(2)
	require.True(t, l.Admit(nth(0), "west").Accepted)
	require.True(t, l.Admit(prefix("fd00:20::/64"), "west").Accepted, "both families share one limit")
	v := l.Admit(nth(2), "west")
	require.Equal(t, Verdict{
		Cluster: "west", Reason: TooManyPrefixes,
		Detail: "10.20.2.0/24 is one more than the 2 prefixes that cluster west may send; those that came first keep their places",
	}, v)
	require.True(t, l.Admit(nth(3), "south").Accepted, "another cluster has its own limit")
	require.Equal(t, Usage{Admitted: 2, Waiting: 1, Limit: 2}, l.Usage("west"))
}

func TestAskingAgainChangesNothing(t *testing.T) {
	l := ledger(1)
	for range 3 {
		require.True(t, l.Admit(nth(0), "west").Accepted)
		require.False(t, l.Admit(nth(1), "west").Accepted)
	}
	require.Equal(t, Usage{Admitted: 1, Waiting: 1, Limit: 1}, l.Usage("west"))
	require.Empty(t, l.Again())
}

func TestRoomGoesToTheLongestWaiting(t *testing.T) {
	l := ledger(2)
	for i := range 6 {
		l.Admit(nth(i), "west")
	}
	l.Release(nth(3)) // one that only waited: it makes no room
	require.Empty(t, l.Again())
	l.Release(nth(0))
	require.Equal(t, []netip.Prefix{nth(2)}, l.Again())
	require.True(t, l.Admit(nth(2), "west").Accepted)
	require.Empty(t, l.Again())
	l.Release(nth(1))
	l.Release(nth(2))
	require.Equal(t, []netip.Prefix{nth(4), nth(5)}, l.Again(), "in order of arrival")
	require.Empty(t, l.Again(), "each is handed over once")
	require.Equal(t, Usage{Limit: 2}, l.Usage("west"))
}

func TestAWaitingPrefixTakesRoomWhenItAsksItself(t *testing.T) {
	l := ledger(1)
	l.Admit(nth(0), "west")
	l.Admit(nth(1), "west")
	l.Release(nth(0))
	require.True(t, l.Admit(nth(1), "west").Accepted)
	require.Equal(t, Usage{Admitted: 1, Limit: 1}, l.Usage("west"))
	require.Empty(t, l.Again())
}

func TestARaisedLimitMakesRoomAndALoweredOneCutsNobody(t *testing.T) {
	l := ledger(1)
	for i := range 3 {
		l.Admit(nth(i), "west")
	}
	l.SetLimits(limited(2))
	require.Equal(t, []netip.Prefix{nth(1)}, l.Again())
	require.True(t, l.Admit(nth(1), "west").Accepted)
	l.SetLimits(limited(1))
	require.True(t, l.Admit(nth(0), "west").Accepted)
	require.True(t, l.Admit(nth(1), "west").Accepted)
	l.Release(nth(0))
	require.Empty(t, l.Again(), "still as many as the lower limit allows")
	l.Release(nth(1))
	require.Equal(t, []netip.Prefix{nth(2)}, l.Again())
}

func TestAPrefixThatMovesToAnotherClusterGivesUpItsPlace(t *testing.T) {
	l := ledger(1)
	l.Admit(nth(0), "west")
	l.Admit(nth(1), "west")
	require.True(t, l.Admit(nth(0), "south").Accepted)
	require.Equal(t, []netip.Prefix{nth(1)}, l.Again())
	require.Equal(t, Usage{Admitted: 1, Limit: 100}, l.Usage("south"))
}

func TestAClusterThatIsNoLongerDeclaredIsForgotten(t *testing.T) {
	l := ledger(1)
	l.Admit(nth(0), "west")
	l.Admit(nth(1), "west")
	l.SetLimits(New(Config{Contracts: []Contract{{Cluster: "south", MaxPrefixes: 1}}}, Facts{}))
	require.Equal(t, Usage{}, l.Usage("west"))
	require.Equal(t, NoContract, l.Admit(nth(0), "west").Reason)
	l.Release(nth(0))
	l.Release(nth(1))
	require.Empty(t, l.Again())
}

func TestReleasingWhatHasNoPlaceIsFine(t *testing.T) {
	l := newKeeper()
	l.Release(nth(0))
	require.Empty(t, l.Again())
	require.Equal(t, NoContract, l.Admit(nth(0), "west").Reason)
}

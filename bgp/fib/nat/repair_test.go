package nat

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// fullSets are sets that show what is missing from them.
func (w *world) fullSets(t *testing.T) *Exemption {
	x := w.open(t, Config{})
	w.watch(t, x)
	require.NoError(t, x.Set(t.Context(), fullSides()))
	return x
}

func fullSides() Sides {
	return Sides{Local: locals(), Remote: append(remotes(), prefixes("198.51.100.0/24", "2001:db8:9::/48")...)}
}

func TestSomebodyTouchesTheTable(t *testing.T) {
	for _, row := range []struct{ what, script string }{
		{"everything is flushed", "nft flush ruleset"},
		{"everything is flushed and comes again without ours", "(echo flush ruleset; nft list table inet cni) | nft -f -"},
		{"the table is deleted", "nft delete table TABLE"},
		{"its rules are deleted", "nft flush table TABLE"},
		{"one rule is deleted", "nft delete rule TABLE postrouting handle $(nft -a list table TABLE | sed -n 's/.*@local4 .*handle //p')"},
		{"a rule of somebody else comes first", "nft insert rule TABLE postrouting accept"},
		{"the rules are in another order", "nft add rule TABLE postrouting ip saddr @local4 ip daddr @remote4 counter snat to ip saddr; nft delete rule TABLE postrouting handle $(nft -a list table TABLE | sed -n 's/.*@local4 .*handle //p' | head -1)"},
		{"elements are deleted", "nft delete element TABLE remote4 { 10.20.0.0/16 }"},
		{"elements are added", "nft add element TABLE remote6 { 2001:db8:7::/48 }"},
		{"an element is added that touches one of ours", "nft add element TABLE remote4 { 10.21.0.0/16 }"},
		{"a set is flushed", "nft flush set TABLE local6"},
		{"a set is added", "nft add set TABLE more { type ipv4_addr\\; }"},
		{"a chain is added", "nft add chain TABLE more"},
		{"the table sleeps", "nft add table TABLE '{ flags dormant; }'"},
		{"the chain has another priority", `(echo delete table TABLE; nft list table TABLE | sed "s/srcnat - 10/srcnat + 10/") | nft -f -`},
		{"the chain drops", "nft chain TABLE postrouting '{ policy drop; }'"},
		{"the table is another one", "nft delete table TABLE\\; add table TABLE\\; add chain TABLE postrouting"},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			w := newMasqueraded(t)
			w.isRepaired(t, w.fullSets(t), row.script)
		})
	}
}

// TestSomebodyTouchesTheTableOfAGateway likewise, what is there only on a gateway.
func TestSomebodyTouchesTheTableOfAGateway(t *testing.T) {
	for _, row := range []struct{ what, script string }{
		{"the table is deleted", "nft delete table TABLE"},
		{"one rule is deleted", "nft delete rule TABLE prerouting handle $(nft -a list table TABLE | sed -n 's/.*ip saddr @far4 .*handle //p')"},
		{"a rule of somebody else comes first", "nft insert rule TABLE prerouting accept"},
		{"a rule takes more than errors", "nft replace rule TABLE prerouting handle $(nft -a list table TABLE | sed -n 's/.*ip daddr @transit4 .*icmp.*handle //p') ip daddr @transit4 ip saddr != @local4 meta l4proto icmp counter notrack"},
		{"the chain is deleted", "nft flush chain TABLE prerouting; nft delete chain TABLE prerouting"},
		{"the chain and one of its sets are deleted", "nft flush chain TABLE prerouting\\; delete chain TABLE prerouting\\; delete set TABLE far4"},
		{"the sets are empty", "for set in far4 far6 transit4 transit6; do nft flush set TABLE $set; done"},
		{"an element is added", "nft add element TABLE transit4 { 10.10.1.0/24 }"},
		{"the chain comes after connection tracking", `(echo delete table TABLE; nft list table TABLE | sed "s/filter hook prerouting priority raw/filter hook prerouting priority mangle/") | nft -f -`},
	} {
		t.Run(row.what, func(t *testing.T) {
			t.Parallel()
			w := newMasqueraded(t)
			x := w.fullSets(t)
			sides := fullSides()
			sides.Transit, sides.Far = transits(), remotes()
			require.NoError(t, x.Set(t.Context(), sides))
			w.isRepaired(t, x, row.script)
			require.Equal(t, 6, strings.Count(w.ruleset(t), "notrack"))
		})
	}
}

// isRepaired lets somebody touch the table.
func (w *world) isRepaired(t *testing.T, x *Exemption, script string) {
	before := x.State()
	w.sh(t, w.node, strings.ReplaceAll(script, "TABLE", "inet underlayd-200"))
	until(t, "a repair", func() bool { return x.State().Repairs > 0 })
	until(t, "the whole table", func() bool { return w.has(t, x) })
	after := x.State()
	before.Repairs = after.Repairs
	require.Equal(t, before, after)
	if !strings.Contains(w.ruleset(t), "masquerade") {
		w.sh(t, w.node, masquerades)
	}
	for _, f := range families() {
		require.Equal(t, f.pod, w.seenAs(t, w.pod, "udp", f.far))
	}
}

// TestChangesOfOthers: what is not about our table is no reason to touch it.
func TestChangesOfOthers(t *testing.T) {
	t.Parallel()
	w := newMasqueraded(t)
	x := w.fullSets(t)
	before := w.ruleset(t)
	w.sh(t, w.node, `
		nft add table ip underlayd-200; nft add table inet underlayd-20; nft add table inet other '{ chain postrouting { type filter hook postrouting priority 0; }; }'
		nft delete table ip underlayd-200; nft delete table inet underlayd-20; nft delete table inet other`)
	w.sh(t, w.node, "nft delete table inet underlayd-200") // what came before has been seen when this has
	until(t, "a repair", func() bool { return x.State().Repairs > 0 })
	require.EqualValues(t, 1, x.State().Repairs)
	require.Equal(t, strings.Count(before, "\n"), strings.Count(w.ruleset(t), "\n"))
}

// TestRepairsThatDoNotLast: who keeps at it is named, and gets a pause; what is asked for anew is written at once.
func TestRepairsThatDoNotLast(t *testing.T) {
	t.Parallel()
	w := newMasqueraded(t)
	x := w.fullSets(t)
	for n := range fightRepairs {
		require.Empty(t, x.State().Problem)
		w.sh(t, w.node, "nft delete table inet underlayd-200")
		until(t, "a repair", func() bool { return x.State().Repairs > uint64(n) })
	}
	s := x.State()
	require.Regexp(t, `^another program keeps removing or changing the table \(5 times within a minute, the last time by process \d+ \(nft\)\); from now on it is repaired once a minute$`,
		s.Problem)
	require.NotZero(t, s.Since)
	require.True(t, s.Active)
	w.sh(t, w.node, "nft delete table inet underlayd-200")
	until(t, "a repair", func() bool { return !x.State().Active })
	require.NotContains(t, w.ruleset(t), "underlayd")
	require.NoError(t, x.Set(t.Context(), Sides{Local: locals(), Remote: remotes()}))
	require.True(t, w.has(t, x))
	require.True(t, x.State().Active)
	require.EqualValues(t, fightRepairs, x.State().Repairs)
}

func TestFights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fight
		for range 3 { // four times a minute is no fight, however long it goes on
			for range fightRepairs - 1 {
				require.False(t, f.again("", time.Now()))
			}
			time.Sleep(fightWindow)
		}
		for n := range fightRepairs {
			require.Equal(t, n == fightRepairs-1, f.again(fmt.Sprint("process ", n), time.Now()))
		}
		require.True(t, f.held(time.Now()))
		require.Contains(t, f.problem(time.Now()), "(5 times within a minute, the last time by process 4)")
		time.Sleep(fightPause)
		require.False(t, f.held(time.Now()))
		require.NotEmpty(t, f.problem(time.Now()), "one repair, and it will be seen")
		require.False(t, f.again("", time.Now()))
		require.True(t, f.held(time.Now()), "the next pause after one repair")
		time.Sleep(fightPause + fightWindow - time.Second)
		require.NotEmpty(t, f.problem(time.Now()))
		require.Equal(t, time.Second, f.remembered(time.Now()))
		time.Sleep(time.Second)
		require.Empty(t, f.problem(time.Now()))
		require.False(t, f.again("", time.Now()))
		require.False(t, f.held(time.Now()))
	})
}

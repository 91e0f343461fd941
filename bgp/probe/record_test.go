package probe

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStates(t *testing.T) {
	// . answered, n answered with another source, x lost, 1 lost but it arrived, 0 lost and it did not arrive
	for _, row := range []struct {
		name, what string
		want       State
	}{
		{"nothing is known at first", "", ""},
		{"one answer is too little", ".", ""},
		{"two are enough", "..", OK},
		{"two lost ones are no failure", "....xx", OK},
		{"three are", "....xxx", Silent},
		{"of a node that never answered, too", "xxx", Silent},
		{"one answer in an outage does not end it", "....xxx.", Silent},
		{"two do, and the outage is no loss", "....xxx..", OK},
		{"packets that arrive", "...x11", OneWay},
		{"a node that is there, and does not get them", "...x00", Silent},
		{"one answer of another source is too little", "...n", OK},
		{"two make NAT", "...nn", NAT},
		{"one with ours does not end it", "...nn.", NAT},
		{"two do", "...nn..", OK},
		{"every fourth packet lost", "...x...x...x", Loss},
		{"one in a while is none", "....................x...............x.", OK},
		{"loss ends when one is left of it", "...x...x...x" + "...........................", Loss},
		{"and then it ends", "...x...x...x" + "..............................", OK},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := &record{}
			us, other := netip.MustParseAddr("10.10.1.1"), netip.MustParseAddr("192.168.0.1")
			for _, c := range row.what {
				switch c {
				case '.':
					r.answered(time.Millisecond, message{from: us, seen: us}, time.Now())
				case 'n':
					r.answered(time.Millisecond, message{from: us, seen: other}, time.Now())
				default:
					r.lost(map[rune]Arrival{'1': Arrives, '0': DoesNotArrive}[c])
				}
			}
			require.Equal(t, row.want, r.state(0))
		})
	}
}

func TestSearch(t *testing.T) {
	for _, row := range []struct {
		name        string
		links       []int
		link, path  int // what they carry
		found, sent int // sent at most
		ended       bool
	}{
		{"the whole link", []int{1500, 9000, 1500}, 1500, 1500, 1500, 1, true},
		{"a path of 1400", []int{1500}, 1500, 1400, 1400, 36, true},
		{"a path of 576", []int{1500}, 1500, 576, 576, 36, true},
		{"one byte less", []int{9000}, 9000, 8999, 8999, 45, true},
		{"a path that carries nothing", []int{1500}, 1500, 100, 0, 6, false},
		{"a link that was not seen", []int{9000}, 1500, 1500, 0, 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			var s search
			s.begin(row.links, 576)
			sent := 0
			for s.active {
				switch {
				case s.size > row.link:
					s.tooLong()
				case s.size > row.path:
					sent++
					s.lost(576)
				default:
					sent++
					s.answered(576)
				}
			}
			require.Equal(t, row.found, s.found)
			require.LessOrEqual(t, sent, row.sent)
			if row.ended {
				require.Equal(t, row.link, s.link)
			}
		})
	}
}

func TestSampling(t *testing.T) {
	targets := make([]Target, 50)
	for i := range targets {
		targets[i] = Target{Cluster: "west", Address: netip.AddrFrom4([4]byte{10, 20, byte(i), 1})}
	}
	addresses := func(sample []Target) map[netip.Addr]bool {
		out := map[netip.Addr]bool{}
		for _, s := range sample {
			out[s.Address] = true
		}
		return out
	}
	t.Run("in a round of the hand each target had its turn", func(t *testing.T) {
		var r ring
		r.set("east-1", targets)
		seen := map[netip.Addr]bool{}
		for range targets {
			require.Len(t, addresses(r.sample(3)), 3)
			seen[r.sample(3)[0].Address] = true
			r.turn()
		}
		require.Len(t, seen, len(targets))
	})
	t.Run("all nodes together cover all of them at any time", func(t *testing.T) {
		seen := map[netip.Addr]bool{}
		for i := range 100 {
			var r ring
			r.set(fmt.Sprintf("east-%d", i), targets)
			for a := range addresses(r.sample(3)) {
				seen[a] = true
			}
		}
		require.Len(t, seen, len(targets))
	})
	t.Run("one target that goes moves one other in", func(t *testing.T) {
		var r, less ring
		r.set("east-1", targets)
		before := r.sample(3)
		less.set("east-1", append(targets[:10:10], targets[11:]...))
		same := 0
		for a := range addresses(less.sample(3)) {
			if addresses(before)[a] {
				same++
			}
		}
		require.GreaterOrEqual(t, same, 2)
	})
	t.Run("few targets are all probed", func(t *testing.T) {
		var r ring
		r.set("east-1", targets[:2])
		require.Len(t, addresses(r.sample(3)), 2)
		r.set("east-1", nil)
		require.Empty(t, r.sample(3))
		r.turn()
	})
}

func TestLimits(t *testing.T) {
	now := time.Now()
	l := newLimiter()
	count := func(source func(i int) netip.Addr, n int) (passed int) {
		for i := range n {
			if l.answer(source(i), now) {
				passed++
			}
		}
		return passed
	}
	one := func(int) netip.Addr { return netip.MustParseAddr("10.20.1.1") }
	many := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 20, byte(i >> 8), byte(i)}) }
	require.Equal(t, 2*sourceRate, count(one, 1000), "one source")
	require.LessOrEqual(t, count(many, 100000), answersRate, "all sources together")
	require.LessOrEqual(t, len(l.bySource), sources, "what is remembered")
	require.Len(t, l.order, len(l.bySource))
	now = now.Add(time.Second)
	require.Equal(t, sourceRate, min(sourceRate, count(one, 1000)), "a second later")
}

package main

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
)

// TestHowLongARouteTakesIsMeasuredOnce: each row is what is decided and what the kernel says of it, then how many are measured.
func TestHowLongARouteTakesIsMeasuredOnce(t *testing.T) {
	installed, failed := &fib.Outcome{Status: fib.Installed}, &fib.Outcome{Status: fib.Failed}
	other := bgp.NewPathSet([]bgp.Path{{Peer: peerB, NextHop: peerB, ClusterIDs: []uint32{2}}})
	type step struct {
		learned bool
		paths   *bgp.PathSet
		kernel  *fib.Outcome // nil: it has no news
	}
	first := announced(1, 1)[0]
	for name, row := range map[string]struct {
		steps []step
		want  uint64
	}{
		"a new one that the kernel takes":                      {[]step{{true, first.Paths, installed}}, 1},
		"one that the kernel has not taken yet":                {[]step{{true, first.Paths, failed}}, 0},
		"one that it takes in the end":                         {[]step{{true, first.Paths, failed}, {false, first.Paths, installed}}, 1},
		"one that it tells of twice":                           {[]step{{true, first.Paths, installed}, {false, first.Paths, failed}, {false, first.Paths, installed}}, 1},
		"one that is announced again without a change":         {[]step{{true, first.Paths, installed}, {true, first.Paths, nil}}, 1},
		"one that gets another next hop":                       {[]step{{true, first.Paths, installed}, {true, other, installed}}, 2},
		"one whose new next hop was written by a failover":     {[]step{{true, first.Paths, installed}, {true, other, nil}}, 2},
		"one that goes back to a known path":                   {[]step{{true, first.Paths, installed}, {false, other, installed}}, 1},
		"one that was known when the plan first took it":       {[]step{{false, first.Paths, installed}}, 1},
		"one that is withdrawn before the kernel has taken it": {[]step{{true, first.Paths, failed}, {false, nil, installed}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			a := deciding(10)
			for _, s := range row.steps {
				b := a.newBatch(1)
				c := bgp.Change{Prefix: first.Prefix, Paths: s.paths}
				if s.learned {
					c.Learned = time.Now()
				}
				b.decide(c)
				if s.kernel != nil {
					a.book.observe(fib.State{Dst: first.Prefix, Outcome: s.kernel}, a.owner, time.Now())
				}
				a.book.confirmUntold(b.routes, time.Now())
			}
			require.Equal(t, row.want, a.book.latency.IPv4.Count())
			require.Zero(t, a.book.latency.IPv6.Count())
		})
	}
}

func TestMeasuringCostsNoMemory(t *testing.T) {
	a := deciding(1)
	r := &record{prefix: netip.MustParsePrefix("10.20.1.0/24"), kernel: &fib.Outcome{Status: fib.Installed}}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		r.awaits = a.book.instant(time.Now())
		a.book.confirm(r, time.Now())
	}))
}

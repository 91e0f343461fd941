package fib

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const benchNextHops = 4000

// benchTable is a table on a real link of 10.128.0.0/16 (and a /64), where 4,000 next hops live.
func benchTable(b *testing.B, m Mode) (*linux, *Table) {
	l := newLinux(b)
	l.link(b, "fab0", "10.128.0.1/16", "2001:db8:1::1/64")
	table := openLinux(b, Config{}, m)
	b.Cleanup(func() { require.NoError(b, table.Close()) })
	return l, table
}

func benchHop(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 128, byte(1 + i/250), byte(1 + i%250)})
}

// benchRoutes are n /24s, each through perRoute of the next hops, starting at shift.
func benchRoutes(n, perRoute, shift int) []Route {
	all := make([]Route, n)
	for i := range all {
		all[i].Dst = netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(20 + i>>16), byte(i >> 8), byte(i), 0}), 24)
		for j := range perRoute {
			all[i].NextHops = append(all[i].NextHops, benchHop((i+j+shift)%benchNextHops))
		}
	}
	return all
}

// BenchmarkEnsure writes routes through 4,000 next hops into an empty table. The time of the
// process in user space is ours, that in the kernel is the kernel's.
func BenchmarkEnsure(b *testing.B) {
	for _, m := range []Mode{ModeObjects, ModeInline} {
		for _, n := range []int{10_000, 100_000} {
			b.Run(fmt.Sprintf("%s/%d", m, n), func(b *testing.B) {
				_, table := benchTable(b, m)
				routes := benchRoutes(n, 1, 0)
				var user, system time.Duration
				b.ReportAllocs()
				for b.Loop() {
					u, s := cpu(b)
					require.NoError(b, table.Ensure(b.Context(), routes))
					u2, s2 := cpu(b)
					user, system = user+u2-u, system+s2-s
					b.StopTimer()
					require.Len(b, table.Drain(), n)
					removed, err := table.Cleanup(b.Context())
					require.NoError(b, err)
					require.Equal(b, n, removed)
					table.Drain()
					b.StartTimer()
				}
				b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "routes/s")
				b.ReportMetric(float64(user.Microseconds())/1000/float64(b.N), "user-ms/op")
				b.ReportMetric(float64(system.Microseconds())/1000/float64(b.N), "system-ms/op")
			})
		}
	}
}

// cpu is what this process has spent so far in user space and in the kernel.
func cpu(b *testing.B) (user, system time.Duration) {
	var r unix.Rusage
	require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano()), time.Duration(r.Stime.Nano())
}

// BenchmarkEnsureUnchanged says again what is there.
func BenchmarkEnsureUnchanged(b *testing.B) {
	_, table := benchTable(b, ModeObjects)
	routes := benchRoutes(100_000, 1, 0)
	require.NoError(b, table.Ensure(b.Context(), routes))
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, table.Ensure(b.Context(), routes))
	}
}

// BenchmarkChangeOne changes one route among 100,000, back and forth between two next hops.
func BenchmarkChangeOne(b *testing.B) {
	_, table := benchTable(b, ModeObjects)
	routes := benchRoutes(100_000, 1, 0)
	require.NoError(b, table.Ensure(b.Context(), routes))
	one := []Route{routes[7]}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		one[0].NextHops = []netip.Addr{benchHop(8 + i%2)}
		require.NoError(b, table.Ensure(b.Context(), one))
	}
}

// BenchmarkFailover is the time until 100,000 routes, in few sets or many, have left a next hop that died.
func BenchmarkFailover(b *testing.B) {
	spare := netip.MustParseAddr("10.128.200.1")
	for _, c := range []struct {
		name, compat string
		via, instead func(i int) []netip.Addr
	}{
		{"ecmp/compat=1", "1", func(i int) []netip.Addr { return []netip.Addr{benchHop(i), spare} }, func(i int) []netip.Addr { return []netip.Addr{benchHop(i)} }},
		{"ecmp/compat=0", "0", func(i int) []netip.Addr { return []netip.Addr{benchHop(i), spare} }, func(i int) []netip.Addr { return []netip.Addr{benchHop(i)} }},
		{"backup/compat=0", "0", func(i int) []netip.Addr { return []netip.Addr{benchHop(i)} }, func(int) []netip.Addr { return []netip.Addr{spare} }},
	} {
		for _, sets := range []int{1, 100, 4000} {
			b.Run(fmt.Sprintf("%s/sets=%d", c.name, sets), func(b *testing.B) {
				l, table := benchTable(b, ModeObjects)
				l.sysctl(b, "net/ipv4/nexthop_compat_mode", c.compat)
				routes := benchRoutes(100_000, 0, 0)
				for i := range routes {
					routes[i].NextHops = c.via(i % sets)
				}
				require.NoError(b, table.Ensure(b.Context(), routes))
				var there, back []Move
				for i := range sets {
					there = append(there, Move{c.via(i), c.instead(i)})
					back = append(back, Move{c.via(i), c.via(i)})
				}
				b.ReportAllocs()
				for b.Loop() {
					require.NoError(b, table.Failover(b.Context(), there))
					b.StopTimer()
					require.NoError(b, table.Failover(b.Context(), back))
					b.StartTimer()
				}
			})
		}
	}
}

// BenchmarkMoveAll moves all routes of one group to another path set with one Ensure.
func BenchmarkMoveAll(b *testing.B) {
	for _, c := range []struct {
		mode   Mode
		compat string // whether the kernel announces each route of a rewritten group
	}{{ModeObjects, "1"}, {ModeObjects, "0"}, {ModeInline, "1"}} {
		b.Run(fmt.Sprintf("%s/compat=%s/100000", c.mode, c.compat), func(b *testing.B) {
			l, table := benchTable(b, c.mode)
			l.sysctl(b, "net/ipv4/nexthop_compat_mode", c.compat)
			sets := [][]Route{benchRoutes(100_000, 0, 0), benchRoutes(100_000, 0, 0)}
			for i := range sets[0] {
				sets[0][i].NextHops = []netip.Addr{benchHop(1), benchHop(2)}
				sets[1][i].NextHops = []netip.Addr{benchHop(2)}
			}
			require.NoError(b, table.Ensure(b.Context(), sets[0]))
			i := 0
			for b.Loop() {
				i++
				require.NoError(b, table.Ensure(b.Context(), sets[i%2]))
			}
		})
	}
}

// BenchmarkResync reads 100,000 routes and finds nothing to do, alone and beside 100,000 foreign ones.
func BenchmarkResync(b *testing.B) {
	for _, foreign := range []int{0, 100_000} {
		b.Run(fmt.Sprintf("foreign=%d", foreign), func(b *testing.B) {
			_, table := benchTable(b, ModeObjects)
			if foreign > 0 {
				var script strings.Builder
				for i := range foreign {
					fmt.Fprintf(&script, "route add 60.%d.%d.%d/32 via 10.128.1.1 proto static\n", i>>16, i>>8&255, i&255)
				}
				batch(b, script.String())
			}
			require.NoError(b, table.Ensure(b.Context(), benchRoutes(100_000, 1, 0)))
			u, s := cpu(b)
			b.ReportAllocs()
			for b.Loop() {
				_, err := table.Adopt(b.Context())
				require.NoError(b, err)
			}
			u2, s2 := cpu(b)
			b.ReportMetric(float64((u2-u).Microseconds())/1000/float64(b.N), "user-ms/op")
			b.ReportMetric(float64((s2-s).Microseconds())/1000/float64(b.N), "system-ms/op")
		})
	}
}

// BenchmarkRepair has another program delete one route among 100,000, and then a group of 100 of
// them: the time until they are back.
func BenchmarkRepair(b *testing.B) {
	l, table := benchTable(b, ModeObjects)
	routes := benchRoutes(100_000, 1, 0)
	for i := range routes {
		routes[i].NextHops = []netip.Addr{benchHop(i % 1000)}
	}
	require.NoError(b, table.Ensure(b.Context(), routes))
	defer runTable(b, table)()
	wait := func(repairs uint64) time.Duration {
		started := time.Now()
		require.True(b, patient(soon, func() bool { return table.Stats().Repairs >= repairs }))
		return time.Since(started)
	}
	var one, group time.Duration
	i := 0
	for b.Loop() {
		was := table.Stats().Repairs
		l.ip(b, "route", "del", routes[i].Dst.String(), "proto", "200")
		one += wait(was + 1)
		table.mu.Lock()
		id := table.entries.Get(routes[i+500].Dst).usual.id
		table.mu.Unlock()
		was = table.Stats().Repairs
		l.ip(b, "nexthop", "del", "id", fmt.Sprint(id))
		group += wait(was + 101) // the group and its routes
		i++
	}
	b.ReportMetric(float64(one.Milliseconds())/float64(b.N), "ms-one")
	b.ReportMetric(float64(group.Milliseconds())/float64(b.N), "ms-group")
}

// BenchmarkLinkDown takes the carrier away from 100,000 routes with a second next hop elsewhere,
// and gives it back: the time until all use what is left, and until all are back.
func BenchmarkLinkDown(b *testing.B) {
	l, table := benchTable(b, ModeObjects)
	l.link(b, "fab1", "10.129.0.1/16")
	routes := benchRoutes(100_000, 1, 0)
	for i := range routes {
		routes[i].NextHops = []netip.Addr{benchHop(i % 100), netip.MustParseAddr("10.129.0.2")}
	}
	require.NoError(b, table.Ensure(b.Context(), routes))
	defer runTable(b, table)()
	var down, up time.Duration
	for b.Loop() {
		down += l.until(b, table, "down", 1)
		up += l.until(b, table, "up", 2)
	}
	b.ReportMetric(float64(down.Milliseconds())/float64(b.N), "ms-down")
	b.ReportMetric(float64(up.Milliseconds())/float64(b.N), "ms-up")
}

func (l *linux) until(b *testing.B, table *Table, how string, hops int) time.Duration {
	started := time.Now()
	l.ip(b, "link", "set", "fab0", how)
	require.True(b, patient(soon, func() bool {
		st, _ := table.Lookup(netip.MustParsePrefix("20.0.0.0/24"))
		return len(st.NextHops) == hops
	}))
	return time.Since(started)
}

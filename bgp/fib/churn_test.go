package fib

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPodsThatComeAndGoConcernNoRouteOfOurs(t *testing.T) {
	l, s := newLinuxScene(t, ModeObjects)
	require.Error(t, s.Ensure(t.Context(), []Route{to(pods, n2), to(pods6, x2), to(pods2, "203.0.113.9")}))
	s.run()
	within(t, func() bool { return s.Stats().Resyncs > 0 }, "a first look")
	l.ip(t, "route", "add", "198.18.255.0/24", "via", n2)
	before := s.Stats()
	routes, objects := s.quiet(func() {
		add, del := podScript(0, 50)
		batch(t, add)
		batch(t, del)
		// What concerns us is still seen afterwards.
		s.addLink(t, "fab2", "203.0.113.1/24")
		s.eventuallyStatus(pods2, Installed)
	})
	s.wantRoutes(ours4+n2, pods2+" metric 512 via 203.0.113.9", ours6+x2)
	require.Equal(t, []int{1, 2}, []int{routes, objects}, "the route that became possible, with its next hop and group")
	require.Equal(t, before.Resyncs, s.Stats().Resyncs, "nothing was read again")
}

// podScript are the commands of `ip -batch` that make and remove the links of n pods as a CNI plugin does.
func podScript(first, n int) (add, del string) {
	var a, d strings.Builder
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&a, "link add pod%d type veth peer name far%d\nlink set pod%d up\nlink set far%d up\n", i, i, i, i)
		fmt.Fprintf(&a, "addr add 10.9.%d.%d/32 dev pod%d\nroute add 10.8.%d.%d/32 dev pod%d\n", i/250, i%250, i, i/250, i%250, i)
		fmt.Fprintf(&d, "link del pod%d\n", i)
	}
	return a.String(), d.String()
}

// BenchmarkPodsComeAndGo is what it costs us that 100 pods come and go, each with a pair of links, while 10,000 routes
// of ours stand: it grows neither with the routes nor with the next hops.
func BenchmarkPodsComeAndGo(b *testing.B) {
	for _, hops := range []int{1, benchNextHops} {
		b.Run(fmt.Sprintf("%d next hops", hops), func(b *testing.B) {
			_, table := benchTable(b, ModeObjects)
			routes := benchRoutes(10_000, 0, 0)
			for i := range routes {
				routes[i].NextHops = []netip.Addr{benchHop(i % hops)}
			}
			require.NoError(b, table.Ensure(b.Context(), routes))
			defer runTable(b, table)()
			add, del := podScript(0, 100)
			var spent time.Duration
			for b.Loop() {
				u, s := cpu(b)
				batch(b, add)
				batch(b, del)
				u2, s2 := cpu(b)
				spent += u2 - u + s2 - s
			}
			b.ReportMetric(float64(spent.Microseconds())/100/float64(b.N), "CPU-µs/pod")
		})
	}
}

package fib

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// What only Linux can show.

func newLinuxScene(t *testing.T, m Mode) (*linux, *scene) {
	l := newLinux(t)
	return l, newScene(t, l, m)
}

func TestTableStaysInTheNamespaceItWasOpenedIn(t *testing.T) {
	_, s := newLinuxScene(t, ModeObjects)
	done := make(chan error)
	go func() { // on a thread of the first namespace
		done <- s.Ensure(t.Context(), []Route{to(pods, n2), to(pods6, x2)})
	}()
	require.NoError(t, <-done)
	s.run()
	s.wantRoutes(ours4+n2, ours6+x2)
	s.remove(t, spec{dst: pods, protocol: ourMark})
	s.eventually(ours4+n2, ours6+x2)
}

func TestOverflowOfTheNotificationSocketLosesNothing(t *testing.T) {
	for _, mode := range []Mode{ModeObjects, ModeInline} {
		t.Run(string(mode), func(t *testing.T) {
			l, s := newLinuxScene(t, mode)
			s.ensure(to(pods, n2), to(pods2, n2, m2), to(pods6, x2))
			mon := s.kernel.(*netlinkKernel).mon
			conn, err := mon.file.SyscallConn()
			require.NoError(t, err)
			require.NoError(t, conn.Control(func(fd uintptr) {
				require.NoError(t, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1))
			}))
			var script strings.Builder
			for i := range 2000 {
				fmt.Fprintf(&script, "route add 10.99.%d.%d/32 via %s proto static\n", i/250, i%250, n4)
			}
			batch(t, script.String())
			s.wipe(t, ourMark)
			s.run()
			s.eventually(ours4+n2, pods2+" metric 512 via "+n2+" "+m2, ours6+x2)
			require.NotZero(t, s.Stats().Overflows)
			require.Len(t, l.routes(t, static), 2000)
			// And while it runs.
			batch(t, strings.ReplaceAll(script.String(), "route add", "route del"))
			s.setUp(t, "fab1", false)
			s.wipe(t, ourMark)
			s.eventually(ours4+n2, pods2+" metric 512 via "+n2, ours6+x2)
		})
	}
}

func batch(t testing.TB, script string) {
	cmd := exec.Command("ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func TestRoutesOfOneFamilySurviveTheOtherBeingDisabled(t *testing.T) {
	l, s := newLinuxScene(t, ModeObjects)
	s.run()
	s.ensure(to(pods, n2), to(pods6, x2))
	l.sysctl(t, "net/ipv6/conf/all/disable_ipv6", "1")
	s.eventuallyStatus(pods6, Failed)
	s.eventually(ours4 + n2)
	require.Error(t, s.Ensure(t.Context(), []Route{to("fd00:21::/64", x3)}))
	l.sysctl(t, "net/ipv6/conf/all/disable_ipv6", "0")
	s.addAddr(t, "fab0", "2001:db8:1::1/64")
	s.eventually(ours4+n2, ours6+x2, "fd00:21::/64 metric 512 via "+x3)
}

func TestAllNextHopsFlushedByAnotherProgramComeBack(t *testing.T) {
	l, s := newLinuxScene(t, ModeObjects)
	s.run()
	s.ensure(to(pods, n2, m2), to(pods2, n2), to(pods6, x2))
	l.ip(t, "nexthop", "flush", "proto", "200")
	s.eventually(ours4+n2+" "+m2, pods2+" metric 512 via "+n2, ours6+x2)
}

func TestAProgramThatKeepsDeletingAGroupMakesUsGiveWay(t *testing.T) {
	_, s := newLinuxScene(t, ModeObjects)
	s.run()
	s.ensure(to(pods, n2), to(pods2, n3))
	for range fightRepairs {
		s.deleteNextHop(t, s.id(groupText([]uint32{s.id("via " + n2)})))
		s.eventually(ours4+n2, pods2+" metric 512 via "+n3)
	}
	s.deleteNextHop(t, s.id(groupText([]uint32{s.id("via " + n2)})))
	s.eventuallyStatus(pods, Failed)
	require.Contains(t, s.reason(pods), "another program keeps removing or changing the next-hop group")
	s.wantRoutes(pods2 + " metric 512 via " + n3)
}

func TestAFailoverOfIPv6RoutesToAnIPv4NextHopIsRefusedAndNothingIsLost(t *testing.T) {
	_, s := newLinuxScene(t, ModeObjects)
	s.run()
	s.ensure(to(pods6, x2), to(pods, n3))
	err := s.Failover(t.Context(), []Move{{addrs(x2), addrs(n2)}, {addrs(n3), addrs(m2)}})
	require.ErrorContains(t, err, "failover from 2001:db8:1::2 to 192.0.2.2: next-hop group")
	s.wantRoutes(ours4+m2, ours6+x2)
	within(t, func() bool { return len(s.objects(t, ourMark)) == 5 }, "the object of %s to go", n2)
	s.ensure(to(pods6, x3), to(pods, m2))
	s.wantRoutes(ours4+m2, ours6+x3)
	require.Len(t, s.objects(t, ourMark), 4)
}

func TestLinkLocalNextHopsAreToldApartByTheirLink(t *testing.T) {
	for _, mode := range []Mode{ModeObjects, ModeInline} {
		t.Run(string(mode), func(t *testing.T) {
			l, s := newLinuxScene(t, mode)
			route := Route{Dst: p(pods6), NextHops: addrs("fe80::2%fab0", "fe80::2%fab1")}
			s.run()
			s.ensure(route)
			out := l.ip(t, "-6", "route", "show", pods6)
			require.Contains(t, out, "via fe80::2 dev fab0")
			require.Contains(t, out, "via fe80::2 dev fab1")
			s.reopenless(func(other *Table) {
				r, o := s.quiet(func() {
					_, err := other.Adopt(t.Context())
					require.NoError(t, err)
					require.NoError(t, other.Ensure(t.Context(), []Route{route}))
				})
				require.Zero(t, r+o)
			})
			s.setUp(t, "fab0", false)
			within(t, func() bool { return !strings.Contains(l.ip(t, "-6", "route", "show", pods6), "fab0") }, "fab0 to go")
			s.setUp(t, "fab0", true)
			within(t, func() bool { return strings.Contains(l.ip(t, "-6", "route", "show", pods6), "fab0") }, "fab0 to be back")
			err := s.Ensure(t.Context(), []Route{{Dst: p("fd00:21::/64"), NextHops: addrs("fe80::2%none0")}})
			require.ErrorContains(t, err, "none0")
		})
	}
}

func TestTablesBeyond255AndNotYetUsedAreRead(t *testing.T) {
	l := newLinux(t)
	l.link(t, "fab0", "192.0.2.1/24", "2001:db8:1::1/64")
	table := openLinux(t, Config{Table: 70000, Log: testLog(t)}, ModeObjects)
	defer func() { require.NoError(t, table.Close()) }()
	n, err := table.Adopt(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	require.NoError(t, table.Ensure(t.Context(), []Route{to(pods, n2), to(pods6, x2)}))
	require.Contains(t, l.ip(t, "route", "show", "table", "70000"), pods)
	require.NoError(t, table.Close())
	again := openLinux(t, Config{Table: 70000, Log: testLog(t)}, ModeObjects)
	defer func() { require.NoError(t, again.Close()) }()
	n, err = again.Adopt(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, n)
	removed, err := again.Cleanup(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, removed)
}

func TestRoutesOfAnyShapeWithOurMarkArePrunedAndCleanedUp(t *testing.T) {
	for _, mode := range []Mode{ModeObjects, ModeInline} {
		t.Run(string(mode), func(t *testing.T) {
			l, s := newLinuxScene(t, mode)
			s.run()
			odd := func() {
				l.ip(t, "nexthop", "replace", "id", "77", "via", n4, "dev", "fab0", "proto", "static")
				for _, r := range []string{
					"10.41.0.0/24 dev fab0", "blackhole 10.42.0.0/24", "10.43.0.0/24 via " + n4 + " tos 0x10 metric 512",
					"10.44.0.0/24 nhid 77", "10.45.0.0/24 via " + n4 + " metric 7", "10.45.0.0/24 via " + n4 + " metric 8",
					pods + " via " + n4 + " tos 0x10 metric 512",
					"fd00:41::/64 dev fab0", "blackhole fd00:42::/64", "fd00:44::/64 nexthop via " + x3 + " nexthop via " + y2,
				} {
					l.ip(t, append(strings.Fields("route add proto 200"), strings.Fields(r)...)...)
				}
			}
			s.ensure(to(pods2, n2), to(pods6, x2))
			odd()
			n, err := s.Prune(t.Context())
			require.NoError(t, err)
			require.Equal(t, 9, n, "prefixes")
			s.wantRoutes(pods2+" metric 512 via "+n2, ours6+x2)
			odd()
			n, err = s.Cleanup(t.Context())
			require.NoError(t, err)
			require.Equal(t, 12, n, "routes")
			s.wantRoutes()
			require.Contains(t, l.ip(t, "nexthop", "show"), "id 77")
		})
	}
}

func TestAForeignRouteSlippedInFrontOfOursSurvivesOurChanges(t *testing.T) {
	for _, mode := range []Mode{ModeObjects, ModeInline} {
		t.Run(string(mode), func(t *testing.T) {
			l, s := newLinuxScene(t, mode)
			s.ensure(to(pods, n2), to(pods6, x2)) // nobody runs: we shall not know
			l.ip(t, "route", "prepend", pods, "via", n4, "metric", "512", "proto", "static")
			s.ensure(to(pods, n3), to(pods2, n2))
			s.ensure(to(pods, n2, n3))
			s.wantRoutesOf(static, ours4+n4)
			s.wantRoutes(ours4+n2+" "+n3, pods2+" metric 512 via "+n2, ours6+x2)
			s.run()
			_, err := s.Adopt(t.Context())
			require.NoError(t, err)
			s.eventuallyStatus(pods, Conflict)
			s.remove(t, spec{dst: pods, metric: 512, protocol: static})
			s.eventuallyStatus(pods, Installed)
		})
	}
}

func TestOpenWithoutPrivilegeSaysWhatIsMissing(t *testing.T) {
	newLinux(t)
	err := unprivileged(func() error {
		_, err := Open(Config{})
		return err
	})
	require.ErrorContains(t, err, "CAP_NET_ADMIN is missing")
}

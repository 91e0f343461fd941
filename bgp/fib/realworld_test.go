package fib

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// linux is the real kernel: a fresh network namespace for the test, and a second one that holds
// the far ends of its cables. Other programs are iproute2.
type linux struct {
	here, there netns.NsHandle
	far         *netlink.Handle
	routeEvents atomic.Int64
	nhEvents    atomic.Int64
	markers     atomic.Int64
	lines       seenLines
	marker      int64
}

// needRoot skips, or fails in CI, when there are no privileges to make namespaces.
func needRoot(t testing.TB) {
	t.Helper()
	problem := ""
	if os.Geteuid() != 0 {
		problem = "needs root to make network namespaces"
	} else if _, err := exec.LookPath("ip"); err != nil {
		problem = "needs ip (Debian package iproute2)"
	}
	if problem == "" {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal(problem)
	}
	t.Skip(problem)
}

// newLinux moves the test's goroutine into a fresh namespace until the test ends.
func newLinux(t testing.TB) *linux {
	needRoot(t)
	runtime.LockOSThread()
	origin, err := netns.Get()
	require.NoError(t, err)
	l := &linux{}
	l.there, err = netns.New()
	require.NoError(t, err)
	l.here, err = netns.New() // the thread is in this one from now on
	require.NoError(t, err)
	l.far, err = netlink.NewHandleAt(l.there)
	require.NoError(t, err)
	t.Cleanup(func() {
		l.far.Close()
		require.NoError(t, netns.Set(origin))
		for _, h := range []*netns.NsHandle{&origin, &l.here, &l.there} {
			require.NoError(t, h.Close())
		}
		runtime.UnlockOSThread()
	})
	l.ip(t, "link", "set", "lo", "up")
	return l
}

func (l *linux) ip(t testing.TB, args ...string) string {
	t.Helper()
	// The child inherits the namespace of this thread, which the test has pinned.
	out, err := exec.Command("ip", args...).CombinedOutput()
	require.NoError(t, err, "ip %s: %s", strings.Join(args, " "), out)
	return string(out)
}

func (l *linux) open(t *testing.T, c Config, m Mode) *Table {
	return openLinux(t, c, m)
}

// openLinux opens the real kernel, in a mode other than the one Open would find if so asked.
func openLinux(t testing.TB, c Config, m Mode) *Table {
	table, err := Open(c)
	require.NoError(t, err)
	require.Equal(t, ModeObjects, table.Mode(), "this kernel has next-hop objects")
	table.mode = m
	k, ok := table.kernel.(*netlinkKernel)
	require.True(t, ok)
	k.objects = m == ModeObjects
	return table
}

func (l *linux) addLink(t *testing.T, name string, addrs ...string) {
	t.Helper()
	l.link(t, name, addrs...)
}

func (l *linux) link(t testing.TB, name string, addrs ...string) {
	t.Helper()
	here, err := netlink.NewHandleAt(l.here)
	require.NoError(t, err)
	defer here.Close()
	require.NoError(t, here.LinkAdd(&netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: name},
		PeerName:      name,
		PeerNamespace: netlink.NsFd(l.there),
	}))
	far, err := l.far.LinkByName(name)
	require.NoError(t, err)
	require.NoError(t, l.far.LinkSetUp(far))
	l.ip(t, "link", "set", name, "up")
	for _, a := range addrs {
		l.ip(t, append([]string{"addr", "add", a, "dev", name}, nodad(a)...)...)
	}
	within(t, func() bool { return strings.Contains(l.ip(t, "link", "show", name), "state UP") }, "%s to be up", name)
}

func nodad(addr string) []string {
	if strings.Contains(addr, ":") {
		return []string{"nodad"}
	}
	return nil
}

func (l *linux) deleteLink(t *testing.T, name string) { l.ip(t, "link", "del", name) }

func (l *linux) setUp(t *testing.T, name string, up bool) {
	l.ip(t, "link", "set", name, map[bool]string{true: "up", false: "down"}[up])
}

func (l *linux) setCarrier(t *testing.T, name string, on bool) {
	far, err := l.far.LinkByName(name)
	require.NoError(t, err)
	if on {
		require.NoError(t, l.far.LinkSetUp(far))
	} else {
		require.NoError(t, l.far.LinkSetDown(far))
	}
}

func (l *linux) addAddr(t *testing.T, link, addr string) {
	l.ip(t, append([]string{"addr", "add", addr, "dev", link}, nodad(addr)...)...)
}

func (l *linux) deleteAddr(t *testing.T, link, addr string) {
	l.ip(t, "addr", "del", addr, "dev", link)
}

func (l *linux) route(t *testing.T, verb string, r spec) {
	t.Helper()
	args := []string{"route", verb}
	if r.drops != "" {
		args = append(args, r.drops)
	}
	args = append(args, r.dst, "proto", strconv.Itoa(r.protocol))
	if r.metric != 0 {
		args = append(args, "metric", strconv.Itoa(r.metric))
	}
	if r.nextHop != 0 {
		args = append(args, "nhid", fmt.Sprint(r.nextHop))
	}
	switch {
	case r.also != "":
		args = append(args, "nexthop", "via", r.via, "nexthop", "via", r.also)
	case r.via != "":
		args = append(args, "via", r.via)
	}
	if r.link != "" {
		args = append(args, "dev", r.link)
	}
	if r.pinned {
		args = append(args, "onlink")
	}
	l.ip(t, args...)
}

func (l *linux) add(t *testing.T, r spec)      { l.route(t, "add", r) }
func (l *linux) appendTo(t *testing.T, r spec) { l.route(t, "append", r) }
func (l *linux) replace(t *testing.T, r spec)  { l.route(t, "replace", r) }
func (l *linux) remove(t *testing.T, r spec)   { l.route(t, "del", r) }

// wipe deletes in one go; this iproute2's own flush cannot delete routes that name an object.
func (l *linux) wipe(t *testing.T, protocol int) {
	var script strings.Builder
	for _, r := range l.routes(t, protocol) {
		fmt.Fprintf(&script, "route del %s proto %d\n", strings.Fields(r)[0], protocol)
	}
	batch(t, script.String())
}

func (l *linux) compat(t *testing.T, on bool) {
	l.sysctl(t, "net/ipv4/nexthop_compat_mode", map[bool]string{true: "1", false: "0"}[on])
}

// sysctl sets a value of this thread's namespace.
func (l *linux) sysctl(t testing.TB, name, value string) {
	require.NoError(t, os.WriteFile("/proc/sys/"+name, []byte(value), 0o600))
}

func (l *linux) addNextHop(t *testing.T, id uint32, via, link string, protocol int) {
	l.ip(t, "nexthop", "replace", "id", fmt.Sprint(id), "via", via, "dev", link, "proto", strconv.Itoa(protocol))
}

func (l *linux) replaceGroup(t *testing.T, id uint32, protocol int, members ...uint32) {
	var all []string
	for _, m := range members {
		all = append(all, fmt.Sprint(m))
	}
	l.ip(t, "nexthop", "replace", "id", fmt.Sprint(id), "group", strings.Join(all, "/"), "proto", strconv.Itoa(protocol))
}

func (l *linux) deleteNextHop(t *testing.T, id uint32) {
	l.ip(t, "nexthop", "del", "id", fmt.Sprint(id))
}

func (l *linux) steal(dst string, id uint32) {
	args := []string{"route", "del", dst, "proto", strconv.Itoa(ourMark)}
	if dst == "" {
		args = []string{"nexthop", "del", "id", fmt.Sprint(id)}
	}
	_ = exec.Command("ip", args...).Run() // it may have gone meanwhile
}

// shown is what `ip -j route` tells of a route.
type shown struct {
	Type         string
	Dst, Gateway string
	PrefSrc      string
	Metric       int
	Metrics      []struct{ MTU int }
	Via          struct{ Host string }
	NextHops     []struct {
		Gateway string
		Via     struct{ Host string }
	}
}

func (l *linux) routes(t *testing.T, protocol int) []string {
	all := []string{}
	for _, family := range []string{"-4", "-6"} {
		var list []shown
		out := l.ip(t, "-j", "-N", family, "route", "show", "proto", strconv.Itoa(protocol))
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			require.Empty(t, strings.TrimSpace(out))
		}
		for _, r := range list {
			all = append(all, r.text())
		}
	}
	slices.Sort(all)
	return all
}

func (r shown) text() string {
	via := []string{r.Gateway + r.Via.Host}
	if len(r.NextHops) > 0 {
		via = nil
		for _, n := range r.NextHops {
			via = append(via, n.Gateway+n.Via.Host)
		}
	}
	slices.Sort(via)
	if !strings.Contains(r.Dst, "/") {
		r.Dst += map[bool]string{true: "/128", false: "/32"}[strings.Contains(r.Dst, ":")]
	}
	text := strings.TrimSpace(fmt.Sprintf("%s metric %d via %s", r.Dst, r.Metric, strings.Join(via, " ")))
	if r.Type == "6" { // RTN_BLACKHOLE
		text = fmt.Sprintf("%s metric %d blackhole", r.Dst, r.Metric)
	}
	if r.PrefSrc != "" {
		text += " src " + r.PrefSrc
	}
	if len(r.Metrics) > 0 {
		text += fmt.Sprintf(" mtu %d", r.Metrics[0].MTU)
	}
	return text
}

func (l *linux) ruleTexts(t *testing.T) (all []string) {
	for _, family := range []string{"-4", "-6"} {
		var list []struct {
			Priority        int
			Table, Protocol string
		}
		require.NoError(t, json.Unmarshal([]byte(l.ip(t, "-j", "-N", "-d", family, "rule")), &list))
		for _, r := range list {
			if r.Protocol == strconv.Itoa(ourMark) {
				all = append(all, fmt.Sprintf("%s %d lookup %s", family, r.Priority, r.Table))
			}
		}
	}
	slices.Sort(all)
	return all
}

func (l *linux) dropRule(t *testing.T, family string, priority, table int) {
	l.ip(t, family, "rule", "del", "pref", strconv.Itoa(priority), "lookup", strconv.Itoa(table))
}

func (l *linux) putRule(t *testing.T, family string, priority, table int) {
	l.ip(t, family, "rule", "add", "pref", strconv.Itoa(priority), "lookup", strconv.Itoa(table), "protocol", strconv.Itoa(ourMark))
}

func (l *linux) objects(t *testing.T, protocol int) map[uint32]string {
	var list []struct {
		ID      uint32
		Gateway string
		Group   []struct{ ID uint32 }
	}
	out := l.ip(t, "-j", "-N", "nexthop", "show", "proto", strconv.Itoa(protocol))
	if strings.TrimSpace(out) != "" {
		require.NoError(t, json.Unmarshal([]byte(out), &list), out)
	}
	all := map[uint32]string{}
	for _, o := range list {
		if all[o.ID] = "via " + o.Gateway; o.Group != nil {
			var ids []uint32
			for _, m := range o.Group {
				ids = append(ids, m.ID)
			}
			slices.Sort(ids)
			all[o.ID] = groupText(ids)
		}
	}
	return all
}

func groupText(ids []uint32) string {
	return "group " + strings.Trim(fmt.Sprint(ids), "[]")
}

// runTable runs a table and returns what ends it and checks that it ended well.
func runTable(t testing.TB, table *Table) func() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- table.Run(ctx) }()
	return func() {
		cancel()
		require.NoError(t, <-done)
	}
}

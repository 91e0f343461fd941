package fib

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInspectReadsTheSettingsOfItsNamespace(t *testing.T) {
	l, s := newLinuxScene(t, ModeObjects)
	s.addLink(t, "fab.7", "203.0.113.1/24")
	s.run()
	for _, set := range [][2]string{
		{"ipv4/ip_forward", "1"}, {"ipv4/ip_forward", "0"}, // which sets it for each link
		{"ipv6/conf/all/forwarding", "1"}, {"ipv4/conf/all/rp_filter", "1"}, {"ipv4/conf/fab.7/rp_filter", "2"},
		{"ipv4/conf/fab0/forwarding", "1"}, {"ipv6/conf/fab0/disable_ipv6", "1"}, {"ipv4/fib_multipath_hash_policy", "1"},
		{"ipv6/fib_multipath_hash_policy", "0"}, {"ipv6/conf/all/disable_ipv6", "0"}, {"ipv4/nexthop_compat_mode", "1"},
		{"ipv6/conf/fab0/disable_ipv6", "1"},
	} {
		l.sysctl(t, "net/"+set[0], set[1])
	}
	h, err := s.Inspect()
	require.NoError(t, err)
	require.Empty(t, h.Links, "no next hop, no link that matters")
	h, err = s.Inspect("fab.7")
	require.NoError(t, err)
	require.Len(t, h.Links, 1, "but for those asked for")
	require.Equal(t, Setting{"net/ipv4/conf/fab.7/rp_filter", 2, true}, h.Links[0].ReversePath)
	s.ensure(to(pods, n2, n3), to(pods2, m2, "203.0.113.9"))
	h, err = s.Inspect("fab.7")
	require.NoError(t, err)
	require.Equal(t, Setting{"net.ipv4.ip_forward", 0, true}, h.Forwarding4)
	require.Equal(t, Setting{"net.ipv6.conf.all.forwarding", 1, true}, h.Forwarding6)
	require.True(t, h.ReversePath.Is(1))
	require.True(t, h.Hash4.Is(1) && h.Hash6.Is(0) && h.CompatMode.Is(1) && h.IPv6Off.Is(0))
	require.Equal(t, []int{4, 0, 2}, []int{h.NextHops4, h.NextHops6, h.Routes})
	require.True(t, h.Multipath)
	require.Len(t, h.Links, 3)
	require.Equal(t, "fab.7", h.Links[0].Name)
	require.Equal(t, Setting{"net/ipv4/conf/fab.7/rp_filter", 2, true}, h.Links[0].ReversePath)
	require.Equal(t, Setting{"net.ipv6.conf.fab0.disable_ipv6", 1, true}, h.Links[1].IPv6Off)
	require.True(t, h.Links[1].Forwarding4.Is(1) && h.Links[2].Forwarding4.Is(0))
	require.False(t, h.Neighbours4.Known && h.Neighbours4.Value == 0, "absent in a namespace, and then not taken for 0")
}

func TestInspectFindsTablesThatNoRuleLooksAt(t *testing.T) {
	l := newLinux(t)
	table := openLinux(t, Config{Table: 70000, Log: testLog(t)}, ModeObjects)
	defer func() { require.NoError(t, table.Close()) }()
	unruled := func() []bool {
		h, err := table.Inspect()
		require.NoError(t, err)
		require.Equal(t, 70000, h.Table)
		return []bool{h.Unruled4, h.Unruled6}
	}
	require.Equal(t, []bool{true, true}, unruled())
	l.ip(t, "rule", "add", "lookup", "70000")
	require.Equal(t, []bool{false, true}, unruled())
	l.ip(t, "-6", "rule", "add", "iif", "lo", "lookup", "70000")
	require.Equal(t, []bool{false, false}, unruled())
}

func TestChangesOfTheHostAreTold(t *testing.T) {
	l, s := newLinuxScene(t, ModeObjects)
	for _, name := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/fab0/rp_filter"} {
		l.sysctl(t, name, "0") // a namespace begins with the values of the first one
	}
	s.run()
	for _, c := range []struct {
		name   string
		change func()
	}{
		{"forwarding", func() { l.sysctl(t, "net/ipv4/ip_forward", "1") }},
		{"forwarding of IPv6", func() { l.sysctl(t, "net/ipv6/conf/all/forwarding", "1") }},
		{"the filter of a link", func() { l.sysctl(t, "net/ipv4/conf/fab0/rp_filter", "1") }},
		{"a rule that comes", func() { l.ip(t, "rule", "add", "lookup", "70000") }},
		{"an IPv6 rule that goes", func() { l.ip(t, "-6", "rule", "del", "lookup", "main") }},
	} {
		s.quiet(func() {}) // what was before is over
		for len(s.HostChanged()) > 0 {
			<-s.HostChanged()
		}
		c.change()
		within(t, func() bool { return len(s.HostChanged()) > 0 }, "news of %s", c.name)
	}
}

// BenchmarkInspect is what it costs to look after the host, with 4,000 next hops over one link.
func BenchmarkInspect(b *testing.B) {
	_, table := benchTable(b, ModeObjects)
	require.NoError(b, table.Ensure(b.Context(), benchRoutes(10_000, 1, 0)))
	for b.Loop() {
		_, err := table.Inspect()
		require.NoError(b, err)
	}
}

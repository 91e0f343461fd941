package fib

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"
)

func TestFacts(t *testing.T) {
	l := newLinux(t)
	l.link(t, "fab0", "192.0.2.1/24", "2001:db8:1::1/64", "169.254.9.1/16")
	table := openLinux(t, Config{Log: testLog(t)}, ModeObjects)
	defer func() { require.NoError(t, table.Close()) }()
	defer runTable(t, table)()

	l.ip(t, "addr", "add", "10.0.0.1/32", "dev", "lo")
	l.ip(t, "addr", "add", "198.51.100.1", "peer", "198.51.100.2/32", "dev", "fab0")
	f, err := table.Facts()
	require.NoError(t, err)
	require.Equal(t, prefixes("10.0.0.1/32", "192.0.2.1/24", "198.51.100.1/32", "2001:db8:1::1/64"), f.Addresses)
	require.Equal(t, prefixes("192.0.2.0/24", "2001:db8:1::/64"), f.Connected)

	within(t, func() bool { return len(table.FactsChanged()) == 1 }, "a poke")
	<-table.FactsChanged()
	l.ip(t, "addr", "del", "192.0.2.1/24", "dev", "fab0")
	within(t, func() bool { return len(table.FactsChanged()) == 1 }, "a poke after an address went")
}

func prefixes(all ...string) (list []netip.Prefix) {
	for _, s := range all {
		list = append(list, p(s))
	}
	return list
}

func TestLocalAddresses(t *testing.T) {
	l := newLinux(t)
	l.link(t, "fab0", "192.0.2.9/24", "192.0.2.1/25", "2001:db8:1::9/64", "2001:db8:1::1/64")
	l.link(t, "fab1", "198.51.100.1/24")
	l.ip(t, "route", "add", "203.0.113.0/24", "via", n2, "src", "192.0.2.9")
	table := openLinux(t, Config{Log: testLog(t)}, ModeObjects)
	defer func() { require.NoError(t, table.Close()) }()
	for _, c := range []struct{ name, peer, link, v4, v6 string }{
		{"an IPv4 peer on the link: the kernel's source, and the lowest IPv6 address", "192.0.2.200", "fab0", "192.0.2.9", "2001:db8:1::1"},
		{"an IPv4 peer behind a router: the source its route says", "203.0.113.5", "fab0", "192.0.2.9", "2001:db8:1::1"},
		{"an IPv6 peer: the lowest IPv4 address with it", x2, "fab0", "192.0.2.1", "2001:db8:1::1"},
		{"a link-local peer by its link", "fe80::2%fab0", "fab0", "192.0.2.1", "2001:db8:1::1"},
		{"a link with one family only", m2, "fab1", "198.51.100.1", "invalid IP"},
	} {
		t.Run(c.name, func(t *testing.T) {
			link, v4, v6, err := table.LocalAddresses(netip.MustParseAddr(c.peer))
			require.NoError(t, err)
			if strings.HasPrefix(c.peer, "2001") {
				require.True(t, v6.IsValid()) // which of the two is the kernel's business
				v6 = netip.MustParseAddr(c.v6)
			}
			require.Equal(t, []string{c.link, c.v4, c.v6}, []string{link, v4.String(), v6.String()})
		})
	}
	_, _, _, err := table.LocalAddresses(netip.MustParseAddr("10.255.0.1"))
	require.ErrorContains(t, err, "find the way to 10.255.0.1")
}

func TestAnAddressUnderDuplicateDetectionIsNoSource(t *testing.T) {
	l := newLinux(t)
	l.link(t, "fab0", "192.0.2.1/24")
	table := openLinux(t, Config{Log: testLog(t)}, ModeObjects)
	defer func() { require.NoError(t, table.Close()) }()
	defer runTable(t, table)()
	// The far end has the address already: detection fails and it stays unusable.
	l.inside(t, l.there, func() { l.ip(t, "addr", "add", "2001:db8:1::1/64", "dev", "fab0", "nodad") })
	l.ip(t, "addr", "add", "2001:db8:1::1/64", "dev", "fab0")
	source := func() netip.Addr {
		_, _, v6, err := table.LocalAddresses(netip.MustParseAddr(n2))
		require.NoError(t, err)
		return v6
	}
	require.False(t, source().IsValid(), "tentative")
	f, err := table.Facts()
	require.NoError(t, err)
	require.Contains(t, f.Addresses, p("2001:db8:1::1/64"), "ours all the same")
	within(t, func() bool { return strings.Contains(l.ip(t, "addr", "show", "fab0"), "dadfailed") }, "the duplicate to be detected")
	require.False(t, source().IsValid(), "duplicate")
	// A good one becomes usable, and that is told.
	for len(table.FactsChanged()) > 0 {
		<-table.FactsChanged()
	}
	l.ip(t, "addr", "add", "2001:db8:1::5/64", "dev", "fab0")
	within(t, func() bool { return source() == netip.MustParseAddr("2001:db8:1::5") }, "the good address")
	require.NotEmpty(t, table.FactsChanged())
}

// inside runs f in another namespace, on this thread.
func (l *linux) inside(t *testing.T, ns netns.NsHandle, f func()) {
	require.NoError(t, netns.Set(ns))
	defer func() { require.NoError(t, netns.Set(l.here)) }()
	f()
}

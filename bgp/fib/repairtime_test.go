package fib

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWhatOthersUndoIsBack does to a table of 10,000 routes what other programs do, and waits for Linux to
// have all of them again. The times are in the log.
func TestWhatOthersUndoIsBack(t *testing.T) {
	l, s := newLinuxScene(t, ModeObjects)
	s.run()
	routes := []Route{to(pods, n2, n3), to(pods2, n4), to(pods6, x2)}
	var wipe strings.Builder
	for i := range 10_000 {
		dst := fmt.Sprintf("10.%d.%d.0/24", 64+i/250, i%250)
		routes = append(routes, to(dst, n2, n3))
		fmt.Fprintf(&wipe, "route del %s proto 200\n", dst)
	}
	s.ensure(routes...)
	whole := func() bool {
		return strings.Count(l.ip(t, "-o", "-N", "route", "show", "proto", "200"), "\n") == len(routes)-1 &&
			strings.Contains(l.ip(t, "route", "show", pods), "nexthop via "+n2) &&
			strings.Contains(l.ip(t, "route", "show", pods2), "via "+n4) &&
			strings.Contains(l.ip(t, "-6", "route", "show", pods6), "via "+x2)
	}
	require.True(t, whole())
	shared := func() uint32 {
		ids := []uint32{s.id("via " + n2), s.id("via " + n3)}
		slices.Sort(ids)
		return s.id(groupText(ids))
	}
	for _, c := range []struct {
		name string
		undo func()
	}{
		{"a route is deleted", func() { s.remove(t, spec{dst: pods, protocol: ourMark}) }},
		{"an IPv6 route is deleted", func() { s.remove(t, spec{dst: pods6, protocol: ourMark}) }},
		{"a route is replaced under our mark", func() { s.replace(t, spec{dst: pods2, via: n3, metric: 512, protocol: ourMark}) }},
		{"a next-hop object is changed", func() { s.addNextHop(t, s.id("via "+n4), m2, "fab1", ourMark) }},
		{"a group of one is deleted, and its route with it", func() { s.deleteNextHop(t, s.id(groupText([]uint32{s.id("via " + n4)}))) }},
		{"the group of 10,000 routes is rewritten", func() { s.replaceGroup(t, shared(), ourMark, s.id("via "+n4)) }},
		{"the group of 10,000 routes is deleted, and they with it", func() { s.deleteNextHop(t, shared()) }},
		{"10,000 routes are deleted one by one", func() { batch(t, wipe.String()) }},
		{"all our objects are flushed", func() { l.ip(t, "nexthop", "flush", "proto", "200") }},
	} {
		c.undo()
		begin := time.Now()
		within(t, whole, "the repair after %s", c.name)
		t.Logf("%s: back after %s", c.name, time.Since(begin).Round(time.Millisecond))
	}
	require.Zero(t, s.Stats().Fights)
}

package kubernetes

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/containerlab"
)

// protocol marks the daemon's routes.
const protocol = 200

// kernelRoutes returns the daemon's routes in a node's kernel, each with its gateway.
func kernelRoutes(n *containerlab.Node) (map[netip.Prefix]netip.Addr, error) {
	routes := map[netip.Prefix]netip.Addr{}
	err := n.Do(func() error {
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			list, err := netlink.RouteListFiltered(family, &netlink.Route{Protocol: protocol}, netlink.RT_FILTER_PROTOCOL)
			if err != nil {
				return err
			}
			for _, r := range list {
				routes[prefixOf(r.Dst)] = gatewayOf(r)
			}
		}
		return nil
	})
	return routes, err
}

// gatewayOf is the one gateway of a route; with several or none the address is invalid.
func gatewayOf(r netlink.Route) netip.Addr {
	gateway := r.Gw
	if len(r.MultiPath) == 1 { // how the kernel shows a group of one, for IPv6
		gateway = r.MultiPath[0].Gw
	}
	address, _ := netip.AddrFromSlice(gateway)
	return address.Unmap()
}

func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	address, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(address.Unmap(), bits)
}

// wanted is what a node's kernel is to have: all that the other cluster's nodes advertise, through the fabric.
func (w *world) wanted(node string) map[netip.Prefix]netip.Addr {
	here := placeOf(node)
	routes := map[netip.Prefix]netip.Addr{}
	for _, prefix := range w.remote(node) {
		routes[prefix] = here.fabric4
		if prefix.Addr().Is6() {
			routes[prefix] = here.fabric6
		}
	}
	return routes
}

// remote is all that the nodes of the other cluster advertise.
func (w *world) remote(node string) []netip.Prefix {
	here := placeOf(node)
	var prefixes []netip.Prefix
	for _, p := range places() {
		if p.cluster != here.cluster {
			prefixes = append(prefixes, w.pods[p.name]...)
		}
	}
	return prefixes
}

// routed waits until a node's kernel has exactly the routes it is to have.
func (w *world) routed(t *testing.T, nodes ...string) {
	t.Helper()
	for _, name := range nodes {
		want := w.wanted(name)
		until(t, "the routes of "+name, func(context.Context) error {
			got, err := kernelRoutes(w.Node(name))
			if err == nil && !maps.Equal(got, want) {
				err = fmt.Errorf("want %v, got %v", want, got)
			}
			return err
		})
	}
}

// routeEvent is one change of a route of the daemon's.
type routeEvent struct {
	at     time.Time // when the kernel's message was read
	prefix netip.Prefix
	gone   bool
}

// routeWatch hears of each change of the daemon's routes in one node from the kernel.
type routeWatch struct {
	mu     sync.Mutex // guards the fields below
	events []routeEvent
	broken error
	more   chan struct{} // closed and replaced with every event
}

// watchRoutes listens from now to the end of the test.
func watchRoutes(t *testing.T, n *containerlab.Node) *routeWatch {
	t.Helper()
	w := &routeWatch{more: make(chan struct{})}
	updates, done := make(chan netlink.RouteUpdate), make(chan struct{})
	require.NoError(t, n.Do(func() error {
		return netlink.RouteSubscribeWithOptions(updates, done, netlink.RouteSubscribeOptions{
			ReceiveBufferSize: 8 << 20, ReceiveBufferForceSize: true,
			ErrorCallback: func(err error) { w.add(nil, err) },
		})
	}))
	var wait sync.WaitGroup
	wait.Go(func() {
		for u := range updates {
			if u.Protocol == protocol {
				w.add(&routeEvent{at: time.Now(), prefix: prefixOf(u.Dst), gone: u.Type == unix.RTM_DELROUTE}, nil)
			}
		}
	})
	t.Cleanup(func() {
		close(done)
		wait.Wait()
	})
	return w
}

func (w *routeWatch) add(e *routeEvent, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e != nil {
		w.events = append(w.events, *e)
	} else {
		w.broken = err
	}
	close(w.more)
	w.more = make(chan struct{})
}

// mark is where the events to come will begin.
func (w *routeWatch) mark() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.events)
}

// since returns the events after a mark.
func (w *routeWatch) since(t *testing.T, mark int) []routeEvent {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	require.NoError(t, w.broken)
	return slices.Clone(w.events[mark:])
}

// await waits until all these routes have come, or gone, since a mark, and returns when the last of them did.
func (w *routeWatch) await(t *testing.T, mark int, gone bool, prefixes ...netip.Prefix) time.Time {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		w.mu.Lock()
		events, broken, more := w.events[mark:], w.broken, w.more
		w.mu.Unlock()
		require.NoError(t, broken)
		if at, all := lastOf(events, gone, prefixes); all {
			return at
		}
		select {
		case <-more:
		case <-limit.C:
			require.FailNow(t, "routes did not change in time", "gone %v, %v: heard of %v", gone, prefixes, events)
		}
	}
}

func lastOf(events []routeEvent, gone bool, prefixes []netip.Prefix) (time.Time, bool) {
	var last time.Time
	for _, prefix := range prefixes {
		at := slices.IndexFunc(events, func(e routeEvent) bool { return e.prefix == prefix && e.gone == gone })
		if at < 0 {
			return time.Time{}, false
		}
		if events[at].at.After(last) {
			last = events[at].at
		}
	}
	return last, true
}

// touched returns the prefixes of events, sorted, each once.
func touched(events []routeEvent) []netip.Prefix {
	seen := map[netip.Prefix]bool{}
	for _, e := range events {
		seen[e.prefix] = true
	}
	return slices.SortedFunc(maps.Keys(seen), netip.Prefix.Compare)
}

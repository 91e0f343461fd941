package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/underlayd/underlayd/containerlab/bench/kernel"
)

// eye sees the node's routes as the kernel's notifications tell them.
type eye struct {
	monitor *kernel.Monitor

	mu       sync.Mutex // guards all below
	routes   map[kernel.Key]netip.Addr
	changed  chan struct{} // closed at each change
	outside  []string      // routes that no contract allows
	friendly int           // changes of what the friend announced
}

// openEye starts to watch the network of the calling thread.
func openEye(ctx context.Context) (*eye, error) {
	e := &eye{routes: map[kernel.Key]netip.Addr{}, changed: make(chan struct{})}
	var err error
	if e.monitor, err = kernel.Open(func(kernel.Key) bool { return true }); err != nil {
		return nil, err
	}
	go func() {
		// It is never reached: the goal is how the model is seen after each notification.
		_, _ = e.monitor.Await(ctx, e.take)
	}()
	return e, nil
}

func (e *eye) take(m *kernel.Model) bool {
	key := m.Last()
	if key == 0 {
		return false
	}
	hops := m.NextHops(key)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case contains(friendRoutes(), key):
		e.friendly++
	case len(hops) > 0 && !within(key):
		e.outside = append(e.outside, fmt.Sprintf("%x via %v", uint64(key), hops))
	}
	delete(e.routes, key)
	if len(hops) > 0 {
		e.routes[key] = hops[0]
	}
	close(e.changed)
	e.changed = make(chan struct{})
	return false
}

func friendRoutes() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("10.30.1.0/24"), netip.MustParsePrefix("fd00:30:0:1::/64")}
}

func contains(all []netip.Prefix, key kernel.Key) bool {
	return slices.ContainsFunc(all, func(p netip.Prefix) bool { return kernel.KeyOf(p) == key })
}

// within says whether a route is one that the foes may announce, or one of the node's own links.
func within(key kernel.Key) bool {
	for _, link := range []string{"172.31.0.0/16", "192.168.9.0/24", "fd00:be::/64", "fd00:fab:9::/64", "fd00:10:0:1::/64", "fe80::/64", "ff00::/64"} {
		if kernel.KeyOf(netip.MustParsePrefix(link)) == key {
			return true
		}
	}
	if uint64(key)>>48 == 10<<8|20 { // 10.20.0.0/16
		bits := uint64(key) & 0xff
		return bits >= 16 && bits <= 28
	}
	return uint64(key)>>16 == 0xfd00_0020_0000 // fd00:20::/48
}

// now returns the next hop of a prefix, invalid if there is no route, and what is closed at the next change.
func (e *eye) now(p netip.Prefix) (netip.Addr, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.routes[kernel.KeyOf(p)], e.changed
}

// await waits until both prefixes of a target have the good next hops.
func (e *eye) await(ctx context.Context, t target) error {
	for {
		got4, _ := e.now(t.prefix4)
		got6, changed := e.now(t.prefix6)
		if got4 == t.good4 && got6 == t.good6 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s via %s, %s via %s: %w", t.prefix4, got4, t.prefix6, got6, context.Cause(ctx))
		}
	}
}

// settle waits for a prefix to leave its next hop, for a while, and says where it is.
func (e *eye) settle(p netip.Prefix, good netip.Addr, wait time.Duration) outcome {
	late := time.NewTimer(wait)
	defer late.Stop()
	for {
		hop, changed := e.now(p)
		switch {
		case !hop.IsValid():
			return gone
		case hop != good:
			return replaced
		}
		select {
		case <-changed:
		case <-late.C:
			return kept
		}
	}
}

// violations tells what must never be.
func (e *eye) violations() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	if len(e.outside) > 0 {
		errs = append(errs, fmt.Errorf("routes outside every contract: %v", e.outside))
	}
	if e.friendly > 0 {
		errs = append(errs, fmt.Errorf("%d changes of the friend's routes", e.friendly))
	}
	return errors.Join(errs...)
}

// foreign counts the routes inside the foes' contract.
func (e *eye) foreign() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for key := range e.routes {
		if uint64(key)>>48 == 10<<8|20 || uint64(key)>>16 == 0xfd00_0020_0000 {
			n++
		}
	}
	return n
}

// begin forgets what happened to the friend's routes while the lab came up.
func (e *eye) begin() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.friendly = 0
}

package fib

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// maxJoined bounds the error of a call that touched thousands of routes; States have them all.
const maxJoined = 16

var (
	errNotPrefix = errors.New("not a prefix without host bits")
	errNoNextHop = errors.New("no next hops")
)

// Ensure records the desired state of the given prefixes and writes what differs; prefixes that
// are not given stay as they are. A route with no next hops removes ours to that prefix. The
// error joins what failed, one line per prefix (the first 16, then a count); failed prefixes are
// retried by Run with back-off and need no second Ensure. A conflict with a foreign route is a
// state, not an error. Saying the same twice writes nothing.
func (t *Table) Ensure(ctx context.Context, routes []Route) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.ready(ctx); err != nil {
		return err
	}
	var bad failures
	asked, unsure := t.asked[:0], false
	for i := range routes {
		e, err := t.desire(&routes[i])
		if err != nil {
			bad.add(fmt.Errorf("route %s: %w", routes[i].Dst, err))
		}
		if e != nil {
			asked = append(asked, e)
			unsure = unsure || e.unsure && e.removing
		}
	}
	// What may still be there must be known before it can be deleted.
	if unsure {
		if err := t.sync(ctx); err != nil {
			bad.add(err)
		}
	}
	if err := t.flush(ctx); err != nil {
		bad.add(err)
	}
	for _, e := range asked {
		if e.outcome.Status == Failed {
			bad.add(fmt.Errorf("route %s: %s", e.dst, e.outcome.Reason))
		}
	}
	t.asked = reusable(asked)
	return t.tried(bad)
}

// tried returns what failed, and then wakes Run, which may be resting until the next periodic reading.
func (t *Table) tried(bad failures) error {
	err := bad.join()
	if err != nil {
		t.queue.wake()
	}
	return err
}

// desire records one wish and returns its entry, nil when it is fulfilled already.
func (t *Table) desire(r *Route) (*entry, error) {
	e := t.entries.Get(r.Dst)
	if e != nil && e.want != nil && e.outcome.Status == Installed && e.want.is(r.NextHops) {
		return nil, nil
	}
	if !plainPrefix(r.Dst) {
		return nil, errNotPrefix
	}
	if len(r.NextHops) == 0 {
		if e != nil {
			t.want(e, nil)
			e.removing = true
			t.markDirty(e)
		}
		return e, nil
	}
	s, err := t.setFor(r.Dst, r.NextHops)
	if err != nil && e != nil {
		// What was wanted before is not wanted any more, whatever is wrong with what is wanted now.
		t.want(e, nil)
		e.removing = true
		t.markDirty(e)
		return e, err
	}
	if err != nil {
		return nil, err
	}
	if e == nil {
		e = t.entry(r.Dst)
	}
	if e.want == s && e.outcome.Status == Installed {
		return nil, nil
	}
	if e.want != s {
		t.want(e, s)
		e.forced = true
	}
	t.again(e)
	return e, nil
}

func plainPrefix(p netip.Prefix) bool {
	return p.IsValid() && p == p.Masked() && !p.Addr().Is4In6()
}

// want makes s what e desires.
func (t *Table) want(e *entry, s *pathSet) {
	old := e.want
	if old == s {
		return
	}
	e.want, e.settled = s, false
	if s != nil {
		s.wants++
		e.removing = false
		t.endDetour(s)
	}
	if old != nil {
		t.unwant(old)
	}
}

// setFor returns the path set of the next hops that a route to dst is to have.
func (t *Table) setFor(dst netip.Prefix, nextHops []netip.Addr) (*pathSet, error) {
	first := nextHops[0]
	known := t.lastSet
	if len(nextHops) == 1 {
		if h := t.hops[first]; h != nil {
			known = h.alone
		}
	}
	// A set that is known was found good, but maybe for the other family.
	if known != nil && (dst.Addr().Is4() || !first.Is4()) && known.is(nextHops) {
		return known, nil
	}
	addrs, err := t.choose(dst, nextHops)
	if err != nil {
		return nil, err
	}
	t.lastSet = t.intern(addrs)
	return t.lastSet, nil
}

// choose returns the next hops to use: valid ones, sorted, unique, the lowest MaxNextHops of them.
func (t *Table) choose(dst netip.Prefix, nextHops []netip.Addr) ([]netip.Addr, error) {
	addrs := t.addrs[:0]
	for _, a := range nextHops {
		a = a.Unmap()
		switch {
		case !a.IsValid(), a.IsUnspecified(), a.IsMulticast(), a.IsLoopback():
			return nil, fmt.Errorf("next hop %s is not the address of a node", a)
		case dst.Addr().Is6() && a.Is4():
			return nil, fmt.Errorf("next hop %s is of the other family", a)
		case a.Is6() && a.IsLinkLocalUnicast() && a.Zone() == "":
			return nil, fmt.Errorf("link-local next hop %s without its link", a)
		}
		addrs = append(addrs, a)
	}
	t.addrs = addrs
	slices.SortFunc(addrs, netip.Addr.Compare)
	addrs = slices.Compact(addrs)
	return addrs[:min(len(addrs), t.cfg.MaxNextHops)], nil
}

// ready reads the kernel unless that has been done.
func (t *Table) ready(ctx context.Context) error {
	if t.closed {
		return ErrClosed
	}
	if t.known {
		return nil
	}
	return t.sync(ctx)
}

// reusable empties a buffer for the next time, unless it is one for a rare occasion.
func reusable[T any](buffer []T) []T {
	const common = 1 << 14
	clear(buffer)
	if cap(buffer) > common {
		return nil
	}
	return buffer[:0]
}

type failures struct {
	errs []error
	more int
}

func (f *failures) add(err error) {
	if len(f.errs) < maxJoined {
		f.errs = append(f.errs, err)
		return
	}
	f.more++
}

func (f *failures) join() error {
	if f.more > 0 {
		f.errs = append(f.errs, fmt.Errorf("and %d more", f.more))
	}
	return errors.Join(f.errs...)
}

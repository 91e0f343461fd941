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
	asked := make([]*entry, 0, len(routes))
	for _, r := range routes {
		e, err := t.desire(r)
		if err != nil {
			bad.add(err)
		} else if e != nil {
			asked = append(asked, e)
		}
	}
	// What may still be there must be known before it can be deleted.
	if slices.ContainsFunc(asked, func(e *entry) bool { return e.unsure && e.removing }) {
		if err := t.sync(ctx); err != nil {
			bad.add(err)
		}
	}
	if err := t.flush(ctx); err != nil {
		bad.add(err)
	}
	for _, e := range asked {
		if e.status == Failed {
			bad.add(fmt.Errorf("route %s: %s", e.dst, e.reason))
		}
	}
	return bad.join()
}

// desire records one wish and returns its entry, nil when there is nothing to say about it.
func (t *Table) desire(r Route) (*entry, error) {
	if !r.Dst.IsValid() || r.Dst != r.Dst.Masked() || r.Dst.Addr().Is4In6() {
		return nil, fmt.Errorf("route %s: not a prefix without host bits", r.Dst)
	}
	if len(r.NextHops) == 0 {
		e := t.entries[r.Dst]
		if e != nil {
			t.want(e, nil)
			e.removing = true
			t.markDirty(e)
		}
		return e, nil
	}
	addrs, err := t.choose(r)
	if err != nil {
		return nil, err
	}
	s := t.intern(addrs)
	e := t.entry(r.Dst)
	if e.want == s && e.status == Installed {
		return e, nil
	}
	if e.want != s {
		t.want(e, s)
		e.forced = true
	}
	t.again(e)
	return e, nil
}

// want makes s what e desires.
func (t *Table) want(e *entry, s *pathSet) {
	old := e.want
	if old == s {
		return
	}
	e.want, e.settled = s, nil
	if s != nil {
		s.wants++
		e.removing = false
	}
	if old != nil {
		t.unwant(old)
	}
}

// choose returns the next hops to use: valid ones, sorted, unique, the lowest MaxNextHops of them.
func (t *Table) choose(r Route) ([]netip.Addr, error) {
	addrs := t.addrs[:0]
	for _, a := range r.NextHops {
		a = a.Unmap()
		switch {
		case !a.IsValid(), a.IsUnspecified(), a.IsMulticast(), a.IsLoopback():
			return nil, fmt.Errorf("route %s: next hop %s is not the address of a node", r.Dst, a)
		case r.Dst.Addr().Is6() && a.Is4():
			return nil, fmt.Errorf("route %s: next hop %s is of the other family", r.Dst, a)
		case a.Is6() && a.IsLinkLocalUnicast() && a.Zone() == "":
			return nil, fmt.Errorf("route %s: link-local next hop %s without its link", r.Dst, a)
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

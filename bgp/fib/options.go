package fib

import (
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// options are what a route says beside where it leads.
type options struct {
	mtu    uint32     // 0: none
	source netip.Addr // preferred for what the node itself sends; the zero Addr: none
}

// options returns those of our routes to dst.
func (t *Table) options(dst netip.Prefix) options {
	o := options{mtu: uint32(t.cfg.MTU), source: t.cfg.Source6}
	if dst.Addr().Is4() {
		o.source = t.cfg.Source4
	}
	return o
}

// replaced returns what has to be deleted before e's new route can be written. To IPv6, routes through the same next hop
// are the same route, whatever else they say: for the moment between two messages there is none.
func (t *Table) replaced(e *entry) []held {
	if e.dst.Addr().Is4() || e.usual != nil && len(e.others()) == 0 {
		return nil
	}
	var all []held
	for _, h := range e.others() {
		if h.metric == uint32(t.cfg.Metric) && h.options != t.options(e.dst) {
			all = append(all, h)
		}
	}
	return all
}

// sourceChanged: without the address the kernel drops the IPv4 routes that prefer it, without a word, and refuses new ones.
func (t *Table) sourceChanged(a netip.Addr, now time.Time) {
	if !a.IsValid() || a != t.cfg.Source4 && a != t.cfg.Source6 {
		return
	}
	t.reread = true
	for e := range t.troubled {
		if tr := e.trouble(); !tr.retry.IsZero() {
			tr.retry = now
		}
	}
}

// read takes in RTA_PREFSRC or RTA_METRICS.
func (o *options) read(kind uint16, value []byte) {
	if kind == unix.RTA_PREFSRC {
		o.source = address(value)
		return
	}
	for kind, v := range attributes(value) {
		if kind == unix.RTAX_MTU {
			o.mtu = number(v)
		}
	}
}

func (e *encoder) options(o options) {
	if o.source.IsValid() {
		e.addr(unix.RTA_PREFSRC, o.source)
	}
	if o.mtu != 0 {
		all := e.open(unix.RTA_METRICS)
		e.u32(unix.RTAX_MTU, o.mtu)
		e.shut(all)
	}
}

package fib

import (
	"net/netip"
	"slices"
)

// settle recomputes what of the set can carry traffic.
func (s *pathSet) settle(m Mode) {
	live := func(g *hop) bool { return g.live(m) }
	if more, _ := s.differs(live); !more {
		return
	}
	// New slices: the old addrs may be in somebody's State.
	s.up, s.addrs, s.inline = make([]*hop, 0, len(s.hops)), make([]netip.Addr, 0, len(s.hops)), make([]gateway, 0, len(s.hops))
	for _, h := range s.hops {
		led := false
		for _, g := range h.legs() {
			if h.problem != "" || !live(g) {
				continue
			}
			led = true
			if !slices.Contains(s.up, g) {
				s.up, s.inline = append(s.up, g), append(s.inline, gateway{g.addr, g.link})
			}
		}
		if led {
			s.addrs = append(s.addrs, h.addr)
		}
	}
}

// differs says whether the neighbours that are good are not those of s.up, or over other links; and whether other hops
// of s lead to one than s.addrs says.
func (s *pathSet) differs(good func(*hop) bool) (ups, named bool) {
	n, led := 0, 0
	for _, h := range s.hops {
		reached := false
		for _, g := range h.legs() {
			if h.problem != "" || !good(g) {
				continue
			}
			reached = true
			if slices.Contains(s.up[:min(n, len(s.up))], g) {
				continue
			}
			ups = ups || n >= len(s.up) || s.up[n] != g || s.inline[n].link != g.link
			n++
		}
		if reached {
			named = named || led >= len(s.addrs) || s.addrs[led] != h.addr
			led++
		}
	}
	return ups || n != len(s.up), named || led != len(s.addrs)
}

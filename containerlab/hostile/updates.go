package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/underlayd/underlayd/containerlab/bench/wire"
)

// updateAttacks are UPDATEs whose sections and prefixes are wrong, of families that were not negotiated, and that are
// as large as they may be.
func updateAttacks() []attack {
	var all []attack
	add := func(name string, may outcome, build func(t target) []byte) {
		all = append(all, attack{name: name, class: "UPDATEs", state: established, may: may, build: build})
	}
	for _, withdrawn := range []uint16{1, 3, 4, 5, 100, 0xfffe, 0xffff} {
		add(fmt.Sprintf("withdrawn routes said to take %d bytes", withdrawn), ended, func(t target) []byte {
			return patched(t.announce(false, t.base(false)...), 19, withdrawn)
		})
	}
	for _, by := range []int{-40, -7, -5, -3, -2, -1, 1, 2, 3, 5, 6, 100, 30000} {
		add(fmt.Sprintf("attributes said to take %+d bytes", by), harmless, func(t target) []byte {
			b := t.announce(false, t.base(false)...)
			return patched(b, 21, uint16(max(0, int(binary.BigEndian.Uint16(b[21:]))+by)))
		})
	}
	for _, bits := range []byte{33, 34, 64, 128, 129, 255} {
		add(fmt.Sprintf("an IPv4 prefix of %d bits", bits), ended, func(t target) []byte {
			return update(nil, t.base(false), append([]byte{bits}, make([]byte, 32)...))
		})
		add(fmt.Sprintf("an IPv4 prefix of %d bits that is withdrawn", bits), ended, func(target) []byte {
			return update(append([]byte{bits}, make([]byte, 32)...), nil, nil)
		})
	}
	for _, bits := range []byte{129, 130, 255} {
		for _, kind := range []byte{typeMPReach, typeMPUnreach} {
			add(fmt.Sprintf("an IPv6 prefix of %d bits in attribute %d", bits, kind), ended, func(t target) []byte {
				return t.multi(kind, 2, 1, append([]byte{bits}, make([]byte, 32)...))
			})
		}
	}
	return slices.Concat(all, sizeAttacks(), familyAttacks(), mixedAttacks())
}

// sizeAttacks are UPDATEs with too little or too much of something.
func sizeAttacks() []attack {
	var all []attack
	add := func(name string, may outcome, build func(t target) []byte) {
		all = append(all, attack{name: name, class: "UPDATEs", state: established, may: may, build: build})
	}
	add("an IPv4 prefix that is cut short", ended, func(t target) []byte { return update(nil, t.base(false), nlriOf(t.prefix4)[:3]) })
	add("a withdrawn IPv4 prefix that is cut short", ended, func(t target) []byte { return update(nlriOf(t.prefix4)[:3], nil, nil) })
	add("an IPv4 prefix with host bits", harmless, func(t target) []byte {
		b := nlriOf(t.prefix4)
		b[len(b)-1] |= 15
		return update(nil, t.base(false), b)
	})
	add("a prefix that is withdrawn and announced", harmless, func(t target) []byte {
		return update(nlriOf(t.prefix4), t.base(false), nlriOf(t.prefix4))
	})
	add("a prefix that is announced a thousand times", harmless, func(t target) []byte {
		return update(nil, t.base(false), bytes.Repeat(nlriOf(t.prefix4), 800))
	})
	add("a withdrawal", withdraw, func(t target) []byte {
		return slices.Concat(update(nlriOf(t.prefix4), nil, nil), t.multi(typeMPUnreach, 2, 1, nlriOf(t.prefix6)))
	})
	add("an UPDATE that is longer than 4,096 bytes", ended, func(t target) []byte {
		return update(nil, append(t.base(false), attribute(optional|transitive, 8, make([]byte, 4800))), nlriOf(t.prefix4))
	})
	for _, segments := range []int{1, 3} {
		add(fmt.Sprintf("an AS path of %d × 255", segments), harmless, func(t target) []byte { return t.longPath(segments) })
	}
	add("a thousand communities", harmless, func(t target) []byte {
		return update(nil, append(t.base(false), attribute(optional|transitive, 8, make([]byte, 4*990))), nlriOf(t.prefix4))
	})
	add("a path with our AS in it", harmless, func(t target) []byte {
		return update(nil, [][]byte{origin(), asPath(foeASN, nodeASN, farASN), nextHop(t.bad4)}, nlriOf(t.prefix4))
	})
	add("no attributes at all", withdraw, func(t target) []byte { return update(nil, nil, nlriOf(t.prefix4)) })
	add("an unknown well-known attribute", withdraw, func(t target) []byte {
		return update(nil, append(t.base(false), attribute(transitive, 202, []byte{1})), nlriOf(t.prefix4))
	})
	add("300 unknown attributes", harmless, func(t target) []byte {
		attributes := t.base(false)
		for i := range 300 {
			attributes = append(attributes, attribute(optional|transitive, byte(60+i%60), []byte{1}))
		}
		return update(nil, attributes, nlriOf(t.prefix4))
	})
	return all
}

// patched writes a number into a message.
func patched(b []byte, at int, n uint16) []byte {
	b = slices.Clone(b)
	binary.BigEndian.PutUint16(b[at:], n)
	return b
}

// multi is an UPDATE with an MP_REACH_NLRI or MP_UNREACH_NLRI of any family and NLRI.
func (t target) multi(kind byte, afi uint16, safi byte, nlri []byte) []byte {
	if kind == typeMPUnreach {
		return update(nil, [][]byte{attribute(optional, kind, unreach(afi, safi, nlri))}, nil)
	}
	return update(nil, [][]byte{attribute(optional, kind, reach(afi, safi, t.bad6.AsSlice(), nlri)), origin(), asPath(foeASN, farASN)}, nil)
}

func (t target) longPath(segments int) []byte {
	var path []byte
	for range segments {
		path = append(path, sequence(2, slices.Repeat([]uint32{foeASN}, 255)...)...)
	}
	return update(nil, [][]byte{origin(), attribute(transitive, typeASPath, path), nextHop(t.bad4)}, nlriOf(t.prefix4))
}

// family is one that was not negotiated.
type family struct {
	name string
	afi  uint16
	safi byte
}

func families() []family {
	return []family{
		{"IPv4 multicast", 1, 2}, {"labelled IPv4", 1, 4}, {"VPLS", 25, 65}, {"EVPN", 25, 70}, {"BGP-LS", 16388, 71}, {"SR policy", 1, 73},
		{"IPv6 SR policy", 2, 73}, {"MUP", 1, 85}, {"IPv6 MUP", 2, 85}, {"VPNv4", 1, 128}, {"VPNv6", 2, 128}, {"multicast VPN", 1, 129},
		{"route target", 1, 132}, {"flowspec", 1, 133}, {"IPv6 flowspec", 2, 133}, {"VPN flowspec", 1, 134}, {"L2VPN flowspec", 25, 134},
		{"encapsulation", 1, 7}, {"opaque", 16397, 241}, {"link-state VPN", 16388, 72}, {"labelled IPv6", 2, 4}, {"nothing known", 999, 9},
		{"IPv4 unicast inside an attribute", 1, 1},
	}
}

// familyAttacks are short bodies of families that were not negotiated: all of them are decoded before anybody looks.
func familyAttacks() []attack {
	var all []attack
	for _, f := range families() {
		for _, kind := range []byte{typeMPReach, typeMPUnreach} {
			for i, nlri := range shortBodies() {
				all = append(all, attack{
					name: fmt.Sprintf("%s, body %d, in attribute %d", f.name, i+1, kind), class: "families", state: established, may: anything,
					build: func(t target) []byte { return t.multi(kind, f.afi, f.safi, nlri) },
				})
			}
		}
	}
	return all
}

// shortBodies are NLRI of no family in particular.
func shortBodies() [][]byte {
	all := [][]byte{{}, {0}, {1}, {0, 0}, {2, 0}, {255}, {0xf0, 0, 1}, {0xf0, 3, 1, 1}, {88, 0, 0, 1}, {0, 1, 0, 0}, {0, 1, 0, 3, 1, 2, 3}, {0, 6, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1}}
	for _, first := range []byte{1, 2, 3, 4, 5, 6} {
		all = append(all, append([]byte{first, 10}, bytes.Repeat([]byte{first}, 10)...), append([]byte{0, first, 0, 20}, bytes.Repeat([]byte{0}, 20)...))
	}
	return append(all, bytes.Repeat([]byte{24}, 100), bytes.Repeat([]byte{0xff}, 300), make([]byte, 300))
}

// mixedAttacks have one attribute that may be dropped. GoBGP does not check the rest any more then (RFC 7606, section 3, h,
// wants the strongest measure): that a path without ORIGIN or AS_PATH is used is known, and harms who sends it.
func mixedAttacks() []attack {
	broken := attribute(optional|transitive, 7, []byte{1}) // AGGREGATOR
	var all []attack
	add := func(name string, may outcome, build func(t target) []byte) {
		all = append(all, attack{name: "a broken AGGREGATOR and " + name, class: "UPDATEs", state: established, may: may, build: build})
	}
	add("no NEXT_HOP", withdraw, func(t target) []byte {
		return update(nil, [][]byte{broken, origin(), asPath(foeASN, farASN)}, nlriOf(t.prefix4))
	})
	add("no ORIGIN", harmless, func(t target) []byte {
		return update(nil, [][]byte{broken, asPath(foeASN, farASN), nextHop(t.bad4)}, nlriOf(t.prefix4))
	})
	add("no AS_PATH", harmless, func(t target) []byte {
		return update(nil, [][]byte{broken, origin(), nextHop(t.bad4)}, nlriOf(t.prefix4))
	})
	add("a NEXT_HOP of 0.0.0.0", withdraw, func(t target) []byte {
		return update(nil, [][]byte{broken, origin(), asPath(foeASN, farASN), nextHop(netip.IPv4Unspecified())}, nlriOf(t.prefix4))
	})
	add("everything twice", harmless, func(t target) []byte {
		return update(nil, append(append(t.base(false), broken), t.base(false)...), nlriOf(t.prefix4))
	})
	add("MP_REACH_NLRI twice", anything, func(t target) []byte {
		return update(nil, [][]byte{broken, mpReach(t.bad6, t.prefix6), mpReach(t.bad6, t.prefix6), origin(), asPath(foeASN, farASN)}, nil)
	})
	for _, f := range families() {
		for i, nlri := range [][]byte{nil, {24, 10, 20, 1}, {0}} {
			add(fmt.Sprintf("%s, body %d", f.name, i), anything, func(t target) []byte {
				return update(nil, [][]byte{broken, attribute(optional, typeMPReach, reach(f.afi, f.safi, t.bad4.AsSlice(), nlri)), origin(), asPath(foeASN, farASN)}, nil)
			})
		}
	}
	add("a withdrawal of both families", withdraw, func(t target) []byte {
		return update(nlriOf(t.prefix4), [][]byte{broken, attribute(optional, typeMPUnreach, unreach(2, 1, nlriOf(t.prefix6)))}, nil)
	})
	for _, flags := range []byte{0, transitive, optional | transitive, optional | partial} {
		all = append(all, attack{
			name: fmt.Sprintf("MP_UNREACH_NLRI with the flags %#x", flags), class: "UPDATEs", state: established, may: withdraw, v6: true,
			build: func(t target) []byte {
				return update(nil, [][]byte{attribute(flags, typeMPUnreach, unreach(2, 1, nlriOf(t.prefix6)))}, nil)
			},
		})
	}
	for n := range 8 {
		all = append(all, attack{
			name: fmt.Sprintf("MP_UNREACH_NLRI of length %d", n), class: "UPDATEs", state: established, may: anything,
			build: func(t target) []byte {
				return update(nil, [][]byte{attribute(optional, typeMPUnreach, unreach(2, 1, nlriOf(t.prefix6))[:n])}, nil)
			},
		})
	}
	return all
}

// randomAttacks are good announcements in which some bytes were changed, added or taken away, by a seed. The header stays
// true, so that what is in it is looked at.
func randomAttacks(n int, seed uint64) []attack {
	var all []attack
	for i := range n {
		all = append(all, attack{
			name: fmt.Sprintf("random change %d of seed %d", i, seed), class: "random", state: established, may: anything, v6: i%2 == 0,
			build: func(t target) []byte {
				r := rand.New(rand.NewPCG(seed, uint64(i))) //nolint:gosec // it is to be the same every time
				attributes := t.base(i%2 == 0)
				all := subjects(t, i%2 == 0)
				for range r.IntN(4) {
					s := all[r.IntN(len(all))]
					attributes = append(attributes, attribute(s.flags, s.kind, s.value))
				}
				text := t.announce(i%2 == 0, attributes...)
				body := slices.Clone(text[19:])
				for range 1 + r.IntN(4) {
					at := r.IntN(len(body))
					switch r.IntN(4) {
					case 0:
						body = slices.Delete(body, at, at+1)
					case 1:
						body = slices.Insert(body, at, byte(r.IntN(256)))
					default:
						body[at] = byte(r.IntN(256))
					}
				}
				return wire.AppendMessage(nil, wire.TypeUpdate, body...)
			},
		})
	}
	return all
}

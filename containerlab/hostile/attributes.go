package main

import (
	"bytes"
	"fmt"
	"slices"
)

// subject is a path attribute that is to be got wrong in every way.
type subject struct {
	name  string
	flags byte
	kind  byte
	value []byte
	needs bool // routes depend on it: one that is broken must not be used (RFC 7606, section 7)
	odd   [][]byte
}

// subjects are the attributes that a peer may send. Those with an empty value are legal that way.
func subjects(t target, v6 bool) []subject {
	all := []subject{
		{name: "ORIGIN", flags: transitive, kind: typeOrigin, value: []byte{0}, needs: true, odd: [][]byte{{3}, {255}}},
		{name: "AS_PATH", flags: transitive, kind: typeASPath, value: sequence(2, foeASN, farASN), needs: true, odd: [][]byte{
			{2, 0}, {0, 1, 0, 0, 0, 1}, {5, 1, 0, 0, 0, 1}, {2, 255}, {2, 2, 0, 0, 253, 232}, sequence(3, foeASN), sequence(4, foeASN),
			append(sequence(2, foeASN), 1), append(sequence(2, foeASN), 2, 0),
		}},
		{name: "MULTI_EXIT_DISC", flags: optional, kind: 4, value: []byte{0, 0, 0, 7}},
		{name: "LOCAL_PREF", flags: transitive, kind: 5, value: []byte{0xff, 0xff, 0xff, 0xff}},
		{name: "ATOMIC_AGGREGATE", flags: transitive, kind: 6},
		{name: "AGGREGATOR", flags: optional | transitive, kind: 7, value: []byte{0, 0, 253, 232, 172, 31, 1, 1}},
		{name: "COMMUNITIES", flags: optional | transitive, kind: 8, value: []byte{0xff, 0xff, 2, 0x9a}},
		{name: "ORIGINATOR_ID", flags: optional, kind: 9, value: []byte{172, 31, 0, 1}},
		{name: "CLUSTER_LIST", flags: optional, kind: 10, value: []byte{172, 31, 0, 1, 1, 2, 3, 4}},
		{name: "EXTENDED COMMUNITIES", flags: optional | transitive, kind: 16, value: []byte{0, 2, 253, 232, 0, 0, 0, 1}, odd: everyKind(8)},
		{name: "AS4_PATH", flags: optional | transitive, kind: 17, value: sequence(2, farASN), odd: [][]byte{
			{2, 0}, {2, 255, 0, 0, 0, 1}, {9, 1, 0, 0, 0, 1}, sequence(3, foeASN), sequence(1, 1, 2, 3, 4, 5), sequence(2, 1, 2, 3, 4, 5, 6, 7, 8),
		}},
		{name: "AS4_AGGREGATOR", flags: optional | transitive, kind: 18, value: []byte{0, 0, 253, 232, 172, 31, 1, 1}},
		{name: "PMSI_TUNNEL", flags: optional | transitive, kind: 22, value: []byte{0, 6, 0, 0, 0, 172, 31, 1, 1}},
		{name: "TUNNEL_ENCAP", flags: optional | transitive, kind: 23, value: []byte{0, 8, 0, 6, 4, 4, 0, 0, 0, 1}, odd: tunnels()},
		{name: "IPv6 EXTENDED COMMUNITIES", flags: optional | transitive, kind: 25, value: bytes.Repeat([]byte{0}, 20)},
		{name: "AIGP", flags: optional, kind: 26, value: []byte{1, 0, 11, 0, 0, 0, 0, 0, 0, 0, 1}, odd: [][]byte{{1, 0, 0}, {1, 0, 2}, {1, 0, 3}, {2, 0xff, 0xff, 0}, {1, 0, 10, 0, 0, 0, 0, 0, 0, 0}}},
		{name: "BGP-LS", flags: optional, kind: 29, value: []byte{4, 0, 0, 1, 0}, odd: linkState()},
		{name: "LARGE_COMMUNITY", flags: optional | transitive, kind: 32, value: []byte{0, 0, 252, 1, 0, 0, 0, 1, 0, 0, 0, 2}, odd: [][]byte{
			{0, 0, 252, 1, 0, 0, 0, 1, 0, 0, 0, 99}, {0, 0, 252, 1, 0, 0, 0, 1, 0, 0, 0, 1},
		}},
		{name: "ONLY_TO_CUSTOMER", flags: optional | transitive, kind: 35, value: []byte{0, 0, 253, 232}},
		{name: "PREFIX_SID", flags: optional | transitive, kind: 40, value: []byte{1, 0, 7, 0, 0, 0, 0, 0, 0, 5}, odd: segmentIDs()},
		{name: "ATTR_SET", flags: optional | transitive, kind: 128, value: []byte{0, 0, 253, 232, 0x40, 1, 1, 0}},
		{name: "an unknown transitive attribute", flags: optional | transitive, kind: 200, value: []byte{1, 2, 3}},
		{name: "an unknown optional attribute", flags: optional, kind: 201, value: []byte{1, 2, 3}},
		{name: "an unknown well-known attribute", flags: transitive, kind: 202, value: []byte{1}},
		{name: "attribute 0", flags: optional | transitive, kind: 0, value: []byte{1}},
		{name: "attribute 255", flags: optional | transitive, kind: 255, value: []byte{1}},
	}
	if !v6 {
		return append(all, subject{name: "NEXT_HOP", flags: transitive, kind: typeNextHop, value: t.bad4.AsSlice(), needs: true, odd: [][]byte{
			{192, 0, 2, 1}, {0, 0, 0, 0}, {224, 0, 0, 1}, {255, 255, 255, 255}, {127, 0, 0, 1}, {172, 31, 0, 1}, {10, 20, 0, 1}, {10, 10, 1, 1}, t.bad6.AsSlice(),
		}})
	}
	return append(all, subject{name: "MP_REACH_NLRI", flags: optional, kind: typeMPReach, needs: true,
		value: reach(2, 1, t.bad6.AsSlice(), nlriOf(t.prefix6)), odd: oddReaches(t)})
}

// everyKind makes values of n bytes whose first two say what they are.
func everyKind(n int) [][]byte {
	var all [][]byte
	for _, kind := range []byte{0, 1, 2, 3, 4, 6, 8, 0x40, 0x43, 0x80, 0x81, 0x82, 0xff} {
		for _, sub := range []byte{0, 2, 7, 0xff} {
			v := bytes.Repeat([]byte{0xff}, n)
			v[0], v[1] = kind, sub
			all = append(all, v)
		}
	}
	return all
}

// tunnels are tunnel encapsulations whose lengths are wrong at every level (RFC 9012).
func tunnels() [][]byte {
	all := [][]byte{{0, 8}, {0, 8, 0xff, 0xff}, {0, 8, 0, 0}, {0, 8, 0, 1, 4}, {0, 8, 0, 2, 4, 200}, {0, 15, 0, 3, 128, 0, 9}}
	for _, sub := range []byte{1, 2, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 20, 128, 129, 130, 255} {
		for _, value := range [][]byte{nil, {0}, {0, 0, 0, 0, 0}} {
			v := append([]byte{sub, byte(len(value))}, value...)
			if sub >= 128 {
				v = append([]byte{sub, 0, byte(len(value))}, value...)
			}
			all = append(all, append([]byte{0, 15, 0, byte(len(v))}, v...))
		}
	}
	return all
}

// linkState are BGP-LS attributes whose TLVs are cut short (RFC 9552).
func linkState() [][]byte {
	all := [][]byte{{4}, {4, 0, 0}, {4, 0, 0xff, 0xff, 1}}
	for _, kind := range []uint16{
		258, 259, 260, 263, 1024, 1025, 1026, 1027, 1028, 1029, 1030, 1031, 1034, 1035, 1036, 1038, 1088, 1089, 1090, 1091, 1092, 1093,
		1095, 1096, 1098, 1099, 1106, 1114, 1115, 1116, 1117, 1118, 1119, 1120, 1152, 1153, 1155, 1158, 1161, 1162, 1250, 1251, 1252, 65535,
	} {
		for _, n := range []int{0, 1, 5} {
			all = append(all, append([]byte{byte(kind >> 8), byte(kind), 0, byte(n)}, make([]byte, n)...))
		}
	}
	return all
}

// segmentIDs are prefix SIDs whose TLVs are wrong at every level (RFC 8669, 9252).
func segmentIDs() [][]byte {
	all := [][]byte{{1}, {1, 0, 0}, {3, 0, 0}, {3, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0}, {5, 0, 0}, {5, 0, 1, 0}, {6, 0, 0}, {5, 0xff, 0xff, 0}, {255, 0, 0}}
	for _, kind := range []byte{5, 6} {
		for _, sub := range []byte{0, 1, 2, 255} {
			for n := range 4 {
				inner := append([]byte{sub, 0, byte(n)}, make([]byte, n)...)
				all = append(all, append([]byte{kind, 0, byte(len(inner) + 1), 0}, inner...))
			}
			service := append([]byte{sub, 0, 30}, make([]byte, 30)...)
			for _, last := range [][]byte{{1, 0, 0}, {1, 0, 6, 40, 24, 16, 0, 16, 64}, {1, 0, 200}, {9, 0, 0}} {
				v := append(slices.Clone(service[:24]), last...)
				v[2] = byte(len(v) - 3)
				all = append(all, append([]byte{kind, 0, byte(len(v) + 1), 0}, v...))
			}
		}
	}
	return all
}

// oddReaches are MP_REACH_NLRI of every length up to 20, and with next hops of odd lengths and values.
func oddReaches(t target) [][]byte {
	whole := reach(2, 1, t.bad6.AsSlice(), nlriOf(t.prefix6))
	var all [][]byte
	for n := range 21 {
		all = append(all, whole[:n])
	}
	for _, n := range []int{0, 1, 3, 5, 8, 12, 15, 17, 24, 31, 33, 48, 255} {
		all = append(all, reach(2, 1, make([]byte, n), nlriOf(t.prefix6)))
	}
	for _, hop := range []string{"\x00", "\xff", "\xfe\x80", "\xfd\x00\x00\xbe", "\xfd\x00\x00\x20"} {
		v := make([]byte, 16)
		copy(v, hop)
		all = append(all, reach(2, 1, v, nlriOf(t.prefix6)))
	}
	return all
}

// mutation gets an attribute wrong.
type mutation struct {
	name  string
	legal bool // it is unusual, no more
	hides bool // what GoBGP says of it need not tell that it has read no prefixes: the route of before stays, known
	make  func(flags, kind byte, v []byte) []byte
}

func mutations() []mutation {
	resized := func(f func(v []byte) []byte) func(flags, kind byte, v []byte) []byte {
		return func(flags, kind byte, v []byte) []byte { return attribute(flags, kind, f(v)) }
	}
	flagged := func(set, flip byte) func(flags, kind byte, v []byte) []byte {
		return func(flags, kind byte, v []byte) []byte { return attribute((flags|set)^flip, kind, v) }
	}
	return []mutation{
		{"with a byte less", false, false, resized(func(v []byte) []byte { return v[:max(0, len(v)-1)] })},
		{"with a byte more", false, false, resized(func(v []byte) []byte { return append(slices.Clone(v), 0xff) })},
		{"with half of its value", false, false, resized(func(v []byte) []byte { return v[:len(v)/2] })},
		{"empty", false, false, resized(func([]byte) []byte { return nil })},
		{"of 255 zeroes", false, false, resized(func([]byte) []byte { return make([]byte, 255) })},
		{"of 2,000 ones", false, false, resized(func([]byte) []byte { return bytes.Repeat([]byte{0xff}, 2000) })},
		{"with the optional bit flipped", false, false, flagged(0, optional)},
		{"with the transitive bit flipped", false, false, flagged(0, transitive)},
		{"with both bits flipped", false, false, flagged(0, optional|transitive)},
		{"with the partial bit", false, false, flagged(partial, 0)},
		{"with the unused bits", true, false, flagged(0x0f, 0)},
		{"with a length of two bytes", true, false, func(flags, kind byte, v []byte) []byte {
			return append([]byte{flags | extended, kind, byte(len(v) >> 8), byte(len(v))}, v...)
		}},
		{"with a length of one byte that claims to be two", false, false, func(flags, kind byte, v []byte) []byte {
			return append([]byte{flags | extended, kind, byte(len(v))}, v...)
		}},
		{"with a length of two bytes that claims to be one", false, true, func(flags, kind byte, v []byte) []byte {
			return append([]byte{flags &^ extended, kind, byte(len(v) >> 8), byte(len(v))}, v...)
		}},
		{"longer than the message", false, false, func(flags, kind byte, v []byte) []byte { return append([]byte{flags, kind, 255}, v...) }},
		{"longer than any message", false, false, func(flags, kind byte, v []byte) []byte {
			return append([]byte{flags | extended, kind, 255, 255}, v...)
		}},
		{"twice", false, false, func(flags, kind byte, v []byte) []byte {
			return append(attribute(flags, kind, v), attribute(flags, kind, v)...)
		}},
		{"cut off after its type", false, false, func(flags, kind byte, _ []byte) []byte { return []byte{flags, kind} }},
		{"cut off after its flags", false, true, func(flags, _ byte, _ []byte) []byte { return []byte{flags} }},
	}
}

// attributeAttacks are the table of RFC 7606: every attribute, got wrong in every way, in an announcement of either
// family. Whatever becomes of the session, the route of before must not stay (sections 2 and 5.3).
func attributeAttacks() []attack {
	var all []attack
	for _, v6 := range []bool{false, true} {
		family := map[bool]string{false: "IPv4", true: "IPv6"}[v6]
		for i, s := range subjects(targetOf(0, 0), v6) {
			add := func(what string, may outcome, piece func(s subject) []byte) {
				all = append(all, attack{
					name: fmt.Sprintf("%s %s, %s", s.name, what, family), class: "attributes", state: established, may: may, v6: v6,
					build: func(t target) []byte { return t.announce(v6, t.with(v6, s.kind, piece(subjects(t, v6)[i]))...) },
				})
			}
			for _, m := range mutations() {
				add(m.name, s.may(m), func(s subject) []byte { return m.make(s.flags, s.kind, s.value) })
			}
			for j := range s.odd {
				add(fmt.Sprintf("of value %d", j+1), harmless, func(s subject) []byte { return attribute(s.flags, s.kind, s.odd[j]) })
			}
			if s.needs {
				may := withdraw
				if s.kind == typeMPReach {
					may = anything // nothing is left that is about the prefix
				}
				add("missing", may, func(subject) []byte { return nil })
			}
		}
	}
	return all
}

// may is what may become of an announcement whose attribute was got wrong like that.
func (s subject) may(m mutation) outcome {
	may := withdraw
	switch {
	case !s.needs || m.legal:
		may = harmless
	case m.name == "twice" && s.kind != typeMPReach: // all but the first are dropped (section 3, g)
		may = harmless
	case m.name == "empty" && s.kind == typeASPath: // it is well-formed, and GoBGP takes it
		may = harmless
	}
	if m.hides {
		may |= kept
	}
	return may
}

// with are the attributes of an announcement, with one of them replaced, or added where MP_REACH_NLRI is not touched.
func (t target) with(v6 bool, kind byte, piece []byte) [][]byte {
	base := t.base(v6)
	at := slices.IndexFunc(base, func(a []byte) bool { return a[1] == kind })
	if at < 0 {
		return append(base, piece)
	}
	base[at] = piece
	return base
}

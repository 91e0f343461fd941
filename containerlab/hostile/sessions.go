package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/underlayd/underlayd/containerlab/bench/wire"
)

// inEvery makes an attack in each of the states, on a session of its own.
func inEvery(states []state, a attack) []attack {
	var all []attack
	name := a.name
	for _, s := range states {
		a.name, a.state, a.alone = fmt.Sprintf("%s in %s", name, s), s, true
		all = append(all, a)
	}
	return all
}

// always says the same, whatever the target.
func always(text []byte) func(target) []byte { return func(target) []byte { return text } }

func allStates() []state { return []state{accepted, openSent, openConfirm, established} }

// headerAttacks are messages whose header is wrong (RFC 4271, section 6.1).
func headerAttacks() []attack {
	var all []attack
	add := func(name string, may outcome, text []byte) {
		all = append(all, inEvery(allStates(), attack{name: name, class: "headers", may: may, build: always(text)})...)
	}
	for _, marker := range []byte{0, 0xfe, 0x7f} {
		add(fmt.Sprintf("a marker of %#x", marker), ended, message(marker, 19, wire.TypeKeepalive))
	}
	last := message(0xff, 19, wire.TypeKeepalive)
	last[15] = 0xfe
	add("a marker that is wrong in its last bit", ended, last)
	for _, length := range []int{0, 1, 18, 65535, 4097} {
		for _, kind := range []byte{1, 2, 3, 4, 5} {
			add(fmt.Sprintf("a length of %d for type %d", length, kind), ended|silence, message(0xff, length, kind, make([]byte, 64)...))
		}
	}
	for _, kind := range []byte{0, 6, 7, 127, 128, 255} {
		add(fmt.Sprintf("a message of type %d", kind), ended, message(0xff, 19, kind))
		add(fmt.Sprintf("a message of type %d with a body", kind), ended, message(0xff, 29, kind, make([]byte, 10)...))
	}
	add("nothing but ones", ended, bytes.Repeat([]byte{0xff}, 4096))
	add("nothing but zeroes", ended, make([]byte, 4096))
	add("an HTTP request", ended, []byte("GET / HTTP/1.1\r\nHost: 172.31.0.1:179\r\nUser-Agent: curl\r\n\r\n"))
	add("a TLS hello", ended, append([]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, make([]byte, 64)...))
	for _, n := range []int{1, 16, 18} {
		add(fmt.Sprintf("%d bytes of a header", n), silence, message(0xff, 19, wire.TypeKeepalive)[:n])
	}
	for _, n := range []int{19, 20, 22, 28} {
		add(fmt.Sprintf("an OPEN of %d bytes", n), ended|anything, message(0xff, n, wire.TypeOpen, make([]byte, n-19)...))
	}
	for _, n := range []int{19, 20, 21, 22} {
		add(fmt.Sprintf("an UPDATE of %d bytes", n), ended, message(0xff, n, wire.TypeUpdate, make([]byte, n-19)...))
	}
	for _, n := range []int{19, 20} {
		add(fmt.Sprintf("a NOTIFICATION of %d bytes", n), ended, message(0xff, n, wire.TypeNotification, make([]byte, n-19)...))
	}
	for _, n := range []int{19, 20, 22} {
		add(fmt.Sprintf("a ROUTE-REFRESH of %d bytes", n), ended, message(0xff, n, wire.TypeRouteRefresh, make([]byte, n-19)...))
	}
	return all
}

// openAttacks are OPENs that are wrong (RFC 4271, section 6.2), said where an OPEN is expected.
func openAttacks() []attack {
	var all []attack
	add := func(name string, may outcome, change func(o *opening)) {
		for _, s := range []state{accepted, openSent} {
			all = append(all, attack{
				name: fmt.Sprintf("an OPEN with %s in %s", name, s), class: "OPENs", state: s, may: may, alone: true,
				build: func(t target) []byte {
					o := goodOpening(0)
					o.id = t.good4
					change(&o)
					return o.bytes()
				},
			})
		}
	}
	for _, v := range []byte{0, 3, 5, 255} {
		add(fmt.Sprintf("version %d", v), ended, func(o *opening) { o.version = v })
	}
	for _, hold := range []uint16{1, 2} {
		add(fmt.Sprintf("a hold time of %d", hold), ended, func(o *opening) { o.hold = hold })
	}
	for _, hold := range []uint16{0, 3, 65535} {
		add(fmt.Sprintf("a hold time of %d", hold), answered, func(o *opening) { o.hold = hold })
	}
	add("the identifier 0.0.0.0", ended, func(o *opening) { o.id = netip.IPv4Unspecified() })
	for _, id := range []string{"224.0.0.1", "255.255.255.255", "127.0.0.1"} {
		add("the identifier "+id, ended|answered, func(o *opening) { o.id = netip.MustParseAddr(id) })
	}
	for _, asn := range []uint32{0, 23456, nodeASN, 65001, 4294967295} {
		four := binary.BigEndian.AppendUint32(nil, asn)
		add(fmt.Sprintf("the four-octet AS %d", asn), ended, func(o *opening) { o.parameters = parameter(capability(65, four...)...) })
		add(fmt.Sprintf("the AS %d and no four-octet one", asn), ended, func(o *opening) { o.asn, o.parameters = uint16(asn), nil })
	}
	add("another AS in the header", ended|answered, func(o *opening) { o.asn = 1 })
	for i, c := range oddCapabilities() {
		add(fmt.Sprintf("odd capability %d", i+1), ended|answered, func(o *opening) {
			o.parameters = append(parameter(capabilities()...), parameter(c...)...)
		})
	}
	for i, p := range oddParameters() {
		add(fmt.Sprintf("odd parameters %d", i+1), ended|answered, func(o *opening) { o.parameters = p })
	}
	for _, length := range []int{0, 1, 2, 3, 29, 31, 254, 255} {
		add(fmt.Sprintf("parameters said to be of %d bytes", length), ended|answered, func(o *opening) { o.length = length })
	}
	return all
}

// oddCapabilities are capabilities that are wrong, or that nobody has heard of.
func oddCapabilities() [][]byte {
	var all [][]byte
	for _, code := range []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 75, 128, 129, 130, 131, 184, 255} {
		for _, n := range []int{0, 1, 3, 5, 7} {
			all = append(all, capability(code, bytes.Repeat([]byte{7}, n)...))
		}
		all = append(all, []byte{code, 200, 1}, []byte{code, 255})
	}
	full := capability(64, append([]byte{0x4f, 0xff}, bytes.Repeat([]byte{0, 1, 1, 0x80}, 50)...)...)
	return append(all,
		full,
		capability(64, 0x40, 120, 0, 99, 99, 0x80),
		slices.Repeat(capability(2), 100),
		slices.Repeat(capability(65, 0, 0, 253, 232), 40),
		slices.Repeat(capability(1, 0, 1, 0, 1), 40),
		capability(69, slices.Repeat([]byte{0, 1, 1, 3}, 60)...),
		capability(69, 0, 1, 1, 255),
		capability(73, 255, 'x'), capability(73, 1, 0x1b, 255), capability(73, append([]byte{64}, bytes.Repeat([]byte("\x1b[2J"), 16)...)...),
		capability(75, append([]byte{64}, bytes.Repeat([]byte("\x1b[2J"), 16)...)...),
		capability(71, 0, 1, 1, 0x80, 0xff, 0xff, 0xff),
	)
}

// oddParameters are optional parameters that are cut short or of other types, and those of RFC 9072.
func oddParameters() [][]byte {
	long := append([]byte{255, 255, 0, 9, 2, 0, 6}, capability(1, 0, 1, 0, 1)...)
	return [][]byte{
		{1}, {2}, {2, 1}, {2, 255}, {2, 2, 65}, {2, 1, 65}, {1, 4, 0, 0, 0, 0}, {0, 0}, {3, 0}, {254, 0}, {255, 0}, {255, 255},
		long, long[:4], long[:5], {255, 255, 0xff, 0xff}, {255, 254, 0, 0}, slices.Repeat([]byte{2, 0}, 127), slices.Repeat([]byte{9, 0}, 127),
		parameter(slices.Repeat([]byte{255, 0}, 120)...), {2, 6, 65, 4, 0, 0, 253, 232, 2, 6, 65, 4, 0, 0, 0, 1},
	}
}

// orderAttacks are messages that are good, at a time when nobody wants them (RFC 4271, section 6.6), and bodies where
// there is to be none.
func orderAttacks() []attack {
	var all []attack
	add := func(name string, states []state, may outcome, text func(t target) []byte) {
		all = append(all, inEvery(states, attack{name: name, class: "order", may: may, build: text})...)
	}
	open := func(t target) []byte {
		o := goodOpening(0)
		o.id = t.good4
		return o.bytes()
	}
	early := []state{accepted, openSent, openConfirm}
	add("an UPDATE", early, ended, func(t target) []byte { return t.good() })
	add("a ROUTE-REFRESH", early, ended, func(target) []byte { return refresh(1, 1) })
	add("a KEEPALIVE before any OPEN", []state{accepted, openSent}, ended, func(target) []byte { return wire.Keepalive() })
	add("a second OPEN", []state{openConfirm}, ended, open)
	add("an OPEN", []state{established}, anything, open)
	add("a hundred OPENs", []state{established}, anything, func(t target) []byte { return bytes.Repeat(open(t), 100) })
	add("a KEEPALIVE with a body", []state{established}, anything, func(target) []byte { return message(0xff, 23, wire.TypeKeepalive, 1, 2, 3, 4) })
	add("a KEEPALIVE of 4,096 bytes", []state{established}, anything, func(target) []byte { return message(0xff, 4096, wire.TypeKeepalive, make([]byte, 4077)...) })
	add("a thousand KEEPALIVEs", []state{established}, anything, func(target) []byte { return bytes.Repeat(wire.Keepalive(), 1000) })
	add("OPEN, KEEPALIVE and UPDATE in one piece", []state{accepted}, answered|ended, func(t target) []byte {
		return slices.Concat(open(t), wire.Keepalive(), t.good())
	})
	add("half an OPEN and the end", []state{accepted, openSent}, ended|silence, func(t target) []byte { return open(t)[:25] })
	add("half an UPDATE and the end", []state{established}, ended|silence, func(t target) []byte { return t.good()[:40] })
	for i := range all[len(all)-3:] {
		all[len(all)-3+i].cut = true
	}
	add("half an OPEN and silence", []state{accepted, openSent}, silence, func(t target) []byte { return open(t)[:25] })
	add("data after a NOTIFICATION", allStates(), ended, func(t target) []byte {
		return slices.Concat(wire.AppendMessage(nil, wire.TypeNotification, 6, 4), t.good(), open(t), make([]byte, 1000))
	})
	return all
}

// notificationAttacks are all codes, and shutdown communications that are more than text (RFC 9003).
func notificationAttacks() []attack {
	var all []attack
	add := func(name string, states []state, body ...byte) {
		all = append(all, inEvery(states, attack{
			name: name, class: "NOTIFICATIONs", may: ended, build: always(wire.AppendMessage(nil, wire.TypeNotification, body...)),
		})...)
	}
	for code := range byte(10) {
		for _, sub := range []byte{0, 1, 2, 4, 9, 255} {
			add(fmt.Sprintf("NOTIFICATION %d/%d", code, sub), []state{established}, code, sub)
		}
		add(fmt.Sprintf("NOTIFICATION %d/1 with data", code), []state{openSent, openConfirm}, append([]byte{code, 1}, make([]byte, 100)...)...)
	}
	add("NOTIFICATION 255/255", allStates(), 255, 255)
	for _, text := range hostileTexts() {
		for _, sub := range []byte{2, 4, 9} {
			body := append([]byte{6, sub, byte(len(text))}, text...)
			if sub == 9 {
				body = append([]byte{6, sub, 6, 2, byte(len(text))}, text...)
			}
			add(fmt.Sprintf("NOTIFICATION 6/%d saying %.16q", sub, text), []state{established}, body...)
		}
	}
	add("a shutdown communication that is shorter than it says", []state{established}, 6, 2, 200, 'x')
	add("a shutdown communication that is longer than it says", []state{established}, append([]byte{6, 2, 1}, bytes.Repeat([]byte("x"), 2000)...)...)
	add("a NOTIFICATION of 4,096 bytes", []state{established}, append([]byte{6, 2, 128}, make([]byte, 4074)...)...)
	return all
}

// hostileTexts are meant for the terminal or the log of who reads them.
func hostileTexts() []string {
	return []string{
		"\x1b[2J\x1b[H", "\x1b]0;owned\a", "\x1b[8m hidden", "a\r\nlevel=fatal msg=forged\n", "\x00\x01\x02", "\xff\xfe\xfd",
		"\xc0\xaf\xed\xa0\x80", "\u202e\u2066gnp.exe", "\u009b31m", "\a\b\t\v\f\x7f", "\\x1b[31m %s %d %n", "\"}{\"level\":\"fatal\"", string(bytes.Repeat([]byte("\xf0\x9f\x92\xa9"), 63)),
	}
}

// refreshAttacks are ROUTE-REFRESH messages that are unusual (RFC 2918, 7313, 5291).
func refreshAttacks() []attack {
	var all []attack
	add := func(name string, text []byte) {
		all = append(all, inEvery([]state{established}, attack{name: name, class: "ROUTE-REFRESH", may: anything, build: always(text)})...)
	}
	for _, family := range [][2]byte{{0, 0}, {1, 2}, {1, 4}, {1, 128}, {1, 132}, {1, 133}, {2, 4}, {2, 128}, {25, 65}, {25, 70}, {64, 4}, {255, 255}} {
		add(fmt.Sprintf("a ROUTE-REFRESH of family %d/%d", family[0], family[1]), refresh(uint16(family[0]), family[1]))
	}
	for sub := range byte(4) {
		add(fmt.Sprintf("a ROUTE-REFRESH of subtype %d", sub+1), wire.AppendMessage(nil, wire.TypeRouteRefresh, 0, 1, sub+1, 1))
	}
	add("a ROUTE-REFRESH with ORF entries", wire.AppendMessage(nil, wire.TypeRouteRefresh, 0, 1, 0, 1, 1, 64, 0, 9, 0, 0, 0, 0, 1, 0, 32, 8, 10))
	add("a ROUTE-REFRESH with an ORF of wrong lengths", wire.AppendMessage(nil, wire.TypeRouteRefresh, 0, 1, 0, 1, 1, 64, 0xff, 0xff, 0))
	add("a ROUTE-REFRESH of 4,096 bytes", wire.AppendMessage(nil, wire.TypeRouteRefresh, append([]byte{0, 1, 0, 1}, make([]byte, 4073)...)...))
	add("a thousand ROUTE-REFRESHes", bytes.Repeat(refresh(1, 1), 1000))
	return all
}

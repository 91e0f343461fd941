package main

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/underlayd/underlayd/containerlab/bench/wire"
)

// Path attribute flags and types that the attacks name (RFC 4271, section 4.3, and the IANA registry).
const (
	optional   = 0x80
	transitive = 0x40
	partial    = 0x20
	extended   = 0x10

	typeOrigin    = 1
	typeASPath    = 2
	typeNextHop   = 3
	typeMPReach   = 14
	typeMPUnreach = 15
)

const (
	foeASN  = 65000
	nodeASN = 64512
	farASN  = 64513 // where the foes' prefixes claim to come from
)

// attribute encodes a path attribute as it should be.
func attribute(flags, kind byte, value []byte) []byte {
	if len(value) > 255 {
		return append(binary.BigEndian.AppendUint16([]byte{flags | extended, kind}, uint16(len(value))), value...)
	}
	return append([]byte{flags, kind, byte(len(value))}, value...)
}

// update encodes an UPDATE with true section lengths.
func update(withdrawn []byte, attributes [][]byte, nlri []byte) []byte {
	all := slices.Concat(attributes...)
	body := binary.BigEndian.AppendUint16(nil, uint16(len(withdrawn)))
	body = append(body, withdrawn...)
	body = binary.BigEndian.AppendUint16(body, uint16(len(all)))
	return wire.AppendMessage(nil, wire.TypeUpdate, append(append(body, all...), nlri...)...)
}

// nlriOf encodes prefixes.
func nlriOf(prefixes ...netip.Prefix) []byte {
	var b []byte
	for _, p := range prefixes {
		b = append(append(b, byte(p.Bits())), p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
	}
	return b
}

func origin() []byte { return attribute(transitive, typeOrigin, []byte{0}) }

func asPath(asns ...uint32) []byte { return attribute(transitive, typeASPath, sequence(2, asns...)) }

// sequence encodes one segment of an AS_PATH.
func sequence(kind byte, asns ...uint32) []byte {
	b := []byte{kind, byte(len(asns))}
	for _, as := range asns {
		b = binary.BigEndian.AppendUint32(b, as)
	}
	return b
}

func nextHop(a netip.Addr) []byte { return attribute(transitive, typeNextHop, a.AsSlice()) }

// reach is the value of an MP_REACH_NLRI (RFC 4760, section 3).
func reach(afi uint16, safi byte, hop, nlri []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, afi)
	b = append(b, safi, byte(len(hop)))
	return append(append(append(b, hop...), 0), nlri...)
}

// unreach is the value of an MP_UNREACH_NLRI (RFC 4760, section 4).
func unreach(afi uint16, safi byte, nlri []byte) []byte {
	return append(append(binary.BigEndian.AppendUint16(nil, afi), safi), nlri...)
}

func mpReach(hop netip.Addr, prefixes ...netip.Prefix) []byte {
	return attribute(optional, typeMPReach, reach(2, 1, hop.AsSlice(), nlriOf(prefixes...)))
}

// good announces the target's prefixes, as any peer would.
func (t target) good() []byte {
	return slices.Concat(
		update(nil, [][]byte{origin(), asPath(foeASN, farASN), nextHop(t.good4)}, nlriOf(t.prefix4)),
		update(nil, [][]byte{mpReach(t.good6, t.prefix6), origin(), asPath(foeASN, farASN)}, nil),
	)
}

// base are the attributes of an announcement with the bad next hop. The IPv6 one brings its prefix along.
func (t target) base(v6 bool) [][]byte {
	if v6 {
		return [][]byte{mpReach(t.bad6, t.prefix6), origin(), asPath(foeASN, farASN)}
	}
	return [][]byte{origin(), asPath(foeASN, farASN), nextHop(t.bad4)}
}

// announce is an UPDATE of these attributes that is about the target's prefix of a family.
func (t target) announce(v6 bool, attributes ...[]byte) []byte {
	if v6 {
		return update(nil, attributes, nil)
	}
	return update(nil, attributes, nlriOf(t.prefix4))
}

// capability encodes one (RFC 5492).
func capability(code byte, value ...byte) []byte {
	return append([]byte{code, byte(len(value))}, value...)
}

// capabilities are those of a peer that means well: both families, route refresh, four-octet AS numbers.
func capabilities() []byte {
	return slices.Concat(
		capability(1, 0, 1, 0, 1), capability(1, 0, 2, 0, 1), capability(2),
		capability(65, binary.BigEndian.AppendUint32(nil, foeASN)...),
	)
}

// opening is an OPEN, field by field.
type opening struct {
	version    byte
	asn, hold  uint16
	id         netip.Addr
	parameters []byte // optional parameters, with their types and lengths
	length     int    // of the optional parameters as stated; -1: the true one
}

func (o opening) bytes() []byte {
	b := []byte{o.version}
	b = binary.BigEndian.AppendUint16(b, o.asn)
	b = binary.BigEndian.AppendUint16(b, o.hold)
	b = append(b, o.id.AsSlice()...)
	length := o.length
	if length < 0 {
		length = len(o.parameters)
	}
	b = append(b, byte(length))
	return wire.AppendMessage(nil, wire.TypeOpen, append(b, o.parameters...)...)
}

// parameter encodes an optional parameter of type 2, capabilities.
func parameter(capabilities ...byte) []byte {
	return append([]byte{2, byte(len(capabilities))}, capabilities...)
}

// goodOpening is the OPEN of a peer that means well.
func goodOpening(peer int) opening {
	return opening{version: 4, asn: foeASN, hold: 90, id: address4(1, peer), parameters: parameter(capabilities()...), length: -1}
}

// message is one with any header: marker, length and type are what they are said to be.
func message(marker byte, length int, kind byte, body ...byte) []byte {
	b := slices.Repeat([]byte{marker}, 16)
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	return append(append(b, kind), body...)
}

// refresh asks for all routes of a family again (RFC 2918).
func refresh(afi uint16, safi byte) []byte {
	return wire.AppendMessage(nil, wire.TypeRouteRefresh, byte(afi>>8), byte(afi), 0, safi)
}

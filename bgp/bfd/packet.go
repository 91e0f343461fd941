package bfd

import (
	"github.com/osrg/gobgp/v4/pkg/packet/bfd"
)

// Reason is why a packet was refused.
type Reason uint8

// The reasons, in the order in which a packet is checked (RFC 5880, section 6.8.6; RFC 5881, section 5).
const (
	accepted Reason = iota
	// TooShort: less than 24 bytes, or less than its length field says.
	TooShort
	// WrongVersion: not version 1.
	WrongVersion
	// WrongLength: the length field says less than 24 bytes.
	WrongLength
	// NoMultiplier: the detection multiplier is 0.
	NoMultiplier
	// Multipoint: the M bit is set.
	Multipoint
	// NoDiscriminator: the sender's own discriminator is 0.
	NoDiscriminator
	// StateWithoutDiscriminator: it says Init or Up and does not name our discriminator.
	StateWithoutDiscriminator
	// Authentication: the A bit is set; no session uses authentication.
	Authentication
	// TooFar: the TTL or hop limit is not 255, or below what the session's hops allow.
	TooFar
	// UnknownDiscriminator: no session has the discriminator that it names.
	UnknownDiscriminator
	// UnknownPeer: it names no discriminator, and no session is with that address.
	UnknownPeer
	// WrongAddress: it names a session that is with another peer, or was sent to another address of ours.
	WrongAddress
	reasons int = iota
)

// String is the reason in a few words.
func (r Reason) String() string {
	names := [reasons]string{
		accepted: "accepted", TooShort: "too short", WrongVersion: "wrong version", WrongLength: "wrong length",
		NoMultiplier: "no multiplier", Multipoint: "multipoint", NoDiscriminator: "no discriminator",
		StateWithoutDiscriminator: "state without discriminator", Authentication: "authentication", TooFar: "too far",
		UnknownDiscriminator: "unknown discriminator", UnknownPeer: "unknown peer", WrongAddress: "wrong address",
	}
	if int(r) < len(names) {
		return names[r]
	}
	return "unknown"
}

const (
	version       = 1
	packetLength  = 24
	slowest       = 1_000_000 // µs, the shortest interval of a session that is not up (RFC 5880, section 6.8.3)
	lengthAt      = 3
	flagsAt       = 1
	independent   = 1 << 3
	authenticated = 1 << 2
	demand        = 1 << 1
	multipoint    = 1
)

// header is a packet as GoBGP's codec has it. Its intervals are in microseconds.
type header = bfd.BFDHeader

// packet is a received packet; the codec knows nothing of the flags.
type packet struct {
	header
	demand      bool // the peer wants no periodic packets while both are up
	independent bool // the peer's BFD does not end with its control plane
}

// parse makes the checks of RFC 5880, section 6.8.6, that need no session. What follows the packet in its datagram is
// ignored, as the RFC has it.
func parse(b []byte) (p packet, refused Reason) {
	if len(b) < packetLength || len(b) < int(b[lengthAt]) {
		return p, TooShort
	}
	if b[0]>>5 != version {
		return p, WrongVersion
	}
	if b[lengthAt] < packetLength || p.UnmarshalBinary(b[:b[lengthAt]]) != nil {
		return p, WrongLength
	}
	flags := b[flagsAt]
	switch {
	case p.DetectTimeMultiplier == 0:
		return p, NoMultiplier
	case flags&multipoint != 0:
		return p, Multipoint
	case p.MyDiscriminator == 0:
		return p, NoDiscriminator
	case p.YourDiscriminator == 0 && p.State > bfd.StateDown:
		return p, StateWithoutDiscriminator
	case flags&authenticated != 0:
		return p, Authentication
	}
	p.demand, p.independent = flags&demand != 0, flags&independent != 0
	return p, accepted
}

package probe

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"net/netip"
	"slices"
)

// The layout, all numbers in network byte order. What follows it is padding: of requests only, and zero.
//
//	 0  magic, 4 bytes      8  sender's cluster id     24  from, as the sender sees it
//	 4  version            12  length of the datagram  40  to, likewise
//	 5  kind               14  largest packet wanted   56  the sender's node address
//	 6  flags              16  nonce                   72  the source that the responder saw
//	 7  the way back                                   88  the sender's cluster: length and text
//	152  the sender's node: length and text           280  HMAC-SHA256, its first 16 bytes
//
// Addresses have 16 bytes; those of IPv4 are mapped (RFC 4291, section 2.5.5.2), and none is ::.
const (
	version     = 1
	atCluster   = 88
	atNode      = 152
	atMAC       = 280
	macLength   = 16
	messageSize = atMAC + macLength
	// doubleSize is how long a request has to be that asks for two answers.
	doubleSize = 2 * messageSize

	clusterLength = atNode - atCluster - 1
	nodeLength    = atMAC - atNode - 1
)

const magic = "uldp"

// kind says what a message is.
type kind uint8

const (
	request kind = 1
	reply   kind = 2
)

// flags of a message.
type flags uint8

const (
	// alsoAside: the answer is wanted at the sender's node address, too.
	alsoAside flags = 1 << iota
	// aside: it goes from node address to node address, beside the way under test.
	aside
)

// Back is what a responder says of its way back to who asked.
type Back uint8

// The ways back.
const (
	BackUnknown Back = iota // it can't tell
	BackOK                  // an accepted route that is in the kernel
	// BackNoContract: no contract of it names the asking cluster, or none of those it has holds the source.
	BackNoContract
	BackRefused // it learned the prefix and refused it for another reason
	BackAbsent  // nobody announces the prefix to it
	BackPending // it accepted the prefix, and its kernel does not have it
)

// String names it as in status.
func (b Back) String() string {
	switch b {
	case BackOK:
		return "Ok"
	case BackNoContract:
		return "NoContract"
	case BackRefused:
		return "Refused"
	case BackAbsent:
		return "NotAnnounced"
	case BackPending:
		return "NotInstalled"
	}
	return "Unknown"
}

// message is what is said, without padding.
type message struct {
	kind      kind
	flags     flags
	back      Back
	clusterID uint32
	length    uint16
	nonce     uint64
	from, to  netip.Addr // as the sender of the request sees them
	node      netip.Addr // the sender's, for answers beside the way; invalid: none
	seen      netip.Addr // the source that the responder saw; invalid in requests
	cluster   string     // the sender's; of hostile origin, but for its length and its characters
	name      string     // the sender's node, likewise, maybe cut
}

// Key is shared by all clusters that probe each other. It is never written anywhere; a Key of its own is zero.
type Key struct {
	secret string
	other  string // heeded as well while a key takes the place of another one; empty: none
}

// String hides the key from logs.
func (Key) String() string { return "(hidden)" }

// GoString hides the key from logs.
func (Key) GoString() string { return "(hidden)" }

// IsZero says that there is no key.
func (k Key) IsZero() bool { return k.secret == "" }

// The lengths of a key in bytes: shorter ones can be guessed by who sees a message (RFC 2104, section 3).
const (
	MinKey = 16
	MaxKey = 1024
)

// ParseKey takes what a file holds: a line with the key, and maybe one more with another that is heeded as well.
func ParseKey(raw []byte) (Key, error) {
	lines := bytes.Split(bytes.TrimRight(raw, "\r\n"), []byte("\n"))
	if len(lines) > 2 {
		return Key{}, fmt.Errorf("there are %d lines: the key is one, and another key that is heeded as well may be the second", len(lines))
	}
	for i, line := range lines {
		lines[i] = bytes.TrimRight(line, "\r")
		switch n := len(lines[i]); {
		case n < MinKey || n > MaxKey:
			return Key{}, fmt.Errorf("line %d has %d bytes: a key must have %d to %d", i+1, n, MinKey, MaxKey)
		case bytes.ContainsAny(lines[i], "\r\x00"):
			return Key{}, fmt.Errorf("line %d has a NUL byte or a carriage return in it", i+1)
		}
	}
	if len(lines) == 1 {
		return Key{secret: string(lines[0])}, nil
	}
	return Key{string(lines[0]), string(lines[1])}, nil
}

// sealer writes and checks messages. It belongs to one goroutine.
type sealer struct {
	macs []hash.Hash // the first one signs
	sum  [sha256.Size]byte
}

func (k Key) sealer() *sealer {
	s := &sealer{macs: []hash.Hash{hmac.New(sha256.New, []byte(k.secret))}}
	if k.other != "" {
		s.macs = append(s.macs, hmac.New(sha256.New, []byte(k.other)))
	}
	return s
}

// sign returns the MAC of a datagram by one of the keys: of all of it but the MAC's own place.
func (s *sealer) sign(mac hash.Hash, datagram []byte) []byte {
	mac.Reset()
	mac.Write(datagram[:atMAC])
	mac.Write(datagram[messageSize:])
	return mac.Sum(s.sum[:0])[:macLength]
}

// authentic says whether a datagram is of one of the keys.
func (s *sealer) authentic(datagram []byte) bool {
	return slices.ContainsFunc(s.macs, func(mac hash.Hash) bool { return hmac.Equal(s.sign(mac, datagram), datagram[atMAC:messageSize]) })
}

// seal writes a message, padded to its length, into a buffer that has room for it.
func (s *sealer) seal(buffer []byte, m message) []byte {
	d := buffer[:max(int(m.length), messageSize)]
	clear(d)
	copy(d, magic)
	d[4], d[5], d[6], d[7] = version, byte(m.kind), byte(m.flags), byte(m.back)
	binary.BigEndian.PutUint32(d[8:], m.clusterID)
	binary.BigEndian.PutUint16(d[12:], uint16(len(d)))
	binary.BigEndian.PutUint64(d[16:], m.nonce)
	for i, a := range []netip.Addr{m.from, m.to, m.node, m.seen} {
		if a.IsValid() {
			raw := a.As16()
			copy(d[24+16*i:], raw[:])
		}
	}
	putText(d[atCluster:atNode], m.cluster)
	putText(d[atNode:atMAC], m.name)
	copy(d[atMAC:], s.sign(s.macs[0], d))
	return d
}

// putText writes a text with its length before it, cut to the room there is.
func putText(room []byte, text string) {
	room[0] = byte(copy(room[1:], text))
}

// Errors of open, in the order in which it looks.
var (
	errForeign     = errors.New("not a probe")
	errVersion     = errors.New("another version")
	errUnauthentic = errors.New("not of our key")
	errMalformed   = errors.New("authentic and malformed")
)

// plausible says, at next to no cost, whether it is worth checking a datagram.
func plausible(d []byte) error {
	switch {
	case len(d) < messageSize || string(d[:4]) != magic || int(binary.BigEndian.Uint16(d[12:])) != len(d):
		return errForeign
	case d[4] != version:
		return errVersion
	}
	return nil
}

// open reads a datagram. Nothing of it is believed before its MAC has been checked.
func (s *sealer) open(d []byte) (message, error) {
	if err := plausible(d); err != nil {
		return message{}, err
	}
	if !s.authentic(d) {
		return message{}, errUnauthentic
	}
	m := message{
		kind: kind(d[5]), flags: flags(d[6]), back: Back(d[7]),
		clusterID: binary.BigEndian.Uint32(d[8:]), length: binary.BigEndian.Uint16(d[12:]), nonce: binary.BigEndian.Uint64(d[16:]),
		from: address(d[24:]), to: address(d[40:]), node: address(d[56:]), seen: address(d[72:]),
	}
	var ok, also bool
	m.cluster, ok = text(d[atCluster:atNode])
	m.name, also = text(d[atNode:atMAC])
	switch {
	case !ok || !also, m.kind != request && m.kind != reply, !m.from.IsValid(), !m.to.IsValid():
		return message{}, errMalformed
	case m.back > BackPending:
		m.back = BackUnknown // of a newer version
	}
	return m, nil
}

// address reads one; :: is none.
func address(d []byte) netip.Addr {
	a := netip.AddrFrom16([16]byte(d[:16])).Unmap()
	if a.IsUnspecified() || a.IsMulticast() {
		return netip.Addr{}
	}
	return a
}

// text reads a text, of the characters that names in Kubernetes have.
func text(d []byte) (string, bool) {
	n := int(d[0])
	if n >= len(d) {
		return "", false
	}
	for _, c := range d[1 : 1+n] {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return "", false
		}
	}
	return string(d[1 : 1+n]), true
}

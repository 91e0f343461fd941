package main

import (
	"encoding/binary"
	"net/netip"
)

// state is how far a session has come when the attack begins (RFC 4271, section 8.2.2, as the daemon sees it).
type state int

const (
	accepted    state = iota // TCP is up, and nothing has been said or read
	openSent                 // the daemon's OPEN has been read
	openConfirm              // OPENs have been exchanged
	established              // the session is up, and the target's prefixes are in the kernel
)

func (s state) String() string {
	return [...]string{"accepted", "OpenSent", "OpenConfirm", "Established"}[s]
}

// outcome is what an attack brought about.
type outcome int

const (
	kept     outcome = 1 << iota // the session is up, the prefix goes where it went before
	replaced                     // the session is up, the prefix goes where the attack says
	gone                         // the session is up, the prefix is no longer in the kernel: treated as withdrawn
	told                         // the session ended, by a NOTIFICATION
	closed                       // the session ended, without a word
	answered                     // the daemon answered as to a good message
	silence                      // the daemon waits for more

	ended    = told | closed
	harmless = ended | replaced | gone        // what may become of an UPDATE that is about the prefix
	withdraw = ended | gone                   // what must, if the attribute is one that routes depend on
	anything = ended | kept | replaced | gone // of one that need not be about the prefix
)

func (o outcome) String() string {
	for i, name := range []string{"kept", "replaced", "withdrawn", "notification", "closed", "answered", "silence"} {
		if o == 1<<i {
			return name
		}
	}
	return "mixed"
}

// attack is one thing to say to the daemon.
type attack struct {
	name  string // a sentence
	class string // for the report
	state state
	build func(target) []byte
	v6    bool    // it is about the IPv6 prefix of the target
	may   outcome // what may become of it
	alone bool    // the session is not used again
	cut   bool    // the connection ends after it
}

// target is what an attack is about: prefixes of its own, inside the contract, which the peer announces beforehand with
// the good next hops. What the attack announces has the bad ones.
type target struct {
	prefix4, prefix6 netip.Prefix
	good4, good6     netip.Addr
	bad4, bad6       netip.Addr
}

// targetOf makes the target of the n-th attack, of a peer.
func targetOf(n, peer int) target {
	var a4 [4]byte
	binary.BigEndian.PutUint32(a4[:], 10<<24|20<<16|uint32(n%4096)<<4)
	a6 := [16]byte{0xfd, 0, 0, 0x20}
	binary.BigEndian.PutUint32(a6[4:], uint32(n))
	return target{
		prefix4: netip.PrefixFrom(netip.AddrFrom4(a4), 28), prefix6: netip.PrefixFrom(netip.AddrFrom16(a6), 64),
		good4: address4(1, peer), good6: address6(1, peer), bad4: address4(2, peer), bad6: address6(2, peer),
	}
}

// address4 is a peer's own address in row 1; nobody has those of row 2.
func address4(row byte, peer int) netip.Addr {
	return netip.AddrFrom4([4]byte{172, 31, row, byte(peer + 1)})
}

func address6(row byte, peer int) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfd, 0, 0, 0xbe, 13: row, 15: byte(peer + 1)})
}

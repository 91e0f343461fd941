package fib

import (
	"fmt"
	"net/netip"
)

// Packet is a packet whose way is asked for.
type Packet struct {
	Dst netip.Addr
	// Src is where it comes from; the zero Addr: the node itself, from the address that the kernel chooses.
	Src netip.Addr
	// In is the link that it comes in over; empty: it is the node's own. A packet of somebody else needs both.
	In string
}

// Fate is what becomes of a packet.
type Fate string

// The fates of a packet. The first is the only one with which it leaves the node.
const (
	Forwarded   Fate = "unicast"
	Delivered   Fate = "local"       // it is for the node
	Flooded     Fate = "broadcast"   // to all of a link
	Multicast   Fate = "multicast"   // likewise, to those who asked
	Anycast     Fate = "anycast"     // it is for the node as well
	Blackholed  Fate = "blackhole"   // dropped without a word
	Unreachable Fate = "unreachable" // ICMP: no route to host
	Prohibited  Fate = "prohibit"    // ICMP: administratively prohibited
	NoRoute     Fate = "none"        // no table has a route
	WrongSource Fate = "source"      // its source is refused: reverse path (RFC 3704), or no address at all
	Refused     Fate = "refused"     // the kernel refuses the question; Trace.Error has its words
)

// Way is where a packet is handed to.
type Way struct {
	Link    string
	Gateway netip.Addr // the zero Addr: the destination itself is on the link
	// Neighbour is what the kernel knows of the gateway, or of the destination, on the link, in its own words: REACHABLE,
	// STALE, DELAY, PROBE, INCOMPLETE, FAILED, PERMANENT, NOARP; empty: nothing yet.
	Neighbour string
	Down      bool // the link is not up, or has no carrier
}

// Trace is what the kernel does with a packet now, by a lookup in its own tables and rules.
type Trace struct {
	Packet
	Fate  Fate
	Error string // the kernel's words, when it found no way
	// Prefix is that of the route that decides, and what follows tells of that route. The zero Prefix: none does, or it
	// is not known: before Linux 4.15, of IPv4 routes that drop packets when there are several in different tables, and of an
	// IPv6 route that names the same next-hop object as others, of which the kernel may tell of any; then Table is not 0.
	Prefix   netip.Prefix
	Table    int
	Protocol int
	Owner    string // the protocol with its name, if it has one, such as "186, bgp"
	Metric   int
	Ours     bool
	Ways     []Way // all of the route, sorted
	// Chosen is the one that this packet takes, and Source the address that it is sent from when it is the node's own.
	Chosen Way
	Source netip.Addr
	Rule   string // of the policy rules, the one that led to Table, as ip(8) writes it; empty: not known
}

// tracer follows packets. It is safe to use from any goroutine.
type tracer interface {
	trace(p Packet) (Trace, error)
}

// Trace looks up what the kernel does with a packet, as ip route get does: some questions on a socket of its own, so that no
// route waits for it. Any goroutine may call it. Where the kernel has no way for the packet that is the answer, and no error.
func (t *Table) Trace(p Packet) (Trace, error) {
	p.Dst, p.Src = p.Dst.Unmap(), p.Src.Unmap()
	if !p.Dst.IsValid() || p.Src.IsValid() && p.Src.Is4() != p.Dst.Is4() || p.In != "" && !p.Src.IsValid() {
		return Trace{}, fmt.Errorf("trace a packet from %s over %q to %s: it takes a destination, and a source of its family if it comes in over a link",
			p.Src, p.In, p.Dst)
	}
	if t.tracer == nil {
		return Trace{}, ErrClosed
	}
	found, err := t.tracer.trace(p)
	if err != nil {
		return Trace{}, fmt.Errorf("trace a packet to %s: %w", p.Dst, err)
	}
	if found.Table != 0 {
		found.Owner = t.names.text(uint8(found.Protocol))
	}
	return found, nil
}

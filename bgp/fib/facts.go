package fib

import (
	"fmt"
	"net/netip"
)

// Facts is what the kernel says about the node's own place in the network.
type Facts struct {
	// Addresses are the node's own addresses with the length of their subnet (host bits kept),
	// sorted, without loopback and link-local ones. An address still being checked for
	// duplicates is among them: it is ours to refuse to others, though not yet to be used.
	Addresses []netip.Prefix
	// Connected are the on-link subnets of those addresses, sorted, each once; host routes are not subnets.
	Connected []netip.Prefix
}

// Facts reads the node's addresses. Any goroutine may call it.
func (t *Table) Facts() (Facts, error) {
	f, err := t.host.facts()
	if err != nil {
		return Facts{}, fmt.Errorf("read the node's addresses: %w", err)
	}
	return f, nil
}

// FactsChanged is poked when an address or a link changed, which may change Facts and
// LocalAddresses. It holds one poke; it is silent while Run is not running.
func (t *Table) FactsChanged() <-chan struct{} { return t.factsChanged }

// LocalAddresses returns the link that leads to peer and the node's own addresses on it, one for
// each family: of the peer's family the source address the kernel chooses, of the other the
// lowest usable one. An address is the zero Addr where the link has none; tentative, duplicate,
// deprecated and temporary addresses are not used. A link-local peer needs its link as zone. The answer may be 100 ms
// old, but not older than the last call of Facts.
func (t *Table) LocalAddresses(peer netip.Addr) (link string, v4, v6 netip.Addr, err error) {
	link, v4, v6, err = t.host.local(peer)
	if err != nil {
		return "", netip.Addr{}, netip.Addr{}, fmt.Errorf("find the way to %s: %w", peer, err)
	}
	return link, v4, v6, nil
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

package fib

import (
	"fmt"
	"net/netip"
)

// RoutedInside says whether somebody else, in any table but the kernel's local one, has a route to a part of the prefix
// that leads to another host: through a gateway, or out of a link on which others are, as a tunnel. Subnets that the node
// has an address in, and routes to a pod of its own (out of a link that ends on the node), do not count, nor does a route
// to the whole prefix, of which Discards tells.
//
// Where the prefix is the pool of the node's cluster and the answer is no, the other nodes' pods are reached by a shorter
// route, such as the default one, and a discard route for the pool would cut them off.
//
// It reads all routes of the family, on a socket of its own: no route waits for it. Any goroutine may call it.
func (t *Table) RoutedInside(prefix netip.Prefix) (bool, error) {
	if !plainPrefix(prefix) {
		return false, fmt.Errorf("routes inside %s: %w", prefix, errNotPrefix)
	}
	inside, err := t.surveyor.routedInside(prefix)
	if err != nil {
		return false, fmt.Errorf("routes inside %s: %w", prefix, err)
	}
	return inside, nil
}

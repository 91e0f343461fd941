package config

import (
	"net/netip"
	"slices"
	"time"
)

// Timers returns the hold time offered to a peer and the keepalive interval that goes with it: a third of
// the hold time (RFC 4271, section 10), in whole seconds.
func (b BGP) Timers(p Peer) (hold, keepalive time.Duration) {
	hold = b.HoldTime
	if p.HoldTime != 0 {
		hold = p.HoldTime
	}
	return hold, (hold / 3).Truncate(time.Second)
}

// leastPrefixLimit is the least derived limit of what a peer may send: it is there to protect the memory, and a fabric
// may well send its own few thousand prefixes next to those of the contracts.
const leastPrefixLimit = 10000

// PrefixLimit returns how many prefixes of one family a peer may send before its session is ended; 0 for any number.
// Derived, it is twice what the contracts of the clusters that may be learned from it allow, and at least 10000.
func (c *Config) PrefixLimit(p Peer) int {
	switch p.MaxPrefixes {
	case NoLimit:
		return 0
	case AutoLimit:
		sum := 0
		for _, remote := range c.Clusters {
			if len(p.Clusters) == 0 || slices.Contains(p.Clusters, remote.Name) {
				sum += remote.MaxPrefixes
			}
		}
		return max(2*sum, leastPrefixLimit)
	default:
		return int(p.MaxPrefixes)
	}
}

// Selects says whether one of the prefixes of a list that selects own ones (see Peer.Advertise) is a given one or holds it.
func Selects(list []netip.Prefix, own netip.Prefix) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool {
		return !p.IsValid() || p.Overlaps(own) && p.Bits() <= own.Bits()
	})
}

// Internal reports whether the session with a peer is iBGP.
func (b BGP) Internal(p Peer) bool { return p.ASN == b.ASN }

package config

import "net/netip"

// Log is how much is logged, and as what.
type Log struct {
	Level  string // debug, info, warn or error
	Format string // auto, text or json
}

// HTTP is what is served over TCP.
type HTTP struct {
	Listen       netip.AddrPort   // not valid: nothing is
	LookingGlass bool             // the page for people, and what it asks
	Fleet        []netip.AddrPort // the looking glasses of other nodes, which this one asks
}

// Runtime is where the daemon keeps what lives as long as it does.
type Runtime struct {
	Directory string // absolute; the sockets and the lock live here
}

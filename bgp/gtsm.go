package bgp

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// The listeners have a filter of their own: the kernel asks it for every packet of a connection from the SYN on, and
// accepted sockets inherit it. It does what GoBGP does too late or not at all.
//
// GoBGP checks the TTL of an accepted connection only once the session's state machine takes it. What a distant attacker
// sent right after its SYN is in the receive queue by then, OPEN and UPDATE included.
//
// GoBGP listens before it can know a peer, and it closes connections that come before that or at the same time as one of
// its own. A peer may take a closed connection for the end of our graceful restart and drop our routes. A SYN that gets no
// answer is harmless: it is sent again a second later. See turns.

// guard is the filter of the listeners. It is guarded by Speaker.mu.
type guard struct {
	build   func(peers, deaf []Peer) ([]unix.SockFilter, error)
	attach  func([]unix.SockFilter) error
	program []unix.SockFilter  // in force; nil when that is not sure
	hops    map[netip.Addr]int // of the peers that it was built for, 0 for those without GTSM
	deaf    []netip.Addr       // those that it does not hear at all, sorted
}

// hear makes the filter one for these peers, some of which are not to be heard. It is asked several times a second, and
// nearly always for what is in force already; then nothing is built or attached.
func (g *guard) hear(peers, deaf []Peer) error {
	slices.SortFunc(deaf, func(a, b Peer) int { return a.Address.Compare(b.Address) })
	if g.hears(peers, deaf) {
		return nil
	}
	program, err := g.build(peers, deaf)
	if err != nil {
		return err
	}
	if !slices.Equal(program, g.program) { // it is the same for many sets of peers
		g.program = nil // of several listeners some may have it
		if err := g.attach(program); err != nil {
			return err
		}
	}
	g.program, g.hops, g.deaf = program, make(map[netip.Addr]int, len(peers)), make([]netip.Addr, 0, len(deaf))
	for _, p := range peers {
		g.hops[p.Address] = p.Hops
	}
	for _, p := range deaf {
		g.deaf = append(g.deaf, p.Address)
	}
	return nil
}

// hears says whether the filter in force is that for these peers; deaf is sorted.
func (g *guard) hears(peers, deaf []Peer) bool {
	if g.program == nil || len(peers) != len(g.hops) {
		return false
	}
	for _, p := range peers {
		if hops, ok := g.hops[p.Address]; !ok || hops != p.Hops {
			return false
		}
	}
	return slices.EqualFunc(deaf, g.deaf, func(p Peer, a netip.Addr) bool { return p.Address == a })
}

// closeListeners makes the listening sockets hear nobody, for as long as the peers are not known.
func (s *Speaker) closeListeners() error {
	return errors.Join(s.answerFromNearby(), s.attach([]unix.SockFilter{ret(filterDrop)}))
}

// answerFromNearby has the listeners answer a SYN with the hop limit that a GTSM peer requires of us (RFC 5082, section 3).
// GoBGP does so for IPv4 only: it takes the address of an IPv6 listener, with its port, for one of IPv4.
func (s *Speaker) answerFromNearby() error {
	if s.cfg.Port <= 0 {
		return nil
	}
	const nearby = 255
	listeners, err := listening(s.cfg.Port)
	if err != nil {
		return fmt.Errorf("hop limit on port %d: %w", s.cfg.Port, err)
	}
	for _, fd := range listeners {
		if domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err != nil || domain != unix.AF_INET6 {
			continue
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, nearby); err != nil {
			return fmt.Errorf("hop limit on port %d: %w", s.cfg.Port, err)
		}
	}
	return nil
}

// guardListeners makes the listening sockets drop packets of GTSM peers that came too far (RFC 5082, section 3), and of
// peers whose turn to connect it is not. It is called before a peer is added, so that there is no moment without.
func (s *Speaker) guardListeners(peers []Peer, now time.Time) error {
	return s.guard.hear(peers, s.table.waiting(peers, now))
}

// attach puts a filter on the listening sockets.
func (s *Speaker) attach(program []unix.SockFilter) error {
	if s.cfg.Port <= 0 {
		return nil
	}
	listeners, err := listening(s.cfg.Port)
	if err != nil {
		return fmt.Errorf("filter on port %d: %w", s.cfg.Port, err)
	}
	for _, fd := range listeners {
		fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
		if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &fprog); err != nil {
			return fmt.Errorf("filter on port %d: %w", s.cfg.Port, err)
		}
	}
	return nil
}

// listening finds the listening sockets of this process on a port. GoBGP does not hand its listeners out.
func listening(port int) ([]int, error) {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, f := range files {
		fd, err := strconv.Atoi(f.Name())
		if err != nil {
			continue
		}
		if on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || on == 0 {
			continue
		}
		address, err := unix.Getsockname(fd)
		if err != nil {
			continue
		}
		switch a := address.(type) {
		case *unix.SockaddrInet4:
			if a.Port == port {
				found = append(found, fd)
			}
		case *unix.SockaddrInet6:
			if a.Port == port {
				found = append(found, fd)
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no listening socket on port %d", port)
	}
	return found, nil
}

package bgp

import (
	"encoding/binary"
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

const (
	filterAccept = 0xffffffff // bytes of the packet to keep: all
	filterDrop   = 0
	netOffset    = 0xfff00000 // SKF_NET_OFF: loads count from the IP header
	maxFilter    = 4096       // instructions, BPF_MAXINSNS
)

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

// listenFilter is the classic BPF program for a set of peers, some of which are not to be heard at all. These are left
// out if there are too many of them.
func listenFilter(peers, deaf []Peer) ([]unix.SockFilter, error) {
	program, err := buildFilter(peers, deaf)
	if err != nil && len(deaf) > 0 {
		return buildFilter(peers, nil)
	}
	return program, err
}

func buildFilter(peers, deaf []Peer) ([]unix.SockFilter, error) {
	four, six := splitPeers(peers)
	deaf4, deaf6 := splitPeers(deaf)
	v4 := append(deafFilter(deaf4, 12), familyFilter(four, 12, 8)...)
	v6 := append(deafFilter(deaf6, 8), familyFilter(six, 8, 7)...)
	program := slices.Concat([]unix.SockFilter{
		load(unix.BPF_B, 0),
		{Code: unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K, K: 4}, // the version
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 4, Jt: 1},
		{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(len(v4))},
	}, v4, v6)
	if len(program) > maxFilter {
		return nil, errors.New("GTSM: too many peers of different hops: the kernel's filter has room for some 680 IPv4 or 340 IPv6 ones, " +
			"but for any number of peers that all have the same")
	}
	return program, nil
}

func splitPeers(peers []Peer) (four, six []Peer) {
	for _, p := range peers {
		if p.Address.Is4() {
			four = append(four, p)
		} else {
			six = append(six, p)
		}
	}
	return four, six
}

// deafFilter drops the packets of some peers, whose header has the source address at this offset.
func deafFilter(peers []Peer, source uint32) []unix.SockFilter {
	var out []unix.SockFilter
	for _, p := range peers {
		out = append(append(out, matchAddress(p.Address, source, 1)...), ret(filterDrop))
	}
	return out
}

// familyFilter decides over the packets of one address family, whose header has the source address and the TTL at
// these offsets. Peers that all want the same need not be told apart: nobody else gets a session anyway.
func familyFilter(peers []Peer, source, ttl uint32) []unix.SockFilter {
	same := len(peers) > 0
	for _, p := range peers {
		same = same && p.Hops > 0 && p.Hops == peers[0].Hops
	}
	if same {
		return needTTL(ttl, peers[0].Hops)
	}
	slices.SortFunc(peers, func(a, b Peer) int { return a.Address.Compare(b.Address) })
	var out []unix.SockFilter
	for _, p := range peers {
		if p.Hops > 0 {
			out = append(out, matchAddress(p.Address, source, ttlLength)...)
			out = append(out, needTTL(ttl, p.Hops)...)
		}
	}
	return append(out, ret(filterAccept))
}

// matchAddress skips the instructions that follow, so many, unless the source address at the offset is this one. The last
// word is compared first: it is the one that differs.
func matchAddress(a netip.Addr, offset uint32, skip int) []unix.SockFilter {
	raw := a.WithZone("").AsSlice()
	words := len(raw) / 4
	var out []unix.SockFilter
	for i := words - 1; i >= 0; i-- {
		rest := uint8(2*i + skip) // those of the words left, too
		out = append(out, load(unix.BPF_W, offset+uint32(4*i)), unix.SockFilter{
			Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: binary.BigEndian.Uint32(raw[4*i:]), Jf: rest,
		})
	}
	return out
}

const ttlLength = 4 // instructions of needTTL

// needTTL decides over a packet by its TTL or hop limit, at the offset.
func needTTL(offset uint32, hops int) []unix.SockFilter {
	return []unix.SockFilter{
		load(unix.BPF_B, offset),
		{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: uint32(256 - hops), Jf: 1},
		ret(filterAccept),
		ret(filterDrop),
	}
}

func load(size uint16, offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | size | unix.BPF_ABS, K: netOffset + offset}
}

func ret(k uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k}
}

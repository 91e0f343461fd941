package bgp

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// The filter of the listeners asks what is to become of a packet by its source address. Who is no peer gets no session
// anyway, so the addresses are divided into runs, in each of which all peers want the same, and the run is found by binary
// search. What a packet costs grows with the logarithm of the number of peers, and the program by two instructions for
// each run: two thousand peers fit, in whatever order those with different wishes come.

const (
	filterAccept = 0xffffffff // bytes of the packet to keep: all
	filterDrop   = 0
	netOffset    = 0xfff00000 // SKF_NET_OFF: loads count from the IP header
	maxFilter    = 4096       // instructions, BPF_MAXINSNS
	farthest     = 255        // instructions that a condition can skip
	unsettled    = 1 << 31    // marks a jump to what a fate takes, which comes at the end
)

// fate is what becomes of the packets of an address: the number of hops that they may have come (RFC 5082), or one of
// these.
type fate int

const (
	heard fate = 0  // however far it is
	deaf  fate = -1 // not at all
)

// source is an address and its fate.
type source struct {
	words []uint32 // in the order of the header
	fate  fate
}

// header is where the header of an address family has what is asked for.
type header struct{ source, ttl uint32 }

func ipv4Header() header { return header{source: 12, ttl: 8} }
func ipv6Header() header { return header{source: 8, ttl: 7} }

// listenFilter is the classic BPF program for a set of peers, some of which are not to be heard at all. These are left
// out if there are too many of them.
func listenFilter(peers, waiting []Peer) ([]unix.SockFilter, error) {
	program, err := buildFilter(peers, waiting)
	if err != nil && len(waiting) > 0 {
		return buildFilter(peers, nil)
	}
	return program, err
}

func buildFilter(peers, waiting []Peer) ([]unix.SockFilter, error) {
	four, six := sources(peers, waiting)
	v4, v6 := settle(search(four, 0, ipv4Header()), ipv4Header()), settle(search(six, 0, ipv6Header()), ipv6Header())
	program := slices.Concat([]unix.SockFilter{
		load(unix.BPF_B, 0),
		{Code: unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K, K: 4}, // the version
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 4, Jt: 1},
		jump(len(v4)),
	}, v4, v6)
	if len(program) > maxFilter {
		return nil, errors.New("GTSM: too many peers of different hops: the kernel's filter has room for some 2000 of them, " +
			"but for any number of peers that all have the same")
	}
	return program, nil
}

// sources lists the peers of both address families by address. Those that have one link-local address on several links
// can't be told apart: the least that one of them asks for is asked of all, unless one must not be heard.
func sources(peers, waiting []Peer) (four, six []source) {
	fates := make(map[netip.Addr]fate, len(peers))
	for _, p := range peers {
		address, f := p.Address.WithZone(""), fate(p.Hops)
		if before, twice := fates[address]; twice && f != heard {
			f = max(f, before)
			if before == heard {
				f = heard
			}
		}
		fates[address] = f
	}
	for _, p := range waiting {
		fates[p.Address.WithZone("")] = deaf
	}
	for address, f := range fates {
		raw := address.AsSlice()
		s := source{fate: f}
		for i := 0; i < len(raw); i += 4 {
			s.words = append(s.words, binary.BigEndian.Uint32(raw[i:]))
		}
		if address.Is4() {
			four = append(four, s)
		} else {
			six = append(six, s)
		}
	}
	for _, all := range [][]source{four, six} {
		slices.SortFunc(all, func(a, b source) int { return slices.Compare(a.words, b.words) })
	}
	return four, six
}

// search decides over packets of sources that differ in this word of their address, or in a later one.
func search(all []source, word int, h header) []unix.SockFilter {
	if len(all) == 0 {
		return leaf(heard)
	}
	if alike(all) {
		return leaf(all[0].fate)
	}
	runs := divide(all, word)
	if len(runs) == 1 {
		return search(all, word+1, h)
	}
	return append([]unix.SockFilter{load(unix.BPF_W, h.source+uint32(4*word))}, choose(runs, word, h)...)
}

func alike(all []source) bool {
	return !slices.ContainsFunc(all, func(s source) bool { return s.fate != all[0].fate })
}

// divide makes runs of sources that have the same word, or the same fate.
func divide(all []source, word int) [][]source {
	var runs [][]source
	for len(all) > 0 {
		n := slices.IndexFunc(all, func(s source) bool { return s.words[word] != all[0].words[word] })
		if n < 0 {
			n = len(all)
		}
		next := all[:n]
		all = all[n:]
		if last := len(runs) - 1; last >= 0 && alike(next) && alike(runs[last]) && next[0].fate == runs[last][0].fate {
			runs[last] = runs[last][:len(runs[last])+n] // they follow each other
			continue
		}
		runs = append(runs, next)
	}
	return runs
}

// choose finds the run by the word that was loaded.
func choose(runs [][]source, word int, h header) []unix.SockFilter {
	if len(runs) == 1 {
		return search(runs[0], word+1, h)
	}
	half := len(runs) / 2
	lower, upper := choose(runs[:half], word, h), choose(runs[half:], word, h)
	from := unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: runs[half][0].words[word]}
	if len(lower) <= farthest {
		from.Jt = uint8(len(lower))
		return slices.Concat([]unix.SockFilter{from}, lower, upper)
	}
	from.Jf = 1
	return slices.Concat([]unix.SockFilter{from, jump(len(lower))}, lower, upper)
}

// leaf is where a search ends.
func leaf(f fate) []unix.SockFilter {
	switch f {
	case heard:
		return []unix.SockFilter{ret(filterAccept)}
	case deaf:
		return []unix.SockFilter{ret(filterDrop)}
	}
	return []unix.SockFilter{jump(unsettled | int(f))}
}

// settle appends what decides by the number of hops, once for each number that is asked for, and has the leaves jump
// there.
func settle(program []unix.SockFilter, h header) []unix.SockFilter {
	at := map[uint32]int{}
	for i := range program {
		to := &program[i]
		if to.Code != unix.BPF_JMP|unix.BPF_JA || to.K&unsettled == 0 {
			continue
		}
		hops := to.K &^ unsettled
		if _, known := at[hops]; !known {
			at[hops] = len(program)
			program = append(program, needTTL(h.ttl, int(hops))...)
			to = &program[i]
		}
		to.K = uint32(at[hops] - i - 1)
	}
	return program
}

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

func jump(over int) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(over)}
}

func ret(k uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k}
}

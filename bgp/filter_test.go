package bgp

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// post has the kernel's word on a filter: a datagram arrives or it does not.
type post struct {
	t  *testing.T
	in *net.UDPConn
}

// openPost listens on an address with a filter.
func openPost(t *testing.T, at string, program []unix.SockFilter) *post {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(at), 0)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	raw, err := conn.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &fprog)
	}))
	require.NoError(t, err, "%d instructions", len(program))
	return &post{t, conn}
}

// send sends a number from an address with a TTL.
func (p *post) send(from netip.Addr, ttl int, number uint32) {
	p.t.Helper()
	dialer := net.Dialer{
		LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)),
		Control: func(_, _ string, c syscall.RawConn) (err error) {
			return errorsOf(c.Control(func(fd uintptr) {
				if from.Is4() {
					err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, ttl)
				} else {
					err = errorsOf(unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, ttl),
						unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1))
				}
			}), err)
		},
	}
	conn, err := dialer.DialContext(p.t.Context(), "udp", p.in.LocalAddr().String())
	require.NoError(p.t, err)
	_, err = conn.Write(binary.BigEndian.AppendUint32(nil, number))
	require.NoError(p.t, errorsOf(err, conn.Close()))
}

// arrived returns the numbers that came before this one.
func (p *post) arrived(last uint32) map[uint32]bool {
	p.t.Helper()
	require.NoError(p.t, p.in.SetReadDeadline(time.Now().Add(patience)))
	got := map[uint32]bool{}
	for buffer := make([]byte, 16); ; {
		_, err := p.in.Read(buffer)
		require.NoError(p.t, err, "a packet that must be heard is not")
		number := binary.BigEndian.Uint32(buffer)
		if number == last {
			return got
		}
		got[number] = true
	}
}

// crowd makes peers with different wishes, next to each other, and those whose turn it is not.
func crowd(n int, address func() netip.Addr) (peers, waiting []Peer) {
	seen := map[netip.Addr]bool{}
	for len(peers) < n {
		a := address()
		if seen[a] {
			continue
		}
		seen[a] = true
		p := Peer{Transport: Transport{Name: fmt.Sprint(len(peers)), Address: a, Hops: []int{1, 4, 0, 1}[len(peers)%4]}}
		peers = append(peers, p)
		if len(peers)%4 == 0 {
			waiting = append(waiting, p)
		}
	}
	return peers, waiting
}

// TestAThousandPeersOfDifferentWishes: the kernel takes the program, and does to each packet what is asked for.
func TestAThousandPeersOfDifferentWishes(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "ip", "-6", "route", "add", "local", "fd99::/16", "dev", "lo").CombinedOutput()
	require.NoError(t, err, string(out))
	t.Cleanup(func() { _ = exec.Command("ip", "-6", "route", "del", "local", "fd99::/16", "dev", "lo").Run() })
	random := rand.New(rand.NewPCG(1, 2)) // the same each time
	v4, v6 := netip.MustParseAddr("127.9.0.0"), netip.MustParseAddr("fd99:0:0:1::")
	for _, row := range []struct {
		name, at string
		address  func() netip.Addr
	}{
		{"IPv4, one after the other", "127.0.0.1", func() netip.Addr { v4 = v4.Next(); return v4 }},
		{"IPv4, anywhere", "127.0.0.1", func() netip.Addr {
			return netip.AddrFrom4([4]byte{127, byte(16 + random.UintN(200)), byte(random.UintN(256)), byte(random.UintN(255) + 1)})
		}},
		{"IPv6, on one link", "fd00::1", func() netip.Addr { v6 = v6.Next(); return v6 }},
		{"IPv6, anywhere", "fd00::1", func() netip.Addr {
			a := [16]byte{0xfd, 0x99}
			for i := 5; i < 16; i += 1 + int(random.UintN(3)) {
				a[i] = byte(random.UintN(4))
			}
			return netip.AddrFrom16(a)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			peers, waiting := crowd(1000, row.address)
			program, err := buildFilter(peers, waiting)
			require.NoError(t, err)
			t.Logf("%d instructions", len(program))
			p := openPost(t, row.at, program)
			for i, peer := range peers {
				ttls := []int{255, 252, 64}
				for j, ttl := range ttls {
					p.send(peer.Address, ttl, uint32(j))
				}
				p.send(peers[2].Address, 64, 99)
				want := map[uint32]bool{}
				for j, ttl := range ttls {
					if (i+1)%4 != 0 && (peer.Hops == 0 || ttl >= 256-peer.Hops) {
						want[uint32(j)] = true
					}
				}
				require.Equal(t, want, p.arrived(99), "%s, hops %d", peer.Address, peer.Hops)
			}
		})
	}
}

func TestSizeOfTheFilter(t *testing.T) {
	next := func(a string) func() netip.Addr {
		address := netip.MustParseAddr(a)
		return func() netip.Addr { address = address.Next(); return address }
	}
	alike := func(n int, hops int) []Peer {
		peers, _ := crowd(n, next("192.168.0.0"))
		for i := range peers {
			peers[i].Hops = hops
		}
		return peers
	}
	mixed, waiting := crowd(1900, next("192.168.0.0"))
	some, few := crowd(900, next("192.168.0.0"))
	mixed6, waiting6 := crowd(1900, next("fd00::"))
	for name, row := range map[string]struct {
		peers, waiting []Peer
		most           int
	}{
		"nobody": {nil, nil, 6},
		"peers that want the same are not told apart": {alike(5000, 1), nil, 12},
		"nor are those that want nothing":             {alike(5000, 0), nil, 6},
		"when it is our turn with all of them":        {alike(5000, 1), alike(5000, 1), 6},
		"when it is our turn with half of them":       {alike(5000, 1), alike(2500, 1), 16},
		"as many as fit":                              {mixed, waiting, maxFilter},
		"as many as fit of IPv6":                      {mixed6, waiting6, maxFilter},
		"two instructions each":                       {some, few, 2*900 + 20},
	} {
		t.Run(name, func(t *testing.T) {
			program, err := buildFilter(row.peers, row.waiting)
			require.NoError(t, err)
			require.LessOrEqual(t, len(program), row.most)
		})
	}
	many, _ := crowd(6000, next("192.168.0.0"))
	_, err := buildFilter(many, nil)
	require.ErrorContains(t, err, "too many")
	program, err := listenFilter(alike(6000, 1), many[:1])
	require.NoError(t, err)
	require.NotEmpty(t, program)
	_, everySecond := crowd(6000, next("192.168.0.0"))
	program, err = listenFilter(alike(6000, 1), everySecond)
	require.NoError(t, err, "whose turn it is goes before GTSM does")
	require.LessOrEqual(t, len(program), 12)
}

func TestOneAddressOnSeveralLinks(t *testing.T) {
	on := func(link string, hops int) Peer {
		return Peer{Transport: Transport{Address: netip.MustParseAddr("fe80::1%" + link), Hops: hops}}
	}
	fateOf := func(peers, waiting []Peer) fate {
		_, six := sources(peers, waiting)
		require.Len(t, six, 1)
		return six[0].fate
	}
	require.Equal(t, fate(1), fateOf([]Peer{on("eth0", 1), on("eth1", 1)}, nil))
	require.Equal(t, fate(3), fateOf([]Peer{on("eth0", 1), on("eth1", 3)}, nil))
	require.Equal(t, heard, fateOf([]Peer{on("eth0", 0), on("eth1", 1)}, nil))
	require.Equal(t, heard, fateOf([]Peer{on("eth0", 1), on("eth1", 0)}, nil))
	require.Equal(t, deaf, fateOf([]Peer{on("eth0", 1), on("eth1", 0)}, []Peer{on("eth1", 0)}))
}

// BenchmarkFilter builds the filter of a large mesh, as each change of whose turn it is does.
func BenchmarkFilter(b *testing.B) {
	address := netip.MustParseAddr("192.168.0.0")
	peers, waiting := crowd(1000, func() netip.Addr { address = address.Next(); return address })
	for b.Loop() {
		_, err := listenFilter(peers, waiting)
		require.NoError(b, err)
	}
}

package probe

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func (s Sum) node() Node { return s.Nodes[0] }

func TestWays(t *testing.T) {
	const (
		drop = "nft 'add table inet t; add chain inet t f { type filter hook forward priority 0; }; "
		pods = "ip saddr 10.10.0.0/16 drop; add rule inet t f ip6 saddr fd00:10::/32 drop'"
	)
	for _, row := range []struct {
		name  string
		where string // the node that is spoilt
		spoil string
		back  Back
		is    func(Sum) bool
		again bool
	}{
		{"all is well", "", "", BackOK, func(s Sum) bool {
			n := s.node()
			return s.State == OK && n.Name == "west-1" && n.Seen == n.Source && n.MTU == 1500 && n.LinkMTU == 1500 && n.Back == BackOK && n.P99 >= n.Min && n.Min > 0
		}, false},
		{"our packets are dropped on the way", "router", drop + "add rule inet t f " + pods, BackOK, func(s Sum) bool {
			return s.State == Silent && s.node().Arrival == DoesNotArrive && s.node().Back == BackOK
		}, false},
		{"the answers are dropped on the way", "router", drop + "add rule inet t f ip daddr 10.10.0.0/16 drop; add rule inet t f ip6 daddr fd00:10::/32 drop'", BackOK, func(s Sum) bool {
			return s.State == OneWay && s.node().Arrival == Arrives && s.node().Back == BackOK
		}, false},
		{"the other side has no contract", "west", "ip route add blackhole 10.10.0.0/16; ip -6 route add blackhole fd00:10::/32", BackNoContract, func(s Sum) bool {
			return s.State == OneWay && s.node().Arrival == Arrives && s.node().Back == BackNoContract
		}, false},
		{"nothing passes at all", "router", "nft 'add table inet t; add chain inet t f { type filter hook forward priority 0; policy drop; }'", BackOK, func(s Sum) bool {
			return s.State == Silent && s.node().Arrival == ArrivalUnknown
		}, false},
		{"the source is rewritten", "east", `nft 'add table inet t; add chain inet t p { type nat hook postrouting priority 100; }; add rule inet t p oifname eth1 masquerade'`, BackOK, func(s Sum) bool {
			n := s.node()
			return s.State == NAT && (n.Seen == netip.MustParseAddr("192.168.1.1") || n.Seen == netip.MustParseAddr("fd00:1::1"))
		}, false},
		{"a link on the way carries less", "router", "ip link set eth2 mtu 1400", BackOK, func(s Sum) bool {
			return s.State == MTU && s.node().MTU == 1400 && s.node().LinkMTU == 1500
		}, true},
		{"most packets are lost", "router", drop + "add rule inet t f numgen inc mod 3 == 0 ip saddr 10.10.0.0/16 drop; add rule inet t f numgen inc mod 3 == 0 ip6 saddr fd00:10::/32 drop'", BackOK, func(s Sum) bool {
			return s.State == Loss && s.node().Lost > 0 && s.Lost > 0
		}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m := w.run("east", settings(t, "1", "2"), backOK)
			w.run("west", settings(t, "2", "1"), func(Asker) Back { return row.back })
			if row.spoil != "" {
				w.until(m, "it is well at first", func(s Sum) bool { return s.State == OK && s.node().MTU > 0 })
				w.sh(row.where, row.spoil)
			}
			if row.again { // lengths are looked for seldom, and when something has changed
				s := settings(t, "1", "2")
				s.MTU = 1499
				m.Set(s)
			}
			w.until(m, row.name, row.is)
		})
	}
}

// The way back may be known to be missing before anything was ever answered: the node's own address comes with the target.
func TestAskedBeforeAnyAnswer(t *testing.T) {
	w := newWorld(t)
	east, west := settings(t, "1", "2"), settings(t, "2", "1")
	for i := range east.Targets {
		east.Targets[i].Ask = [2]netip.Addr{west.IPv4.Node, west.IPv6.Node}[i]
	}
	west.Targets = nil
	w.sh("west", "nft 'add table inet t; add chain inet t i { type filter hook input priority 0; }; add rule inet t i ip saddr 10.10.0.0/16 drop; add rule inet t i ip6 saddr fd00:10::/32 drop'")
	m := w.run("east", east, backOK)
	other := w.run("west", west, func(a Asker) Back {
		if a.ClusterID == 1 {
			return BackNoContract
		}
		return BackOK
	})
	w.until(m, "the other side says that it has no contract", func(s Sum) bool {
		return s.State == Silent && s.node().Arrival == DoesNotArrive && s.node().Back == BackNoContract
	})
	heard := other.Results().Heard
	require.Len(t, heard, 1)
	require.Equal(t, "east", heard[0].Cluster)
	require.Equal(t, BackNoContract, heard[0].Back, "and it says so itself")
}

func TestStrangers(t *testing.T) {
	w := newWorld(t)
	east := settings(t, "1", "2")
	wrong := east
	wrong.Key = testKey(t, "fedcba9876543210")
	m := w.run("west", settings(t, "2", "1"), backOK)
	n := w.run("east", wrong, backOK)
	w.until(n, "another key is no answer", func(s Sum) bool { return s.State == Silent })
	require.NotZero(t, m.Refused(false).Unauthentic)
	require.NotZero(t, m.Refused(true).Unauthentic)
	require.Empty(t, m.Results().Heard)
	n.Set(east)
	w.until(n, "the right key is one", func(s Sum) bool { return s.State == OK })
	n.Set(Settings{})
}

// TestReplay sends one request again and again, and answers that nobody waits for.
func TestReplay(t *testing.T) {
	w := newWorld(t)
	s := settings(t, "2", "1")
	s.Targets = nil
	m := w.run("west", s, backOK)
	require.NoError(t, w.Node("east").Do(func() error {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 10, 1, 1)})
		if err != nil {
			return err
		}
		defer conn.Close()
		to := netip.MustParseAddrPort("10.20.1.1:9178")
		old := s.Key.sealer().seal(make([]byte, maxDatagram), message{
			kind: request, flags: alsoAside, length: doubleSize, clusterID: 1, nonce: 1, cluster: "east", name: "east-1",
			from: netip.MustParseAddr("10.10.1.1"), to: to.Addr(), node: netip.MustParseAddr("192.168.1.1"),
		})
		buffer := make([]byte, maxDatagram)
		answers := 0
		for m.Refused(false).Limited < 300 { // a flood of them
			if _, err := conn.WriteToUDPAddrPort(old, to); err != nil {
				return err
			}
			_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			for {
				n, err := conn.Read(buffer)
				if err != nil {
					break
				}
				answers++
				require.Equal(t, messageSize, n)
			}
		}
		require.Positive(t, answers)
		require.Less(t, answers, 2*sourceRate+20*sourceRate, "one source gets no more than its share")
		forged := s.Key.sealer().seal(make([]byte, maxDatagram), message{
			kind: reply, clusterID: 1, nonce: 1, from: to.Addr(), to: netip.MustParseAddr("10.10.1.1"), seen: to.Addr(),
		})
		_, err = conn.WriteToUDPAddrPort(forged, to)
		return err
	}))
	require.Empty(t, m.Results().Sums)
}

package ipam

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// oracle says the same as Judge about acceptance, by looking at everything one by one. It shares no code with it.
func oracle(c Config, f Facts, x Claim) bool {
	p, h := x.Prefix, x.NextHop
	if p != p.Masked() || p.Bits() < 2 || p.Addr().Is4In6() {
		return false
	}
	var taboo []netip.Prefix
	for _, s := range specials() {
		taboo = append(taboo, s.prefix)
	}
	taboo = append(append(taboo, c.PodCIDRs...), c.Reserved...)
	taboo = append(taboo, f.Connected...)
	for _, a := range f.Addresses {
		taboo = append(taboo, netip.PrefixFrom(a.WithZone(""), a.BitLen()))
		if a == h {
			return false
		}
	}
	for _, q := range c.Peers {
		address := q.Address.Unmap()
		taboo = append(taboo, netip.PrefixFrom(address, address.BitLen()))
	}
	for _, g := range taboo {
		if g.Overlaps(p) {
			return false
		}
	}
	if !h.IsValid() || h.Is4() != p.Addr().Is4() || h.IsUnspecified() || h.IsLoopback() || h.IsMulticast() || h.Is4In6() {
		return false
	}
	if h.Is4() && (prefix("0.0.0.0/8").Contains(h) || prefix("240.0.0.0/4").Contains(h)) {
		return false
	}
	if h.Is6() && h.Zone() == "" && prefix("fe80::/10").Contains(h) {
		return false
	}
	for _, own := range c.PodCIDRs {
		if own.Contains(h.WithZone("")) {
			return false
		}
	}
	met := false
	for _, k := range c.Contracts {
		for _, r := range k.Prefixes {
			if r.Contains(h.WithZone("")) {
				return false
			}
			met = met || r.Contains(p.Addr()) && r.Bits() <= p.Bits() && meets(c, k, x)
		}
	}
	return met
}

func meets(c Config, k Contract, x Claim) bool {
	l := k.IPv4
	if x.Prefix.Addr().Is6() {
		l = k.IPv6
	}
	if x.Prefix.Bits() < l.Min || x.Prefix.Bits() > l.Max || x.Blackhole || k.RequireID && len(x.ClusterIDs) == 0 {
		return false
	}
	for _, id := range x.ClusterIDs {
		if id == c.ID || id != k.ID {
			return false
		}
	}
	q, known := c.Peers[x.Peer]
	if !known {
		return false
	}
	allowed := len(q.Clusters) == 0
	for _, name := range q.Clusters {
		allowed = allowed || name == k.Cluster
	}
	return allowed
}

// world makes addresses from few bits, so that ranges collide all the time.
type world struct{ *rand.Rand }

func (w world) addr() netip.Addr {
	b := byte(w.IntN(256))
	switch w.IntN(20) {
	case 0:
		return netip.AddrFrom4([4]byte{byte(w.IntN(256)), b, 0, 0})
	case 1:
		return netip.AddrFrom16([16]byte{byte(w.IntN(256)), b})
	case 2:
		return netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff, 12: 10, 13: b})
	case 3:
		return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: b}).WithZone("eth0")
	}
	if w.IntN(2) == 0 {
		return netip.AddrFrom4([4]byte{10, b & 0x1f, byte(w.IntN(4)), byte(w.IntN(4))})
	}
	return netip.AddrFrom16([16]byte{0: 0xfd, 3: b & 0x1f, 5: byte(w.IntN(4)), 7: byte(w.IntN(4)), 15: byte(w.IntN(4))})
}

func (w world) prefix(min4, max4 int) netip.Prefix {
	a := w.addr().WithZone("")
	bits := min4 + w.IntN(max4-min4+1)
	if a.Is6() {
		bits *= 2
		if w.IntN(4) == 0 {
			bits = min(128, bits+w.IntN(64))
		}
	}
	p := netip.PrefixFrom(a, bits)
	if w.IntN(50) == 0 {
		return p
	}
	return p.Masked()
}

func (w world) prefixes(n, min4, max4 int) (out []netip.Prefix) {
	for range w.IntN(n + 1) {
		out = append(out, w.prefix(min4, max4).Masked())
	}
	return out
}

// plan makes a random plan whose contracts are disjoint, as the configuration guarantees.
func (w world) plan() (Config, Facts) {
	c := Config{
		Cluster: "own", ID: 1, ASN: 64512, PodCIDRs: w.prefixes(2, 12, 20), Reserved: w.prefixes(2, 12, 24),
		Peers: map[string]Peer{"all": {Address: w.addr().WithZone("")}, "one": {Address: w.addr().WithZone(""), Clusters: []string{"a"}}},
	}
	var taken []netip.Prefix
	for i, name := range []string{"a", "b", "c"} {
		k := Contract{Cluster: name, ID: uint32(i + 2), RequireID: w.IntN(4) == 0}
		for _, p := range w.prefixes(3, 10, 20) {
			free := !p.Addr().Is4In6()
			for _, t := range taken {
				free = free && !t.Overlaps(p)
			}
			if free {
				k.Prefixes, taken = append(k.Prefixes, p), append(taken, p)
			}
		}
		k.IPv4.Min = w.IntN(33)
		k.IPv4.Max = k.IPv4.Min + w.IntN(33-k.IPv4.Min)
		k.IPv6.Min = w.IntN(129)
		k.IPv6.Max = k.IPv6.Min + w.IntN(129-k.IPv6.Min)
		c.Contracts = append(c.Contracts, k)
	}
	f := Facts{Connected: w.prefixes(2, 16, 28)}
	for range w.IntN(3) {
		f.Addresses = append(f.Addresses, w.addr())
	}
	f.Addresses = unmapped(f.Addresses)
	f.Connected = routable(f.Connected)
	return c, f
}

// unmapped keeps to the vocabulary at the borders: no IPv4-mapped addresses.
func unmapped(in []netip.Addr) (out []netip.Addr) {
	for _, a := range in {
		out = append(out, a.Unmap())
	}
	return out
}

func routable(in []netip.Prefix) (out []netip.Prefix) {
	for _, p := range in {
		if !p.Addr().Is4In6() {
			out = append(out, p)
		}
	}
	return out
}

func (w world) claim(c Config) Claim {
	x := Claim{Prefix: w.prefix(0, 32), NextHop: w.addr(), OriginASN: 64513, Peer: []string{"all", "all", "one", "nobody"}[w.IntN(4)]}
	if k := c.Contracts[w.IntN(3)]; len(k.Prefixes) > 0 && w.IntN(4) > 0 { // aim at a contract
		r := k.Prefixes[w.IntN(len(k.Prefixes))]
		bits := max(0, min(r.Addr().BitLen(), r.Bits()-1+w.IntN(r.Addr().BitLen()-r.Bits()+2)))
		x.Prefix = netip.PrefixFrom(r.Addr(), bits).Masked()
		if r.Addr().Is4() {
			x.NextHop = netip.AddrFrom4([4]byte{byte(w.IntN(256)), 1, 1, 1})
		}
	}
	x.Blackhole = w.IntN(16) == 0
	for range max(0, w.IntN(5)-2) {
		x.ClusterIDs = append(x.ClusterIDs, uint32(w.IntN(5)))
	}
	return x
}

// TestJudgeKeepsItsPromisesInRandomWorlds is the property test of the whole package: an accepted prefix lies
// inside a contract, overlaps nothing that is ours, reserved or a node's, is let through by Imports, and nothing
// that deserves it is refused.
func TestJudgeKeepsItsPromisesInRandomWorlds(t *testing.T) {
	accepted, reasons := 0, map[Reason]int{}
	for seed := range uint64(400) {
		w := world{rand.New(rand.NewPCG(seed, 7))}
		c, f := w.plan()
		p := New(c, f)
		for range 400 {
			x := w.claim(c)
			v := p.Judge(x)
			reasons[v.Reason]++
			require.Equal(t, oracle(c, f, x), v.Accepted, "seed %d: %+v: %+v\nplan %+v %+v", seed, x, v, c, f)
			require.Equal(t, v, p.Judge(x), "the same question has the same answer")
			require.NotEmpty(t, v.Detail)
			if !v.Accepted {
				require.NotEqual(t, Accepted, v.Reason)
				continue
			}
			accepted++
			require.True(t, importable(p, x), "seed %d: %s is accepted from %s but not importable", seed, x.Prefix, x.Peer)
		}
	}
	require.Greater(t, accepted, 1000, "the random worlds must reach the healthy case: %v", reasons)
	for _, r := range []Reason{
		InvalidPrefix, DefaultRoute, Special, NodeAddress, OwnPrefix, Reserved, UnknownPeer, CoversContract, NoContract,
		PeerNotAllowed, PrefixLength, OwnClusterID, ClusterMismatch, NoClusterID, Blackhole, NextHopInvalid, NextHopFamily, NextHopOurs, NextHopInPodRange,
	} {
		require.NotZero(t, reasons[r], "the random worlds never met %s: %v", r, reasons)
	}
}

func importable(p *Plan, x Claim) bool {
	for _, r := range p.Imports(x.Peer) {
		if r.Contains(x.Prefix) {
			return true
		}
	}
	return false
}

// FuzzPlan has the fuzzer choose the plan, too, and the pod CIDRs that are to be advertised.
func FuzzPlan(f *testing.F) {
	f.Add([]byte("any bytes will do"), uint64(7))
	f.Add([]byte{}, uint64(0))
	f.Fuzz(func(t *testing.T, choices []byte, seed uint64) {
		w := world{rand.New(&chooser{choices, rand.NewPCG(seed, 1)})}
		c, facts := w.plan()
		p := New(c, facts)
		for range 20 {
			x := w.claim(c)
			v := p.Judge(x)
			require.Equal(t, oracle(c, facts, x), v.Accepted, "%+v: %+v\nplan %+v %+v", x, v, c, facts)
			if v.Accepted {
				require.True(t, importable(p, x))
			}
		}
		ok, _ := p.Advertise(w.prefixes(10, 0, 32))
		for _, x := range ok {
			inside := false
			for _, own := range c.PodCIDRs {
				inside = inside || own.Bits() <= x.Bits() && own.Contains(x.Addr())
			}
			require.True(t, inside, "%s, pool %v", x, c.PodCIDRs)
			for _, r := range c.Reserved {
				require.False(t, r.Overlaps(x), "%s, reserved %v", x, c.Reserved)
			}
		}
	})
}

// chooser is a source of random numbers whose first ones the fuzzer chooses.
type chooser struct {
	choices []byte
	rest    rand.Source
}

func (c *chooser) Uint64() uint64 {
	if len(c.choices) < 8 {
		return c.rest.Uint64()
	}
	n := binary.BigEndian.Uint64(c.choices)
	c.choices = c.choices[8:]
	return n
}

// FuzzJudge looks for claims, of any bytes, that break the promises in a fixed plan.
func FuzzJudge(f *testing.F) {
	f.Add([]byte{10, 20, 1, 0}, 24, []byte{172, 16, 0, 1}, uint32(2), "tor-a", false)
	f.Add([]byte{0xfd, 0, 0, 0x20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, 64, []byte{0xfd, 0, 0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, uint32(0), "tor-a", true)
	f.Add([]byte{0, 0, 0, 0}, 1, []byte{}, uint32(1), "", false)
	p := east()
	f.Fuzz(func(t *testing.T, address []byte, bits int, hop []byte, id uint32, from string, blackhole bool) {
		a, _ := netip.AddrFromSlice(address)
		h, _ := netip.AddrFromSlice(hop)
		x := Claim{Prefix: netip.PrefixFrom(a, bits), NextHop: h, ClusterIDs: []uint32{id}, Peer: from, Blackhole: blackhole}
		v := p.Judge(x)
		require.Equal(t, v.Accepted, oracle(eastConfig(), eastFacts(), x), "%+v %+v", x, v)
		if v.Accepted {
			require.True(t, importable(p, x))
		}
	})
}

func TestAdvertisedPrefixesLieInsideThePoolInRandomWorlds(t *testing.T) {
	for seed := range uint64(400) {
		w := world{rand.New(rand.NewPCG(seed, 8))}
		c, f := w.plan()
		asked := w.prefixes(20, 8, 28)
		ok, refused := New(c, f).Advertise(asked)
		for i, x := range ok {
			require.True(t, i == 0 || ok[i-1].Compare(x) < 0, "sorted, each once: %v", ok)
			inside := false
			for _, own := range c.PodCIDRs {
				inside = inside || own.Bits() <= x.Bits() && own.Contains(x.Addr())
			}
			require.True(t, inside, "seed %d: %s, pool %v", seed, x, c.PodCIDRs)
			for _, r := range c.Reserved {
				require.False(t, r.Overlaps(x), "seed %d: %s, reserved %v", seed, x, c.Reserved)
			}
		}
		seen := map[netip.Prefix]bool{}
		for _, x := range ok {
			seen[x] = true
		}
		for _, r := range refused {
			seen[r.Prefix] = true
			require.NotEqual(t, Accepted, r.Reason)
			require.NotEmpty(t, r.Detail)
		}
		for _, x := range asked {
			require.True(t, seen[x], "nothing that was asked is left without an answer")
		}
	}
}

// TestTheLedgerKeepsItsCountsInRandomLives plays random arrivals, departures and limits, and then compares with
// what a plain count of the answers says.
func TestTheLedgerKeepsItsCountsInRandomLives(t *testing.T) {
	for seed := range uint64(50) {
		w := world{rand.New(rand.NewPCG(seed, 9))}
		limit := 1 + w.IntN(20)
		l, in := ledger(limit), map[netip.Prefix]bool{}
		waiting := map[netip.Prefix]bool{}
		admit := func(p netip.Prefix) {
			v := l.Admit(p, "west")
			require.Equal(t, v.Accepted, in[p] || len(in) < limit, "seed %d: incumbents stay, others need room", seed)
			if v.Accepted {
				in[p] = true
				delete(waiting, p)
			} else {
				waiting[p] = true
			}
		}
		for range 500 {
			p := nth(w.IntN(40))
			switch w.IntN(3) {
			case 0:
				l.Release(p)
				delete(in, p)
				delete(waiting, p)
			case 1:
				admit(p)
			default:
				for again := l.Again(); len(again) > 0; again = l.Again() {
					for _, p := range again {
						require.True(t, waiting[p])
						admit(p)
					}
				}
				require.True(t, len(in) >= limit || len(waiting) == 0, "seed %d: nobody waits beside free room", seed)
			}
			require.Equal(t, Usage{Admitted: len(in), Waiting: len(waiting), Limit: limit}, l.Usage("west"))
		}
	}
}

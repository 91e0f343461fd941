package nat

import (
	"encoding/binary"
	"reflect"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// The chains: the second one only on a gateway.
const (
	postrouting = iota
	prerouting
	numChains
)

const (
	// ahead is the priority of the first: before the masquerades, which are at 100 (srcnat).
	ahead = 90
	// raw is that of the second: before connection tracking, which is at -200, and after the reassembly of fragments, at -400.
	raw = -300
	// dormant is the flag of a table that is there and does nothing.
	dormant = 1
)

func setNames() [numSets]string {
	return [numSets]string{"local4", "remote4", "local6", "remote6", "transit4", "far4", "transit6", "far6"}
}

// shape is the table as it should be, but for what is in its sets.
type shape struct {
	table  *nftables.Table
	chains [numChains]*nftables.Chain
	sets   [numSets]*nftables.Set
}

func newShape(table string) *shape {
	s := &shape{table: &nftables.Table{Name: table, Family: nftables.TableFamilyINet}}
	policy := nftables.ChainPolicyAccept
	s.chains = [numChains]*nftables.Chain{
		postrouting: {
			Name: "postrouting", Table: s.table, Type: nftables.ChainTypeNAT, Policy: &policy,
			Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityRef(ahead),
		},
		prerouting: {
			Name: "prerouting", Table: s.table, Type: nftables.ChainTypeFilter, Policy: &policy,
			Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(raw),
		},
	}
	for i, name := range setNames() {
		key := nftables.TypeIPAddr
		if i%numExempt >= local6 {
			key = nftables.TypeIP6Addr
		}
		// The id is what the elements of the same transaction name the set by.
		s.sets[i] = &nftables.Set{Table: s.table, ID: uint32(i + 1), Name: name, KeyType: key, Interval: true}
	}
	return s
}

// of are the chains and the sets that there are with a number of sets.
func (s *shape) of(sets int) ([]*nftables.Chain, []*nftables.Set) {
	if sets > numExempt {
		return s.chains[:], s.sets[:]
	}
	return s.chains[:prerouting], s.sets[:numExempt]
}

// rules are those of a chain.
func (s *shape) rules(chain *nftables.Chain) []*nftables.Rule {
	if chain == s.chains[prerouting] {
		return slices.Concat(
			s.passing(headers()[0], s.sets[local4], s.sets[transit4:far4+1]), s.passing(headers()[1], s.sets[local6], s.sets[transit6:far6+1]))
	}
	return []*nftables.Rule{
		s.exempting(headers()[0], s.sets[local4:remote4+1]), s.exempting(headers()[1], s.sets[local6:remote6+1]),
	}
}

// header says of a family where it has what.
type header struct {
	family                    byte
	source, destination, size uint32
	icmp                      byte       // its protocol
	fails                     []expr.Any // the type of an ICMP message, in the register, is that of an error
}

func headers() [2]header {
	return [2]header{
		{
			family: unix.NFPROTO_IPV4, source: 12, destination: 16, size: 4, icmp: unix.IPPROTO_ICMP,
			// 3, destination unreachable, which also says that a fragment is needed, and 11, time exceeded.
			fails: []expr.Any{
				&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{0xf7}, Xor: []byte{0}},
				&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{3}},
			},
		},
		{
			family: unix.NFPROTO_IPV6, source: 8, destination: 24, size: 16, icmp: unix.IPPROTO_ICMPV6,
			fails: []expr.Any{&expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: []byte{128}}}, // RFC 4443, section 2.1
		},
	}
}

// only matches the family.
func (h header) only() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{h.family}},
	}
}

// load loads an address.
func (h header) load(offset uint32) expr.Any {
	return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: h.size}
}

// in matches an address that is in a set.
func (h header) in(offset uint32, set *nftables.Set) []expr.Any {
	return []expr.Any{h.load(offset), &expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID}}
}

// outside matches one that is not.
func (h header) outside(offset uint32, set *nftables.Set) []expr.Any {
	return []expr.Any{h.load(offset), &expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID, Invert: true}}
}

// failure matches an ICMP error.
func (h header) failure() []expr.Any {
	return append([]expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{h.icmp}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
	}, h.fails...)
}

func (s *shape) rule(chain int, why string, parts ...[]expr.Any) *nftables.Rule {
	return &nftables.Rule{
		Table: s.table, Chain: s.chains[chain], UserData: userdata.AppendString(nil, userdata.TypeComment, why), Exprs: slices.Concat(parts...),
	}
}

// exempting is the rule of a family for what goes from local to remote, the two sets.
func (s *shape) exempting(h header, sets []*nftables.Set) *nftables.Rule {
	return s.rule(postrouting, "pods keep their address towards other clusters", h.only(), h.in(h.source, sets[0]), h.in(h.destination, sets[1]),
		[]expr.Any{
			&expr.Counter{}, h.load(h.source),
			&expr.NAT{Type: expr.NATTypeSourceNAT, Family: uint32(h.family), RegAddrMin: 1, RegAddrMax: 1},
		})
}

// passing are the rules of a family for what passes between transit and far, the two sets, and for what routers have to say
// of it: those on the way have no address that tells.
func (s *shape) passing(h header, local *nftables.Set, sets []*nftables.Set) []*nftables.Rule {
	transit, far := sets[0], sets[1]
	last := func() []expr.Any { return []expr.Any{&expr.Counter{}, &expr.Notrack{}} }
	return []*nftables.Rule{
		s.rule(prerouting, "to other networks, through this gateway", h.only(), h.in(h.source, transit), h.in(h.destination, far), last()),
		s.rule(prerouting, "from other networks, through this gateway", h.only(), h.in(h.source, far), h.in(h.destination, transit), last()),
		s.rule(prerouting, "errors about that", h.only(), h.in(h.destination, transit), h.outside(h.source, local), h.failure(), last()),
	}
}

// hasTable says whether a table of the kernel works and may be whole, and with how many sets.
func (s *shape) hasTable(t *nftables.Table) (sets int, ok bool) {
	if network(t.Flags)&dormant != 0 {
		return 0, false
	}
	switch network(t.Use) {
	case prerouting + numExempt:
		return numExempt, true
	case numChains + numSets:
		return numSets, true
	default:
		return 0, false
	}
}

// network reads a number in the order of the network that the library has read in the order of the machine.
func network(n uint32) uint32 {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], n)
	return binary.BigEndian.Uint32(b[:])
}

func sameChain(c, want *nftables.Chain) bool {
	return c.Type == want.Type && c.Hooknum != nil && *c.Hooknum == *want.Hooknum &&
		c.Priority != nil && *c.Priority == *want.Priority && c.Policy != nil && *c.Policy == *want.Policy
}

func sameSet(set, want *nftables.Set) bool {
	return set.KeyType.Bytes == want.KeyType.Bytes && set.Interval && !set.Concatenation && !set.IsMap && !set.HasTimeout &&
		!set.Constant && !set.Anonymous
}

// sameRules compares rules of the kernel with ours, but for what they have counted.
func sameRules(rules, want []*nftables.Rule) bool {
	return slices.EqualFunc(rules, want, func(got, want *nftables.Rule) bool {
		for _, e := range slices.Concat(got.Exprs, want.Exprs) {
			switch e := e.(type) {
			case *expr.Counter:
				*e = expr.Counter{}
			case *expr.Lookup:
				e.SetID = 0
			}
		}
		return reflect.DeepEqual(got.Exprs, want.Exprs)
	})
}

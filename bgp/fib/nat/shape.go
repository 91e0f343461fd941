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

const (
	chainName = "postrouting"
	// ahead is the priority of our chain: before the masquerades, which are at 100 (srcnat).
	ahead = 90
	// dormant is the flag of a table that is there and does nothing.
	dormant = 1
)

func setNames() [numSets]string { return [numSets]string{"local4", "remote4", "local6", "remote6"} }

// shape is the table as it should be, but for what is in its sets.
type shape struct {
	table *nftables.Table
	chain *nftables.Chain
	sets  [numSets]*nftables.Set
}

func newShape(table string) *shape {
	s := &shape{table: &nftables.Table{Name: table, Family: nftables.TableFamilyINet}}
	policy := nftables.ChainPolicyAccept
	s.chain = &nftables.Chain{
		Name: chainName, Table: s.table, Type: nftables.ChainTypeNAT, Policy: &policy,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityRef(ahead),
	}
	for i, name := range setNames() {
		key := nftables.TypeIPAddr
		if i >= local6 {
			key = nftables.TypeIP6Addr
		}
		// The id is what the elements of the same transaction name the set by.
		s.sets[i] = &nftables.Set{Table: s.table, ID: uint32(i + 1), Name: name, KeyType: key, Interval: true}
	}
	return s
}

// rules are one for each family.
func (s *shape) rules() []*nftables.Rule {
	return []*nftables.Rule{
		s.rule(unix.NFPROTO_IPV4, addresses{source: 12, destination: 16, size: 4}, s.sets[local4:remote4+1]),
		s.rule(unix.NFPROTO_IPV6, addresses{source: 8, destination: 24, size: 16}, s.sets[local6:remote6+1]),
	}
}

// addresses says where a header has them.
type addresses struct{ source, destination, size uint32 }

func (s *shape) rule(family byte, at addresses, sets []*nftables.Set) *nftables.Rule {
	load := func(offset uint32) expr.Any {
		return &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: at.size}
	}
	return &nftables.Rule{
		Table: s.table, Chain: s.chain,
		UserData: userdata.AppendString(nil, userdata.TypeComment, "pods keep their address towards other clusters"),
		Exprs: []expr.Any{
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
			load(at.source),
			&expr.Lookup{SourceRegister: 1, SetName: sets[0].Name, SetID: sets[0].ID},
			load(at.destination),
			&expr.Lookup{SourceRegister: 1, SetName: sets[1].Name, SetID: sets[1].ID},
			&expr.Counter{},
			load(at.source),
			&expr.NAT{Type: expr.NATTypeSourceNAT, Family: uint32(family), RegAddrMin: 1, RegAddrMax: 1},
		},
	}
}

// hasTable says whether a table of the kernel is whole and works: with one chain and four sets.
func (s *shape) hasTable(t *nftables.Table) bool {
	return network(t.Flags)&dormant == 0 && network(t.Use) == 1+numSets
}

// network reads a number in the order of the network that the library has read in the order of the machine.
func network(n uint32) uint32 {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], n)
	return binary.BigEndian.Uint32(b[:])
}

func (s *shape) hasChain(c *nftables.Chain) bool {
	return c.Type == s.chain.Type && c.Hooknum != nil && *c.Hooknum == *s.chain.Hooknum &&
		c.Priority != nil && *c.Priority == *s.chain.Priority && c.Policy != nil && *c.Policy == *s.chain.Policy
}

func (s *shape) hasSet(i int, set *nftables.Set) bool {
	want := s.sets[i]
	return set.KeyType.Bytes == want.KeyType.Bytes && set.Interval && !set.Concatenation && !set.IsMap && !set.HasTimeout &&
		!set.Constant && !set.Anonymous
}

// hasRules compares rules of the kernel with ours, but for what they have counted.
func (s *shape) hasRules(rules []*nftables.Rule) bool {
	return slices.EqualFunc(rules, s.rules(), func(got, want *nftables.Rule) bool {
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

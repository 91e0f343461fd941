package fib

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func ruleFamily(v6 bool) int {
	if v6 {
		return netlink.FAMILY_V6
	}
	return netlink.FAMILY_V4
}

func (k *netlinkKernel) rules() (all []rule, families []bool, err error) {
	for _, v6 := range []bool{false, true} {
		list, err := k.listRules(ruleFamily(v6))
		if err != nil {
			return nil, nil, err
		}
		if list == nil {
			continue
		}
		families = append(families, v6)
		for i := range list {
			if r := &list[i]; uint32(r.Protocol) == k.proto {
				all = append(all, rule{v6: v6, priority: r.Priority, table: r.Table, odd: !plainRule(r)})
			}
		}
	}
	return all, families, nil
}

// plainRule says whether a rule is for all packets.
func plainRule(r *netlink.Rule) bool {
	return r.Src == nil && r.Dst == nil && r.IifName == "" && r.OifName == "" && r.Mark == 0 && !r.Invert && r.Tos == 0 &&
		r.TunID == 0 && r.Goto < 0 && r.IPProto == 0 && r.Sport == nil && r.Dport == nil && r.UIDRange == nil &&
		r.SuppressPrefixlen < 0 && r.SuppressIfgroup < 0
}

// listRules returns the rules of a family; nil when there is none of either.
func (k *netlinkKernel) listRules(family int) ([]netlink.Rule, error) {
	for try := 1; ; try++ {
		rules, err := k.handle.RuleList(family)
		switch {
		case errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EOPNOTSUPP):
			return nil, nil
		case errors.Is(err, netlink.ErrDumpInterrupted) && try < dumpTries:
			continue
		case err != nil:
			return nil, fmt.Errorf("list: %w", err)
		}
		return rules, nil
	}
}

func (k *netlinkKernel) kernelRule(r rule) *netlink.Rule {
	n := netlink.NewRule()
	n.Family, n.Priority, n.Table, n.Protocol = ruleFamily(r.v6), r.priority, r.table, uint8(k.proto)
	return n
}

func (k *netlinkKernel) addRule(r rule) error {
	err := k.handle.RuleAdd(k.kernelRule(r))
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

// deleteRule deletes the first rule with our mark, priority and table, of which there is one; an odd one has to be asked
// for as it is.
func (k *netlinkKernel) deleteRule(r rule) error {
	n := k.kernelRule(r)
	if r.odd {
		list, err := k.listRules(n.Family)
		if err != nil {
			return err
		}
		for i := range list {
			if o := &list[i]; o.Protocol == n.Protocol && o.Priority == n.Priority && o.Table == n.Table && !plainRule(o) {
				o.Family = n.Family
				n = o
				break
			}
		}
	}
	err := k.handle.RuleDel(n)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

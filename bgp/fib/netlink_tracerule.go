package fib

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// rule finds out which policy rule led the packet to its route. The kernel does not say; what it says is only which table.
func (t *tracing) rule() error {
	rules, err := t.k.listRules(ruleFamily(t.out.Dst.Is6()))
	if err != nil {
		return err
	}
	for i := range rules {
		r := &rules[i]
		if !t.applies(r) {
			continue
		}
		if t.out.Table != 0 && r.Table == t.out.Table || t.out.Table == 0 && ruleDrops(r) && dropping(t.out.Fate) {
			t.out.Rule = ruleText(r, t.out.Fate)
			return nil
		}
	}
	if t.out.Fate == Blackholed && t.out.In != "" && t.out.Table == 0 {
		t.out.Fate = WrongSource // EINVAL stands for both, and there is neither a route nor a rule that drops it
	}
	return nil
}

// ruleDrops says whether a rule looks no table up. The library does not say what it does instead.
func ruleDrops(r *netlink.Rule) bool { return r.Table == 0 && r.Goto < 0 }

// applies says whether a rule is about the packet, as far as it is known: one for a mark, a protocol, ports or a user is not.
func (t *tracing) applies(r *netlink.Rule) bool {
	in := t.out.In
	if in == "" {
		in = "lo" // what the kernel takes the node's own packets to come in over
	}
	match := holds(r.Src, t.out.Src) && holds(r.Dst, t.out.Dst) && (r.IifName == "" || r.IifName == in) && r.OifName == "" &&
		r.Mark == 0 && r.Tos == 0 && r.TunID == 0 && r.IPProto == 0 && r.Sport == nil && r.Dport == nil && r.UIDRange == nil
	return match != r.Invert
}

func holds(n *net.IPNet, a netip.Addr) bool {
	p, selective := prefix(n)
	return !selective || p.Contains(a)
}

// ruleText is a rule as ip(8) writes it, given what one does that looks no table up.
func ruleText(r *netlink.Rule, fate Fate) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d: ", r.Priority)
	if r.Invert {
		b.WriteString("not ")
	}
	b.WriteString("from ")
	if from, selective := prefix(r.Src); selective {
		b.WriteString(from.String())
	} else {
		b.WriteString("all")
	}
	if to, selective := prefix(r.Dst); selective {
		b.WriteString(" to " + to.String())
	}
	if r.IifName != "" {
		b.WriteString(" iif " + r.IifName)
	}
	switch {
	case ruleDrops(r):
		b.WriteString(" " + string(fate))
	case r.Table == unix.RT_TABLE_LOCAL:
		b.WriteString(" lookup local")
	case r.Table == unix.RT_TABLE_MAIN:
		b.WriteString(" lookup main")
	case r.Table == unix.RT_TABLE_DEFAULT:
		b.WriteString(" lookup default")
	default:
		fmt.Fprintf(&b, " lookup %d", r.Table)
	}
	return b.String()
}

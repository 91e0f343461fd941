package fib

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
)

// Host is how the host is set up, where that decides whether our routes carry traffic. All of it is only read.
type Host struct {
	Forwarding4, Forwarding6 Setting // between links at all
	IPv6Off                  Setting // no IPv6 on any link
	ReversePath              Setting // the filter of sources by the route back (RFC 3704), for all links; see HostLink
	Neighbours4, Neighbours6 Setting // the most entries of the neighbour tables; only in the first network namespace
	Hash4, Hash6             Setting // what of a packet chooses among several next hops
	CompatMode               Setting // every route of a rewritten next-hop group is announced

	Links                []HostLink // over which our next hops are reached, and those that were asked for, by name
	NextHops4, NextHops6 int        // of which each needs a neighbour entry
	Multipath            bool       // some routes have several next hops
	Routes               int

	Table              int
	Unruled4, Unruled6 bool // no rule makes the kernel look at Table
}

// HostLink is one link.
type HostLink struct {
	Name        string
	Forwarding4 Setting // of what comes in over it
	Forwarding6 Setting // likewise, although Host.Forwarding6 is off (since Linux 6.17)
	IPv6Off     Setting
	ReversePath Setting // the larger one of this and Host.ReversePath counts
}

// Setting is one sysctl.
type Setting struct {
	Name  string // as sysctl(8) takes it
	Value int
	Known bool // it exists and could be read
}

// Is says whether the setting is known and has the value.
func (s Setting) Is(value int) bool { return s.Known && s.Value == value }

// HostChanged is poked when something of what Inspect tells has changed, as far as the kernel announces such changes. It
// holds one poke, and is silent while Run is not running.
func (t *Table) HostChanged() <-chan struct{} { return t.hostChanged }

// Inspect reads how the host is set up. It takes a few file reads for each link that leads to a next hop or is asked for. The settings
// are those of the calling thread's network namespace, which in a daemon is the one that Open was called in.
func (t *Table) Inspect(also ...string) (Host, error) {
	h, links := t.inspectTable()
	around, err := t.host.around(links)
	if err != nil {
		return Host{}, fmt.Errorf("read links and rules: %w", err)
	}
	h.Unruled4 = len(around.tables4) > 0 && !slices.Contains(around.tables4, h.Table)
	h.Unruled6 = len(around.tables6) > 0 && !slices.Contains(around.tables6, h.Table)
	h.Forwarding4, h.Forwarding6 = setting("ipv4", "ip_forward"), setting("ipv6", "conf", "all", "forwarding")
	h.IPv6Off, h.ReversePath = setting("ipv6", "conf", "all", "disable_ipv6"), setting("ipv4", "conf", "all", "rp_filter")
	h.Neighbours4 = setting("ipv4", "neigh", "default", "gc_thresh3")
	h.Neighbours6 = setting("ipv6", "neigh", "default", "gc_thresh3")
	h.Hash4, h.Hash6 = setting("ipv4", "fib_multipath_hash_policy"), setting("ipv6", "fib_multipath_hash_policy")
	h.CompatMode = setting("ipv4", "nexthop_compat_mode")
	names := slices.Concat(around.names, also)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		h.Links = append(h.Links, HostLink{
			Name:        name,
			Forwarding4: setting("ipv4", "conf", name, "forwarding"),
			Forwarding6: setting("ipv6", "conf", name, "force_forwarding"),
			IPv6Off:     setting("ipv6", "conf", name, "disable_ipv6"),
			ReversePath: setting("ipv4", "conf", name, "rp_filter"),
		})
	}
	return h, nil
}

// inspectTable is what the table itself knows, and the links of its next hops.
func (t *Table) inspectTable() (h Host, links []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h.Table, h.Routes = t.cfg.Table, t.entries.Len()
	for _, x := range t.hops {
		if x.link == 0 || x.idle() {
			continue
		}
		if x.addr.Is4() {
			h.NextHops4++
		} else {
			h.NextHops6++
		}
		if !slices.Contains(links, x.link) {
			links = append(links, x.link)
		}
	}
	for _, s := range t.sets {
		h.Multipath = h.Multipath || s.inUse() && len(s.up) > 1
	}
	return h, links
}

// setting reads one sysctl below net.
func setting(path ...string) Setting {
	separator := "."
	if slices.ContainsFunc(path, func(s string) bool { return strings.Contains(s, ".") }) {
		separator = "/" // a link's name may have dots; sysctl(8) takes both, but not mixed
	}
	s := Setting{Name: "net" + separator + strings.Join(path, separator)}
	b, err := os.ReadFile("/proc/sys/net/" + strings.Join(path, "/"))
	if err != nil {
		return s
	}
	s.Value, err = strconv.Atoi(strings.TrimSpace(string(b)))
	s.Known = err == nil
	return s
}

func (k *netlinkKernel) around(links []int) (s surroundings, err error) {
	for _, index := range links {
		link, err := k.handle.LinkByIndex(index)
		var gone netlink.LinkNotFoundError
		switch {
		case errors.As(err, &gone):
		case err != nil:
			return s, fmt.Errorf("link %d: %w", index, err)
		default:
			s.names = append(s.names, link.Attrs().Name)
		}
	}
	slices.Sort(s.names)
	if s.tables4, err = k.ruled(netlink.FAMILY_V4); err != nil {
		return s, fmt.Errorf("IPv4 rules: %w", err)
	}
	if s.tables6, err = k.ruled(netlink.FAMILY_V6); err != nil {
		return s, fmt.Errorf("IPv6 rules: %w", err)
	}
	return s, nil
}

func (k *netlinkKernel) ruled(family int) ([]int, error) {
	rules, err := k.listRules(family)
	if rules == nil || err != nil {
		return nil, err
	}
	tables := make([]int, len(rules))
	for i := range rules {
		tables[i] = rules[i].Table
	}
	return tables, nil
}

package fib

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fake is the world around the model.
type fake struct{ *model }

func newFake() *fake { return &fake{newModel()} }

func (f *fake) open(_ *testing.T, c Config, m Mode) *Table {
	f.inline = m == ModeInline
	return newTable(c.complete(), m, f.newUser(), f.model)
}

// world runs a change by another program under the lock.
func (f *fake) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

func (f *fake) addLink(t *testing.T, name string, addrs ...string) {
	f.change(func() {
		f.lastIndex++
		f.links[name] = &linkState{index: f.lastIndex, name: name, up: true}
		f.down[name] = false
		f.emit(event{kind: linkChanged, link: *f.links[name]})
	})
	for _, a := range addrs {
		f.addAddr(t, name, a)
	}
}

func (f *fake) deleteLink(_ *testing.T, name string) {
	f.change(func() {
		f.down[name] = true
		f.linkDown(name, true)
		f.addrs = slices.DeleteFunc(f.addrs, func(a modelAddr) bool { return a.link == name })
		gone := *f.links[name]
		gone.up, gone.gone = false, true
		delete(f.links, name)
		f.emit(event{kind: linkChanged, link: gone})
	})
}

func (f *fake) setUp(_ *testing.T, name string, up bool) {
	f.change(func() {
		f.down[name] = !up
		l := f.links[name]
		if l.up = up; !up {
			f.linkDown(name, true)
		}
		f.emit(event{kind: linkChanged, link: *l})
	})
}

func (f *fake) setCarrier(_ *testing.T, name string, on bool) {
	f.change(func() {
		l := f.links[name]
		if l.up = on; !on {
			f.linkDown(name, false)
		}
		f.emit(event{kind: linkChanged, link: *l})
	})
}

func (f *fake) addAddr(_ *testing.T, link, addr string) {
	f.change(func() {
		f.addrs = append(f.addrs, modelAddr{link, netip.MustParsePrefix(addr)})
		f.emit(event{kind: addressChanged, link: *f.links[link], addr: netip.MustParsePrefix(addr).Addr()})
	})
}

func (f *fake) deleteAddr(_ *testing.T, link, addr string) {
	f.change(func() {
		gone := modelAddr{link, netip.MustParsePrefix(addr)}
		f.addrs = slices.DeleteFunc(f.addrs, func(a modelAddr) bool { return a == gone })
		index := f.links[link].index
		// With the last IPv4 address of the link its IPv4 routes go, except those that name an object.
		if !slices.ContainsFunc(f.addrs, func(a modelAddr) bool { return a.link == link && a.prefix.Addr().Is4() }) {
			f.dropRoutes(func(r kernelRoute) bool {
				return r.dst.Addr().Is4() && len(r.hops) > 0 && !slices.ContainsFunc(r.hops, func(g gateway) bool { return g.link != index })
			})
		}
		f.dropRoutes(func(r kernelRoute) bool { return r.dst.Addr().Is4() && r.options.source == gone.prefix.Addr() })
		f.emit(event{kind: addressChanged, link: linkState{index: index, gone: true}, addr: gone.prefix.Addr()})
	})
}

func (f *fake) kernelRoute(r spec) kernelRoute {
	dst := netip.MustParsePrefix(r.dst)
	if r.metric == 0 && dst.Addr().Is6() {
		r.metric = 1024 // IPv6's default
	}
	k := kernelRoute{dst: dst, metric: uint32(r.metric), nextHop: r.nextHop, protocol: uint8(r.protocol), drops: r.drops == "blackhole"}
	if r.via == "" && r.link != "" {
		k.hops = []gateway{{link: f.links[r.link].index}}
	}
	for _, via := range []string{r.via, r.also} {
		if via != "" && r.pinned {
			k.hops = append(k.hops, gateway{pin(netip.MustParseAddr(via), r.link), f.links[r.link].index})
		} else if via != "" {
			k.hops = append(k.hops, gateway{netip.MustParseAddr(via), f.find(netip.MustParseAddr(via)).link})
		}
	}
	return k
}

func (f *fake) add(t *testing.T, r spec) {
	f.change(func() {
		require.NoError(t, f.putRoute(f.kernelRoute(r), true))
	})
}

func (f *fake) appendTo(t *testing.T, r spec) {
	f.change(func() {
		require.NoError(t, f.putRoute(f.kernelRoute(r), false))
	})
}

func (f *fake) replace(t *testing.T, r spec) {
	f.change(func() {
		k := f.kernelRoute(r)
		at := slices.IndexFunc(f.list, func(x kernelRoute) bool { return x.dst == k.dst && x.metric == k.metric })
		if at < 0 {
			require.NoError(t, f.putRoute(k, true))
			return
		}
		f.list[at] = k
		f.routeW++
		f.emit(event{kind: routeAdded, third: true, inTable: true, replaced: true, route: k})
	})
}

// remove takes the first route that fits what the spec says.
func (f *fake) remove(t *testing.T, r spec) {
	f.change(func() {
		at := slices.IndexFunc(f.list, func(x kernelRoute) bool {
			return x.dst == netip.MustParsePrefix(r.dst) && int(x.protocol) == r.protocol && (r.metric == 0 || x.metric == uint32(r.metric))
		})
		require.GreaterOrEqual(t, at, 0, "no such route")
		f.removeAt(at)
	})
}

func (f *fake) wipe(_ *testing.T, protocol int) {
	f.change(func() {
		for i := len(f.list) - 1; i >= 0; i-- {
			if int(f.list[i].protocol) == protocol {
				f.removeAt(i)
			}
		}
	})
}

func (f *fake) addNextHop(t *testing.T, id uint32, via, link string, protocol int) {
	f.change(func() {
		r := request{op: opReplaceNextHop, id: id, gateway: gateway{netip.MustParseAddr(via), f.links[link].index}}
		require.NoError(t, f.carryOut(&r, uint8(protocol)))
	})
}

func (f *fake) replaceGroup(t *testing.T, id uint32, protocol int, members ...uint32) {
	f.change(func() {
		require.NoError(t, f.carryOut(&request{op: opReplaceGroup, id: id, members: members}, uint8(protocol)))
	})
}

func (f *fake) deleteNextHop(t *testing.T, id uint32) {
	f.change(func() {
		require.NoError(t, f.carryOut(&request{op: opDeleteNextHop, id: id}, 0))
	})
}

func (f *fake) steal(dst string, id uint32) {
	f.change(func() {
		if dst == "" {
			_ = f.carryOut(&request{op: opDeleteNextHop, id: id}, 0)
			return
		}
		at := slices.IndexFunc(f.list, func(x kernelRoute) bool { return x.dst == p(dst) && x.protocol == ourMark })
		if at >= 0 {
			f.removeAt(at)
		}
	})
}

func (f *fake) routes(_ *testing.T, protocol int) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []string{}
	for _, r := range f.list {
		if int(r.protocol) != protocol {
			continue
		}
		hops := r.hops
		if r.nextHop != 0 {
			hops = f.gateways(r.nextHop)
		}
		var via []string
		for _, h := range hops {
			via = append(via, plain(h.addr).String())
		}
		slices.Sort(via)
		text := fmt.Sprintf("%s metric %d via %s", r.dst, r.metric, strings.Join(via, " "))
		if r.drops {
			text = fmt.Sprintf("%s metric %d blackhole", r.dst, r.metric)
		}
		all = append(all, text+r.options.text())
	}
	slices.Sort(all)
	return all
}

func (f *fake) objects(_ *testing.T, protocol int) map[uint32]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := map[uint32]string{}
	for id, h := range f.hops {
		switch {
		case int(h.protocol) != protocol:
		case h.members != nil:
			ids := slices.Clone(h.members)
			slices.Sort(ids)
			all[id] = groupText(ids)
		default:
			all[id] = "via " + plain(h.gateway.addr).String()
		}
	}
	return all
}

func (f *fake) writes(*testing.T) (int, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.routeW, f.objectW
}

func (f *fake) compat(*testing.T, bool) {}

func (o options) text() string {
	var text string
	if o.source.IsValid() {
		text += " src " + o.source.String()
	}
	if o.mtu != 0 {
		text += fmt.Sprintf(" mtu %d", o.mtu)
	}
	return text
}

func (f *fake) ruleTexts(*testing.T) (all []string) {
	there, _, _ := f.rules()
	for _, r := range there {
		all = append(all, fmt.Sprintf("%s %d lookup %d", map[bool]string{false: "-4", true: "-6"}[r.v6], r.priority, r.table))
	}
	slices.Sort(all)
	return all
}

func (f *fake) dropRule(_ *testing.T, family string, priority, table int) {
	_ = f.deleteRule(rule{v6: family == "-6", priority: priority, table: table})
}

func (f *fake) putRule(_ *testing.T, family string, priority, table int) {
	_ = f.addRule(rule{v6: family == "-6", priority: priority, table: table})
}

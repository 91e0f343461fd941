package fib

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// unusable addresses cannot be a source: duplicate address detection has not finished or has
// failed (RFC 4862 5.4), or they are about to go.
const unusable = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED | unix.IFA_F_DEPRECATED | unix.IFA_F_TEMPORARY

// dumpTries is how often an interrupted dump is taken again at once.
const dumpTries = 10

// addressAge is how old the addresses may be by which ours on a link are told. The kernel hands out those of all links
// whatever it is asked for, and with each change it is asked about each peer.
const addressAge = 100 * time.Millisecond

// addressList are all addresses of the node as last read.
type addressList struct {
	mu  sync.Mutex // guards what follows, and lets one reader work for all
	all []netlink.Addr
	at  time.Time
}

// addresses returns all addresses of the node, at most so old. They are not to be written to.
func (k *netlinkKernel) addresses(age time.Duration) ([]netlink.Addr, error) {
	l := &k.addrs
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.at.IsZero() && time.Since(l.at) < age {
		return l.all, nil
	}
	for try := 1; ; try++ {
		addrs, err := k.handle.AddrList(nil, netlink.FAMILY_ALL)
		if err != nil && try < dumpTries && errors.Is(err, netlink.ErrDumpInterrupted) {
			continue
		}
		if err == nil {
			l.all, l.at = addrs, time.Now()
		}
		return addrs, err
	}
}

func (k *netlinkKernel) facts() (Facts, error) {
	addrs, err := k.addresses(0)
	if err != nil {
		return Facts{}, err
	}
	var f Facts
	for _, a := range addrs {
		own, ok := prefix(a.IPNet)
		if !ok || own.Addr().IsLoopback() || own.Addr().IsLinkLocalUnicast() {
			continue
		}
		f.Addresses = append(f.Addresses, own)
		subnet := own
		if peer, ok := prefix(a.Peer); ok {
			subnet = peer // point to point: the subnet is the other end's
		}
		if !subnet.IsSingleIP() {
			f.Connected = append(f.Connected, subnet.Masked())
		}
	}
	slices.SortFunc(f.Addresses, netip.Prefix.Compare)
	slices.SortFunc(f.Connected, netip.Prefix.Compare)
	f.Addresses, f.Connected = slices.Compact(f.Addresses), slices.Compact(f.Connected)
	return f, nil
}

func prefix(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	addr = addr.Unmap()
	if !ok || bits != addr.BitLen() {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(addr, ones), true
}

func (k *netlinkKernel) local(peer netip.Addr) (string, netip.Addr, netip.Addr, error) {
	var none netip.Addr
	link, source, err := k.way(peer)
	if err != nil {
		return "", none, none, err
	}
	addrs, err := k.addresses(addressAge)
	if err != nil {
		return "", none, none, fmt.Errorf("read addresses of %s: %w", link.Attrs().Name, err)
	}
	v4, v6 := none, none
	for _, a := range addrs {
		if a.LinkIndex != link.Attrs().Index {
			continue
		}
		own, ok := prefix(a.IPNet)
		if !ok || a.Flags&unusable != 0 || own.Addr().IsLinkLocalUnicast() || own.Addr().IsLoopback() {
			continue
		}
		if own.Addr().Is4() {
			v4 = lower(v4, own.Addr())
		} else {
			v6 = lower(v6, own.Addr())
		}
	}
	switch {
	case source.Is4():
		v4 = source
	case source.Is6() && !source.IsLinkLocalUnicast():
		v6 = source
	}
	return link.Attrs().Name, v4, v6, nil
}

// way asks the kernel for the link to peer and the source address it would choose.
func (k *netlinkKernel) way(peer netip.Addr) (netlink.Link, netip.Addr, error) {
	if peer.Zone() != "" {
		link, err := k.handle.LinkByName(peer.Zone())
		if err != nil {
			return nil, netip.Addr{}, fmt.Errorf("link %s: %w", peer.Zone(), err)
		}
		return link, netip.Addr{}, nil
	}
	routes, err := k.handle.RouteGet(peer.AsSlice())
	if err != nil {
		return nil, netip.Addr{}, err
	}
	if len(routes) == 0 {
		return nil, netip.Addr{}, unix.ENETUNREACH
	}
	link, err := k.handle.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return nil, netip.Addr{}, fmt.Errorf("link %d: %w", routes[0].LinkIndex, err)
	}
	source, _ := netip.AddrFromSlice(routes[0].Src)
	return link, source.Unmap(), nil
}

func lower(a, b netip.Addr) netip.Addr {
	if !a.IsValid() || b.Less(a) {
		return b
	}
	return a
}

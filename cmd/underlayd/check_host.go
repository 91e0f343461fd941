package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/config"
	"github.com/underlayd/underlayd/status"
)

// manyPeers bounds for how many peers the kernel is asked for the way.
const manyPeers = 256

// hostDoc is where the settings of the host are explained, checkDoc where the checks are.
const (
	hostDoc  = "docs/operations.md#what-the-host-needs"
	checkDoc = troubleshooting + "before-it-runs-and-while-it-does"
)

// uplink is a link that leads to peers.
type uplink struct {
	name string
	mtu  int // 0: unknown
	peer string
}

// uplinks are the links that lead to peers. A peer to which there is no way has none: its session says so.
func (c *checkup) uplinks() (all []uplink) {
	if c.kernel == nil {
		return nil
	}
	for i, p := range c.config.BGP.Peers {
		if i == manyPeers {
			break
		}
		if !p.Address.IsValid() || p.Address.IsLoopback() {
			continue
		}
		link, _, _, err := c.kernel.LocalAddresses(p.Address)
		if err != nil || link == "lo" || slices.ContainsFunc(all, func(u uplink) bool { return u.name == link }) {
			continue
		}
		all = append(all, uplink{name: link, mtu: mtuOf(link), peer: p.Name})
	}
	return all
}

func mtuOf(link string) int {
	l, err := net.InterfaceByName(link)
	if err != nil {
		return 0
	}
	return l.MTU
}

// settings are those of the kernel, as they are now.
func (c *checkup) settings() {
	if c.checks == nil {
		return
	}
	var names []string
	for _, u := range c.uplinks() {
		names = append(names, u.name)
	}
	before := len(c.items)
	if link := c.podLink(); link != "" {
		c.podForwarding(link)
	}
	found, err := c.checks.now(names...)
	if err != nil {
		c.unknown(status.CheckKernel, "host", &status.Remedy{Action: "look at them yourself", Command: "sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding", Doc: hostDoc}, fmt.Sprintf("the host's settings could not be read: %s", err))
		return
	}
	for _, f := range found {
		result := status.CheckWarning
		if f.severity == status.Error {
			result = status.CheckFailed
		}
		c.add(status.Check{Group: status.CheckKernel, Name: f.key, Result: result, Reason: settingReason(f), Remedy: settingRemedy(f), Sentence: f.message})
	}
	if len(c.items) == before {
		c.ok(status.CheckKernel, "packets are forwarded, filters of the route back (rp_filter) do not hurt, neighbour tables have room, rules lead to our table")
	}
	c.sayOnce()
	mode := c.kernel.Mode()
	if mode == fib.ModeObjects {
		c.ok(status.CheckKernel, "%s", modeWords(mode))
		return
	}
	c.warn(status.CheckKernel, "next-hop objects", &status.Remedy{Action: "use a kernel of Linux 5.3 or later", Doc: hostDoc}, modeWords(mode))
}

// forwardingOff is explain's word for packets that are not passed on.
const forwardingOff = "ForwardingOff"

func settingReason(f finding) string {
	if f.severity == status.Error && strings.Contains(f.key, "forward") {
		return forwardingOff
	}
	return ""
}

// sayOnce leaves out what the kernel does with a packet for want of a setting, where the setting itself is named.
func (c *checkup) sayOnce() {
	named := func(x status.Check) bool { return x.Reason == forwardingOff && x.Name != forwardingOff }
	if slices.ContainsFunc(c.items, named) {
		c.items = slices.DeleteFunc(c.items, func(x status.Check) bool { return x.Name == forwardingOff })
	}
}

// podForwarding looks at what judgeHost does not, for that has no say in what comes in: the link of the pods.
func (c *checkup) podForwarding(link string) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + link + "/forwarding")
	all, _ := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err != nil || strings.TrimSpace(string(text)) != "0" || strings.TrimSpace(string(all)) == "0" {
		return
	}
	setting := "net/ipv4/conf/" + link + "/forwarding"
	if !strings.Contains(link, ".") {
		setting = strings.ReplaceAll(setting, "/", ".")
	}
	f := finding{severity: status.Error, key: setting, message: fmt.Sprintf("%s is 0: IPv4 packets of the pods on %s are not forwarded; sysctl -w %s=1", setting, link, setting)}
	c.add(status.Check{Group: status.CheckKernel, Name: f.key, Result: status.CheckFailed, Reason: settingReason(f), Remedy: settingRemedy(f), Sentence: f.message})
}

// podLink is the link that leads to the pods of this node; empty where it is not known, or each pod has its own.
func (c *checkup) podLink() string {
	if c.kernel == nil {
		return ""
	}
	at := slices.IndexFunc(c.own, func(p netip.Prefix) bool { return p.Addr().Is4() })
	if at < 0 {
		return ""
	}
	dst := c.own[at].Addr().Next()
	for slices.ContainsFunc(c.facts.Addresses, func(p netip.Prefix) bool { return p.Addr() == dst }) {
		dst = dst.Next()
	}
	back, err := c.kernel.Trace(fib.Packet{Dst: dst})
	if err != nil || back.Fate != fib.Forwarded || back.Chosen.Gateway.IsValid() || back.Prefix.Bits() == 0 {
		return ""
	}
	return back.Chosen.Link
}

// links compares sizes: those of the links to peers, of the pods', and kernel.mtu.
func (c *checkup) links() {
	up := c.uplinks()
	if len(up) == 0 {
		c.unknown(status.CheckLinks, "links", &status.Remedy{Action: "see which link leads to a peer", Command: "ip route get ADDRESS; ip link", Doc: checkDoc}, "no link is known to lead to a peer")
		return
	}
	smallest := up[0]
	var words []string
	for _, u := range up {
		words = append(words, fmt.Sprintf("%s (MTU %d)", u.name, u.mtu))
		if u.mtu < smallest.mtu {
			smallest = u
		}
	}
	before := len(c.items)
	fix := func(action, command string) *status.Remedy {
		return &status.Remedy{Action: action, Command: command, Doc: checkDoc}
	}
	raise := func(mtu int) string { return fmt.Sprintf("ip link set %s mtu %d", smallest.name, mtu) }
	if m := c.config.Kernel.MTU; m > smallest.mtu {
		r := fix("make it as small as the smallest link on the way, or the link larger", raise(m))
		r.Key, r.Value = "kernel.mtu", fmt.Sprint(smallest.mtu)
		c.failed(status.CheckLinks, "MTU", r, fmt.Sprintf("kernel.mtu is %d and link %s, which leads to %s, takes %d: larger packets are lost", m, smallest.name, smallest.peer, smallest.mtu))
	}
	if at := slices.IndexFunc(up, func(u uplink) bool { return u.mtu != smallest.mtu }); at >= 0 {
		c.warn(status.CheckLinks, "MTU", fix("give them one MTU, that of the routers", raise(up[at].mtu)),
			fmt.Sprintf("links that lead to peers differ: %s; what fits through one does not fit through the other", strings.Join(words, ", ")))
	}
	if pods := c.podLink(); pods != "" {
		if mtu := mtuOf(pods); mtu > smallest.mtu && (c.config.Kernel.MTU == 0 || c.config.Kernel.MTU > smallest.mtu) {
			r := fix("give the pods the MTU of the smallest link on the way (the CNI's setting), or the link a larger one if the routers have it", raise(mtu))
			c.warn(status.CheckLinks, "MTU", r, fmt.Sprintf("pods on link %s send packets of up to %d bytes and link %s, which leads to %s, takes %d: "+
				"they depend on being told (path MTU discovery), which firewalls break", pods, mtu, smallest.name, smallest.peer, smallest.mtu))
		}
	}
	if len(c.items) == before {
		c.ok(status.CheckLinks, "peers are reached over %s, which takes what pods send; an MTU that is smaller further on is not seen from here", strings.Join(words, ", "))
	}
}

// port says who listens on ours.
func (c *checkup) port() {
	port := c.config.BGP.Port
	switch {
	case port <= 0:
		c.ok(status.CheckPort, "bgp.port is %d: no port is listened on, sessions are those that this node connects", port)
	case c.daemon:
		c.ok(status.CheckPort, "underlayd listens on port %d", port)
	default:
		addresses := c.config.BGP.ListenAddresses
		if len(addresses) == 0 {
			addresses = []netip.Addr{netip.IPv4Unspecified()}
		}
		for _, a := range addresses {
			err := bindable(a, port)
			if errors.Is(err, unix.EADDRINUSE) {
				c.failed(status.CheckPort, "Port", &status.Remedy{Action: portAdvice, Key: "bgp.port", Value: "-1", Command: fmt.Sprintf("ss -ltnp sport = :%d", port), Doc: neighboursPage},
					fmt.Sprintf("port %d of %s is taken: %s listens there", port, a, cmp.Or(bgp.PortHolder(port), "another program")))
				return
			}
			if err != nil {
				c.failed(status.CheckPort, "Port", &status.Remedy{Action: "give the node the address, or the daemon the privilege", Key: "bgp.listenAddresses", Doc: "docs/operations.md#privileges"},
					fmt.Sprintf("port %d of %s can't be had: %s", port, a, err))
				return
			}
		}
		c.ok(status.CheckPort, "port %d is free", port)
	}
}

// bindable says whether a port could be listened on, without listening: nobody is answered.
func bindable(a netip.Addr, port int) error {
	family := unix.AF_INET6
	var sa unix.Sockaddr = &unix.SockaddrInet6{Port: port, Addr: a.As16()}
	if a.Is4() {
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: port, Addr: a.As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	return unix.Bind(fd, sa)
}

// md5 asks the kernel whether it can sign, where a peer has a password.
func (c *checkup) md5() {
	keyed := slices.ContainsFunc(c.config.BGP.Peers, func(p config.Peer) bool { return p.PasswordFile != "" || p.PasswordSecret != config.SecretKey{} })
	err := bgp.CheckMD5()
	switch {
	case err == nil && keyed:
		c.ok(status.CheckMD5, "the kernel can sign connections (TCP MD5, RFC 2385)")
	case keyed:
		c.failed(status.CheckMD5, "TCP_MD5SIG", &status.Remedy{Action: "use a kernel that can, or no passwords", Key: "bgp.peers[].passwordFile", Command: "zgrep TCP_MD5SIG /proc/config.gz", Doc: "docs/operations.md#passwords-tcp-md5-rfc-2385"}, err.Error())
	case err == nil:
		c.ok(status.CheckMD5, "no peer has a password; the kernel could sign connections")
	default:
		c.ok(status.CheckMD5, "no peer has a password; the kernel could not sign connections: %s", err)
	}
}

// networkdLeaves says whether systemd-networkd is told to leave routes of others alone; unseen where its files are not here.
func networkdLeaves() (leaves, seen bool) {
	files := []string{"/etc/systemd/networkd.conf"}
	for _, folder := range []string{"/usr/lib", "/run", "/etc"} {
		more, _ := filepath.Glob(folder + "/systemd/networkd.conf.d/*.conf") // the pattern is good
		files = append(files, more...)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		seen = true
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(strings.ReplaceAll(strings.TrimSpace(line), " ", ""), "=")
			if key == "ManageForeignRoutes" {
				leaves = slices.Contains([]string{"no", "false", "0", "off"}, strings.ToLower(value))
			}
		}
	}
	return leaves, seen
}

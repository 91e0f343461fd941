package containerlab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
)

// prepareNetwork readies a fresh network namespace, from inside. Duplicate address detection is off: it guards
// against neighbours that a lab does not have and costs more than a second before an IPv6 address can be used.
func prepareNetwork(spec *NodeSpec) error {
	err := writeSysctls(map[string]string{
		"net.ipv6.conf.all.accept_dad":     "0",
		"net.ipv6.conf.default.accept_dad": "0",
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a machine without IPv6
		return err
	}
	if err := writeSysctls(spec.Sysctls); err != nil {
		return err
	}
	if err := setLink("lo", true); err != nil {
		return err
	}
	if spec.Kind != KindBridge {
		return nil
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = spec.Name, DefaultMTU
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("make bridge: %w", err)
	}
	return setLink(spec.Name, true)
}

func writeSysctls(values map[string]string) error {
	var errs []error
	for name, value := range values {
		// Names of interfaces may hold dots, which sysctl writes as slashes.
		path := strings.Map(func(r rune) rune {
			switch r {
			case '.':
				return '/'
			case '/':
				return '.'
			}
			return r
		}, name)
		if err := os.WriteFile(filepath.Join("/proc/sys", path), []byte(value), 0); err != nil {
			errs = append(errs, fmt.Errorf("sysctl %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// makeLink makes both ends of a link in their nodes, under their own names from the first moment on, so that labs
// never meet in the machine's own namespace. It runs in the network of node a.
func makeLink(l Link, a, b *Node) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = l.A.Interface, l.MTU
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerMTU, veth.PeerNamespace = l.B.Interface, uint32(l.MTU), netlink.NsPid(b.pid)
	return a.way.enter(inNetwork, func() error {
		if err := netlink.LinkAdd(veth); err != nil {
			return fmt.Errorf("make veth: %w", err)
		}
		return nil
	})
}

// raise attaches an interface to its bridge, if the node is one, and sets it up. It runs in the network of the node.
func raise(spec *NodeSpec, iface string) error {
	if spec.Kind == KindBridge {
		port, err := linkByName(iface)
		if err != nil {
			return err
		}
		bridge, err := linkByName(spec.Name)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetMaster(port, bridge); err != nil {
			return fmt.Errorf("attach %s: %w", iface, err)
		}
	}
	return setLink(iface, true)
}

// setLink sets an interface of the present namespace up or down.
func setLink(name string, up bool) error {
	link, err := linkByName(name)
	if err != nil {
		return err
	}
	set, word := netlink.LinkSetDown, "down"
	if up {
		set, word = netlink.LinkSetUp, "up"
	}
	if err := set(link); err != nil {
		return fmt.Errorf("set %s %s: %w", name, word, err)
	}
	return nil
}

func linkByName(name string) (netlink.Link, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	return link, nil
}

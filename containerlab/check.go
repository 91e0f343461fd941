package containerlab

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
)

// maxInterfaceName is IFNAMSIZ without the terminating zero.
const maxInterfaceName = 15

var (
	labName       = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$`) // becomes part of file and container names
	nodeName      = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.-]{0,62}$`)  // becomes a host name
	interfaceName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*$`)
)

// check refuses what concerns levels that no node may use, so that a typing error in them does not go unseen.
func (f *file) check() error {
	var errs []error
	if !labName.MatchString(f.Name) {
		errs = append(errs, fmt.Errorf("name %q: must be letters, digits, dots, dashes and underscores, at most 63", f.Name))
	}
	if len(f.Topology.Nodes) == 0 {
		errs = append(errs, errors.New("topology.nodes: is empty"))
	}
	for _, kind := range slices.Sorted(maps.Keys(f.Topology.Kinds)) {
		if kind != KindLinux && kind != KindBridge {
			errs = append(errs, fmt.Errorf("topology.kinds: kind %q is not supported here", kind))
		}
	}
	return errors.Join(errs...)
}

// check refuses nodes and links that could not be made.
func (t *Topology) check() error {
	var errs []error
	nodes := map[string]*NodeSpec{}
	for i := range t.Nodes {
		n := &t.Nodes[i]
		nodes[n.Name] = n
		if err := n.check(); err != nil {
			errs = append(errs, fmt.Errorf("node %s: %w", n.Name, err))
		}
	}
	used := map[Endpoint]bool{}
	for _, l := range t.Links {
		for _, end := range []Endpoint{l.A, l.B} {
			err := end.check(nodes[end.Node])
			if err == nil && used[end] {
				err = errors.New("is used twice")
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("endpoint %s: %w", end, err))
			}
			used[end] = true
		}
		if l.MTU < 68 || l.MTU > 65535 {
			errs = append(errs, fmt.Errorf("link %s %s: mtu %d: must be 68 to 65535", l.A, l.B, l.MTU))
		}
	}
	return errors.Join(errs...)
}

func (n *NodeSpec) check() error {
	if !nodeName.MatchString(n.Name) {
		return errors.New("the name must be letters, digits, dots and dashes, at most 63")
	}
	switch n.Kind {
	case KindLinux:
		return nil
	case KindBridge:
		if len(n.Name) > maxInterfaceName {
			return fmt.Errorf("the name of a bridge has at most %d characters", maxInterfaceName)
		}
		if len(n.Exec)+len(n.Cmd)+len(n.Binds)+len(n.Env)+len(n.Sysctls) > 0 {
			return errors.New("cmd, exec, binds, env and sysctls are not supported for bridges")
		}
		return nil
	case "":
		return errors.New("has no kind, and topology.defaults names none")
	default:
		return fmt.Errorf("kind %q is not supported here", n.Kind)
	}
}

func (e Endpoint) check(n *NodeSpec) error {
	switch {
	case e.Node == "host" || e.Node == "mgmt-net" || e.Node == "macvlan" || e.Node == "dummy":
		return fmt.Errorf("links to %s are not supported here", e.Node)
	case n == nil:
		return errors.New("there is no such node")
	case len(e.Interface) > maxInterfaceName || !interfaceName.MatchString(e.Interface):
		return fmt.Errorf("interface names are letters, digits, dots, dashes and underscores, at most %d", maxInterfaceName)
	case e.Interface == "lo" || e.Interface == n.Name && n.Kind == KindBridge:
		return errors.New("the interface name is taken")
	case e.Interface == "eth0" && !n.noMgmt:
		return errors.New("eth0 is the management interface of containerlab, unless the node has network-mode: none")
	}
	return nil
}

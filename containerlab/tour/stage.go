package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/k8s/apitest"
	"github.com/underlayd/underlayd/k8s/apitest/kubelet"
)

const (
	topology = "two-clusters"
	patience = time.Minute
)

// cluster is one of the two, with its API.
type cluster struct {
	name     string
	podCIDRs []netip.Prefix
	nodes    []node
	api      *apitest.Server
	config   string // kubeconfig of an administrator
	folder   string // where its administrator works
	kubelets []*kubelet.Kubelet
}

type node struct {
	name, pod string
	address   netip.Addr
}

// stage is the running tour.
type stage struct {
	containerlab.Narrator
	root, kubectl, folder string
	daemon                string // the binary
	began                 time.Time
	lab                   *containerlab.Lab
	east, west            *cluster
	prints                map[string]string // of nodes before anything was installed
}

// newCluster names what the lab has of a cluster.
func newCluster(name string, cidr4, cidr6 string, racks ...int) *cluster {
	c := &cluster{name: name, podCIDRs: []netip.Prefix{netip.MustParsePrefix(cidr4), netip.MustParsePrefix(cidr6)}}
	for i, rack := range racks {
		n := node{name: fmt.Sprintf("%s-%d", name, i+1), address: netip.AddrFrom4([4]byte{192, 168, byte(rack), 1})}
		n.pod = "pod-" + n.name
		c.nodes = append(c.nodes, n)
	}
	return c
}

func (s *stage) clusters() []*cluster { return []*cluster{s.east, s.west} }

// raise brings up what a newcomer has: two clusters on a fabric, each with an API that is empty, and nothing of ours.
func (s *stage) raise(ctx context.Context) error {
	s.east = newCluster("east", "10.10.0.0/16", "fd00:10::/48", 11, 12)
	s.west = newCluster("west", "10.20.0.0/16", "fd00:20::/48", 21, 22)
	if err := s.raiseLab(ctx); err != nil {
		return err
	}
	var all sync.WaitGroup
	errs := make([]error, 2)
	for i, c := range s.clusters() {
		all.Go(func() { errs[i] = s.raiseCluster(ctx, c) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (s *stage) raiseLab(ctx context.Context) error {
	t, err := containerlab.Load(filepath.Join(s.root, "containerlab", topology+".clab.yml"))
	if err != nil {
		return err
	}
	o := containerlab.Options{Sources: map[string]string{"../bin/underlayd": s.daemon}}
	for _, c := range s.clusters() {
		for _, n := range c.nodes {
			// What a ConfigMap would be mounted as.
			mounted := filepath.Join(s.folder, n.name)
			if err := os.Mkdir(mounted, 0o755); err != nil {
				return err
			}
			o.Sources[topology+"/"+n.name] = mounted
			o.Manual = append(o.Manual, n.name)
		}
	}
	s.lab, err = t.Up(ctx, o)
	return err
}

// raiseCluster starts a control plane and the kubelets of its nodes, and gives its administrator a folder with the
// configuration and the repository in it.
func (s *stage) raiseCluster(ctx context.Context, c *cluster) (err error) {
	if c.api, err = apitest.Start(ctx); err != nil {
		return err
	}
	if err := c.api.StartControllers(c.podCIDRs...); err != nil {
		return err
	}
	if c.config, err = c.api.Kubeconfig(c.api.Admin()); err != nil {
		return err
	}
	c.folder = filepath.Join(s.folder, c.name)
	if err := os.Mkdir(c.folder, 0o755); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(s.root, "containerlab", "tour", c.name, "config.yaml"))
	if err != nil {
		return err
	}
	err = errors.Join(os.WriteFile(filepath.Join(c.folder, "config.yaml"), text, 0o644), os.Symlink(s.root, filepath.Join(c.folder, "underlayd")))
	if err != nil {
		return err
	}
	for _, n := range c.nodes {
		if err := s.join(ctx, c, n); err != nil {
			return err
		}
	}
	return nil
}

// join has a node join its cluster: its kubelet registers it, and when it has pod CIDRs its CNI gives its pod addresses.
func (s *stage) join(ctx context.Context, c *cluster, n node) error {
	k, err := kubelet.Start(ctx, kubelet.Config{
		Node: s.lab.Node(n.name), API: c.api, Address: n.address,
		Binds: map[string]string{"/etc/underlayd": filepath.Join(s.folder, n.name)},
	})
	if err != nil {
		return err
	}
	c.kubelets = append(c.kubelets, k)
	var prefixes []netip.Prefix
	err = s.until(ctx, "pod CIDRs of "+n.name, func(ctx context.Context) (err error) {
		prefixes, err = s.podCIDRs(ctx, c, n.name)
		return err
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, c.api.ControllersLog())
	}
	return s.plug(ctx, n, prefixes)
}

// podCIDRs are those that the controllers gave a Node.
func (s *stage) podCIDRs(ctx context.Context, c *cluster, name string) ([]netip.Prefix, error) {
	out, err := s.ask(ctx, c, "get", "node", name, "-o", "jsonpath={.spec.podCIDRs[*]}")
	if err != nil {
		return nil, err
	}
	var prefixes []netip.Prefix
	for text := range strings.FieldsSeq(out) {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, err
		}
		prefixes = append(prefixes, p)
	}
	if len(prefixes) != len(c.podCIDRs) {
		return nil, fmt.Errorf("it has %v", prefixes)
	}
	return prefixes, nil
}

// plug is the CNI's part: the pod gets the tenth address of each of its node's pod CIDRs, its node the first.
func (s *stage) plug(ctx context.Context, n node, prefixes []netip.Prefix) error {
	commands := [][2]string{{n.name, "ip addr flush dev eth2 scope global"}, {n.pod, "ip addr flush dev eth1 scope global"}}
	for _, p := range prefixes {
		gateway := p.Addr().Next()
		commands = append(commands,
			[2]string{n.name, fmt.Sprintf("ip addr add %s/%d dev eth2%s", gateway, p.Bits(), nodad(p))},
			[2]string{n.pod, fmt.Sprintf("ip addr add %s/%d dev eth1%s", podIn(p), p.Bits(), nodad(p))},
			[2]string{n.pod, fmt.Sprintf("ip route replace default via %s", gateway)})
	}
	for _, c := range commands {
		if _, err := s.lab.Node(c[0]).Output(ctx, strings.Fields(c[1])...); err != nil {
			return err
		}
	}
	return nil
}

// nodad spares an IPv6 address its detection of duplicates.
func nodad(p netip.Prefix) string {
	if p.Addr().Is6() {
		return " nodad"
	}
	return ""
}

// podIn is the address of the pod in a node's pod CIDR.
func podIn(p netip.Prefix) netip.Addr {
	bytes := p.Addr().AsSlice()
	bytes[len(bytes)-1] = 10
	a, _ := netip.AddrFromSlice(bytes)
	return a
}

// shell is a line in the shell of an administrator: in his folder, with kubectl and his kubeconfig.
func (s *stage) shell(ctx context.Context, c *cluster, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-c", line)
	cmd.Dir = c.folder
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.config, "HOME="+s.folder, "PATH="+filepath.Dir(s.kubectl)+":"+os.Getenv("PATH"))
	return cmd
}

// ask runs kubectl and returns what it says.
func (s *stage) ask(ctx context.Context, c *cluster, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.kubectl, argv...)
	cmd.Env = s.shell(ctx, c, "").Env
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w", strings.Join(argv, " "), err)
	}
	return string(out), nil
}

// close ends everything.
func (s *stage) close() error {
	var errs []error
	for _, c := range s.clusters() {
		if c == nil {
			continue
		}
		for _, k := range c.kubelets {
			errs = append(errs, k.Close())
		}
	}
	if s.lab != nil {
		errs = append(errs, s.lab.Down())
	}
	for _, c := range s.clusters() {
		if c != nil && c.api != nil {
			errs = append(errs, c.api.Close())
		}
	}
	return errors.Join(errs...)
}

// problems is what the kubelets have to say when something was waited for in vain.
func (s *stage) problems() error {
	var errs []error
	for _, c := range s.clusters() {
		if c == nil {
			continue
		}
		for i, k := range c.kubelets {
			if err := k.Problem(); err != nil {
				errs = append(errs, fmt.Errorf("kubelet of %s: %w", c.nodes[i].name, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (s *stage) until(ctx context.Context, what string, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return containerlab.Until(ctx, what, f)
}

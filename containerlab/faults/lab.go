package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/underlayd/underlayd/containerlab"
)

// patience is what anything may take that has no promise of its own.
const patience = 30 * time.Second

// reloadTime is how long a daemon may take to read a new configuration.
const reloadTime = time.Second

// neighbour is a peer of the node under test, with pods behind it.
type neighbour struct {
	name    string
	number  int
	asn     int
	process string // its daemon; empty: the bench
}

func neighbours() []neighbour {
	return []neighbour{
		{"frr", 1, 65001, "bgpd"}, {"bird", 2, 65002, "bird"}, {"gobgp", 3, 65003, "bash"},
		{"west-1", 4, 64513, "underlayd"}, {"raw", 5, rawASN, ""},
	}
}

func neighbourOf(name string) neighbour {
	all := neighbours()
	return all[slices.IndexFunc(all, func(p neighbour) bool { return p.name == name })]
}

// address is the neighbour's on its link with the node.
func (p neighbour) address(v6 bool) netip.Addr {
	if v6 {
		return netip.MustParseAddr(fmt.Sprintf("fd00:fab:%d::2", p.number))
	}
	return netip.AddrFrom4([4]byte{192, 168, byte(p.number), 2})
}

// node is the address of the node under test on the link with the neighbour.
func (p neighbour) node() netip.Addr { return netip.AddrFrom4([4]byte{192, 168, byte(p.number), 1}) }

// prefixes are what the neighbour announces in good times.
func (p neighbour) prefixes() []netip.Prefix {
	list := []netip.Prefix{netip.PrefixFrom(pods(p.number, false), 24).Masked(), netip.PrefixFrom(pods(p.number, true), 64).Masked()}
	if p.name == "bird" {
		list = append(list, netip.MustParsePrefix("10.30.1.0/24"))
	}
	return list
}

// pods is the address of the pod behind a neighbour; 0 is the pod of the node under test.
func pods(number int, v6 bool) netip.Addr {
	switch {
	case number == 0 && v6:
		return netip.MustParseAddr("fd00:10:0:1::10")
	case number == 0:
		return netip.MustParseAddr("10.10.1.10")
	case v6:
		return netip.MustParseAddr(fmt.Sprintf("fd00:20:0:%d::10", number))
	default:
		return netip.AddrFrom4([4]byte{10, 20, byte(number), 10})
	}
}

// contracts are the ranges of which anything may ever be in the kernel.
func contracts() []netip.Prefix {
	var list []netip.Prefix
	for _, s := range []string{"10.20.0.0/16", "fd00:20::/48", "10.30.0.0/16", "fd00:30::/48"} {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// wanted is what the node's kernel has of ours when all is well, but for what comes from neighbours left out.
func wanted(without ...string) []string {
	var routes []string
	for _, p := range neighbours() {
		if slices.Contains(without, p.name) {
			continue
		}
		for _, prefix := range p.prefixes() {
			routes = append(routes, prefix.String()+" via "+p.address(prefix.Addr().Is6()).String())
		}
	}
	slices.Sort(routes)
	return routes
}

// lab is a running topology with its traffic. It belongs to one goroutine.
type lab struct {
	*containerlab.Lab
	o       options
	folder  string // everything of the lab that may be changed: binaries and configurations
	east    *containerlab.Node
	daemon  *daemon
	watch   *watch
	traffic *traffic
	raw     *rawPeer
}

// newLab brings a lab up and waits until all is well.
func newLab(ctx context.Context, o options) (*lab, error) {
	folder, err := os.MkdirTemp(o.folder, "lab-")
	if err != nil {
		return nil, err
	}
	l := &lab{o: o, folder: folder}
	if err := l.up(ctx); err != nil {
		var logs strings.Builder
		if l.Lab != nil {
			err = errors.Join(err, l.WriteLogs(&logs))
		}
		return nil, errors.Join(fmt.Errorf("the lab does not come up: %w", err), l.down(), errors.New(logs.String()))
	}
	return l, nil
}

func (l *lab) up(ctx context.Context) error {
	sources, err := l.sources()
	if err != nil {
		return err
	}
	topology, err := containerlab.Load(filepath.Join(l.o.here, "faults.clab.yml"))
	if err != nil {
		return err
	}
	if l.Lab, err = topology.Up(ctx, containerlab.Options{Sources: sources}); err != nil {
		return err
	}
	l.east = l.Node("east-1")
	l.daemon = newDaemon(l.east)
	if l.watch, err = startWatch(l.east); err != nil {
		return err
	}
	l.raw = newRawPeer(l.Node("raw"))
	if l.traffic, err = startTraffic(l.Lab); err != nil {
		return err
	}
	return l.settle(ctx)
}

// sources copies all that a row may change.
func (l *lab) sources() (map[string]string, error) {
	bin := filepath.Join(l.folder, "bin")
	sources := map[string]string{"../../bin": bin}
	if err := errors.Join(os.Mkdir(bin, 0o755), copyFile(l.o.underlayd, filepath.Join(bin, "underlayd"))); err != nil {
		return nil, err
	}
	for name, files := range configurations() {
		if err := os.Mkdir(filepath.Join(l.folder, name), 0o755); err != nil {
			return nil, err
		}
		for _, file := range files {
			from := filepath.Join(l.o.here, name, file)
			if err := copyFile(from, filepath.Join(l.folder, name, file)); err != nil {
				return nil, err
			}
			if name == "frr" { // its folder belongs to the daemons: files are bound one by one
				sources[name+"/"+file] = filepath.Join(l.folder, name, file)
			} else {
				sources[name] = filepath.Join(l.folder, name)
			}
		}
	}
	return sources, nil
}

// configurations are the files of each node.
func configurations() map[string][]string {
	return map[string][]string{
		"east-1": {"config.yaml"}, "west-1": {"config.yaml"}, "frr": {"daemons", "frr.conf"}, "bird": {"bird.conf"},
		"gobgp": {"start", "gobgpd.toml"},
	}
}

// copyFile makes a file that is not the same as any that is there: a program that runs can't be written to.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Close())
	}
	return errors.Join(out.Chmod(0o755), out.Close(), os.Rename(to+".new", to))
}

// settle waits until all is well: sessions, routes and traffic.
func (l *lab) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error // that was not brought about by the limit
	err := containerlab.Until(ctx, "all to be well", func(ctx context.Context) error {
		if err := l.well(ctx); err == nil || last == nil || ctx.Err() == nil {
			last = err
		}
		return last
	})
	return err
}

// well says what is not as it is to be.
func (l *lab) well(ctx context.Context) error {
	s, err := l.daemon.state(ctx)
	if err != nil {
		return err
	}
	if err := settledState(s); err != nil {
		return err
	}
	if err := l.routesAre(wanted()); err != nil {
		return err
	}
	return l.traffic.alive()
}

// routesAre compares the kernel's routes of ours with what they should be.
func (l *lab) routesAre(want []string) error {
	ours, _, err := kernelRoutes(l.east)
	if err == nil && !slices.Equal(ours, want) {
		err = fmt.Errorf("the kernel lacks %q and has %q", without(want, ours), without(ours, want))
	}
	return err
}

// path is where a node's configuration file is.
func (l *lab) path(node, file string) string { return filepath.Join(l.folder, node, file) }

// restore gives a node its original configuration back; nothing happens if it has it.
func (l *lab) restore(node, file string) error {
	original, err := os.ReadFile(filepath.Join(l.o.here, node, file))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(l.path(node, file))
	if err == nil && string(text) == string(original) {
		return nil
	}
	return l.write(node, file, string(original))
}

// write replaces a configuration as an editor does, by a new file. A daemon that runs has read it afterwards.
func (l *lab) write(node, file, text string) error {
	path, p := l.path(node, file), l.Node(node).Process("underlayd")
	running := p != nil && p.Running()
	size := 0
	if running {
		size = len(p.LogTail(math.MaxInt32))
	}
	if err := os.WriteFile(path+".new", []byte(text), 0o644); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	if !running {
		return nil
	}
	// It says so of each change. That a file is as it was before one that was refused is none: then it is waited in vain.
	ctx, cancel := context.WithTimeout(context.Background(), reloadTime)
	defer cancel()
	_ = containerlab.Until(ctx, "the configuration to be read", func(context.Context) error {
		if text := p.LogTail(math.MaxInt32); !strings.Contains(text[min(size, len(text)):], "configuration") {
			return errors.New("not yet")
		}
		return nil
	})
	return nil
}

// down ends everything. What was never up is left out.
func (l *lab) down() error {
	var errs []error
	if l.traffic != nil {
		l.traffic.end()
	}
	if l.raw != nil {
		l.raw.end()
	}
	if l.watch != nil {
		errs = append(errs, l.watch.close())
	}
	if l.Lab != nil {
		errs = append(errs, l.Down())
	}
	return errors.Join(append(errs, os.RemoveAll(l.folder))...)
}

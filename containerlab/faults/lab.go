package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/underlayd/underlayd/containerlab"
	"github.com/underlayd/underlayd/k8s/apitest"
)

// patience is what anything may take that has no promise of its own.
const patience = 30 * time.Second

// reloadTime is how long a daemon may take to read a new configuration.
const reloadTime = time.Second

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
	api     *apitest.Server       // of rows about Kubernetes, once one was played
	forward *containerlab.Forward // to it
	proxy   *proxy                // to it, once a row wanted one
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
	if l.raw.current() == nil { // the daemon may not know yet that a session of another kind has ended
		return errors.New("the raw peer has no session of its own")
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
	err := containerlab.Until(ctx, "the configuration to be read", func(context.Context) error {
		if text := p.LogTail(math.MaxInt32); !strings.Contains(text[min(size, len(text)):], "configuration") {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return pause(context.Background(), reloadTime/2) // what it has read is applied after it is said
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
	if l.proxy != nil {
		errs = append(errs, l.proxy.close())
	}
	if l.forward != nil {
		errs = append(errs, l.forward.Close())
	}
	if l.api != nil {
		errs = append(errs, l.api.Close())
	}
	if l.watch != nil {
		errs = append(errs, l.watch.close())
	}
	if l.Lab != nil {
		errs = append(errs, l.Down())
	}
	return errors.Join(append(errs, os.RemoveAll(l.folder))...)
}

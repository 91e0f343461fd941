package containerlab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Node is one node of a running lab. Its methods may be called from any goroutine; once it is killed or its lab is
// down they return ErrGone. On a node that its lab does not have they return an error that says so.
type Node struct {
	err    error // every operation fails with it: there is no such node
	lab    *Lab
	spec   NodeSpec
	logs   string // folder of the log files
	pid    int    // of the holder
	way    entrance
	holder *holder // nil in a lab that this process did not make

	mu        sync.Mutex // guards processes
	processes map[string]*Process
}

// Name is the node's name in the topology; its host name too.
func (n *Node) Name() string { return n.spec.Name }

// Spec is what the topology says of the node.
func (n *Node) Spec() NodeSpec { return n.spec }

// PID is process 1 of the node as this machine sees it: `nsenter -t PID -a` enters the node.
func (n *Node) PID() int { return n.pid }

// Path is where this machine finds a file or socket of the node. Symbolic links in path are followed on the machine,
// not in the node: write /run, not /var/run. It means nothing once the node is gone.
func (n *Node) Path(path string) string {
	return filepath.Join("/proc", strconv.Itoa(n.pid), "root", path)
}

// Do runs f in the network of the node, on a thread of its own; everything else of f's surroundings is the
// machine's. Sockets that f opens stay in the node's network; goroutines that f starts are outside.
func (n *Node) Do(f func() error) error {
	if n.err != nil {
		return n.err
	}
	return n.way.enter(inNetwork, f)
}

// Dial connects from the node's network. The address must be numeric; unix sockets are reached through Path instead.
// The signature is that of net.Dialer.DialContext, so that HTTP and Kubernetes clients can use it.
func (n *Node) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return nil, fmt.Errorf("%s: dial: %w", n.Name(), err)
	}
	var conn net.Conn
	err := n.Do(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n.Name(), err)
	}
	return conn, nil
}

// LinkUp sets an interface of the node up.
func (n *Node) LinkUp(iface string) error { return n.setLink(iface, true) }

// LinkDown sets an interface of the node down, as pulling the cable does: the other end loses its carrier.
func (n *Node) LinkDown(iface string) error { return n.setLink(iface, false) }

func (n *Node) setLink(iface string, up bool) error {
	if err := n.Do(func() error { return setLink(iface, up) }); err != nil {
		return fmt.Errorf("%s: %w", n.Name(), err)
	}
	return nil
}

// Process is the process of that name that was started last, running or not, or nil. Labs that were attached to know
// only the processes started since.
func (n *Node) Process(name string) *Process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.processes[name]
}

// Processes returns the node's processes, running or not, by name.
func (n *Node) Processes() []*Process {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]*Process, 0, len(n.processes))
	for _, name := range slices.Sorted(maps.Keys(n.processes)) {
		list = append(list, n.processes[name])
	}
	return list
}

// Launch starts what the node's cmd or image starts, except for what is running already, and waits until daemons
// known to this package are ready. Up does it for every node that is not in Options.Manual; after Process.Stop it
// starts the node's programs again.
func (n *Node) Launch(ctx context.Context) error {
	if n.err != nil {
		return n.err
	}
	if len(n.spec.Cmd) > 0 {
		_, err := n.ensure(filepath.Base(n.spec.Cmd[0]), n.spec.Cmd...)
		return err
	}
	if start := starterOf(n.spec.Image).start; start != nil {
		if err := start(ctx, n); err != nil {
			return fmt.Errorf("%s: %w", n.Name(), err)
		}
	}
	return nil
}

// Kill is the power cut: all processes of the node are gone at once, and so are its links, for the neighbours too.
// The node does not come back. A second call does nothing.
func (n *Node) Kill() error {
	if n.err != nil {
		return n.err
	}
	if err := n.end(); err != nil {
		return fmt.Errorf("%s: kill: %w", n.Name(), err)
	}
	return nil
}

// end kills the node and waits until nothing of it is left.
func (n *Node) end() error {
	fd, err := n.way.dup()
	if errors.Is(err, ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	errs := []error{n.way.kill()}
	if n.holder == nil {
		return errors.Join(append(errs, waitForEnd(fd))...)
	}
	if err := n.holder.end(); err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, p := range n.Processes() {
		<-p.Done()
	}
	return errors.Join(errs...)
}

// make readies a fresh node: its file tree, then its network without links.
func (n *Node) make(ctx context.Context, sources map[string]string) error {
	if err := os.MkdirAll(n.logs, 0o755); err != nil {
		return err
	}
	problems, err := os.OpenFile(filepath.Join(n.logs, "holder.log"), os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer problems.Close()
	binds, err := openBinds(n.spec.Binds, sources)
	defer closeBinds(binds)
	if err != nil {
		return err
	}
	h, err := startHolder(ctx, "lab:"+n.lab.name+"/"+n.spec.Name, problems)
	if err != nil {
		return err
	}
	n.holder, n.pid = h, h.cmd.Process.Pid
	n.way.open(h.pidfd)
	hidden, err := mountsBelow(n.pid, "/run")
	if err != nil {
		return err
	}
	v := &view{hostName: n.spec.Name, binds: binds, image: starterOf(n.spec.Image), hidden: hidden}
	return n.way.enter(inNode, func() error {
		if err := v.arrange(); err != nil {
			return err
		}
		return prepareNetwork(&n.spec)
	})
}

// configure runs the exec lines and starts the node's programs.
func (n *Node) configure(ctx context.Context, launch bool) error {
	for _, argv := range n.spec.Exec {
		if _, err := n.Output(ctx, argv...); err != nil {
			return err
		}
	}
	if !launch {
		return nil
	}
	return n.Launch(ctx)
}

package containerlab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Process is a program that runs in the background of a node, with its output in a log file. It ends with its node.
type Process struct {
	name string
	log  string
	cmd  *Cmd
	done chan struct{}
	err  error // set before done is closed
}

// Start starts a program in the background of the node; name tells it from the node's other processes and names its
// log file, to which it appends. A name is free again once its process has ended.
func (n *Node) Start(name string, argv ...string) (*Process, error) {
	if n.err != nil {
		return nil, n.err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.processes[name]; p != nil && p.Running() {
		return nil, fmt.Errorf("%s: %s is already running", n.Name(), name)
	}
	return n.startLocked(name, argv)
}

// ensure starts a process unless it is running.
func (n *Node) ensure(name string, argv ...string) (*Process, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.processes[name]; p != nil && p.Running() {
		return p, nil
	}
	return n.startLocked(name, argv)
}

func (n *Node) startLocked(name string, argv []string) (*Process, error) {
	p := &Process{name: name, log: filepath.Join(n.logs, name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("%s: log of %s: %w", n.Name(), name, err)
	}
	defer log.Close()
	p.cmd = n.Command(context.Background(), argv...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // the terminal's signals are not for it
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	n.processes[name] = p
	return p, nil
}

// Name is the name given to Start.
func (p *Process) Name() string { return p.name }

// PID is the process id as this machine sees it, good for /proc.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// LogPath is the file with the output of all processes of this name.
func (p *Process) LogPath() string { return p.log }

// LogTail is the end of the log: at most that many lines of it.
func (p *Process) LogTail(lines int) string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running says whether the process has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Err is nil while the process runs and when it ended with exit code 0, otherwise how it ended.
func (p *Process) Err() error {
	if p.Running() {
		return nil
	}
	return p.err
}

// Wait waits for the end of the process and says how it ended, as exec.Cmd.Wait does. Any number may wait.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Signal sends a signal. A process that has ended is no error.
func (p *Process) Signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s: signal %s: %w", p.name, s, err)
	}
	return nil
}

// Stop sends SIGTERM and waits for the end; when ctx ends first it sends SIGKILL, waits again and says so. How the
// process ended is told by Err, not by Stop.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("%s: did not end on SIGTERM: %w", p.name, context.Cause(ctx)), p.Kill())
	}
}

// Kill sends SIGKILL and waits for the end.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

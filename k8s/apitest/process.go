package apitest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// nursery starts processes that cannot outlive this one. The kernel sends
// PR_SET_PDEATHSIG when the *thread* that forked ends, so one goroutine keeps
// one thread for as long as the nursery is open and does all the starting.
type nursery struct{ starts chan func() }

func newNursery() *nursery {
	n := &nursery{starts: make(chan func())}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for start := range n.starts {
			start()
		}
	}()
	return n
}

// close ends the nursery and kills what is still running in it.
func (n *nursery) close() { close(n.starts) }

// process is one running child.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed once the child was reaped
}

// start runs argv in dir, its output in dir/<name>.log.
func (n *nursery) start(dir, name string, argv ...string) (*process, error) {
	p := &process{log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer out.Close()
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	n.starts <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log; that it ended is what callers ask
		close(p.done)
	}()
	return p, nil
}

// kill ends the process at once and returns when it was reaped.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // os.ErrProcessDone is what was wanted
	<-p.done
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// tail returns the end of the process's output, for error messages.
func (p *process) tail() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	if len(data) > 4096 {
		data = data[len(data)-4096:]
	}
	return string(bytes.TrimSpace(data))
}

// scratch is a directory that is removed when this process ends, however it
// ends: a shell in a session of its own holds the other end of a pipe and
// removes the directory at end of file.
type scratch struct {
	dir     string
	pipe    io.Closer
	janitor *exec.Cmd
}

// The children in the directory get their SIGKILL at the same moment, and may
// still be writing: removal is tried until nothing is left.
const janitorScript = `cat >/dev/null
i=0
while [ $i -lt 200 ]; do
	rm -rf -- "$1" 2>/dev/null
	[ -e "$1" ] || exit 0
	i=$((i+1)); sleep 0.05
done
exit 1`

func newScratch() (*scratch, error) {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails since Go 1.24
	dir := filepath.Join(os.TempDir(), "underlayd-apitest-"+hex.EncodeToString(random[:]))
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("scratch directory: %w", err)
	}
	defer reader.Close()
	// The janitor comes first: no moment in which the directory has no janitor.
	janitor := exec.Command("/bin/sh", "-c", janitorScript, "janitor", dir)
	janitor.Dir, janitor.Stdin = "/", reader
	janitor.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := janitor.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("scratch directory: %w", err), writer.Close())
	}
	s := &scratch{dir: dir, pipe: writer, janitor: janitor}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, errors.Join(fmt.Errorf("scratch directory: %w", err), s.remove())
	}
	return s, nil
}

// remove deletes the directory and waits until it is gone.
func (s *scratch) remove() error {
	closed := s.pipe.Close()
	if err := s.janitor.Wait(); err != nil {
		return errors.Join(closed, fmt.Errorf("remove %s: %w", s.dir, err))
	}
	return closed
}

// poll calls done every 50 ms until it answers true or ctx ends.
func poll(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

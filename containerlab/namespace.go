package containerlab

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	inNetwork = unix.CLONE_NEWNET
	inNode    = unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWPID
)

// ErrGone is what every operation on a node returns once the node has been killed or its lab is down.
var ErrGone = errors.New("the node is gone")

// entrance is the way into a node: a pidfd of its holder. A pidfd pins neither the process nor its namespaces, so a
// killed holder takes its links and processes with it at once, and it can never come to mean another process.
type entrance struct {
	mu    sync.Mutex // guards pidfd
	pidfd int        // -1 once closed
}

// enter runs f in the given namespaces of the node, on a thread that is thrown away afterwards. Goroutines started by
// f run outside; processes started by f run inside, for they are children of that thread.
func (e *entrance) enter(flags int, f func() error) error {
	fd, err := e.dup()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return onOwnThread(func() error {
		if flags&unix.CLONE_NEWNS != 0 {
			// The threads of a Go process share root and working folder; a mount namespace is
			// entered only by a thread that has its own.
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return fmt.Errorf("unshare: %w", err)
			}
		}
		err := unix.Setns(fd, flags)
		if errors.Is(err, unix.ESRCH) {
			return ErrGone
		}
		if err != nil {
			return fmt.Errorf("setns: %w", err)
		}
		return f()
	})
}

// dup gives the caller a pidfd of its own, so that closing the entrance never races with its use.
func (e *entrance) dup() (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pidfd < 0 {
		return -1, ErrGone
	}
	fd, err := unix.FcntlInt(uintptr(e.pidfd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("pidfd: %w", err)
	}
	return fd, nil
}

// open makes the way in usable; it takes over the pidfd.
func (e *entrance) open(pidfd int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pidfd = pidfd
}

// kill ends the holder, and with it all processes of the node. A second call does nothing.
func (e *entrance) kill() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pidfd < 0 {
		return nil
	}
	err := unix.PidfdSendSignal(e.pidfd, unix.SIGKILL, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		err = nil
	}
	return errors.Join(err, e.closeLocked())
}

func (e *entrance) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closeLocked()
}

func (e *entrance) closeLocked() error {
	if e.pidfd < 0 {
		return nil
	}
	fd := e.pidfd
	e.pidfd = -1
	return unix.Close(fd)
}

// onOwnThread runs f on a thread nobody else uses, before or after.
func onOwnThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread can't be thrown away: it would stay in the node, and /proc/self with it.
			// While it is held here, f gets another one.
			result <- onOwnThread(f)
			runtime.UnlockOSThread()
			return
		}
		result <- f() // locked and never unlocked: the thread ends with the goroutine
	}()
	return <-result
}

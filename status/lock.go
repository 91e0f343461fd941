package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Lock keeps a second daemon off the node. The kernel holds it for the process and lets go when the process
// ends, however it ends; the file stays and means nothing by itself.
type Lock struct{ file *os.File }

// HeldError says who has the lock. Its fields are zero where the holder has not written them yet.
type HeldError struct {
	Path    string
	Holder  Holder
	foreign bool // the pid is of another pid namespace
}

// Holder is what the holder of a Lock writes into the file for others to read.
type Holder struct {
	PID          int       `json:"pid"`
	PIDNamespace string    `json:"pidNamespace"`
	Started      time.Time `json:"started"`
}

func (e *HeldError) Error() string {
	if e.Holder.PID == 0 {
		return fmt.Sprintf("another underlayd runs on this node (it holds %s)", e.Path)
	}
	where := ""
	if e.foreign {
		where = " in another pid namespace, that is, a container"
	}
	return fmt.Sprintf("another underlayd runs on this node: pid %d%s, started %s (it holds %s)",
		e.Holder.PID, where, e.Holder.Started.Format(time.RFC3339), e.Path)
}

// AcquireLock takes the lock of the runtime directory, making the directory if it is missing. If another process
// has it, the error is a *HeldError naming that process. started is written for others to read.
func AcquireLock(runtimeDirectory string, started time.Time) (*Lock, error) {
	path := filepath.Join(runtimeDirectory, lockName)
	for {
		l, err := acquire(path)
		if err != nil {
			return nil, err
		}
		if !l.current(path) { // removed after we had opened it
			_ = l.Release()
			continue
		}
		if err := l.sign(started); err != nil {
			return nil, errors.Join(err, l.Release())
		}
		return l, nil
	}
}

func acquire(path string) (*Lock, error) {
	runtimeDirectory := filepath.Dir(path)
	if err := os.MkdirAll(runtimeDirectory, 0o755); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	// Readable by all, so that the message about the holder needs no rights; close-on-exec, so that no child
	// of ours keeps the lock alive.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = heldBy(path, file)
		} else {
			err = fmt.Errorf("lock %s: %w", path, err)
		}
		return nil, errors.Join(err, file.Close())
	}
	return &Lock{file: file}, nil
}

// current says whether the file that is locked is the one that others find.
func (l *Lock) current(path string) bool {
	ours, err := l.file.Stat()
	if err != nil {
		return false
	}
	theirs, err := os.Stat(path)
	return err == nil && os.SameFile(ours, theirs)
}

// sign writes who we are over whatever the last holder wrote. A reader in between finds nothing it can parse,
// and then says just that there is another.
func (l *Lock) sign(started time.Time) error {
	text, err := json.Marshal(Holder{PID: os.Getpid(), PIDNamespace: pidNamespace(), Started: started})
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if _, err := l.file.WriteAt(append(text, '\n'), 0); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	return nil
}

func heldBy(path string, file *os.File) error {
	e := &HeldError{Path: path}
	var h Holder
	if json.NewDecoder(file).Decode(&h) == nil && h.PID > 0 {
		e.Holder, e.foreign = h, h.PIDNamespace != pidNamespace()
	}
	return e
}

// pidNamespace tells apart equal pids of different containers; empty if /proc is not there.
func pidNamespace() string {
	name, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return name
}

// Remove is Release that leaves no file, nor an empty runtime directory, unless something is mounted there. Who has just
// opened the file notices, and takes the lock of a new one.
func (l *Lock) Remove() error {
	if err := os.Remove(l.file.Name()); err != nil {
		return errors.Join(fmt.Errorf("remove the lock: %w", err), l.Release())
	}
	_ = os.Remove(filepath.Dir(l.file.Name())) // others may have files there
	return l.Release()
}

// Release lets go of the lock. The file stays. Releasing twice is an error and harmless.
func (l *Lock) Release() error {
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("release the lock: %w", err)
	}
	return nil
}

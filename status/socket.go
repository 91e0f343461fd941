package status

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The names of the daemon's files in its runtime directory.
const (
	socketName = "underlayd.sock"
	lockName   = "underlayd.lock"
)

// SocketPath is where the daemon that runs in this runtime directory serves its API.
func SocketPath(runtimeDirectory string) string { return filepath.Join(runtimeDirectory, socketName) }

// maxSocketPath is what fits in sockaddr_un, without the closing zero (unix(7)).
const maxSocketPath = 107

// listen makes the socket, with its directory, for root's eyes only from the first moment on.
func listen(ctx context.Context, path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("status socket %s: the path has %d bytes, a socket's may have %d", path, len(path), maxSocketPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("status socket: %w", err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// On Linux, bind gives the file the mode of the socket's own inode (less the umask). Setting that before
	// bind leaves no moment in which others could connect, and does not touch the umask of the whole process.
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(err, failed)
	}}
	l, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("status socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil { // should a kernel not keep that promise
		return nil, errors.Join(fmt.Errorf("status socket: %w", err), l.Close())
	}
	return l, nil
}

// removeStale removes the socket of a process that is gone. A living one is an error naming its owner; something
// that is not a socket is never removed.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("status socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("status socket %s: a file that is not a socket has this name", path)
	}
	c, err := net.DialTimeout("unix", path, 2*time.Second)
	if err == nil {
		owner := peerPID(c)
		return errors.Join(fmt.Errorf("status socket %s: in use by another process%s", path, owner), c.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("status socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("status socket: remove a stale one: %w", err)
	}
	return nil
}

// peerPID names the process that listens at the other end, if the kernel can (it cannot across pid namespaces).
func peerPID(c net.Conn) string {
	unixConn, ok := c.(*net.UnixConn)
	if !ok {
		return ""
	}
	raw, err := unixConn.SyscallConn()
	if err != nil {
		return ""
	}
	pid := 0
	err = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	if err != nil || pid == 0 {
		return ""
	}
	return fmt.Sprintf(" (pid %d)", pid)
}

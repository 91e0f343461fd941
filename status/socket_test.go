package status

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheSocketIsForRootOnlyWhateverTheUmask(t *testing.T) {
	path := SocketPath(runtimeDirectory(t))
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	l, err := listen(t.Context(), path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), mode(t, path))
	require.NoError(t, l.Close())
	_, err = os.Stat(path)
	require.ErrorIs(t, err, fs.ErrNotExist, "the socket goes with its listener")
}

// TestTheSocketIsNeverOpenToOthersNotEvenForAMoment watches the file while it is made over and over.
func TestTheSocketIsNeverOpenToOthersNotEvenForAMoment(t *testing.T) {
	path := SocketPath(runtimeDirectory(t))
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	stop, seen := make(chan struct{}), make(chan fs.FileMode, 1)
	go func() {
		defer close(seen)
		for {
			if info, err := os.Lstat(path); err == nil && info.Mode().Perm() != 0o600 {
				seen <- info.Mode().Perm()
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	for range 500 {
		l, err := listen(t.Context(), path)
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
	close(stop)
	for m := range seen {
		require.Equal(t, fs.FileMode(0o600), m)
	}
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Mode().Perm()
}

func TestASocketLeftByADeadDaemonIsReplaced(t *testing.T) {
	directory := runtimeDirectory(t)
	start(t, "serve", directory).kill()
	_, err := os.Stat(SocketPath(directory))
	require.NoError(t, err, "a killed daemon leaves its socket")
	l, err := listen(t.Context(), SocketPath(directory))
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

func TestASocketOfALivingDaemonIsNotTaken(t *testing.T) {
	directory := runtimeDirectory(t)
	other := start(t, "serve", directory)
	err := Serve(t.Context(), SocketPath(directory), &Board{})
	require.EqualError(t, err, fmt.Sprintf("status socket %s: in use by another process (pid %d)", SocketPath(directory), other.Process.Pid))
	_, err = os.Stat(SocketPath(directory))
	require.NoError(t, err, "and it stays")
}

func TestAFileThatIsNoSocketIsNotRemoved(t *testing.T) {
	path := SocketPath(t.TempDir())
	require.NoError(t, os.WriteFile(path, []byte("precious"), 0o600))
	require.EqualError(t, Serve(t.Context(), path, &Board{}), "status socket "+path+": a file that is not a socket has this name")
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "precious", string(content))
}

func TestAPathTooLongForASocketIsNamedAsSuch(t *testing.T) {
	err := Serve(t.Context(), "/run/"+strings.Repeat("x", 103), &Board{})
	require.ErrorContains(t, err, "the path has 108 bytes, a socket's may have 107")
}

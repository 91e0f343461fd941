package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/bgp"
	"github.com/underlayd/underlayd/bgp/fib"
	"github.com/underlayd/underlayd/containerlab"
)

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	temporary := path + ".new"
	require.NoError(t, os.WriteFile(temporary, []byte(text), 0o600))
	require.NoError(t, os.Chmod(temporary, mode))
	require.NoError(t, os.Rename(temporary, path))
}

// publishSecret writes a version of a secret as the kubelet does, with the mode it uses unasked.
func publishSecret(t *testing.T, dir, version, text string, mode os.FileMode) {
	t.Helper()
	require.NoError(t, os.Mkdir(filepath.Join(dir, version), 0o755))
	write(t, filepath.Join(dir, version, "key"), text, mode)
	require.NoError(t, os.Symlink(version, filepath.Join(dir, "..data.new")))
	require.NoError(t, os.Rename(filepath.Join(dir, "..data.new"), filepath.Join(dir, "..data")))
	if _, err := os.Lstat(filepath.Join(dir, "key")); err != nil {
		require.NoError(t, os.Symlink("..data/key", filepath.Join(dir, "key")))
	}
}

func TestReadPassword(t *testing.T) {
	for _, row := range []struct {
		name    string
		make    func(t *testing.T, path string)
		problem string
	}{
		{"a file of the owner alone is fine", func(t *testing.T, path string) { write(t, path, "Fabr1c\n", 0o600) }, ""},
		{"one that can't be written is fine", func(t *testing.T, path string) { write(t, path, "Fabr1c\n", 0o400) }, ""},
		{"a link to such a file is fine", func(t *testing.T, path string) {
			write(t, path+".real", "Fabr1c\n", 0o600)
			require.NoError(t, os.Symlink(path+".real", path))
		}, ""},
		{"a Kubernetes secret is fine as the kubelet writes it", func(t *testing.T, path string) {
			publishSecret(t, filepath.Dir(path), "..1", "Fabr1c\n", 0o644)
		}, ""},
		{"none is refused", func(*testing.T, string) {}, "no such file or directory"},
		{"one that the group can read is refused", func(t *testing.T, path string) { write(t, path, "Fabr1c\n", 0o640) }, "has mode 0640"},
		{"one that everybody can read is refused", func(t *testing.T, path string) { write(t, path, "Fabr1c\n", 0o604) }, "chmod 600"},
		{"a link of that name that the kubelet did not make is no excuse", func(t *testing.T, path string) {
			write(t, path+".real", "Fabr1c\n", 0o644)
			require.NoError(t, os.Symlink(path+".real", path))
		}, "has mode 0644"},
		{"a Kubernetes secret that others can write is refused", func(t *testing.T, path string) {
			publishSecret(t, filepath.Dir(path), "..1", "Fabr1c\n", 0o666)
		}, "nobody else may write"},
		{"one of somebody else is refused", func(t *testing.T, path string) {
			write(t, path, "Fabr1c\n", 0o600)
			require.NoError(t, os.Chown(path, 12345, 12345))
		}, "belongs to user 12345"},
		{"a directory is refused", func(t *testing.T, path string) { require.NoError(t, os.Mkdir(path, 0o700)) }, "must be a regular file"},
		{"a pipe is refused and not waited for", func(t *testing.T, path string) { require.NoError(t, syscall.Mkfifo(path, 0o600)) }, "must be a regular file"},
		{"an empty one is refused", func(t *testing.T, path string) { write(t, path, "\n", 0o600) }, "is empty: a password has 1 to 80 bytes"},
		{"one that is too long is refused", func(t *testing.T, path string) { write(t, path, strings.Repeat("Fabr1c", 14), 0o600) }, "has 84 bytes"},
		{"a large file is not read whole", func(t *testing.T, path string) { write(t, path, strings.Repeat("Fabr1c", 1<<20), 0o600) }, "has 4096 bytes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			containerlab.Require(t)
			path := filepath.Join(t.TempDir(), "key")
			row.make(t, path)
			key, err := readPassword(path)
			if row.problem == "" {
				require.NoError(t, err)
				require.False(t, key.IsZero())
				return
			}
			require.ErrorContains(t, err, row.problem)
			require.ErrorContains(t, err, path)
			require.NotContains(t, err.Error(), "Fabr1c")
		})
	}
}

// TestPasswordsAreFollowed: through the ways in which files change, with and without somebody saying so.
func TestPasswordsAreFollowed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	log, hook := logtest.NewNullLogger()
	log.SetLevel(logrus.DebugLevel)
	p := newPasswords(log)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	c := parse(t, strings.Replace(sample, "asn: 65000,", "asn: 65000, passwordFile: "+path+",", 1))
	peer := func() bgp.Peer { return speakerPeers(c, newPlan(c, fib.Facts{}), nowhere, p.of(c))[0] }
	becomes := func(what string, is func(bgp.Peer) bool) {
		t.Helper()
		require.Eventually(t, func() bool { return is(peer()) }, time.Minute, 10*time.Millisecond, what)
	}
	key := func(text string) bgp.Secret {
		s, err := bgp.ParseSecret([]byte(text))
		require.NoError(t, err)
		return s
	}

	require.Contains(t, peer().Refused, path, "a peer without its password must not run")
	require.True(t, peer().Password.IsZero())
	publishSecret(t, dir, "..1", "one", 0o644)
	becomes("the file appears", func(p bgp.Peer) bool { return p.Refused == "" && p.Password == key("one") })
	publishSecret(t, dir, "..2", "two\n", 0o644)
	becomes("the kubelet swaps its links", func(p bgp.Peer) bool { return p.Password == key("two") })
	require.Empty(t, sessionProblems(c, nil, p.of(c)))

	publishSecret(t, dir, "..3", "", 0o644)
	require.Eventually(t, func() bool { return len(sessionProblems(c, nil, p.of(c))) == 1 }, time.Minute, 10*time.Millisecond)
	problem := sessionProblems(c, nil, p.of(c))[0]
	require.Equal(t, "peer tor", problem.Subject)
	require.Contains(t, problem.Message, "is empty")
	require.Contains(t, problem.Message, "stays in force")
	require.Equal(t, key("two"), peer().Password, "a mistake in the file changes nothing")
	require.Empty(t, peer().Refused)

	require.NoError(t, os.Remove(path))
	becomes("and neither does its end", func(p bgp.Peer) bool { return p.Password == key("two") })
	write(t, path, "three", 0o600)
	becomes("until there is another", func(p bgp.Peer) bool { return p.Password == key("three") })
	require.Empty(t, sessionProblems(c, nil, p.of(c)))

	bare := parse(t, sample)
	require.Empty(t, p.of(bare))
	require.True(t, speakerPeers(bare, newPlan(bare, fib.Facts{}), nowhere, p.of(bare))[0].Password.IsZero())
	for _, entry := range hook.AllEntries() {
		text, err := entry.String()
		require.NoError(t, err)
		require.NotContains(t, text, "three")
		require.NotContains(t, text, "two")
	}
}

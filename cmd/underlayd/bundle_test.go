package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/status"
)

// unpacked reads an archive whole.
func unpacked(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	plain, err := gzip.NewReader(r)
	require.NoError(t, err)
	files := map[string]string{}
	for in := tar.NewReader(plain); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		require.Equal(t, int64(0o600), h.Mode)
		text, err := io.ReadAll(in)
		require.NoError(t, err)
		name, inside := strings.CutPrefix(h.Name, "underlayd/")
		require.True(t, inside, h.Name)
		require.NotContains(t, files, name)
		files[name] = string(text)
	}
}

// TestABundleWithoutADaemon has the rest, says what is missing, and holds no password.
func TestABundleWithoutADaemon(t *testing.T) {
	folder := t.TempDir()
	const password = "hunter2-and-3"
	key, file := filepath.Join(folder, "fabric.key"), filepath.Join(folder, "config.yaml")
	require.NoError(t, os.WriteFile(key, []byte(password), 0o600))
	peers := "\n  - {name: guarded, address: 192.0.2.77, asn: 65001, passwordFile: " + key + "}\n  - {name: secret, address: 192.0.2.78, asn: 65001, passwordSecret: {name: keys}}"
	text := strings.Replace(sample, "\n  peers:", "\n  peers:"+peers, 1)
	require.NotEqual(t, sample, text)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	t.Setenv("PATH", folder) // without programs

	archive := filepath.Join(folder, "bundle.tar.gz")
	argv := []string{"bundle", "-f", archive, "-c", file, "--socket", filepath.Join(folder, "none.sock")}
	out, code := execute(t, argv...)
	require.Zero(t, code, out)
	info, err := os.Stat(archive)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	f, err := os.Open(archive)
	require.NoError(t, err)
	defer f.Close()
	files := unpacked(t, f)
	require.Contains(t, files["config.yaml"], key, "the path stays")
	require.Contains(t, files["version.txt"], "underlayd ")
	require.Contains(t, files["kernel/sysctls.txt"], "net/ipv4/ip_forward = ")
	for _, line := range []string{"status.json: ", "routes.json: ", "metrics.txt: ", "kernel/links.json: ip is not installed here; on the node: ip -j", "kernel/nftables.json: nft is not"} {
		require.Contains(t, files["errors.txt"], line)
	}
	require.NotContains(t, files, "status.json")
	for name, text := range files {
		require.NotContains(t, text, password, name)
	}

	out, code = execute(t, argv...)
	require.Equal(t, exitFailed, code)
	require.Contains(t, out, "file exists")
}

func TestABundleIsBounded(t *testing.T) {
	name := filepath.Join(t.TempDir(), "bundle")
	const pieces = 5
	var failed []string
	require.NoError(t, writeNew(name, func(w io.Writer) error {
		a := newArchive(w, time.Now())
		for i := range pieces {
			err := a.add(fmt.Sprint(i), func(w io.Writer) error {
				_, err := io.CopyN(w, zeroes{}, partMost+1)
				return err
			})
			if err != nil {
				return err
			}
		}
		failed = a.failed
		return a.close()
	}))
	require.Len(t, failed, pieces)
	require.Equal(t, "0: "+errPartTooLarge.Error(), failed[0])
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	plain, err := gzip.NewReader(f)
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, plain)
	require.NoError(t, err)
	require.Greater(t, n, int64(bundleMost))
	require.Less(t, n, int64(bundleMost+100<<10), "the parts, and what tar adds to each")
}

// zeroes is a file without end.
type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestAPartThatFailsIsNotedAndWhatCameIsKept(t *testing.T) {
	var b strings.Builder
	a := newArchive(&b, time.Now())
	require.NoError(t, a.add("half", func(w io.Writer) error {
		_, _ = io.WriteString(w, "so far")
		return errors.New("it\nended")
	}))
	require.NoError(t, a.add("slow", func(w io.Writer) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		return runInto(ctx, w, []string{"sh", "-c", "exec cat"})
	}))
	require.NoError(t, a.add("wrong", func(w io.Writer) error {
		return runInto(t.Context(), w, []string{"sh", "-c", "echo no such thing >&2; exit 3"})
	}))
	require.NoError(t, a.close())
	files := unpacked(t, strings.NewReader(b.String()))
	require.Equal(t, "so far", files["half"])
	require.Regexp(t, `^half: it ended\nslow: sh -c exec cat: context canceled\nwrong: sh -c .*: exit status 3: no such thing\n$`, files["errors.txt"])
}

func TestABundleThatCanNotBeWrittenLeavesNothing(t *testing.T) {
	name := filepath.Join(t.TempDir(), "bundle")
	full := errors.New("no space left")
	require.ErrorIs(t, writeNew(name, func(io.Writer) error { return full }), full)
	require.NoFileExists(t, name)
	c := newCollector(t.Context(), status.NewClient(filepath.Join(t.TempDir(), "none")), "none")
	require.NotEmpty(t, c.node)
}

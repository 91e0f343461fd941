package scenario

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// writeImage writes an image of the programs under test, called underlayd:test.
func writeImage(t *testing.T) string {
	t.Helper()
	file := filepath.Join(emptyFolder(t), "image.tar")
	write := exec.Command("go", "run", "../../.ci/image/main.go", "../../.ci/image/sbom.go", "-name", "underlayd:test", "-version", "test", "-created", "1700000000",
		"-programs", filepath.Dir(built(t).underlayd), "-license", "../../LICENSE", "-o", file)
	out, err := write.CombinedOutput()
	require.NoError(t, err, string(out))
	return file
}

// untar returns the files of an archive by name, and what is said of all of them.
func untar(t *testing.T, text []byte) (files map[string][]byte, modes map[string]string) {
	t.Helper()
	files, modes = map[string][]byte{}, map[string]string{}
	for in := tar.NewReader(bytes.NewReader(text)); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return files, modes
		}
		require.NoError(t, err)
		require.Equal(t, int64(1700000000), h.ModTime.Unix(), h.Name)
		require.Zero(t, h.Uid+h.Gid)
		require.Empty(t, h.Uname+h.Gname)
		modes[h.Name] = h.FileInfo().Mode().String()
		if h.Typeflag == tar.TypeReg {
			files[h.Name], err = io.ReadAll(in)
			require.NoError(t, err)
		}
	}
}

// The image is written without an engine. What a loader does with it is checked as loaders do: by digests, from both
// tables of contents.
func TestTheImageIsTwoProgramsAndTheSameEachTime(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(writeImage(t))
	require.NoError(t, err)
	again, err := os.ReadFile(writeImage(t))
	require.NoError(t, err)
	require.True(t, bytes.Equal(text, again), "two builds of the same programs differ")

	files, _ := untar(t, text)
	for name, blob := range files {
		if digest, found := strings.CutPrefix(name, "blobs/sha256/"); found {
			require.Equal(t, digest, fmt.Sprintf("%x", sha256.Sum256(blob)))
		}
	}
	read := func(name string, into any) {
		t.Helper()
		require.Contains(t, files, name)
		require.NoError(t, json.Unmarshal(files[name], into))
	}
	type descriptor struct {
		Digest string
		Size   int
	}
	var index struct{ Manifests []descriptor }
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	var docker []struct {
		Config           string
		RepoTags, Layers []string
	}
	var config struct {
		Config struct {
			Env, Entrypoint, Cmd []string
			Healthcheck          struct{ Test []string }
		}
		Rootfs struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	at := func(d descriptor) string {
		name := "blobs/" + strings.ReplaceAll(d.Digest, ":", "/")
		require.Len(t, files[name], d.Size)
		return name
	}
	read("index.json", &index)
	read("manifest.json", &docker)
	read(at(index.Manifests[0]), &manifest)
	read(at(manifest.Config), &config)
	require.Equal(t, at(manifest.Config), docker[0].Config, "both tables name the same image")
	require.Equal(t, []string{at(manifest.Layers[0])}, docker[0].Layers)
	require.Equal(t, []string{"underlayd:test"}, docker[0].RepoTags)
	require.Equal(t, []string{manifest.Layers[0].Digest}, config.Rootfs.DiffIDs)
	require.Equal(t, []string{"/usr/local/bin/underlayd"}, config.Config.Entrypoint)
	require.Equal(t, []string{"run"}, config.Config.Cmd)
	require.Equal(t, []string{"CMD", "/usr/local/bin/underlayd", "health"}, config.Config.Healthcheck.Test)

	tree, modes := untar(t, files[docker[0].Layers[0]])
	require.Equal(t, map[string]string{
		"usr/": "drwxr-xr-x", "usr/local/": "drwxr-xr-x", "usr/local/bin/": "drwxr-xr-x", "LICENSE": "-r--r--r--",
		"usr/local/bin/gobgp": "-r-xr-xr-x", "usr/local/bin/underlayd": "-r-xr-xr-x",
		"usr/share/": "drwxr-xr-x", "usr/share/underlayd/": "drwxr-xr-x", "usr/share/underlayd/sbom.spdx.json": "-r--r--r--",
	}, modes)
	daemon, err := os.ReadFile(built(t).underlayd)
	require.NoError(t, err)
	require.True(t, bytes.Equal(daemon, tree["usr/local/bin/underlayd"]))
	require.NotContains(t, string(daemon), "/lib64/ld-linux", "it is static")
	listed(t, tree["usr/share/underlayd/sbom.spdx.json"], map[string][]byte{"underlayd": daemon, "gobgp": tree["usr/local/bin/gobgp"]})
}

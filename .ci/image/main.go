// Command image writes a container image without a container engine, and without anything to pull: the two static
// programs, the license and the list of what is in them, which it writes beside the image as well. The file is an OCI image layout and what `docker save` writes at the same time,
// so that docker load, podman load, ctr images import and skopeo all read it. The same programs make the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

func main() {
	var i image
	flag.StringVar(&i.name, "name", "ghcr.io/underlayd/underlayd:devel", "repository and tag")
	flag.StringVar(&i.version, "version", "devel", "what the label says")
	flag.StringVar(&i.arch, "arch", runtime.GOARCH, "what the programs were built for")
	created := flag.Int64("created", 0, "seconds since 1970, for everything in the image")
	programs := flag.String("programs", "bin", "the folder of underlayd and gobgp")
	license := flag.String("license", "LICENSE", "the license")
	out := flag.String("o", "bin/underlayd-image.tar", "the file to write")
	alone := flag.Bool("sbom", false, "write the list of what is in the programs, and no image")
	flag.Parse()
	i.created = time.Unix(*created, 0).UTC()
	list := *out
	if !*alone {
		list = strings.TrimSuffix(*out, ".tar") + ".spdx.json"
	}
	i.files = []file{
		{"usr/local/bin/gobgp", filepath.Join(*programs, "gobgp"), 0o555},
		{"usr/local/bin/underlayd", filepath.Join(*programs, "underlayd"), 0o555},
		{"LICENSE", *license, 0o444},
		{sbomPlace, list, 0o444},
	}
	text, err := i.describe(i.files[:2])
	if err == nil {
		err = os.WriteFile(list, text, 0o644)
	}
	if err == nil && !*alone {
		err = i.write(*out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
	fmt.Printf("%s: %s for linux/%s\n", *out, i.name, i.arch)
}

// image is what becomes of the flags.
type image struct {
	name, version, arch string
	created             time.Time
	files               []file
}

type file struct {
	target, source string
	mode           int64
}

// descriptor names a blob (OCI image specification, content descriptors).
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// archive is the file being made.
type archive struct {
	out     *tar.Writer
	created time.Time
	made    map[string]bool
}

func (i image) write(out string) error {
	layer, err := i.layer()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(out+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if err := errors.Join(i.fill(f, layer), f.Close()); err != nil {
		return errors.Join(err, os.Remove(out+".new"))
	}
	return os.Rename(out+".new", out)
}

// fill writes the blobs, and the two tables of contents: index.json is OCI's, manifest.json Docker's.
func (i image) fill(out io.Writer, layer []byte) error {
	a := &archive{tar.NewWriter(out), i.created, map[string]bool{}}
	const oci = "application/vnd.oci.image."
	layerAt, errLayer := a.blob(oci+"layer.v1.tar", layer)
	config, errConfig := a.jsonBlob(oci+"config.v1+json", i.config(layerAt.Digest))
	manifest, errManifest := a.jsonBlob(oci+"manifest.v1+json", map[string]any{
		"schemaVersion": 2, "mediaType": oci + "manifest.v1+json", "config": config, "layers": []descriptor{layerAt},
	})
	_, tag, _ := strings.Cut(path.Base(i.name), ":")
	manifest.Annotations = map[string]string{"io.containerd.image.name": i.name, "org.opencontainers.image.ref.name": tag}
	return errors.Join(errLayer, errConfig, errManifest,
		a.json("index.json", map[string]any{"schemaVersion": 2, "mediaType": oci + "index.v1+json", "manifests": []descriptor{manifest}}),
		a.json("oci-layout", map[string]string{"imageLayoutVersion": "1.0.0"}),
		a.json("manifest.json", []map[string]any{{
			"Config": blobPath(config.Digest), "RepoTags": []string{i.name}, "Layers": []string{blobPath(layerAt.Digest)},
		}}),
		a.out.Close())
}

// config is how a container of the image runs.
func (i image) config(layer string) any {
	created := i.created.Format(time.RFC3339)
	return map[string]any{
		"created": created, "architecture": i.arch, "os": "linux",
		"config": map[string]any{
			"Env":        []string{"PATH=/usr/local/bin"},
			"Entrypoint": []string{"/usr/local/bin/underlayd"},
			"Cmd":        []string{"run"},
			// Docker's, who takes it from here; OCI has none. It needs no shell.
			"Healthcheck": map[string]any{
				"Test":     []string{"CMD", "/usr/local/bin/underlayd", "health"},
				"Interval": 30 * time.Second, "Timeout": 10 * time.Second, "StartPeriod": 30 * time.Second, "Retries": 4,
			},
			"Labels": map[string]string{
				"org.opencontainers.image.title":       "underlayd",
				"org.opencontainers.image.description": "BGP underlay route exchange for multi-cluster Kubernetes",
				"org.opencontainers.image.source":      "https://github.com/underlayd/underlayd",
				"org.opencontainers.image.licenses":    "Apache-2.0",
				"org.opencontainers.image.version":     i.version,
			},
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{layer}},
		"history": []map[string]string{{"created": created, "created_by": "make image"}},
	}
}

// layer is the file tree of a container.
func (i image) layer() ([]byte, error) {
	var out bytes.Buffer
	a := &archive{tar.NewWriter(&out), i.created, map[string]bool{}}
	for _, f := range i.files {
		text, err := os.ReadFile(f.source)
		if err != nil {
			return nil, err
		}
		if err := a.file(f.target, f.mode, text); err != nil {
			return nil, err
		}
	}
	if err := a.out.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func blobPath(digest string) string { return "blobs/" + strings.ReplaceAll(digest, ":", "/") }

func (a *archive) blob(mediaType string, text []byte) (descriptor, error) {
	sum := sha256.Sum256(text)
	d := descriptor{MediaType: mediaType, Digest: "sha256:" + hex.EncodeToString(sum[:]), Size: len(text)}
	return d, a.file(blobPath(d.Digest), 0o644, text)
}

func (a *archive) jsonBlob(mediaType string, v any) (descriptor, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return descriptor{}, err
	}
	return a.blob(mediaType, text)
}

func (a *archive) json(name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.file(name, 0o644, text)
}

// file adds a file and the folders it is in. Owner and time say nothing of the machine it was made on.
func (a *archive) file(name string, mode int64, text []byte) error {
	for at, r := range name {
		if folder := name[:at]; r == '/' && !a.made[folder] {
			a.made[folder] = true
			if err := a.out.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: 0o755, ModTime: a.created}); err != nil {
				return err
			}
		}
	}
	if err := a.out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(text)), ModTime: a.created}); err != nil {
		return err
	}
	_, err := a.out.Write(text)
	return err
}

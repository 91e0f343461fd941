package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// The bounds of a bundle, before it is compressed.
const (
	partMost   = 64 << 20
	bundleMost = 256 << 20
)

var errPartTooLarge = errors.New("cut off: it is too large")

// archive writes parts one by one. What goes wrong with one is noted and told at the end. It is written beside the daemon, on a
// node that may be in trouble already: a part is held compressed until its size, which comes first in a tar file, is known.
type archive struct {
	squeezed *gzip.Writer
	tar      *tar.Writer
	now      time.Time
	left     int64 // bytes, of all parts
	failed   []string
}

func newArchive(w io.Writer, now time.Time) *archive {
	squeezed := gzip.NewWriter(w)
	return &archive{squeezed: squeezed, tar: tar.NewWriter(squeezed), now: now, left: bundleMost}
}

// add adds what f writes, as far as it comes. An error is the archive's.
func (a *archive) add(name string, f func(io.Writer) error) error {
	var held bytes.Buffer
	squeezed, err := gzip.NewWriterLevel(&held, gzip.BestSpeed)
	if err != nil {
		return err
	}
	bounded := &boundedWriter{w: squeezed, left: min(partMost, a.left)}
	if err := f(bounded); err != nil {
		a.failed = append(a.failed, name+": "+oneLine(err))
	}
	if err := squeezed.Close(); err != nil {
		return err
	}
	a.left -= bounded.written
	if bounded.written == 0 {
		return nil
	}
	plain, err := gzip.NewReader(&held)
	if err != nil {
		return fmt.Errorf("archive %s: %w", name, err)
	}
	return a.put(name, plain, bounded.written)
}

func (a *archive) put(name string, r io.Reader, size int64) error {
	err := a.tar.WriteHeader(&tar.Header{Name: "underlayd/" + name, Mode: 0o600, Size: size, ModTime: a.now.Truncate(time.Second), Format: tar.FormatUSTAR})
	if err == nil {
		_, err = io.CopyN(a.tar, r, size)
	}
	if err != nil {
		return fmt.Errorf("archive %s: %w", name, err)
	}
	return nil
}

// close adds errors.txt and completes the archive.
func (a *archive) close() error {
	text := strings.Join(append(a.failed, ""), "\n")
	return errors.Join(a.put("errors.txt", strings.NewReader(text), int64(len(text))), a.tar.Close(), a.squeezed.Close())
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// boundedWriter takes so many bytes and no more.
type boundedWriter struct {
	w             io.Writer
	left, written int64
}

func (b *boundedWriter) Write(p []byte) (int, error) {
	fits := p[:min(int64(len(p)), b.left)]
	n, err := b.w.Write(fits)
	b.left -= int64(n)
	b.written += int64(n)
	if err == nil && n < len(p) {
		err = errPartTooLarge
	}
	return n, err
}

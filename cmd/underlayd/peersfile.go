package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/underlayd/underlayd/config"
)

const (
	// peersPoll is how often the file is read without being told to.
	peersPoll = 5 * time.Second
	// peersSettle is how long its directory must be quiet before it is read: whoever writes it may not be through.
	peersSettle = 100 * time.Millisecond
	// peersLimit is more than ParsePeers takes.
	peersLimit = 1<<20 + 1
)

// peersFile is the source of the peers that bgp.peersFile has. A file that is missing or broken leaves those in force that
// it had when it was good, in this run or in the last one.
type peersFile struct {
	log     logrus.FieldLogger
	changed chan struct{} // capacity one: it is another file
	again   chan struct{} // likewise, for Run: another one is wanted, or somebody asks

	mu   sync.Mutex // guards what was read: by Run, and by Peers when the path is new
	path string
	text []byte
	err  error

	// These belong to the caller of Peers.
	good string        // what the file said when it was good; empty: it never was
	last []config.Peer // what that came to
	had  bool          // it came to something
}

// newPeersFile makes the source; good is what the file said when it was good in the last run.
func newPeersFile(good string, log logrus.FieldLogger) *peersFile {
	return &peersFile{log: log, changed: make(chan struct{}, 1), again: make(chan struct{}, 1), good: good}
}

// Changed is poked when the file says something else.
func (f *peersFile) Changed() <-chan struct{} { return f.changed }

// Reload has the file read now, for SIGHUP.
func (f *peersFile) Reload() { poke(f.again) }

// Peers returns the peers of the file.
func (f *peersFile) Peers(base *config.Config, own func(netip.Addr) bool) sourced {
	path := base.BGP.PeersFile
	text, err := f.of(path)
	if path == "" {
		f.good, f.last, f.had = "", nil, false
		return sourced{known: true}
	}
	var peers []config.Peer
	if err == nil {
		peers, err = config.ParsePeers(bytes.NewReader(text), path, base, own)
	}
	if err == nil {
		f.good, f.last, f.had = string(text), peers, true
		return sourced{peers: peers, known: true}
	}
	// What was good before may be so no more together with another configuration. Then the caller finds out which peers.
	if peers, broken := config.ParsePeers(strings.NewReader(f.good), path, base, own); broken == nil {
		f.last, f.had = peers, true
	}
	return sourced{peers: f.last, known: f.had, err: err}
}

// of returns what was read of the file, and reads it if it is another one than before.
func (f *peersFile) of(path string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if path != f.path {
		f.path, f.text, f.err = path, nil, nil
		if path != "" {
			f.text, f.err = readPeers(path)
		}
		poke(f.again)
	}
	return f.text, f.err
}

// Run follows the file until ctx is cancelled.
func (f *peersFile) Run(ctx context.Context) error {
	notes := config.Notify(f.log, peersPoll)
	defer notes.Close()
	poll, quiet := time.NewTicker(peersPoll), time.NewTimer(0)
	defer poll.Stop()
	defer quiet.Stop()
	var noisy time.Time // since when the directory is
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.again:
			notes.Follow(f.directories()...)
			f.look()
		case <-notes.C:
			if noisy.IsZero() {
				noisy = time.Now()
			}
			if time.Since(noisy) < 10*peersSettle { // one that is never quiet must not hold us up
				quiet.Reset(peersSettle)
			}
		case <-quiet.C:
			noisy = time.Time{}
			f.look()
		case <-poll.C:
			notes.Renew()
			if f.differs() {
				quiet.Reset(peersSettle)
			}
		}
	}
}

func (f *peersFile) directories() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.path == "" {
		return nil
	}
	return []string{filepath.Dir(f.path)}
}

// look reads the file again.
func (f *peersFile) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if text, err := f.read(); !f.same(text, err) {
		f.text, f.err = text, err
		poke(f.changed)
	}
}

func (f *peersFile) differs() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.same(f.read())
}

// read reads the file, if there is to be one. The caller holds mu.
func (f *peersFile) read() ([]byte, error) {
	if f.path == "" {
		return nil, nil
	}
	return readPeers(f.path)
}

func (f *peersFile) same(text []byte, err error) bool {
	return bytes.Equal(text, f.text) && fmt.Sprint(err) == fmt.Sprint(f.err)
}

func readPeers(path string) ([]byte, error) {
	in, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it must not hang on a pipe
	if err != nil {
		return nil, fmt.Errorf("read peers: %w", err)
	}
	defer in.Close()
	if info, err := in.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("read peers: %s must be a regular file", path), err)
	}
	text, err := io.ReadAll(io.LimitReader(in, peersLimit))
	if err != nil {
		return nil, fmt.Errorf("read peers: %w", err)
	}
	return text, nil
}

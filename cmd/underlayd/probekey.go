package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/underlayd/underlayd/bgp/probe"
	"github.com/underlayd/underlayd/config"
)

// probeKey reads the file with the key of the probe, and follows it. A file that can't be used keeps the key in force that it
// held before; without one nothing is probed, and nothing answered.
type probeKey struct {
	log     logrus.FieldLogger
	changed chan struct{} // capacity one: "look again"
	follow  chan struct{} // likewise, for Run: another file is wanted

	mu      sync.Mutex // guards what follows
	path    string     // empty: none
	key     probe.Key  // as last read; zero if it never could be
	problem string     // why it can't be read now
}

func newProbeKey(log logrus.FieldLogger) *probeKey {
	return &probeKey{log: log, changed: make(chan struct{}, 1), follow: make(chan struct{}, 1)}
}

// use says which file is wanted.
func (k *probeKey) use(c config.Probe) {
	path := c.KeyFile
	if !c.Enabled {
		path = ""
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if path != k.path {
		k.path, k.key, k.problem = path, probe.Key{}, ""
		poke(k.follow)
	}
}

// read returns the key, and why it can't be read now.
func (k *probeKey) read() (probe.Key, string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.key, k.problem
}

// Run follows the file until ctx is cancelled.
func (k *probeKey) Run(ctx context.Context) error {
	notes := config.Notify(k.log, passwordPoll)
	defer notes.Close()
	poll := time.NewTicker(passwordPoll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.follow:
			k.mu.Lock()
			path := k.path
			k.mu.Unlock()
			if path == "" {
				notes.Follow()
			} else {
				notes.Follow(filepath.Dir(path))
			}
		case <-notes.C:
		case <-poll.C:
			notes.Renew()
		}
		k.look()
	}
}

// look reads the file again.
func (k *probeKey) look() {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, problem := probe.Key{}, ""
	if k.path != "" {
		raw, err := readKeyFile("key file of the probe", k.path)
		if err == nil {
			if key, err = probe.ParseKey(raw); err != nil {
				err = fmt.Errorf("key file of the probe %s: %w", k.path, err)
			}
			clear(raw)
		}
		if err != nil {
			key, problem = k.key, err.Error()
		}
	}
	if key == k.key && problem == k.problem {
		return
	}
	if problem != "" {
		k.log.WithField("kept", !key.IsZero()).Error(problem)
	}
	k.key, k.problem = key, problem
	poke(k.changed)
}

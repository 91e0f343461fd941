package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
)

// lastKnown is the file that remembers the node's pod CIDRs from one run to the next: a daemon that restarts while
// the Kubernetes API is away goes on advertising what it advertised. It lies in the runtime directory, which a reboot
// empties: then the pods are gone too.
type lastKnown struct {
	path string
	node string
	held []netip.Prefix // as last read or written
}

// pods is the content of the file.
type pods struct {
	Node     string         `json:"node"`
	PodCIDRs []netip.Prefix `json:"podCIDRs"`
}

func newLastKnown(directory, node string) *lastKnown {
	return &lastKnown{path: filepath.Join(directory, "pod-cidrs.json"), node: node}
}

// read returns what an earlier run of this node wrote; nil if there is nothing that can be used.
func (l *lastKnown) read() ([]netip.Prefix, error) {
	text, err := os.ReadFile(l.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("last known pod CIDRs: %w", err)
	}
	var p pods
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("last known pod CIDRs: %s: %w", l.path, err)
	}
	if p.Node != l.node {
		return nil, fmt.Errorf("last known pod CIDRs: %s is of node %q, not %q", l.path, p.Node, l.node)
	}
	l.held = p.PodCIDRs
	return p.PodCIDRs, nil
}

// write replaces the file if the CIDRs are others, in one step: a reader sees the old one or the new one.
func (l *lastKnown) write(cidrs []netip.Prefix) error {
	if slices.Equal(cidrs, l.held) {
		return nil
	}
	text, err := json.Marshal(pods{Node: l.node, PodCIDRs: cidrs})
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.path+".new", text, 0o600); err != nil {
		return fmt.Errorf("last known pod CIDRs: %w", err)
	}
	if err := os.Rename(l.path+".new", l.path); err != nil {
		return fmt.Errorf("last known pod CIDRs: %w", err)
	}
	l.held = cidrs
	return nil
}

// remove deletes the file; that there is none is fine.
func (l *lastKnown) remove() error {
	if err := os.Remove(l.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("last known pod CIDRs: %w", err)
	}
	return nil
}

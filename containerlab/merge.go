package containerlab

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// node merges defaults, kind and node as containerlab does: for single values the most specific text wins, env and
// sysctls are merged by key, binds by target, and exec lines are all run, general ones first, identical ones once.
func (f *file) node(name string, text nodeText, dir string) (NodeSpec, error) {
	kind := firstOf(text.Kind, f.Topology.Defaults.Kind)
	n := NodeSpec{Name: name, Kind: kind, Env: map[string]string{}, Sysctls: map[string]string{}}
	var cmd, mode string
	var exec, binds []string
	for _, level := range []nodeText{f.Topology.Defaults, f.Topology.Kinds[kind], text} {
		n.Image = firstOf(level.Image, n.Image)
		n.Group = firstOf(level.Group, n.Group)
		cmd = firstOf(level.Cmd, cmd)
		mode = firstOf(level.NetworkMode, mode)
		for k, v := range level.Env {
			n.Env[k] = v
		}
		for k, v := range level.Sysctls {
			n.Sysctls[k] = v
		}
		exec = append(exec, level.Exec...)
		binds = append(binds, level.Binds...)
	}
	var errCmd, errBinds, errExec, errMode error
	if n.Cmd, errCmd = words(cmd); errCmd != nil {
		errCmd = fmt.Errorf("cmd: %w", errCmd)
	}
	n.Exec, errExec = parseExec(exec)
	n.Binds, errBinds = parseBinds(binds, dir)
	n.noMgmt = mode == "none"
	if mode != "" && mode != "none" {
		errMode = fmt.Errorf("network-mode %q: only none is supported here", mode)
	}
	return n, errors.Join(errCmd, errExec, errBinds, errMode)
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func parseExec(lines []string) ([][]string, error) {
	var argvs [][]string
	var errs []error
	seen := map[string]bool{}
	for _, line := range lines {
		if seen[line] {
			continue
		}
		seen[line] = true
		argv, err := words(line)
		if err == nil && len(argv) == 0 {
			err = errors.New("is empty")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("exec %q: %w", line, err))
			continue
		}
		argvs = append(argvs, argv)
	}
	return argvs, errors.Join(errs...)
}

// parseBinds reads binds, general ones first: a later one with the same target replaces an earlier one.
func parseBinds(texts []string, dir string) ([]Bind, error) {
	byTarget := map[string]Bind{}
	var errs []error
	for _, text := range texts {
		b, err := parseBind(text, dir)
		if err != nil {
			errs = append(errs, fmt.Errorf("bind %q: %w", text, err))
			continue
		}
		byTarget[b.Target] = b
	}
	binds := make([]Bind, 0, len(byTarget))
	for _, b := range byTarget {
		binds = append(binds, b)
	}
	slices.SortFunc(binds, func(a, b Bind) int { return strings.Compare(a.Target, b.Target) })
	return binds, errors.Join(errs...)
}

func parseBind(text, dir string) (Bind, error) {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return Bind{}, errors.New("must be source:target or source:target:ro")
	}
	b := Bind{Source: parts[0], Written: parts[0], Target: filepath.Clean(parts[1])}
	if len(parts) == 3 {
		switch parts[2] {
		case "ro":
			b.ReadOnly = true
		case "rw":
		default:
			return Bind{}, fmt.Errorf("mode %q: only ro and rw are supported here", parts[2])
		}
	}
	switch {
	case b.Source == "" || strings.HasPrefix(b.Source, "~") || strings.HasPrefix(b.Source, "__clab"):
		return Bind{}, errors.New("the source must be a path, absolute or relative to the file")
	case !filepath.IsAbs(b.Target) || b.Target == "/":
		return Bind{}, errors.New("the target must be an absolute path below /")
	}
	if !filepath.IsAbs(b.Source) {
		b.Source = filepath.Join(dir, b.Source)
	}
	return b, nil
}

func (t linkText) link() (Link, error) {
	if len(t.Endpoints) != 2 {
		return Link{}, fmt.Errorf("has %d endpoints, must have 2", len(t.Endpoints))
	}
	l := Link{MTU: t.MTU}
	if l.MTU == 0 {
		l.MTU = DefaultMTU
	}
	var errs []error
	for i, end := range []*Endpoint{&l.A, &l.B} {
		node, iface, ok := strings.Cut(t.Endpoints[i], ":")
		if !ok {
			errs = append(errs, fmt.Errorf("endpoint %q: must be node:interface", t.Endpoints[i]))
		}
		*end = Endpoint{Node: node, Interface: iface}
	}
	return l, errors.Join(errs...)
}

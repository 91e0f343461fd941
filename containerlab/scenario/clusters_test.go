package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

// patience is what anything may take that has no promise of its own.
const patience = time.Minute

// until calls f until it returns nil, or fails the test with the last error that was not brought about by the limit.
func until(t *testing.T, limit time.Duration, what string, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var last error
	require.NoError(t, containerlab.Until(ctx, what, func(ctx context.Context) error {
		if err := f(ctx); err == nil || last == nil || ctx.Err() == nil {
			last = err
		}
		return last
	}))
}

// step is a part of a test whose later parts need what it leaves behind.
func step(t *testing.T, what string, f func(*testing.T)) {
	t.Helper()
	if !t.Run(what, f) {
		t.FailNow()
	}
}

// output runs a command in a node; it must succeed.
func output(t *testing.T, n *containerlab.Node, argv ...string) string {
	t.Helper()
	out, err := n.Output(t.Context(), argv...)
	require.NoError(t, err)
	return out
}

// refused runs a command in a node; it must fail with that exit code. It returns what was written to standard error.
func refused(t *testing.T, n *containerlab.Node, code int, argv ...string) string {
	t.Helper()
	var out, problems strings.Builder
	c := n.Command(t.Context(), argv...)
	c.Stdout, c.Stderr = &out, &problems
	require.Error(t, c.Run(), out.String())
	require.Equal(t, code, c.ProcessState.ExitCode(), problems.String())
	return problems.String()
}

// place is what the two-clusters lab says of a node.
type place struct {
	name, cluster    string
	pods4, pods6     string // its pod CIDRs
	fabric4, fabric6 string // the fabric's addresses on its link
}

func places() []place {
	return []place{
		{"east-1", "east", "10.10.1.0/24", "fd00:10:0:1::/64", "192.168.11.254", "fd00:fab:11::fe"},
		{"east-2", "east", "10.10.2.0/24", "fd00:10:0:2::/64", "192.168.12.254", "fd00:fab:12::fe"},
		{"west-1", "west", "10.20.1.0/24", "fd00:20:0:1::/64", "192.168.21.254", "fd00:fab:21::fe"},
		{"west-2", "west", "10.20.2.0/24", "fd00:20:0:2::/64", "192.168.22.254", "fd00:fab:22::fe"},
	}
}

func placeOf(name string) place {
	all := places()
	return all[slices.IndexFunc(all, func(p place) bool { return p.name == name })]
}

// clusters is a running two-clusters lab whose configurations the test may change.
type clusters struct {
	*containerlab.Lab
	configs string // folder with NODE/config.yaml
}

// twoClusters brings the lab up and waits until each node has all routes of the other cluster.
func twoClusters(t *testing.T) *clusters {
	t.Helper()
	start := time.Now()
	c := clustersWithout(t)
	c.settled(t)
	t.Logf("all routes after %s", time.Since(start).Round(time.Millisecond))
	return c
}

// clustersWithout brings the lab up without the daemons of some nodes.
func clustersWithout(t *testing.T, nodes ...string) *clusters {
	t.Helper()
	containerlab.Require(t, "zebra", "bgpd", "vtysh", "ip", "go")
	c := &clusters{configs: emptyFolder(t)}
	sources := map[string]string{"../bin/underlayd": built(t).underlayd}
	for _, p := range places() {
		text, err := os.ReadFile(filepath.Join("..", "two-clusters", p.name, "config.yaml"))
		require.NoError(t, err)
		sources["two-clusters/"+p.name] = filepath.Join(c.configs, p.name)
		require.NoError(t, os.Mkdir(filepath.Join(c.configs, p.name), 0o755))
		require.NoError(t, os.WriteFile(c.config(p.name), text, 0o644))
	}
	c.Lab = containerlab.UpForTest(t, "../two-clusters.clab.yml", containerlab.Options{Sources: sources, Manual: nodes})
	return c
}

func (c *clusters) config(node string) string { return filepath.Join(c.configs, node, "config.yaml") }

// rewrite replaces a text in a node's configuration, as an editor does: by a new file.
func (c *clusters) rewrite(t *testing.T, node, old, new string) {
	t.Helper()
	text, err := os.ReadFile(c.config(node))
	require.NoError(t, err)
	require.Contains(t, string(text), old)
	c.write(t, node, strings.Replace(string(text), old, new, 1))
}

func (c *clusters) write(t *testing.T, node, text string) {
	t.Helper()
	path := c.config(node)
	require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o644))
	require.NoError(t, os.Rename(path+".new", path))
}

// want is what a node's kernel has when all is well: every pod CIDR of the other cluster through the fabric, but for
// those left out.
func want(node string, without ...string) []string {
	here := placeOf(node)
	var routes []string
	for _, p := range places() {
		if p.cluster == here.cluster {
			continue
		}
		for prefix, via := range map[string]string{p.pods4: here.fabric4, p.pods6: here.fabric6} {
			if !slices.Contains(without, prefix) {
				routes = append(routes, prefix+" via "+via)
			}
		}
	}
	slices.Sort(routes)
	return routes
}

// kernelRoutes returns the daemon's routes in a node's main table as "prefix via gateway gateway" or "blackhole prefix",
// sorted.
func kernelRoutes(ctx context.Context, n *containerlab.Node) ([]string, error) {
	var routes []string
	for _, family := range []string{"-4", "-6"} {
		out, err := n.Output(ctx, "ip", "-j", family, "route", "show", "proto", "200")
		if err != nil {
			return nil, err
		}
		var list []struct {
			Type, Dst, Gateway string
			Nexthops           []struct{ Gateway string }
		}
		if out = strings.TrimSpace(out); out != "" {
			if err := json.Unmarshal([]byte(out), &list); err != nil {
				return nil, fmt.Errorf("%s: %w", out, err)
			}
		}
		for _, r := range list {
			if r.Type != "" {
				routes = append(routes, r.Type+" "+r.Dst)
				continue
			}
			via := []string{}
			if r.Gateway != "" {
				via = append(via, r.Gateway)
			}
			for _, h := range r.Nexthops {
				via = append(via, h.Gateway)
			}
			slices.Sort(via)
			routes = append(routes, r.Dst+" via "+strings.Join(via, " "))
		}
	}
	slices.Sort(routes)
	return routes, nil
}

// becomes waits until a node's kernel has exactly these routes of ours.
func becomes(t *testing.T, n *containerlab.Node, limit time.Duration, routes []string) {
	t.Helper()
	until(t, limit, "routes of "+n.Name(), func(ctx context.Context) error {
		got, err := kernelRoutes(ctx, n)
		if err == nil && !slices.Equal(got, routes) {
			err = fmt.Errorf("want %q, got %q", routes, got)
		}
		return err
	})
}

// has fails the test unless a node's kernel has exactly these routes of ours now.
func has(t *testing.T, n *containerlab.Node, routes []string) {
	t.Helper()
	got, err := kernelRoutes(t.Context(), n)
	require.NoError(t, err)
	require.Equal(t, routes, got)
}

// settled waits until all nodes have all routes and say that nothing is wrong.
func (c *clusters) settled(t *testing.T) {
	t.Helper()
	for _, p := range places() {
		becomes(t, c.Node(p.name), patience, want(p.name))
		is(t, c.Node(p.name), "ready with nothing wrong", func(s state) error {
			if s.Phase != "Ready" || len(s.Problems) > 0 || s.ConfigProblem != "" {
				return errors.New("not yet")
			}
			return nil
		})
	}
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

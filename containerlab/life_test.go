package containerlab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// gone waits until nothing lives in the namespaces and the folder is removed.
func gone(t *testing.T, what ownership) {
	t.Helper()
	require.NoError(t, Until(deadline(t), "the lab to be gone", func(context.Context) error {
		for _, ns := range what.Namespaces {
			if n := inhabitants(ns); n != 0 {
				return fmt.Errorf("%s has %d processes", ns, n)
			}
		}
		if _, err := os.Stat(what.Folder); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there (%w)", what.Folder, err)
		}
		return nil
	}))
}

func tellOwnership(t *testing.T, lab *Lab) ownership {
	t.Helper()
	told := ownership{Folder: lab.Folder()}
	for _, n := range lab.Nodes() {
		ns, err := networkOf(n.PID())
		require.NoError(t, err)
		told.Namespaces = append(told.Namespaces, ns)
	}
	return told
}

func TestNothingIsLeftAfterDown(t *testing.T) {
	Require(t, "zebra", "bgpd", "vtysh", "bird", "ip", "sysctl")
	topology, err := Load(trio)
	require.NoError(t, err)
	lab, err := topology.Up(t.Context(), Options{})
	require.NoError(t, err)
	told := tellOwnership(t, lab)
	for i, n := range lab.Nodes() {
		require.NotZero(t, inhabitants(told.Namespaces[i]), n.Name())
	}
	_, err = lab.Node("host-a").Start("straggler", "sh", "-c", "trap '' TERM HUP INT; while :; do sleep 1; done")
	require.NoError(t, err)
	require.NoError(t, lab.Down())
	require.NoError(t, lab.Down(), "twice is fine")
	gone(t, told)
	_, err = lab.Node("host-a").Output(t.Context(), "true")
	require.ErrorIs(t, err, ErrGone)
	_, err = lab.Node("host-a").Start("late", "true")
	require.Error(t, err)
}

func TestNothingIsLeftAfterTheOwnerWasKilled(t *testing.T) {
	Require(t, "zebra", "bgpd", "vtysh", "bird", "ip", "sysctl")
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), ownerEnv+"="+trio)
	var problems bytes.Buffer
	owner.Stderr = &problems
	in, err := owner.StdinPipe()
	require.NoError(t, err)
	defer in.Close()
	out, err := owner.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, owner.Start())
	var told ownership
	err = json.NewDecoder(out).Decode(&told)
	require.NoError(t, owner.Process.Kill())
	_ = owner.Wait() // it was killed
	require.NoError(t, err, problems.String())
	require.Len(t, told.Namespaces, 6)
	gone(t, told)
}

func TestNothingIsLeftWhenUpFails(t *testing.T) {
	Require(t, "ip")
	text := func(node string) string {
		return "name: broken\ntopology:\n  defaults: {kind: linux}\n  nodes:\n    good: {}\n    bad: " + node + "\n"
	}
	rows := map[string]struct{ text, want string }{
		"an exec line that fails":       {text("{exec: [ip link set nothing up]}"), "lab broken: bad: ip link set nothing up: exit status 1: Cannot find device"},
		"a program that is not there":   {text("{cmd: no-such-program}"), "lab broken: bad: no-such-program: no such program in the node"},
		"a bind source that is missing": {text("{binds: [nothing:/etc/x]}"), "lab broken: bad: bind /etc/x: stat"},
		"a bind target with no room":    {text("{binds: [/etc/passwd:/no/such/folder]}"), "can't be made in /no"},
		"a sysctl that is unknown":      {text("{sysctls: {net.ipv4.nothing: 1}}"), "lab broken: bad: sysctl net.ipv4.nothing"},
		"a routing daemon with a broken configuration": {
			text("{image: frr, binds: ['/dev/null:/etc/frr/daemons', '/etc/passwd:/etc/frr/frr.conf']}"), "lab broken: bad: load /etc/frr/frr.conf"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			Require(t, "zebra", "vtysh")
			path := filepath.Join(t.TempDir(), "broken.clab.yml")
			require.NoError(t, os.WriteFile(path, []byte(row.text), 0o644))
			topology, err := Load(path)
			require.NoError(t, err)
			temp := t.TempDir()
			t.Setenv("TMPDIR", temp)
			_, err = topology.Up(t.Context(), Options{})
			require.ErrorContains(t, err, row.want)
			left, err := os.ReadDir(temp)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
	t.Run("a context that has ended", func(t *testing.T) {
		topology, err := Load(plain)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = topology.Up(ctx, Options{})
		require.ErrorIs(t, err, context.Canceled)
	})
	t.Run("options that name what is not there", func(t *testing.T) {
		topology, err := Load(plain)
		require.NoError(t, err)
		_, err = topology.Up(t.Context(), Options{Manual: []string{"c"}})
		require.ErrorContains(t, err, "there is no node c")
		_, err = topology.Up(t.Context(), Options{Sources: map[string]string{"x": "/y"}})
		require.ErrorContains(t, err, `no bind has the source "x"`)
		_, err = topology.Up(t.Context(), Options{Name: "../x"})
		require.ErrorContains(t, err, "the name must be")
	})
}

func TestLabsDoNotMeet(t *testing.T) {
	Require(t, "ip", "ping")
	topology, err := Load(plain)
	require.NoError(t, err)
	const many = 4
	labs := make([]*Lab, many)
	var group errgroup.Group
	for i := range labs {
		group.Go(func() (err error) {
			labs[i], err = topology.Up(t.Context(), Options{})
			return err
		})
	}
	require.NoError(t, group.Wait())
	require.NoError(t, labs[0].Down())
	for _, lab := range labs[1:] {
		reaches(t, lab.Node("a"), "192.0.2.2")
		require.NoError(t, lab.Down())
	}
}

func TestAKeptLabOutlivesItsMaker(t *testing.T) {
	Require(t, "ip", "ping")
	topology, err := Load(plain)
	require.NoError(t, err)
	options := Options{Keep: true, State: t.TempDir(), Name: "kept", Env: map[string]string{"COLOUR": "blue"}}
	made, err := topology.Up(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, made.Down()) })
	_, err = topology.Up(t.Context(), options)
	require.ErrorContains(t, err, "lab kept: it is up already")
	for _, n := range made.Nodes() {
		require.ErrorIs(t, n.holder.stdin.Close(), os.ErrClosed, "nothing ties the nodes to this process any more")
	}

	lab, err := Attach(options.State, "kept")
	require.NoError(t, err)
	told := tellOwnership(t, lab)
	reaches(t, lab.Node("a"), "192.0.2.2")
	colour, err := lab.Node("b").Output(deadline(t), "sh", "-c", "echo $COLOUR")
	require.NoError(t, err)
	require.Equal(t, "blue\n", colour)

	labs, err := List(options.State)
	require.NoError(t, err)
	require.Equal(t, []Kept{{
		Name: "kept", Topology: topology.Path, Folder: lab.Folder(),
		Nodes: map[string]int{"a": made.Node("a").PID(), "b": made.Node("b").PID()},
	}}, labs)

	require.NoError(t, lab.Node("a").Kill())
	labs, err = List(options.State)
	require.NoError(t, err)
	require.Zero(t, labs[0].Nodes["a"])
	again, err := Attach(options.State, "kept")
	require.NoError(t, err)
	_, err = again.Node("a").Output(t.Context(), "true")
	require.ErrorIs(t, err, ErrGone)
	require.NoError(t, again.Down())
	gone(t, told)
	_, err = Attach(options.State, "kept")
	require.ErrorContains(t, err, "there is no lab kept")
}

// refusal is a TB that remembers what it was told.
type refusal struct {
	TB
	skipped, failed string
}

func (r *refusal) Helper()                      {}
func (r *refusal) Skipf(f string, args ...any)  { r.skipped = fmt.Sprintf(f, args...) }
func (r *refusal) Fatalf(f string, args ...any) { r.failed = fmt.Sprintf(f, args...) }

func TestRequireSkipsButFailsInCI(t *testing.T) {
	Require(t)
	t.Setenv("CI", "")
	var r refusal
	Require(&r, "ip", "no-such-tool")
	require.Equal(t, refusal{skipped: "needs programs that are not installed: apt-get install no-such-tool"}, r)
	t.Setenv("CI", "true")
	r = refusal{}
	Require(&r, "ip", "no-such-tool")
	require.Equal(t, refusal{failed: "needs programs that are not installed: apt-get install no-such-tool"}, r)
	r = refusal{}
	Require(&r, "ip", "bash")
	require.Equal(t, refusal{}, r)
	require.Equal(t, "frr", packageOf("zebra"))
}

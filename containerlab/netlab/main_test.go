package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/underlayd/underlayd/containerlab"
)

const plain = "../testdata/plain.clab.yml"

// command runs the real program in processes of its own: a kept lab has to outlive them.
type command struct {
	t      *testing.T
	binary string
	state  string
}

func build(t *testing.T) command {
	c := command{t: t, binary: filepath.Join(t.TempDir(), "netlab"), state: t.TempDir()}
	out, err := exec.Command("go", "build", "-o", c.binary, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	return c
}

func (c command) run(verb string, args ...string) (string, int) {
	c.t.Helper()
	out, err := exec.Command(c.binary, append([]string{verb, "-state", c.state}, args...)...).CombinedOutput()
	code := 0
	if err != nil {
		var exit *exec.ExitError
		require.ErrorAs(c.t, err, &exit)
		code = exit.ExitCode()
	}
	return string(out), code
}

func (c command) ok(verb string, args ...string) string {
	c.t.Helper()
	out, code := c.run(verb, args...)
	require.Zero(c.t, code, out)
	return out
}

func TestALabIsKeptUntilItIsTakenDown(t *testing.T) {
	containerlab.Require(t, "ip", "ping", "go")
	lab := build(t)
	t.Cleanup(func() {
		labs, err := containerlab.List(lab.state)
		require.NoError(t, err)
		for _, l := range labs {
			lab.ok("down", l.Name)
		}
	})
	out := lab.ok("up", plain)
	require.Contains(t, out, "lab plain is up")
	out, code := lab.run("up", plain)
	require.Equal(t, 1, code)
	require.Contains(t, out, "it is up already")
	lab.ok("up", "-name", "second", "-source", "plain/greeting=/etc/hostname", plain)

	out = lab.ok("list")
	require.Equal(t, 2, strings.Count(out, "plain  "), out)
	require.Equal(t, 2, strings.Count(out, "second  "), out)
	require.NotContains(t, out, "gone")

	out, code = lab.run("exec", "a", "true")
	require.Equal(t, 1, code)
	require.Contains(t, out, "there are 2 labs; say which one")
	lab.ok("exec", "-lab", "second", "a", "ping", "-c1", "-W5", "192.0.2.2")
	require.NotEqual(t, "greeting\n", lab.ok("exec", "-lab", "second", "a", "cat", "/etc/made/for/this/greeting"))
	lab.ok("down", "second")
	require.Equal(t, "greeting\n", lab.ok("exec", "a", "cat", "/etc/made/for/this/greeting"))
	require.Equal(t, "a\n", lab.ok("exec", "a", "hostname"))
	out, code = lab.run("exec", "a", "sh", "-c", "exit 7")
	require.Equal(t, 7, code)
	require.Empty(t, out)

	lab.ok("down")
	require.Equal(t, 1, strings.Count(lab.ok("list"), "\n"), "only the headings")
	out, code = lab.run("down", "plain")
	require.Equal(t, 1, code)
	require.Contains(t, out, "there is no lab plain")
}

func TestCommandLinesThatCannotBeUnderstood(t *testing.T) {
	rows := map[string][]string{
		"no command":              nil,
		"an unknown command":      {"sideways"},
		"an unknown flag":         {"list", "-x"},
		"up without a file":       {"up"},
		"a source without a path": {"up", "-source", "x", plain},
		"exec without a command":  {"exec", "a"},
		"list with an argument":   {"list", "a"},
	}
	for name, args := range rows {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, dispatch(t.Context(), args), errUsage)
		})
	}
	require.Equal(t, exitUsage, run(t.Context(), nil))
	require.Equal(t, 0, run(t.Context(), []string{"help"}))
}

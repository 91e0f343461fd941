package containerlab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// nodePath is the PATH of every program in a node: Docker's, so that a node does not depend on who made it.
const nodePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// pipeDelay bounds how long a command that was cancelled may keep its pipes open through children of its own.
const pipeDelay = time.Second

// Cmd is an exec.Cmd that runs in a node: set Stdin, Stdout, Env and so on as usual, then call one of the methods
// below. Its Process is the program itself, with its process id as this machine sees it. Like an exec.Cmd it runs
// once, and whoever calls Start must call Wait.
type Cmd struct {
	*exec.Cmd
	node *Node
}

// Command prepares a program to run in all namespaces of the node. It is looked up in the node, with the node's
// environment only; when ctx ends it is killed.
func (n *Node) Command(ctx context.Context, argv ...string) *Cmd {
	if len(argv) == 0 {
		argv = []string{""}
	}
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Dir = "/"
	c.Env = n.environment()
	c.WaitDelay = pipeDelay
	return &Cmd{Cmd: c, node: n}
}

func (n *Node) environment() []string {
	env := map[string]string{"PATH": nodePath, "HOME": "/root", "HOSTNAME": n.spec.Name}
	maps.Copy(env, n.lab.env)
	maps.Copy(env, n.spec.Env)
	list := make([]string, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	return list
}

// Start starts the program and returns.
func (c *Cmd) Start() error {
	if c.node.err != nil {
		return c.node.err
	}
	err := c.node.way.enter(inNode, func() error {
		path, err := lookPath(c.Args[0], c.Env)
		if err != nil {
			return err
		}
		c.Path, c.Err = path, nil // what was found on the machine does not count
		return c.Cmd.Start()
	})
	if err != nil {
		return fmt.Errorf("%s: %s: %w", c.node.Name(), c.Args[0], err)
	}
	return nil
}

// Run starts the program and waits for its end.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the program and returns what it wrote to standard output.
func (c *Cmd) Output() ([]byte, error) {
	var out bytes.Buffer
	c.Stdout = &out
	err := c.Run()
	return out.Bytes(), err
}

// CombinedOutput runs the program and returns what it wrote to standard output and standard error.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.Bytes(), err
}

// lookPath finds a program along the PATH of env, in the mount namespace of the calling thread.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	path := nodePath
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			path = v
		}
	}
	for _, dir := range filepath.SplitList(path) {
		candidate := filepath.Join(dir, name)
		if info, err := os.Stat(candidate); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("no such program in the node: %w", fs.ErrNotExist)
}

// Output runs a program in the node and returns what it wrote to standard output. An error names the node and the
// program and holds what was written to standard error.
func (n *Node) Output(ctx context.Context, argv ...string) (string, error) {
	var out, problems bytes.Buffer
	c := n.Command(ctx, argv...)
	c.Stdout, c.Stderr = &out, &problems
	err := c.Run()
	return out.String(), n.explain(argv, err, problems.String())
}

// Stream runs a program in the node and passes on what it writes, to both outputs, as it comes.
func (n *Node) Stream(ctx context.Context, w io.Writer, argv ...string) error {
	c := n.Command(ctx, argv...)
	c.Stdout, c.Stderr = w, w
	return n.explain(argv, c.Run(), "")
}

func (n *Node) explain(argv []string, err error, problems string) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if problems = strings.TrimSpace(problems); problems != "" {
		problems = ": " + problems
	}
	return fmt.Errorf("%s: %s: %w%s", n.Name(), strings.Join(argv, " "), err, problems)
}

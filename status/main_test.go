package status

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// childVariable makes the test binary play another daemon: "lock" or "serve", in the directory of childDirectory.
const (
	childVariable  = "UNDERLAYD_STATUS_TEST_CHILD"
	childDirectory = "UNDERLAYD_STATUS_TEST_DIRECTORY"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(childVariable); role != "" {
		os.Exit(child(role, os.Getenv(childDirectory)))
	}
	goleak.VerifyTestMain(m)
}

// child holds what it is told to hold until its standard input ends, so that it cannot outlive the test.
func child(role, directory string) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	switch role {
	case "lock":
		if _, err := AcquireLock(directory, lockTime); err != nil {
			fmt.Println(err)
			return 1
		}
	case "serve":
		go func() { _ = Serve(ctx, SocketPath(directory), &Board{}) }()
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
			if c, err := net.DialTimeout("unix", SocketPath(directory), time.Second); err == nil { // the file alone does not answer yet
				_ = c.Close()
				break
			}
		}
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

var lockTime = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

type process struct {
	*exec.Cmd
	stdin io.Closer
}

// start runs another process of this test in a role and waits until it holds what it should.
func start(t *testing.T, role, directory string) process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, os.Args[0])
	c.Env = append(os.Environ(), childVariable+"="+role, childDirectory+"="+directory)
	stdin, err := c.StdinPipe()
	require.NoError(t, err)
	stdout, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	p := process{c, stdin}
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	return p
}

// kill ends the process the hard way; twice is fine.
func (p process) kill() {
	_ = p.Process.Kill()
	_ = p.stdin.Close()
	_ = p.Wait()
}

// runtimeDirectory has a path short enough for a socket.
func runtimeDirectory(t *testing.T) string {
	t.Helper()
	d, err := os.MkdirTemp("", "status")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(d)) })
	return filepath.Join(d, "run")
}

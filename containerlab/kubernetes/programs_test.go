package kubernetes

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// program is the daemon under test, built once for all tests of the process.
type program struct {
	folder  string // is removed when the process ends, however it ends
	path    string
	gobgp   string // the stock command
	janitor *os.File
}

var underlayd = sync.OnceValues(buildProgram)

func buildProgram() (program, error) {
	folder, err := os.MkdirTemp("", "kubernetes-")
	if err != nil {
		return program{}, err
	}
	p := program{folder: folder, path: filepath.Join(folder, "underlayd"), gobgp: filepath.Join(folder, "gobgp")}
	if p.janitor, err = removeAtEnd(folder); err != nil {
		return program{}, err
	}
	build := exec.Command("go", "build", "-o", folder, "./cmd/underlayd", "github.com/osrg/gobgp/v4/cmd/gobgp")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return program{}, fmt.Errorf("build: %w: %s", err, out)
	}
	return p, nil
}

// folderForTest makes a folder that goes with the test, and with the process at the latest.
func folderForTest(t *testing.T) string {
	t.Helper()
	p, err := underlayd()
	require.NoError(t, err)
	folder, err := os.MkdirTemp(p.folder, "")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(folder)) })
	return folder
}

// removeAtEnd has a folder removed when this process ends, however it ends: the shell reads from a pipe whose other
// end lives as long as the process, and the returned file.
func removeAtEnd(folder string) (*os.File, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	shell := exec.Command("sh", "-c", `read -r _; rm -rf "$0"`, folder)
	shell.Stdin = read
	return write, shell.Start()
}

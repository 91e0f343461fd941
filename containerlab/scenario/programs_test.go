package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// programs are the binaries under test, built once for all tests of the process.
type programs struct {
	underlayd string // the daemon
	gobgp     string // the stock command of the GoBGP release that the daemon embeds
	folder    string // where they are, and what else is to be gone when the process is
	janitor   *os.File
}

var build = sync.OnceValues(buildPrograms)

// built returns the binaries, building them for the first caller.
func built(t *testing.T) programs {
	t.Helper()
	p, err := build()
	require.NoError(t, err)
	return p
}

// emptyFolder makes a folder that goes when the process ends; a test's own would stay if the process is killed.
func emptyFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp(built(t).folder, "")
	require.NoError(t, err)
	return folder
}

func buildPrograms() (programs, error) {
	folder, err := os.MkdirTemp("", "scenario-")
	if err != nil {
		return programs{}, err
	}
	p := programs{folder: folder, underlayd: filepath.Join(folder, "underlayd"), gobgp: filepath.Join(folder, "gobgp")}
	if p.janitor, err = removeAtEnd(folder); err != nil {
		return programs{}, err
	}
	build := exec.Command("go", "build", "-o", folder, "./cmd/underlayd", "github.com/osrg/gobgp/v4/cmd/gobgp")
	build.Dir = filepath.Join("..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return programs{}, fmt.Errorf("build: %w: %s", err, out)
	}
	return p, nil
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

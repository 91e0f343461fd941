package containerlab

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
)

// janitor makes the folder of a lab, and removes it when its input ends, that is when this process ends or says so.
// The nodes need no such help: they end by themselves.
type janitor struct {
	cmd      *exec.Cmd
	stdin    io.WriteCloser
	problems bytes.Buffer
}

const janitorScript = `trap "" HUP INT TERM PIPE
mkdir -- "$1" || exit
echo ready
read -r word
[ "$word" = keep ] || rm -rf -- "$1"`

// startJanitor returns when there is a folder; it fails if there was one already.
func startJanitor(folder string) (*janitor, error) {
	j := &janitor{cmd: exec.Command("sh", "-c", janitorScript, "lab-janitor", folder)}
	j.cmd.Dir = "/"
	j.cmd.Stderr = &j.problems
	j.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var err error
	if j.stdin, err = j.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("janitor: %w", err)
	}
	stdout, err := j.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("janitor: %w", err)
	}
	if err := j.cmd.Start(); err != nil {
		return nil, fmt.Errorf("janitor: %w", err)
	}
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		return nil, fmt.Errorf("make %s: %w", folder, j.wait())
	}
	return j, nil
}

// finish removes the folder.
func (j *janitor) finish() error {
	if err := j.wait(); err != nil {
		return fmt.Errorf("remove the lab's folder: %w", err)
	}
	return nil
}

// leave ends the janitor without removing anything.
func (j *janitor) leave() error {
	_, err := io.WriteString(j.stdin, "keep\n")
	if err := errors.Join(err, j.wait()); err != nil {
		return fmt.Errorf("janitor: %w", err)
	}
	return nil
}

func (j *janitor) wait() error {
	err := errors.Join(j.stdin.Close(), j.cmd.Wait())
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", err, strings.TrimSpace(j.problems.String()))
}
